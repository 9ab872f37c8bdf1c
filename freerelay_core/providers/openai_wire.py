"""The adapter for every provider that speaks OpenAI's wire format, over one pool of connections.

What a provider says in an error may reach the client, so one that repeats our key there is not passed on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import lru_cache

import aiohttp
from aiohttp.connector import SocketFactoryType
from yarl import URL

from freerelay_core.catalogue import Provider
from freerelay_core.providers.addresses import public_socket
from freerelay_core.providers.base import UpstreamError, UpstreamRequest

__all__ = ["OpenAIWire"]

CONNECT_LIMIT_S = 2.0
"""To open a connection."""
POOL_LIMIT_S = 1.0
"""Beyond that for what comes before: the name's address, and a free place among the connections."""
IDLE_LIMIT_S = 30.0
"""Longest silence between two chunks once the answer has begun. Comments are no silence: they say that somebody is at
work, and what drips for ever meets the limit for the whole."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024
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
        anywhere, public = _session(), _session(public_socket)
        self._sessions = (anywhere, public)
        self._keys = {name: key.encode() for name, key in keys.items()}
        self._targets: dict[str, tuple[aiohttp.ClientSession, URL, dict[str, str]]] = {}
        for provider in providers.values():
            headers = {**provider.wire.headers, "Accept-Encoding": "identity", "User-Agent": "freerelay"}
            if provider.id in keys:
                headers["Authorization"] = f"Bearer {keys[provider.id]}"
            session = anywhere if provider.own else public
            self._targets[provider.id] = (session, URL(f"{provider.base_url}/chat/completions"), headers)

    async def send(self, request: UpstreamRequest) -> _Answer:
        """The provider's answer. Raises `UpstreamError`."""
        session, url, headers = self._targets[request.provider.id]
        waits = request.provider.waits
        timeout = _timeout(
            math.ceil(request.total_limit_s), math.ceil(request.first_byte_limit_s), waits.connect_s or CONNECT_LIMIT_S
        )
        body = aiohttp.BytesPayload(request.body, content_type="application/json")
        with _as_upstream_errors():
            response = await session.post(url, data=body, headers=headers, timeout=timeout, allow_redirects=False)
        return _Answer(response, waits.idle_s, request.provider.id, self._keys.get(request.provider.id, b""))

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions:
            await session.close()


def _session(socket_factory: SocketFactoryType | None = None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, socket_factory=socket_factory),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


@lru_cache(maxsize=1024)
def _timeout(total_s: int, first_byte_s: int, connect_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=total_s, connect=POOL_LIMIT_S + connect_s, sock_connect=connect_s, sock_read=first_byte_s
    )


class _Answer:
    times = None

    def __init__(self, response: aiohttp.ClientResponse, idle_s: float | None, provider_id: str, key: bytes) -> None:
        self._response = response
        self._provider_id = provider_id
        self._key = key
        self._idle_s = idle_s or IDLE_LIMIT_S
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        connection = response.connection
        protocol = None if connection is None else connection.protocol
        self._hung_up: asyncio.Future[None] | None = None if protocol is None else protocol.closed
        if self._hung_up is not None:
            self._hung_up.remove_done_callback(_look_at)
            self._hung_up.add_done_callback(_look_at)
            self._hung_up.add_done_callback(self._end)

    def _end(self, _: object) -> None:
        """The connection is gone: whoever still reads is told.

        aiohttp itself leaves the reader of a body waiting whose framing was malformed.
        """
        content = self._response.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection ended before the answer"))

    async def body(self) -> bytes:
        """The whole body; an empty one for an error that repeats the key. Raises `UpstreamError`."""
        body = await self._body()
        if self.status >= 300 and _repeats(body, self._key):
            log.warning("%s repeats the vendor key in an error, which is not passed on", self._provider_id)
            return b""
        return body

    async def _body(self) -> bytes:
        length = self._response.content_length
        with _as_upstream_errors():
            if length is not None and length <= MAX_ANSWER_BYTES:
                return await self._response.read()
            parts, size = [], 0
            async for part in self._response.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise UpstreamError("malformed", f"the answer is longer than {MAX_ANSWER_BYTES >> 20} MiB")
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        first = True
        with _as_upstream_errors():
            async for chunk in self._response.content.iter_any():
                if first:
                    self._expect_next_within(self._idle_s)
                    first = False
                yield chunk

    async def close(self) -> None:
        if self._hung_up is not None:
            self._hung_up.remove_done_callback(self._end)
        self._response.release()  # an unfinished one is not pooled: its connection ends, and so does the work upstream

    def _expect_next_within(self, limit_s: float) -> None:
        connection = self._response.connection
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = limit_s
            connection.protocol.start_timeout()


def _repeats(body: bytes, key: bytes) -> bool:
    """Whether a piece of the key stands in the body, as it is or as JSON may have it."""
    if len(key) < LEAST_SECRET:
        return False
    plain = body.replace(b"\\/", b"/")
    pieces = (key[start : start + TELLING] for start in range(max(1, len(key) - TELLING + 1)))
    return any(piece in plain for piece in pieces)


def _look_at(ended: asyncio.Future[None]) -> None:
    """Take note of how a connection ended, whoever uses it: asyncio complains of errors that nobody looked at."""
    ended.exception()


@contextlib.contextmanager
def _as_upstream_errors() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise UpstreamError("unreachable", "no connection") from error
    except TimeoutError as error:
        raise UpstreamError("timeout", "no answer in time") from error
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
        raise UpstreamError("disconnected", "the connection broke") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise UpstreamError("malformed", "the answer is not HTTP") from error
