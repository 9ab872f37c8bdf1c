"""A client's connection: uvicorn's own, with fewer calls of the system, and an end for clients that are too slow.

uvicorn waits for the head of a request, and for a client to read, as long as the client likes; each of these holds a
file of the process, of which there are some thousands. It also keeps a head of any size. Bodies have their limits in
`border.py`. For use as uvicorn's `http`: `uvicorn --http freerelay_core.api.connection:Connection`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from freerelay_core.api.answers import new_request_id
from freerelay_core.errors import FreeRelayError, HeadersTooLarge, InvalidRequest, RequestTimedOut

__all__ = ["Connection"]

HEAD_LIMIT_S = 30.0
"""How long the head of a request may take, from its first byte, or from the connection for the first one."""
MAX_HEAD_BYTES = 64 * 1024
"""Of a head that is not complete; those that are meet the limit of `border.py`."""
UNREAD_LIMIT_S = 60.0
"""How long a client may read nothing of what lies ready for it; who works between two tokens may take a while."""
MOST_GATHERED_BYTES = 64 * 1024
_SOCKET = b"/_stcore/stream"
"""How the path of the only WebSocket ends, the dashboard's."""


class _Gathered:
    """A transport that writes at once what comes within a turn of the event loop.

    uvicorn writes the head, each part and the end of an answer one by one, and each write is a call of the system.
    """

    __slots__ = ("_loop", "_parts", "_size", "plain")

    def __init__(self, plain: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.plain = plain
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > MOST_GATHERED_BYTES:  # or the transport could not say in time that it is full
            self.flush()

    def close(self) -> None:
        """Close once all is written."""
        self.flush()
        self.plain.close()

    def get_write_buffer_size(self) -> int:
        return self.plain.get_write_buffer_size() + self._size

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def flush(self) -> None:
        """Write what was gathered."""
        parts, self._parts, self._size = self._parts, [], 0
        if parts and not self.plain.is_closing():
            self.plain.write(parts[0] if len(parts) == 1 else b"".join(parts))


class _BodyParser:
    """The parser of one body whose head was read by another one. What follows the body is not listened to."""

    __slots__ = ("_connection", "_ended", "_parser")

    def __init__(self, connection: Connection, framing: Sequence[tuple[bytes, bytes]]) -> None:
        """`framing` are the headers that say where the body ends."""
        self._connection = connection
        self._ended = False
        self._parser = HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % each for each in framing))

    def feed_data(self, data: bytes) -> None:
        """Read on. Raises `HttpParserError`."""
        try:
            if not self._ended:
                self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            if not self._ended:
                raise

    def should_upgrade(self) -> bool:
        return False

    def on_body(self, data: bytes) -> None:
        if not self._ended:
            self._connection.on_body(data)

    def on_message_complete(self) -> None:
        if not self._ended:
            self._ended = True
            self._connection.on_message_complete()


class _WithoutChunks:
    """The application for a client of another HTTP than 1.1, which knows no chunks: the body ends with the connection.

    uvicorn sends chunks to whomever it cannot tell a length.
    """

    __slots__ = ("_app", "_cycle", "_to_the_end")

    def __init__(self, app: Any, cycle: RequestResponseCycle) -> None:
        self._app = app
        self._cycle = cycle
        self._to_the_end = False

    async def __call__(self, scope: Scope, receive: Receive, _: Send) -> None:
        await self._app(scope, receive, self._send)

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._to_the_end = all(name.lower() != b"content-length" for name, _ in message["headers"])
            if self._to_the_end:
                self._cycle.chunked_encoding = False
                self._cycle.keep_alive = False  # uvicorn ends those of 1.0 only, and llhttp takes 0.9 and 2.0 as well
        elif self._to_the_end:
            self._cycle.expected_content_length = len(message.get("body", b""))  # all of it, as uvicorn counts
        await self._cycle.send(message)  # type: ignore[arg-type]  # Starlette's and uvicorn's messages are the same


_FRAMING = (b"content-length", b"transfer-encoding")


class Connection(HttpToolsProtocol):
    """Ends itself where no head of a request is complete in time, or where nothing is read of an answer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes: int | None = None  # of a head that has begun and is not complete
        self._unread_timer: asyncio.TimerHandle | None = None
        self._answered: RequestResponseCycle | None = None  # whose answer is under way; `cycle` may be one behind it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Give the first request its time."""
        super().connection_made(_Gathered(transport, self.loop))  # type: ignore[arg-type]  # it has all that is used
        self._head_timer = self.loop.call_later(HEAD_LIMIT_S, self._end_slow_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more. uvicorn tells it to the last request alone, which may not have begun."""
        self._forget_head()
        self._forget_unread()
        super().connection_lost(exc)
        answered = self._answered
        if answered is not None and not answered.response_complete:
            answered.disconnected = True
            answered.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        if cycle.scope["http_version"] != "1.1":
            app = _WithoutChunks(app, cycle)
        super()._start_asgi_task(cycle, app)

    # -- the head of a request

    def data_received(self, data: bytes) -> None:
        """Give a head its time as long as it is not complete. Most come whole, and cost no timer."""
        counts = self._head_bytes is not None or self.cycle is None  # else it may begin with the end of a body
        self._unset_keepalive_if_required()
        self._read(data)
        if self._answering():
            self._forget_head()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_LIMIT_S, self._end_slow_head)
        if counts and self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadersTooLarge("The head of the request is too large."))

    def _read(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                if self._should_upgrade():
                    self.handle_websocket_upgrade()
                else:
                    self._ignore_upgrade()
                    data = data[upgrade.args[0] :]
                    continue
            except HttpParserError:
                self.logger.warning("Invalid HTTP request received.")
                self._refuse(InvalidRequest("The request is not HTTP.", code="malformed_http"))
            return

    def _should_upgrade(self) -> bool:
        """Whether a WebSocket is asked for where there is one; elsewhere who asks is answered as without that."""
        path = self.url.partition(b"?")[0]
        return super()._should_upgrade() and self.scope["method"] == "GET" and path.endswith(_SOCKET)

    def _ignore_upgrade(self) -> None:
        """Go on with a request that asks for a protocol which is not spoken here.

        llhttp takes its body for what the new protocol says, and uvicorn for the next request: clients (Java's asks for
        HTTP/2) would lose their body, and who writes a request into it would have that one answered as well.
        """
        framing = [header for header in self.headers if header[0] in _FRAMING]
        if framing:
            self.cycle.more_body = True
            self.cycle.keep_alive = False
            self.parser = _BodyParser(self, framing)  # type: ignore[assignment]  # it has what a body needs

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._head_bytes = None
        super().on_headers_complete()

    def _answering(self) -> bool:
        """Whether a request has come that is not answered, or the connection is a WebSocket's or closed by now."""
        return not (self.cycle is None or self.cycle.response_complete) or self not in self.connections

    def _reading_body(self) -> bool:
        """Whether the only request that is not answered is still on its way, and nothing was said to it."""
        return not self.pipeline and self.cycle.more_body and not self.cycle.response_started

    def _end_slow_head(self) -> None:
        if self._head_bytes is None:  # a browser's connection in reserve must not find an answer to its first request
            self._close()
        else:
            self._refuse(RequestTimedOut(f"The head of the request was not complete within {HEAD_LIMIT_S:g} seconds."))

    def _refuse(self, error: FreeRelayError) -> None:
        """Answer, and close; where another answer is due or under way close alone."""
        if self._answering() and not self._reading_body():
            self._close()
        else:
            body = orjson.dumps(error.as_openai())
            lines = [
                f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
                "content-type: application/json",
                f"x-request-id: {new_request_id()}",
                f"content-length: {len(body)}",
                "connection: close",
            ]
            self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
            self._close()

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def handle_websocket_upgrade(self) -> None:
        """The connection is a WebSocket's from now on."""
        gathered: _Gathered = self.transport  # type: ignore[assignment]  # what `connection_made` has put there
        gathered.flush()
        self.transport = gathered.plain
        super().handle_websocket_upgrade()

    # -- answers that nobody reads

    def pause_writing(self) -> None:
        """More lies ready than the transport wants to hold: the client has its time to read of it."""
        super().pause_writing()
        self._watch_unread()

    def resume_writing(self) -> None:
        """Most of it was read."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._forget_unread()

    def on_response_complete(self) -> None:
        """An answer is handed over; where it was the last one, the transport closes once all of it is read."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_unread()

    def timeout_keep_alive_handler(self) -> None:
        """No other request came."""
        self._close()

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
            self._watch_unread()

    def _watch_unread(self) -> None:
        if self._unread_timer is None:
            ready = self.transport.get_write_buffer_size()
            self._unread_timer = self.loop.call_later(UNREAD_LIMIT_S, self._require_less_than, ready)

    def _require_less_than(self, before: int) -> None:
        self._unread_timer = None
        if 0 < self.transport.get_write_buffer_size() < before:
            self._watch_unread()
        else:
            self.transport.abort()

    def _forget_unread(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
