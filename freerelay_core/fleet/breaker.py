"""Circuit breakers: a group that keeps failing is left alone for a while, then tried with one request at a time.

    closed --5 failures in a row, or half of >= 20 calls in 30 s--> open --its time is over--> half-open
       ^                                                              ^                            |  |
       |                                                              `---- twice as long ---------'  |
       `------------------------------------- the probe answers --------------------------------------'

A probe takes the same time again as a lease: one whose outcome never arrives (its client left) blocks nothing for
longer. While a breaker is open, outcomes of requests that were under way before do not count. Flat lists, one item a
group (buckets: `BUCKETS` a group), nothing made per call; times are monotonic seconds.
"""

from __future__ import annotations

import numpy as np

from freerelay_core.behaviour import keyed_uniforms

__all__ = ["Breakers"]

FAILURES_TO_OPEN = 5
"""As Envoy's outlier detection: fewer would open on bad luck, more would cost too many requests a failed attempt."""
SHARE_TO_OPEN = 0.5
CALLS_TO_JUDGE = 20
"""Half of 20 calls: a healthy endpoint, which fails 3 % of the time, gets there by chance once in 10^10 windows."""
BUCKETS = 6
BUCKET_S = 5.0
"""Calls are counted over the last 30 s, in buckets: the oldest is dropped whole, so 25 to 30 s are seen."""
FIRST_OPEN_S = 5.0
LONGEST_OPEN_S = 300.0
WELL_AFTER_S = 60.0
"""Who stayed closed for twice the counted time is well again: its next trip starts from `FIRST_OPEN_S`."""
DESPITE_EVERY_S = 1.0
"""How often an open breaker lets a request pass that nothing else can serve: as often as such clients are told to come
again. A dead group is not flooded however many ask."""
JITTER = 0.2
"""Waits differ by up to this share, so that workers and groups that tripped together do not probe together."""
_JITTERS = 64
"""Draws kept for each group; they repeat after that many trips."""


class Breakers:
    """The breakers of a number of groups. `seed` keys the jitter by (seed, group, number of the trip)."""

    def __init__(self, groups: int, *, seed: int = 0) -> None:
        self._failures = [0] * groups
        self._calls = [0] * (groups * BUCKETS)
        self._failed = [0] * (groups * BUCKETS)
        self._bucket = [0] * groups  # number of the newest
        self._open_s = [FIRST_OPEN_S] * groups
        self._wait_s = [0.0] * groups  # `_open_s` with jitter
        self._retry_at = [0.0] * groups
        self._closed_at = [-WELL_AFTER_S] * groups
        self._trips = [0] * groups
        self._tripped = [False] * groups
        self._probing = [False] * groups
        self._despite = [False] * groups  # whether one passed in spite of the breaker
        self._despite_at = [0.0] * groups  # when the next one may
        self._jitter = _jitters(groups, seed)

    def blocks(self, group: int, now: float) -> bool:
        """Whether the group is left alone at `now`: open, or half-open with its probe out."""
        return self._tripped[group] and now < self._retry_at[group]

    def admit(self, group: int, now: float, *, despite: bool = False) -> bool:
        """Ask to send one request. In the half-open state the first to ask becomes the probe.

        `despite`: nothing else can serve it. One each `DESPITE_EVERY_S` then passes although the breaker is open.
        """
        if not self._tripped[group]:
            return True
        if now < self._retry_at[group]:
            if not despite or now < self._despite_at[group]:
                return False
            self._despite[group], self._despite_at[group] = True, now + DESPITE_EVERY_S
            return True
        self._probing[group] = True
        self._retry_at[group] = now + self._wait_s[group]
        return True

    def withdraw(self, group: int, now: float) -> None:
        """Say that the request that `admit` just let pass is not sent after all: the next may be the probe."""
        if self._probing[group]:
            self._probing[group], self._retry_at[group] = False, now

    def probing(self, group: int) -> bool:
        """Whether a probe of this group is out."""
        return self._probing[group]

    def tripped(self, group: int) -> bool:
        """Whether the group is open or half-open."""
        return self._tripped[group]

    def retry_s(self, group: int, now: float) -> float:
        """Seconds until a probe may be sent; 0 where none is waited for."""
        return max(0.0, self._retry_at[group] - now) if self._tripped[group] else 0.0

    def failures(self, group: int) -> int:
        """Failures since the last success."""
        return self._failures[group]

    def record(self, group: int, now: float, *, ok: bool, forced: bool = False) -> bool:
        """Count one outcome; true when the breaker flipped.

        `forced`: the request was sent although the breaker is open, as everything else was. Its success closes the
        breaker; its failure prolongs nothing, for everybody fails then.
        """
        self._failures[group] = 0 if ok else self._failures[group] + 1
        if self._tripped[group]:
            if ok and (forced or self._probing[group] or self._despite[group]):
                self._close(group, now)
                return True
            if not ok and self._probing[group]:
                self._trip(group, now, min(2 * self._open_s[group], LONGEST_OPEN_S))
                return True
            self._despite[group] &= ok
            return False
        self._count(group, now, ok=ok)
        if not ok and (self._failures[group] >= FAILURES_TO_OPEN or self._fails_too_often(group)):
            well = now - self._closed_at[group] >= WELL_AFTER_S
            self._trip(group, now, FIRST_OPEN_S if well else min(2 * self._open_s[group], LONGEST_OPEN_S))
            return True
        return False

    def _count(self, group: int, now: float, *, ok: bool) -> None:
        bucket = int(now / BUCKET_S)
        first = group * BUCKETS
        for passed in range(max(self._bucket[group] + 1, bucket - BUCKETS + 1), bucket + 1):
            self._calls[first + passed % BUCKETS] = self._failed[first + passed % BUCKETS] = 0
        self._bucket[group] = bucket
        self._calls[first + bucket % BUCKETS] += 1
        if not ok:
            self._failed[first + bucket % BUCKETS] += 1

    def _fails_too_often(self, group: int) -> bool:
        calls = failed = 0
        for index in range(group * BUCKETS, (group + 1) * BUCKETS):
            calls += self._calls[index]
            failed += self._failed[index]
        return calls >= CALLS_TO_JUDGE and failed >= SHARE_TO_OPEN * calls

    def _trip(self, group: int, now: float, open_s: float) -> None:
        self._tripped[group], self._probing[group] = True, False
        self._despite[group] = False
        self._open_s[group] = open_s
        self._wait_s[group] = open_s * self._jitter[group * _JITTERS + self._trips[group] % _JITTERS]
        self._retry_at[group] = now + self._wait_s[group]
        self._trips[group] += 1

    def _close(self, group: int, now: float) -> None:
        self._tripped[group] = self._probing[group] = False
        self._closed_at[group] = now
        for index in range(group * BUCKETS, (group + 1) * BUCKETS):
            self._calls[index] = self._failed[index] = 0


def _jitters(groups: int, seed: int) -> list[float]:
    """Factors on the waits of each group, trip by trip; drawn ahead, so that recording only looks them up."""
    group, trip = np.divmod(np.arange(groups * _JITTERS, dtype=np.uint64), np.uint64(_JITTERS))
    draws: list[float] = (1.0 + JITTER * (2.0 * keyed_uniforms(seed, trip, group, 0)[0] - 1.0)).tolist()
    return draws
