"""The adapter for every provider that speaks OpenAI's wire format, over one pool of connections.

What a provider says in an error may reach the client, so one that repeats our key there is not passed on.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping

from freerelay_core.catalogue import Provider
from freerelay_core.providers.base import UpstreamRequest
from freerelay_core.providers.http_client import HttpClient, Target
from freerelay_core.providers.http_connection import Exchange

__all__ = ["OpenAIWire"]

CONNECT_LIMIT_S = 2.0
"""To open a connection, once the address is known."""
IDLE_LIMIT_S = 30.0
"""Longest silence between two chunks once the answer has begun. Comments are no silence: they say that somebody is at
work, and what drips for ever meets the limit for the whole."""
TELLING = 10
"""So many characters of a key in a row tell of it."""
LEAST_SECRET = 8
"""A shorter key is none that anybody would keep secret: "none", "ollama"."""

log = logging.getLogger(__name__)


class OpenAIWire:
    """Speaks to `providers` with their keys. Make it inside the event loop that uses it.

    The host comes from the catalogue alone, redirects are not followed, and neither cookies nor proxy variables count.
    Providers of the shipped catalogue are reached at public addresses only; those of the operator's own file may be
    anywhere.
    """

    pace = 1.0

    def __init__(self, providers: Mapping[str, Provider], keys: Mapping[str, str]) -> None:
        self._client = HttpClient()
        self._keys = {name: key.encode() for name, key in keys.items()}
        self._targets: dict[str, Target] = {}
        for provider in providers.values():
            headers = {
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "User-Agent": "freerelay",
                **provider.wire.headers,
                "Content-Type": "application/json",
            }
            if provider.id in keys:
                headers["Authorization"] = f"Bearer {keys[provider.id]}"
            url = f"{provider.base_url}/chat/completions"
            self._targets[provider.id] = Target(url, headers, public=not provider.own)

    async def send(self, request: UpstreamRequest) -> _Answer:
        """The provider's answer. Raises `UpstreamError`."""
        waits = request.provider.waits
        exchange = await self._client.post(
            self._targets[request.provider.id],
            request.body,
            connect_s=waits.connect_s or CONNECT_LIMIT_S,
            silence_s=request.first_byte_limit_s,
            total_s=request.total_limit_s,
        )
        provider_id = request.provider.id
        return _Answer(exchange, waits.idle_s or IDLE_LIMIT_S, provider_id, self._keys.get(provider_id, b""))

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()


class _Answer:
    __slots__ = ("_exchange", "_idle_s", "_key", "_provider_id", "headers", "status")

    times = None

    def __init__(self, exchange: Exchange, idle_s: float, provider_id: str, key: bytes) -> None:
        self._exchange = exchange
        self._idle_s = idle_s
        self._provider_id = provider_id
        self._key = key
        self.status = exchange.status
        self.headers: Mapping[str, str] = exchange.headers

    async def body(self) -> bytes:
        """The whole body; an empty one for an error that repeats the key. Raises `UpstreamError`."""
        body = await self._exchange.body()
        if self.status >= 300 and _repeats(body, self._key):
            log.warning("%s repeats the vendor key in an error, which is not passed on", self._provider_id)
            return b""
        return body

    def chunks(self) -> AsyncIterator[bytes]:
        return self._exchange.chunks(self._idle_s)

    async def close(self, *, finished: bool = False) -> None:
        self._exchange.close(finished=finished)


def _repeats(body: bytes, key: bytes) -> bool:
    """Whether a piece of the key stands in the body, as it is or as JSON may have it."""
    if len(key) < LEAST_SECRET:
        return False
    plain = body.replace(b"\\/", b"/")
    pieces = (key[start : start + TELLING] for start in range(max(1, len(key) - TELLING + 1)))
    return any(piece in plain for piece in pieces)
