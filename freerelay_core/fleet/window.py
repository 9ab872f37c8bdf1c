"""Windows of the last quarter of an hour: measured times as counters of log-spaced buckets.

A value counts in the bucket of its logarithm, so every quantile is right to 1 % whatever the distribution, and two
windows are merged by adding counters (Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees", VLDB 2019). A window is a ring of parts; the oldest part is dropped whole.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["Windows", "quantile"]

Counts = npt.NDArray[np.uint32]

GROWTH = 1.02
"""A bucket is 2 % wide, so its middle is within 1 % of every value in it."""
LEAST = 1e-4
"""The smallest value told apart: 0.1 ms. The largest is 10,000 s; as tokens/s the same range serves speeds."""
BUCKETS = 933
PARTS = 5
PART_S = 180.0
"""Five parts of 3 minutes: between 12 and 15 minutes are seen."""

_PER_LOG = 1.0 / math.log(GROWTH)
# floor, not int(): int() rounds values below 1 towards zero, a bucket too high.
_FIRST = math.floor(math.log(LEAST) * _PER_LOG)


class Windows:
    """One window for each of a number of endpoints; times are monotonic seconds."""

    def __init__(self, endpoints: int) -> None:
        self._counts = np.zeros((endpoints, PARTS, BUCKETS), dtype=np.uint32)
        self._flat = memoryview(self._counts.reshape(-1).data)  # a quarter of the time of numpy's own indexing
        self._part = [0] * endpoints  # number of the newest

    def record(self, endpoint: int, now: float, value: float) -> None:
        """Count one value; beyond the range it counts at its end."""
        part = int(now / PART_S)
        if part != self._part[endpoint]:
            self._turn(endpoint, part)
        bucket = math.floor(math.log(value) * _PER_LOG) - _FIRST if value > LEAST else 0
        bucket = min(bucket, BUCKETS - 1)
        self._flat[(endpoint * PARTS + part % PARTS) * BUCKETS + bucket] += 1

    def counts(self, endpoint: int, now: float) -> Counts:
        """The counters of the window, shape (BUCKETS,); those of several workers or endpoints may be added."""
        part = int(now / PART_S)
        if part != self._part[endpoint]:
            self._turn(endpoint, part)
        counts: Counts = self._counts[endpoint].sum(axis=0, dtype=np.uint32)
        return counts

    def _turn(self, endpoint: int, part: int) -> None:
        for passed in range(max(self._part[endpoint] + 1, part - PARTS + 1), part + 1):
            self._counts[endpoint, passed % PARTS] = 0
        self._part[endpoint] = part


def quantile(counts: Counts, share: float) -> float | None:
    """The value below which this share of what was counted lies, to 1 %; None where nothing was counted."""
    total = int(counts.sum())
    if not total:
        return None
    rank = min(int(share * total), total - 1)
    bucket = int(np.searchsorted(np.cumsum(counts), rank, side="right"))
    low: float = GROWTH ** (bucket + _FIRST)
    return low * (2.0 * GROWTH / (1.0 + GROWTH))
