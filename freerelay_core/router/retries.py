"""How many further attempts may be made: another provider helps while few fail, and harms when all do."""

from __future__ import annotations

from freerelay_core.clock import Clock

__all__ = ["RetryBudget"]

RETRIES_A_REQUEST = 0.2
"""Further attempts that a request earns: 20 %, as Envoy's and Finagle's retry budgets have it."""
RETRIES_A_SECOND = 3.0
"""Earned by time as well, so that few requests are not left without a second chance (Finagle: 10, Envoy: 3 at once)."""
MOST_SAVED = 100.0
"""Further attempts that a good time may save up: as many as Finagle's reserve; with it a budget begins."""


class RetryBudget:
    """A token bucket of further attempts, one for the whole process: two numbers."""

    __slots__ = ("_clock", "_left", "_now")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = MOST_SAVED
        self._now = clock.monotonic()

    def earn(self) -> None:
        """Count one request."""
        self._left = min(self._left + RETRIES_A_REQUEST, MOST_SAVED)

    def spend(self) -> bool:
        """Count one further attempt; False where the budget does not allow it."""
        now = self._clock.monotonic()
        self._left = min(self._left + (now - self._now) * RETRIES_A_SECOND, MOST_SAVED)
        self._now = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
