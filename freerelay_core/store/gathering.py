"""Many questions in few: those that come while others are on their way are asked together.

A cold start asks for every key at once. One by one, over the few connections there are, the last would wait for longer
than anybody may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from freerelay_core.errors import StoreUnavailable

__all__ = ["Gathered"]

_MOST_AT_ONCE = 2
"""Questions on their way; other work needs connections, too."""
_MOST_TOGETHER = 250

T = TypeVar("T")


class Gathered(Generic[T]):
    """Asks `ask(keys)`, which answers by key. For one event loop."""

    def __init__(self, ask: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]) -> None:
        self._ask = ask
        self._waiting: dict[str, asyncio.Future[T | None]] = {}
        self._askers: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> T | None:
        """The answer, if there is one. Raises what `ask` raises."""
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
            if len(self._askers) < _MOST_AT_ONCE:
                task = asyncio.create_task(self._ask_until_none_waits(), name="ask together")
                self._askers.add(task)
                task.add_done_callback(self._askers.discard)
        # Shielded: a caller that leaves must not take the answer from another of the same key.
        return await asyncio.shield(future)

    async def _ask_until_none_waits(self) -> None:
        while self._waiting:
            batch = {key: self._waiting.pop(key) for key in list(self._waiting)[:_MOST_TOGETHER]}
            try:
                answers = await self._ask(list(batch))
            except asyncio.CancelledError:
                for future in batch.values():
                    future.cancel()
                raise
            except Exception as error:  # noqa: BLE001 -- it is raised where it is waited for
                futures = [*batch.values()]
                if isinstance(error, StoreUnavailable):  # those behind would wait for the same
                    futures += self._waiting.values()  # also for a key of the batch that was asked for again
                    self._waiting = {}
                for future in futures:
                    _fail(future, error)
            else:
                for key, future in batch.items():
                    future.set_result(answers.get(key))


def _fail(future: asyncio.Future[T], error: Exception) -> None:
    future.set_exception(error)
    future.exception()  # nobody may wait any longer: that is no fault
