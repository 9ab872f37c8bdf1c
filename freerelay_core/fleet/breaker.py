"""Circuit breakers: a group that keeps failing is left alone for a while, then tried with one request at a time.

    closed --5 failures in a row--> open --its time is over--> half-open --probe answers--> closed
                                      ^                            |
                                      `---- twice as long ---------'  probe fails

A probe takes the same time again as a lease: one whose outcome never arrives (its client left) blocks nothing for
longer. Plain methods over flat lists, one item a group; times are monotonic seconds.
"""

from __future__ import annotations

__all__ = ["Breakers"]

FAILURES_TO_OPEN = 5
"""As Envoy's outlier detection: fewer would open on bad luck, more would cost too many requests a failed attempt."""
FIRST_OPEN_S = 5.0
LONGEST_OPEN_S = 300.0


class Breakers:
    """The breakers of a number of groups."""

    def __init__(self, groups: int) -> None:
        self._failures = [0] * groups
        self._open_s = [FIRST_OPEN_S] * groups
        self._retry_at = [0.0] * groups
        self._tripped = [False] * groups
        self._probing = [False] * groups

    def blocks(self, group: int, now: float) -> bool:
        """Whether the group is left alone at `now`: open, or half-open with its probe out."""
        return self._tripped[group] and now < self._retry_at[group]

    def admit(self, group: int, now: float) -> bool:
        """Ask to send one request. In the half-open state the first to ask becomes the probe."""
        if not self._tripped[group]:
            return True
        if now < self._retry_at[group]:
            return False
        self._probing[group] = True
        self._retry_at[group] = now + self._open_s[group]
        return True

    def probing(self, group: int) -> bool:
        """Whether a probe of this group is out."""
        return self._probing[group]

    def record(self, group: int, now: float, *, ok: bool) -> bool:
        """Count one outcome; true when the breaker flipped."""
        if ok:
            flipped = self._tripped[group]
            self._failures[group] = 0
            self._tripped[group] = self._probing[group] = False
            return flipped
        self._failures[group] += 1
        if self._probing[group]:
            self._trip(group, now, min(2 * self._open_s[group], LONGEST_OPEN_S))
            return True
        if not self._tripped[group] and self._failures[group] >= FAILURES_TO_OPEN:
            self._trip(group, now, FIRST_OPEN_S)
            return True
        return False

    def _trip(self, group: int, now: float, open_s: float) -> None:
        self._tripped[group], self._probing[group] = True, False
        self._open_s[group] = open_s
        self._retry_at[group] = now + open_s
