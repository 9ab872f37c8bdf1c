"""Limits that a rule sets on endpoints: what lies outside is excluded, after everything else has been.

A soft limit never excludes the last endpoint that is left: for a request for which it would, it does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from freerelay_core.scoring.exclusions import Excluded
from freerelay_core.scoring.factors import Evaluation
from freerelay_core.snapshot import Snapshot

__all__ = ["Limit", "apply_limits"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """What an endpoint must be like, or else `reason` excludes it."""

    reason: Excluded
    keep: Bools | None = None
    """The endpoints inside, shape (E,); None where `most` decides."""
    most: float = 0.0
    """Of the expected cost (USD) or slow (95 %) duration (s), as the reason says."""
    soft: bool = False

    def outside(self, evaluation: Evaluation, snapshot: Snapshot, input_tokens: float | Floats) -> Bools:
        """The endpoints outside, of the evaluation's shape or (E,). An unknown price is within no limit."""
        if self.keep is not None:
            return ~self.keep
        if self.reason is Excluded.OVER_MAX_COST:
            return (evaluation.cost_usd > self.most) | ~snapshot.prices.priced
        _, p95 = snapshot.behaviour.duration_quantiles(input_tokens, evaluation.decoded_tokens)
        slow: Bools = p95 > self.most
        return slow


def apply_limits(
    evaluation: Evaluation,
    limits: Sequence[Limit],
    snapshot: Snapshot,
    input_tokens: float | Floats,
) -> Evaluation:
    """The evaluation with what lies outside the limits excluded, one limit after the other.

    `input_tokens` is a number for one request, and has the shape (R, 1) for a batch.
    """
    excluded = evaluation.excluded
    for limit in limits:
        outside = limit.outside(evaluation, snapshot, input_tokens)
        if limit.soft:
            left = (excluded == Excluded.NO) & ~outside
            outside = outside & left.any(axis=-1, keepdims=True)
        excluded = np.maximum(excluded, np.where(outside, np.int8(limit.reason), np.int8(Excluded.NO)))
    return replace(evaluation, excluded=excluded)
