"""One HTTP/1.1 connection to a provider, and the exchange that it carries: a request and its answer, one at a time.

    idle --ask--> exchange: head -> body ... complete --(kept)--> idle
                     `-- broken off, malformed, too slow, let go of: the connection ends

The framing is read by llhttp (`httptools`), which refuses what could be read in two ways. What a general client has
beside this (redirects, cookies, proxies, compression) a router must not have, and its cost is paid by every request.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from freerelay_core.providers.base import UpstreamError

__all__ = ["KEPT_S", "MAX_ANSWER_BYTES", "Connection", "Exchange"]

KEPT_S = 15.0
"""How long a connection that nobody uses is kept. Servers keep theirs longer, by and large; one that does not ends it,
and a request that is just going out then fails."""
END_LIMIT_S = 1.0
"""How long the end of an answer is waited for of which all that matters has been read."""
MAX_HEAD_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MOST_WAITING_BYTES = 64 * 1024
"""Of a stream whose reader is slower than the provider; then the provider has to wait."""

_Over: TypeAlias = "Callable[[Connection], None]"


class Exchange:
    """A request on its way and its answer as far as it has come. Every wait may raise `UpstreamError`."""

    __slots__ = (
        "_connection", "_forgotten", "_parts", "_reads_all", "_size", "_waiter", "complete", "failure", "headers",
        "status",
    )  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._parts: list[bytes] = []
        self._size = 0
        self._reads_all = False
        self._forgotten = False
        self._waiter: asyncio.Future[None] | None = None
        self.status = 0
        """0 until the head is there."""
        self.headers: dict[str, str] = {}
        self.complete = False
        self.failure: UpstreamError | None = None

    async def head(self) -> None:
        """Wait until status and headers are there."""
        while not self.status:
            await self._more()

    async def body(self) -> bytes:
        """The whole body."""
        self._reads_all = True
        if not self.complete:
            self._connection.resume()
        while not self.complete:
            if self._size > MAX_ANSWER_BYTES:
                raise UpstreamError("malformed", f"the answer is longer than {MAX_ANSWER_BYTES >> 20} MiB")
            await self._more()
        return self._taken()

    async def chunks(self, idle_s: float) -> AsyncIterator[bytes]:
        """The body as it arrives; after the first of it nothing may be silent for longer than `idle_s`."""
        first = True
        while True:
            if self._parts:
                if first and not self.complete:
                    self._connection.limit_silence(idle_s)
                    first = False
                yield self._taken()
            elif self.complete:
                return
            else:
                await self._more()

    def close(self, *, finished: bool = False) -> None:
        """Let go of it; an unfinished one ends its connection, and so the work at the provider.

        Where all that matters has been read (`finished`), the mere end of the answer may still come, for a moment: a
        connection that is kept spares the next request the time to open one.
        """
        if self.complete or self.failure is not None:
            return
        if finished:
            self._forgotten = True
            self._connection.resume()
            self._connection.limit_silence(END_LIMIT_S)
        else:
            self._connection.break_off()

    # -- told by the connection

    def take(self, data: bytes) -> None:
        """More of the body has come."""
        if self._forgotten:
            self._connection.break_off()
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > _MOST_WAITING_BYTES and (not self._reads_all or self._size > MAX_ANSWER_BYTES):
            self._connection.pause()
        self.wake()

    def fail(self, failure: UpstreamError) -> None:
        """There will be nothing more."""
        if self.failure is None:
            self.failure = failure
            self.wake()

    def wake(self) -> None:
        """Something has changed."""
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _taken(self) -> bytes:
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts, self._size = [], 0
        if not self.complete:
            self._connection.resume()
        return data

    async def _more(self) -> None:
        if self.failure is not None:
            raise self.failure
        self._waiter = self._connection.loop.create_future()
        await self._waiter


class Connection(asyncio.Protocol):
    """The protocol of one connection. `freed` is told when it may be used again, `ended` when it is over.

    One timer watches over whatever limit is next. It is not set anew for each request: when it rings early it looks
    again, which spares most requests the timer.
    """

    __slots__ = (
        "_broken", "_deadline", "_ended", "_exchange", "_framed", "_freed", "_head_bytes", "_heard",
        "_parser", "_paused", "_silence_s", "_timer", "_timer_at", "_transport", "loop",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, freed: _Over, ended: _Over) -> None:
        self.loop = loop
        self._freed = freed
        self._ended = ended
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._exchange: Exchange | None = None
        self._broken = False  # nothing more may be asked on it
        self._framed = False  # the head says where the body ends
        self._head_bytes = 0
        self._paused = False
        self._heard = 0.0
        self._silence_s = KEPT_S
        self._deadline = math.inf
        self._timer_at: float
        self._timer: asyncio.TimerHandle

    @property
    def usable(self) -> bool:
        """Whether a request may be sent on it."""
        return not self._broken and not self._transport.is_closing() and self.loop.time() < self._heard + KEPT_S

    def ask(self, head: bytes, body: bytes, *, silence_s: float, total_s: float) -> Exchange:
        """Send a request; its answer may be silent for `silence_s` and take `total_s` in all."""
        exchange = self._exchange = Exchange(self)
        self._framed = False
        self._head_bytes = 0
        self._deadline = self.loop.time() + total_s
        self.limit_silence(silence_s)
        self._transport.writelines((head, body))
        return exchange

    def limit_silence(self, limit_s: float) -> None:
        """From now on nothing may be silent for longer than so many seconds."""
        self._heard = self.loop.time()
        self._silence_s = limit_s
        self._ring_in_time()

    def pause(self) -> None:
        """Take nothing from the provider for now."""
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on after `pause`."""
        if self._paused:
            self._paused = False
            self._heard = self.loop.time()
            if not self._transport.is_closing():
                self._ring_in_time()
                self._transport.resume_reading()

    def break_off(self) -> None:
        """End the connection at once, whatever it is doing."""
        self._broken = True
        if self._exchange is not None and not self._exchange.complete:
            self._exchange.fail(UpstreamError("disconnected", "the connection was broken off"))
        self._transport.abort()

    # -- told by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._heard = self.loop.time()
        self._ring_at(self._heard + KEPT_S)  # not sooner: of a connection that never stands nobody is told the end

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.break_off()  # nobody has asked
            return
        self._heard = self.loop.time()
        if not exchange.status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._fail_malformed(exchange)
            return
        if exchange.complete:
            self._finish()
        elif not exchange.status and self._head_bytes > MAX_HEAD_BYTES:
            self._fail_malformed(exchange)

    def connection_lost(self, error: Exception | None) -> None:
        self._broken = True
        self._timer.cancel()
        exchange, self._exchange = self._exchange, None
        if exchange is not None and not exchange.complete:
            if error is None and exchange.failure is None and exchange.status and not self._framed:
                exchange.complete = True  # HTTP/1.0: the body ends with the connection
                exchange.wake()
            else:
                exchange.fail(UpstreamError("disconnected", "the connection broke"))
        self._ended(self)

    # -- told by the parser

    def on_message_begin(self) -> None:
        if self._exchange is None or self._exchange.complete:
            self._broken = True  # more than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.status:
            return  # a trailer
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        known = exchange.headers.get(key)
        exchange.headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        exchange, status = self._exchange, self._parser.get_status_code()
        if exchange is None or exchange.complete:
            return
        if status < 200:
            exchange.headers = {}  # of an interim answer; the real one follows
            return
        exchange.status = status
        self._framed = "content-length" in exchange.headers or "transfer-encoding" in exchange.headers
        self._broken |= not self._parser.should_keep_alive()  # once the body has come it says so no more
        exchange.wake()

    def on_body(self, data: bytes) -> None:
        if self._exchange is not None and not self._exchange.complete:
            self._exchange.take(data)

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.status:
            exchange.complete = True
            exchange.wake()

    # -- its end

    def _finish(self) -> None:
        """The exchange is complete: keep the connection, or end it."""
        self._exchange = None
        self._deadline = math.inf
        self.resume()
        if self._broken or self._transport.get_write_buffer_size():  # who answers so early may read no more of it
            self.break_off()
        else:
            self.limit_silence(KEPT_S)
            self._freed(self)

    def _fail_malformed(self, exchange: Exchange) -> None:
        if exchange.complete:
            pass  # what follows an answer is nobody's
        elif exchange.status:
            exchange.fail(UpstreamError("disconnected", "the connection broke: what came is not HTTP"))
        else:
            exchange.fail(UpstreamError("malformed", "the answer is not HTTP"))
        self.break_off()

    def _ring_in_time(self) -> None:
        """Have the timer ring no later than the next limit."""
        due = min(self._heard + self._silence_s, self._deadline)
        if due < self._timer_at:
            self._timer.cancel()
            self._ring_at(due)

    def _ring_at(self, when: float) -> None:
        self._timer_at = when
        self._timer = self.loop.call_at(when, self._look)

    def _look(self) -> None:
        """The timer has rung: a limit is over, or was put off meanwhile."""
        silent = math.inf if self._paused else self._heard + self._silence_s
        due = min(silent, self._deadline)
        if self.loop.time() < due:
            self._ring_at(due)
            return
        if self._exchange is not None:
            self._exchange.fail(UpstreamError("timeout", "no answer in time"))
        self.break_off()
