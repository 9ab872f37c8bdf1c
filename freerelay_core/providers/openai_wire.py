"""The adapter for every provider that speaks OpenAI's wire format, over one pool of connections."""

from __future__ import annotations

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


class OpenAIWire:
    """Speaks to `providers` with their keys. Make it inside the event loop that uses it.

    The host comes from the catalogue alone, redirects are not followed, and neither cookies nor proxy variables count.
    Providers of the shipped catalogue are reached at public addresses only; those of the operator's own file may be
    anywhere.
    """

    pace = 1.0

    def __init__(self, providers: Mapping[str, Provider], keys: Mapping[str, str]) -> None:
        self._client = HttpClient()
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
        return _Answer(exchange, waits.idle_s or IDLE_LIMIT_S)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()


class _Answer:
    __slots__ = ("_exchange", "_idle_s", "headers", "status")

    times = None

    def __init__(self, exchange: Exchange, idle_s: float) -> None:
        self._exchange = exchange
        self._idle_s = idle_s
        self.status = exchange.status
        self.headers: Mapping[str, str] = exchange.headers

    async def body(self) -> bytes:
        return await self._exchange.body()

    def chunks(self) -> AsyncIterator[bytes]:
        return self._exchange.chunks(self._idle_s)

    async def close(self) -> None:
        self._exchange.close()
