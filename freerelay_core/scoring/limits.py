"""Limits that a rule sets on endpoints: what lies outside is excluded, after everything else has been.

A soft limit never excludes the last endpoint that is left: for a request for which it would, it does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freerelay_core.scoring.exclusions import Excluded, codes_where
from freerelay_core.snapshot import Snapshot

__all__ = ["Expected", "Limit", "apply_limits"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]


class Expected(NamedTuple):
    """What limits read of one request at every endpoint, shape (E,), or of R requests, shape (R, E)."""

    cost_usd: Floats
    input_tokens: float | Floats
    """A number for one request, of shape (R, 1) for a batch."""
    decoded_tokens: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """What an endpoint must be like, or else `reason` excludes it."""

    reason: Excluded
    keep: Bools | None = None
    """The endpoints inside, shape (E,); None where `most` decides."""
    most: float = 0.0
    """Of the expected cost (USD) or slow (95 %) duration (s), as the reason says."""
    soft: bool = False

    def outside(self, expected: Expected, snapshot: Snapshot) -> Bools:
        """The endpoints outside, of the shape of `expected` or (E,). An unknown price is within no limit."""
        if self.keep is not None:
            return ~self.keep
        if self.reason is Excluded.OVER_MAX_COST:
            return (expected.cost_usd > self.most) | ~snapshot.prices.priced
        _, p95 = snapshot.behaviour.duration_quantiles(expected.input_tokens, expected.decoded_tokens)
        slow: Bools = p95 > self.most
        return slow


def apply_limits(excluded: Codes, expected: Expected, limits: Sequence[Limit], snapshot: Snapshot) -> Codes:
    """The codes of `Excluded`, and those of what lies outside the limits, one limit after the other."""
    for limit in limits:
        outside = limit.outside(expected, snapshot)
        if limit.soft:
            left = (excluded == Excluded.NO) & ~outside
            outside = outside & left.any(axis=-1, keepdims=True)
        excluded = np.maximum(excluded, codes_where(outside, limit.reason))
    return excluded
