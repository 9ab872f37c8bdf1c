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
from freerelay_core.policy import Policy
from freerelay_core.profile import RequestProfile
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
        **rest: Any,
    ) -> Decision:
        """As `decide`, whose other arguments are `rest`, none of them an array; always named in the same order.

        What a tenant's cache is expected to hold stands as the first of its alike requests had it.
        """
        if snapshot is not self._snapshot or policy is not self._policy or len(self._known) >= MOST:
            self._snapshot, self._policy = snapshot, policy
            self._known.clear()
        key = (
            *profile[:-1],
            *profile.reasons.values(),
            tenant_id if "tenant" in policy.variables or cached_share is not None else None,
            tier if "tier" in policy.variables else None,
            *rest.values(),
        )
        known = self._known.get(key)
        if known is not None:
            return known.again(decision_id)
        asked = {"policy": policy, "tenant_id": tenant_id, "tier": tier, "cached_share": cached_share, **rest}
        decision = self._known[key] = decide(snapshot, profile, decision_id=decision_id, **asked)
        return decision
