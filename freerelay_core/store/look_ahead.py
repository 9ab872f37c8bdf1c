"""Has the decision log's partitions of the coming days made, about once an hour, by whoever writes to it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from freerelay_core.clock import Clock

__all__ = ["LookAhead"]

_EVERY_S = 3600.0
_AGAIN_S = 60.0

_log = logging.getLogger(__name__)


class LookAhead:
    """`make` makes the partitions. Without them rows go to the default partition: its failures are told, no more."""

    def __init__(self, make: Callable[[], Awaitable[object]], clock: Clock) -> None:
        self._make = make
        self._clock = clock
        self._due_at = clock.monotonic()

    async def run(self) -> None:
        """Have them made if that is due."""
        if self._clock.monotonic() < self._due_at:
            return
        self._due_at = self._clock.monotonic() + _AGAIN_S
        try:
            await self._make()
        except Exception as error:  # noqa: BLE001 -- whatever it was, the log can be written without
            reason = error.__cause__ or error
            _log.warning("no partitions made ahead for the decision log, next attempt in a minute: %s", reason)
        else:
            self._due_at = self._clock.monotonic() + _EVERY_S
