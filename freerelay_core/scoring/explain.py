"""Why one endpoint stands above another: contributions that sum to the gap, and the words that people read.

The words are made here alone; the header of an answer, the pages, reports and the command line show them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from freerelay_core.preference import FACTORS
from freerelay_core.scoring.reference import ABOUT_EQUAL

__all__ = ["Comparison", "compare", "comparison_words"]

SAME_RATIO = 1.03
"""Ratios of cost below this are called the same."""
SAME_SECONDS = 0.05
SAME_QUALITY = 0.005

WHOLE_MATTERS = 0.05
"""The token limit is named where it cuts off so much larger a share of one endpoint's answers."""

MATERIAL = 0.05
"""A factor is spoken of from this share of the largest contribution on; cost, time and quality always are."""
NEGLIGIBLE = 0.001
"""Contributions below this are spoken of only where nothing else decides."""

_SLIGHTLY = {"cost": "slightly cheaper", "latency": "slightly faster", "quality": "slightly better answers"}
"""Where a difference that its figure does not show decides."""

_OTHERS = {
    "policy": ("preferred by {rules}", "not preferred by {rules}"),
    "safety": ("cleared for confidential content", "not cleared for confidential content"),
    "schema": ("keeps the required JSON better", "keeps the required JSON worse"),
    "success": ("answers more reliably", "answers less reliably"),
    "headroom": ("has more quota left", "has less quota left"),
}
"""What the other factors say for an endpoint, and against it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Endpoint A against B: how much each factor adds to ln U of A over B. The terms sum to `gap`."""

    gap: float
    by_factor: Mapping[str, float]


def compare(
    log_factors_a: Sequence[float], log_factors_b: Sequence[float], exponents: Mapping[str, float]
) -> Comparison:
    """The gap in ln U between two endpoints on one request, by factor; ln f in the order of `FACTORS`.

    Plain numbers: a live answer states its reason, and eight of them are done before numpy has begun.
    """
    by_factor = {
        name: (a - b) * exponents[name] for name, a, b in zip(FACTORS, log_factors_a, log_factors_b, strict=True)
    }
    return Comparison(gap=sum(by_factor.values()), by_factor=by_factor)


def comparison_words(
    comparison: Comparison,
    *,
    cost_usd: tuple[float | None, float | None],
    latency_s: tuple[float, float],
    quality: tuple[float, float],
    whole: tuple[float, float] = (1.0, 1.0),
    rules: tuple[str, ...] = (),
) -> str:
    """What follows "A over B": ": 2.3 times cheaper, same quality, 0.4 s slower".

    Cost, time and quality as (A, B) pairs, in USD a request (None without a price), the median in s, the expected share
    of good answers; every other factor that matters for the gap is named, too. What speaks most for A comes first.
    `whole` is the share of answers that the request's limit does not cut off; `rules` are those that matched.
    """
    by_factor = comparison.by_factor
    clauses = {"cost": _cost(*cost_usd), "latency": _latency(*latency_s), "quality": _quality(*quality, *whole)}
    decisive = max(by_factor, key=by_factor.__getitem__)
    least = max(NEGLIGIBLE, MATERIAL * max(map(abs, by_factor.values())))
    if abs(by_factor["latency"]) >= least:
        clauses["latency"] += _at_its_slowest(by_factor["latency"], *latency_s)
    for name, (better, worse) in _OTHERS.items():
        adds = by_factor[name]
        if adds and (abs(adds) >= least or (name == decisive and adds > 0)):
            clauses[name] = (better if adds > 0 else worse).format(rules=f"rule {', '.join(rules)}")
    if by_factor[decisive] > 0 and clauses[decisive].startswith("same"):
        clauses[decisive] = _SLIGHTLY[decisive]
    said = ", ".join([clauses[name] for name in sorted(clauses, key=by_factor.__getitem__, reverse=True)])
    if not any(by_factor.values()) and cost_usd[0] == cost_usd[1]:
        said += "; their names decide"
    return f", about equal overall: {said}" if math.exp(-abs(comparison.gap)) >= 1.0 - ABOUT_EQUAL else f": {said}"


def _at_its_slowest(contribution: float, a: float, b: float) -> str:
    """Words for a latency factor that contradicts the medians: it reads the 95 % quantile of the first token."""
    if abs(a - b) < SAME_SECONDS or contribution * (b - a) > 0:
        return ""
    return f" as a rule but {'faster' if contribution > 0 else 'slower'} at its slowest"


def _cost(a: float | None, b: float | None) -> str:
    if a is None or b is None:
        return "cost unknown" if b is not None else f"cost of {'both' if a is None else 'the other'} unknown"
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


def _quality(a: float, b: float, whole_a: float, whole_b: float) -> str:
    if abs(a - b) < SAME_QUALITY:
        return "same quality"
    share = abs(a - b) * 100
    cut = whole_b - whole_a if a < b else whole_a - whole_b  # in the direction of the difference
    why = f", {'fewer' if a > b else 'more'} cut off by the token limit" if cut >= WHOLE_MATTERS else ""
    return f"{share:.0f} of 100 answers {'better' if a > b else 'worse'}{why}"
