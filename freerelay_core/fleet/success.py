"""How often an endpoint answers: a Beta posterior of its recent outcomes on its catalogue prior.

Plain functions over flat lists, using only indexing and arithmetic, so that a live router and a simulator share them.
"""

from __future__ import annotations

__all__ = ["DECAY", "PRIOR_WEIGHT", "expected", "record"]

PRIOR_WEIGHT = 20.0
"""The prior counts as this many outcomes: a handful of failures bends an expectation, a hundred replace it."""

DECAY = 0.5 ** (1 / 200)
"""What one more outcome leaves of the older ones: half after 200."""


def record(answered: list[float], failed: list[float], endpoint: int, *, ok: bool) -> None:
    """Count one outcome of this endpoint, in place."""
    answered[endpoint] = answered[endpoint] * DECAY + (1.0 if ok else 0.0)
    failed[endpoint] = failed[endpoint] * DECAY + (0.0 if ok else 1.0)


def expected(prior: float, answered: float, failed: float) -> float:
    """Expected share of answered requests, given the prior share and the (decayed) counts."""
    return (PRIOR_WEIGHT * prior + answered) / (PRIOR_WEIGHT + answered + failed)
