"""Why one endpoint stands above another: contributions that sum to the gap, and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freerelay_core.preference import FACTORS

__all__ = ["Comparison", "compare", "comparison_sentence"]

Floats = npt.NDArray[np.float64]

SAME_RATIO = 1.03
"""Ratios of cost below this are called the same."""
SAME_SECONDS = 0.05
SAME_QUALITY = 0.005


@dataclass(frozen=True, slots=True)
class Comparison:
    """Endpoint A against B: how much each factor adds to ln U of A over B. The terms sum to `gap`."""

    gap: float
    by_factor: Mapping[str, float]


def compare(log_factors_a: Floats, log_factors_b: Floats, exponents: Floats) -> Comparison:
    """The gap in ln U between two endpoints on one request, by factor; all arrays have the shape (K,)."""
    difference = (log_factors_a - log_factors_b) * exponents
    by_factor = {name: float(value) for name, value in zip(FACTORS, difference, strict=True)}
    return Comparison(gap=sum(by_factor.values()), by_factor=by_factor)


def comparison_sentence(
    *, cost_usd: tuple[float, float], latency_s: tuple[float, float], quality: tuple[float, float]
) -> str:
    """A against B in cost, time and quality, as (A, B) pairs: "2.3 times cheaper, 0.4 s slower, same quality".

    Cost in USD a request, latency the median in s, quality the expected share of good answers.
    """
    return f"{_cost(*cost_usd)}, {_latency(*latency_s)}, {_quality(*quality)}"


def _cost(a: float, b: float) -> str:
    if a == b or (min(a, b) > 0 and max(a, b) / min(a, b) < SAME_RATIO):
        return "same cost"
    if min(a, b) == 0:
        return "free" if a == 0 else "paid instead of free"
    ratio = max(a, b) / min(a, b)
    if ratio < 2:
        return f"{(1 - a / b) * 100:.0f} % cheaper" if a < b else f"{(a / b - 1) * 100:.0f} % dearer"
    return f"{ratio:.1f} times {'cheaper' if a < b else 'dearer'}"


def _latency(a: float, b: float) -> str:
    if abs(a - b) < SAME_SECONDS:
        return "same speed"
    return f"{abs(a - b):.1f} s {'faster' if a < b else 'slower'}"


def _quality(a: float, b: float) -> str:
    if abs(a - b) < SAME_QUALITY:
        return "same quality"
    share = abs(a - b) * 100
    return f"{share:.0f} of 100 answers {'better' if a > b else 'worse'}"
