"""Live requests that are alike in all that a ranking reads share one: under load most are.

A snapshot serves for a tenth of a second, and the estimates of a profile are rounded (`profile.reading`), so the busier
an endpoint is, the more of its requests meet a ranking that is there already.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from freerelay_core.decision.decision import Decision
from freerelay_core.decision.request import decide
from freerelay_core.policy import Policy, in_hundredths
from freerelay_core.profile import RequestProfile
from freerelay_core.scoring import Budget
from freerelay_core.scoring.reference import HEADROOM_BITES_BELOW
from freerelay_core.snapshot import Snapshot

__all__ = ["Alike"]

Floats = npt.NDArray[np.float64]

MOST = 128
"""Rankings that are kept, each 10 to 30 kB over 20 to 90 endpoints."""


class Alike:
    """`decide`, which ranks requests that are alike once, as long as snapshot and rules stay. For one thread."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._policy: Policy | None = None
        self._known: dict[tuple[object, ...], Decision] = {}

    def decide(
        self,
        snapshot: Snapshot,
        profile: RequestProfile,
        *,
        decision_id: str,
        policy: Policy,
        tenant_id: str | None,
        tier: str | None,
        cached_share: Floats | None,
        budget: Budget | None,
        **rest: Any,
    ) -> Decision:
        """As `decide`, whose other arguments are `rest`, none of them an array; always named in the same order.

        What a tenant's cache is expected to hold stands as the first of its alike requests had it. Of a budget that is
        ample nothing is read but that; of one that is not, requests share a ranking only while nothing is spent of it.
        """
        if snapshot is not self._snapshot or policy is not self._policy or len(self._known) >= MOST:
            self._snapshot, self._policy = snapshot, policy
            self._known.clear()
        key = (
            *profile[:-1],
            *profile.reasons.values(),
            tenant_id if "tenant" in policy.variables or cached_share is not None else None,
            tier if "tier" in policy.variables else None,
            None if budget is None else _read_of(budget, policy),
            *rest.values(),
        )
        known = self._known.get(key)
        if known is not None and (budget is None or budget.left_usd >= _dearest(known)):
            return known.again(decision_id, budget)
        decision = decide(
            snapshot,
            profile,
            decision_id=decision_id,
            policy=policy,
            tenant_id=tenant_id,
            tier=tier,
            cached_share=cached_share,
            budget=budget,
            **rest,
        )
        if budget is None or budget.left_usd >= _dearest(decision):
            self._known[key] = decision
        return decision


def _read_of(budget: Budget, policy: Policy) -> float:
    """What a ranking reads of a budget that leaves enough for the dearest endpoint."""
    share = float(budget.share)
    if share < HEADROOM_BITES_BELOW:
        return share
    return in_hundredths(share) if "budget_left" in policy.variables else 1.0


_DEAREST = "dearest"
"""Where a decision keeps it."""


def _dearest(decision: Decision) -> float:
    """The highest cost that a budget may forbid, USD; an unknown one is forbidden by each."""
    usd: float | None = decision.shared.get(_DEAREST)
    if usd is None:
        cost = decision.evaluation.cost_usd
        usd = decision.shared[_DEAREST] = float(cost.max(initial=0.0, where=np.isfinite(cost)))
    return usd
