"""Ends the work on a request when its client has gone, when the server stops, or when it takes too long."""

from __future__ import annotations

import asyncio

from starlette.types import Receive

from freerelay_core.api.drain import Drain

__all__ = ["DEADLINE", "LEFT", "Watch"]

LEFT = "client_left"
DEADLINE = "deadline"

_BEGIN_AFTER_S = 0.02
"""Most answers that need no watching are over by then, and are spared a task."""
_LONGEST_S = 605.0
"""A little longer than the router tries: what is left by then is a client that does not read."""


class Watch:
    """Cancels the present task, and says why in `cause`. `end` it before the last byte."""

    __slots__ = ("_deadline", "_drain", "_receive", "_task", "_timer", "_watcher", "cause")

    def __init__(self, receive: Receive, drain: Drain) -> None:
        """Raises `Unavailable` while draining."""
        drain.add(self)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a watch belongs to a task")
        loop = task.get_loop()
        self._receive = receive
        self._drain = drain
        self._task = task
        self._watcher: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle = loop.call_later(_BEGIN_AFTER_S, self._begin)
        self._deadline: asyncio.TimerHandle | None = None
        self.cause: str | None = None

    def cancel(self, cause: str) -> None:
        """Cancel the work for this reason, unless there was one before."""
        if self.cause is None:
            self.cause = cause
            self._task.cancel()

    def end(self) -> None:
        """Stop watching. May be called again."""
        self._timer.cancel()
        if self._deadline is not None:
            self._deadline.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        self._drain.discard(self)

    def _begin(self) -> None:
        loop = self._task.get_loop()
        self._deadline = loop.call_later(_LONGEST_S - _BEGIN_AFTER_S, self.cancel, DEADLINE)
        self._watcher = loop.create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.cancel(LEFT)
