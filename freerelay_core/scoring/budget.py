"""What is left of a tenant's budget, as the scoring reads it: an exclusion, and a factor that bites below a fifth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from freerelay_core.scoring import reference
from freerelay_core.scoring.exclusions import Excluded, codes_where

__all__ = ["Budget", "within_budget"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]
Figure: TypeAlias = float | Floats
"""A number of one request, or a column of shape (R, 1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Budget:
    """What is left for one request, or for each of R; a request without a budget has infinity and a share of 1."""

    left_usd: Figure
    share: Figure
    """What is left over the whole, in [0, 1]."""
    counts: Bools
    """Endpoints whose cost counts against it, shape (E,): real ones, or all where none is real."""


def within_budget(budget: Budget, cost_usd: Floats, excluded: Codes, log_headroom: Floats) -> tuple[Codes, Floats]:
    """The codes and the log headroom with the budget in them; what costs nothing is left alone.

    An endpoint where the request would cost more than is left is excluded, the others share the budget's headroom.
    """
    paid = budget.counts & (cost_usd > 0)
    beyond = paid & (cost_usd > budget.left_usd)
    tight = np.log(np.clip(np.asarray(budget.share) / reference.HEADROOM_BITES_BELOW, 1e-6, 1.0))
    return (
        np.maximum(excluded, codes_where(beyond, Excluded.BUDGET_GONE)),
        np.minimum(log_headroom, np.where(paid, tight, 0.0)),
    )
