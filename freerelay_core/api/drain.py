"""Stopping without cutting anybody off: on the first signal nothing new begins and what is open may end.

    serving --signal--> draining --all ended and nobody comes, or time is up (error events)--> the server's own handler
                           `--second signal--> at once                                         stops it

An orchestrator that sends SIGTERM has time; who presses Ctrl-C sits in front of it and waits at most `_IMPATIENT_S`.
A balancer sends requests until it has looked at `/readyz` again. As long as they come they are refused: one that comes
in the very moment in which the server closes its port would get no answer, and nobody could tell what became of it.

Servers stop accepting first and tell the application last, so this hangs on the signal itself: the server's handler is
put aside, and called when the drain is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import threading
from types import FrameType
from typing import Any, Protocol

from freerelay_core.errors import Unavailable

__all__ = ["SHUTDOWN", "Drain", "shutting_down"]

SHUTDOWN = "server_shutting_down"

_IMPATIENT_S = 5.0
_GOODBYE_S = 1.0
"""How long the error events may take to leave."""
_QUIET_S = 0.5
"""Who sends requests has not come for so long: it knows."""
_STILL_COMING_S = 5.0
"""How long those are waited for that come all the same."""


class _Call(Protocol):
    def cancel(self, cause: str) -> None: ...


class Drain:
    """The calls under way, and how they come to an end."""

    def __init__(self, limit_s: float) -> None:
        """`limit_s` is how long open calls may go on after SIGTERM."""
        self.draining = False
        self._limit_s = limit_s
        self._calls: set[_Call] = set()
        self._came_at = -math.inf
        self._empty = asyncio.Event()
        self._hurry = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._previous: dict[int, Any] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, call: _Call) -> None:
        """A call has begun. Raises `Unavailable` while draining."""
        self.require_open()
        self._calls.add(call)

    def come(self) -> None:
        """A request that would become a call has come. Raises `Unavailable` while draining."""
        self._came_at = self._loop.time()
        self.require_open()

    def require_open(self) -> None:
        """Raise `Unavailable` while draining."""
        if self.draining:
            raise shutting_down()

    def discard(self, call: _Call) -> None:
        """A call has ended."""
        self._calls.discard(call)
        if self.draining and not self._calls:
            self._empty.set()

    def install(self) -> None:
        """Take the place of the server's signal handlers. Without effect outside the main thread, where none are."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._received)

    def uninstall(self) -> None:
        """Give the server its handlers back."""
        for number, handler in self._previous.items():
            if signal.getsignal(number) == self._received:
                signal.signal(number, handler)

    def _received(self, number: int, _frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._begin, number)

    def _begin(self, number: int) -> None:
        if self.draining:
            self._hurry.set()
            return
        self.draining = True
        if not self._calls:
            self._empty.set()
        self._task = self._loop.create_task(self._drain(number))

    async def _drain(self, number: int) -> None:
        limit_s = min(self._limit_s, _IMPATIENT_S) if number == signal.SIGINT else self._limit_s
        ends_at = self._loop.time() + limit_s
        await self._ended_within(limit_s)
        if number != signal.SIGINT:
            await self._quiet(min(ends_at, self._loop.time() + _STILL_COMING_S))
        for call in list(self._calls):
            call.cancel(SHUTDOWN)
        await self._ended_within(_GOODBYE_S)
        self._hand_over(number)

    async def _ended_within(self, seconds: float) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._empty, self._hurry)]
        if not self._calls:
            self._empty.set()
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _quiet(self, ends_at: float) -> None:
        """Wait until no request has come for a while, at most until then."""
        while not self._hurry.is_set():
            left_s = min(self._came_at + _QUIET_S, ends_at) - self._loop.time()
            if left_s <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), left_s)

    def _hand_over(self, number: int) -> None:
        handler = self._previous[number]
        self.uninstall()
        if callable(handler):
            handler(number, None)
        else:
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
            os.kill(os.getpid(), number)


def shutting_down() -> Unavailable:
    """What a client is told while the server stops."""
    return Unavailable("The server is shutting down. Send the request again.", code=SHUTDOWN, retry_after_s=1.0)
