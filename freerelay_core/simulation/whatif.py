"""A what-if: the same traffic under the present world and under a scenario, request by request.

Both sides rank the same requests with the same draws (common random numbers), so a difference is the scenario's doing
and not luck. Requests are ranked as their own tenant's, and keep what they asked for themselves.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from freerelay_core.simulation.replay import PreferenceResult, result_of
from freerelay_core.simulation.scenario import Scenario, World
from freerelay_core.simulation.sides import Watch, side_of
from freerelay_core.simulation.traffic import TracedTenant, Traffic
from freerelay_core.snapshot import Snapshot

__all__ = ["TenantEffect", "WhatIf", "what_if"]

Floats = npt.NDArray[np.float64]

_Z90 = 1.6448536269514722
"""95 % quantile of the standard normal: two-sided intervals of 90 %."""

SAME_UTILITY = 0.005
"""Mean change of ln U below which a tenant neither wins nor loses."""


@dataclass(frozen=True, slots=True)
class TenantEffect:
    """What a scenario does to one tenant. Pairs are (present, scenario)."""

    tenant: TracedTenant
    requests: int
    changed: int
    """Requests whose first choice differs."""
    cost_usd_per_1000: tuple[float, float]
    latency_p50_s: tuple[float, float]
    latency_p95_s: tuple[float, float]
    quality: tuple[float, float]
    unserved: tuple[int, int]
    utility_change: float
    """Mean change of ln U over the requests served on both sides, by the tenant's present exponents: below 0 the
    scenario gives the tenant less of what it asked for."""

    @property
    def utility_percent(self) -> float:
        """The same as a change of the geometric mean of U, %."""
        return math.expm1(self.utility_change) * 100

    @property
    def verdict(self) -> str:
        """`loses`, `wins` or `same`. Whoever is no longer served loses."""
        if self.unserved[1] > self.unserved[0] or self.utility_change < -SAME_UTILITY:
            return "loses"
        return "wins" if self.utility_change > SAME_UTILITY or self.unserved[1] < self.unserved[0] else "same"

    def as_dict(self) -> dict[str, Any]:
        """The shape of `freerelay simulate --scenario --json`."""
        pairs = ("cost_usd_per_1000", "latency_p50_s", "latency_p95_s", "quality", "unserved")
        return {
            "tenant": self.tenant.label,
            "requests": self.requests,
            "first_choice_changed": self.changed,
            **{name: dict(zip(("baseline", "scenario"), getattr(self, name), strict=True)) for name in pairs},
            "utility_change": self.utility_change,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True, eq=False)
class WhatIf:
    """Both sides of a rehearsal, and what it rests on."""

    traffic: Traffic
    scenario: Scenario
    snapshot: Snapshot
    """Of the present world."""
    seed: int
    times: float
    """Requests under the scenario for each present one."""
    baseline: PreferenceResult
    changed: PreferenceResult
    tenants: tuple[TenantEffect, ...]
    """Sorted by harm, the most harmed first."""
    unpriced: int = 0
    """Requests that the scenario sends to endpoints without a price. Their cost is not known and stands as 0."""
    dearer: tuple[str, ...] = ()
    """Endpoints whose price the scenario raises."""

    @property
    def first_choices_changed(self) -> int:
        """Requests whose first choice differs."""
        return int((self.baseline.winners != self.changed.winners).sum())

    @property
    def both_served(self) -> npt.NDArray[np.bool_]:
        """Requests that both sides can serve, shape (R,): what differences are taken over."""
        both: npt.NDArray[np.bool_] = (self.baseline.winners >= 0) & (self.changed.winners >= 0)
        return both

    @property
    def named_unserved(self) -> tuple[int, int]:
        """Requests that the model they name cannot serve, now and under the scenario; no other is asked for them."""
        named = self.traffic.own.named
        now, then = (int((named & (side.winners < 0)).sum()) for side in (self.baseline, self.changed))
        return now, then

    @property
    def serves_nobody(self) -> bool:
        """Whether the scenario leaves every request without an answer, so that its figures say nothing."""
        return self.changed.unserved == len(self.traffic)

    @property
    def strangers(self) -> list[str]:
        """Tenants that the scenario names and that sent none of the requests."""
        known = {name for tenant in self.traffic.tenants for name in tenant.names}
        return [name for name in self.scenario.tenants() if name not in known]

    def total_usd(self, side: PreferenceResult) -> float:
        """Cost of the whole traffic on one side, USD; more requests under the scenario cost more."""
        return side.cost_usd * (self.times if side is self.changed else 1.0)

    def interval(self, figure: str) -> tuple[float, float, float]:
        """Mean difference (scenario - present) in `cost_usd`, `quality` or `durations_s`, and its 90 % interval.

        Paired: over the requests that both sides serve. It says how far the mean would move with other requests of this
        kind, not how sure the catalogue's figures are.
        """
        served = self.both_served
        if not served.any():
            return (0.0, 0.0, 0.0)
        difference = _per_request(self.changed, figure)[served] - _per_request(self.baseline, figure)[served]
        mean = float(difference.mean())
        half = _Z90 * float(difference.std(ddof=1)) / math.sqrt(len(difference)) if len(difference) > 1 else 0.0
        return (mean, mean - half, mean + half)

    @property
    def cost_within_chance(self) -> bool:
        """Whether other requests of this kind might as well cost more as less under the scenario.

        Never where the total differs for another reason too: growth, or requests that only one side serves.
        """
        _, low, high = self.interval("cost_usd")
        return low < 0 < high and self.times == 1 and self.baseline.unserved == self.changed.unserved

    def share_changes(self) -> list[tuple[str, float, float]]:
        """Endpoints with their share of the requests on both sides, the largest change first."""
        old, new = self.baseline.share, self.changed.share
        rows = [(name, old.get(name, 0.0), new.get(name, 0.0)) for name in {*old, *new}]
        return sorted(rows, key=lambda row: (-abs(row[2] - row[1]), row[0]))

    def moves(self) -> list[tuple[str, str, int]]:
        """From which endpoint to which first choices move, `nobody` among them, and how many; the most first."""
        names = (*self.baseline.endpoint_ids, "nobody")  # -1, the index of no winner, is the last
        moved = self.baseline.winners != self.changed.winners
        pairs = Counter(zip(self.baseline.winners[moved].tolist(), self.changed.winners[moved].tolist(), strict=True))
        return [(names[old], names[new], number) for (old, new), number in pairs.most_common()]

    def as_dict(self) -> dict[str, Any]:
        """The shape of `freerelay simulate --scenario --json`."""
        before, after = self.baseline, self.changed
        moved = self.first_choices_changed
        cost, low, high = self.interval("cost_usd")
        return {
            "baseline": before.as_dict(),
            "scenario": after.as_dict()
            | {"cost_usd": self.total_usd(after), "traffic_times": self.times, "unpriced": self.unpriced},
            "difference": {
                "cost_usd": self.total_usd(after) - before.cost_usd,
                "cost_usd_per_1000": {"mean": cost * 1000, "interval_90": [low * 1000, high * 1000]},
                "latency_s": {
                    "p50": after.latency_p50_s - before.latency_p50_s,
                    "p95": after.latency_p95_s - before.latency_p95_s,
                },
                "quality": after.quality - before.quality,
                "share": {name: new - old for name, old, new in self.share_changes() if new != old},
                "first_choice_changed": {"requests": moved, "fraction": moved / len(self.traffic)},
                "unserved": after.unserved - before.unserved,
                "tenants": [effect.as_dict() for effect in self.tenants],
            },
            "changes": self.scenario.sentences(),
            "requests": len(self.traffic),
            "trace": self.traffic.trace.as_dict(),
            "snapshot": {"id": self.snapshot.id, "created_at": self.snapshot.created_at.isoformat()},
            "seed": self.seed,
            "basis": "simulated",
        }


def what_if(
    traffic: Traffic,
    world: World,
    scenario: Scenario,
    *,
    seed: int = 0,
    live: bool = False,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> WhatIf:
    """`traffic` in the present `world` and under `scenario`.

    `live` leaves out simulated endpoints where real ones are configured. `progress` is told how many of all steps are
    done. Raises `UnprocessableRequest` for a scenario that does not fit the world, `Cancelled` soon after `cancelled`
    turns true.
    """
    other = world.under(scenario)
    watch = Watch(2 * len(traffic), progress, cancelled)
    before = side_of(traffic, world, world, live=live, watch=watch)
    after = side_of(traffic, other, world, live=live, watch=watch)
    profiles = traffic.trace.profiles
    baseline = result_of(profiles, world.snapshot, before.choice, seed)
    changed = result_of(profiles, other.snapshot, after.choice, seed)
    effects = [
        _effect(tenant, np.flatnonzero(traffic.tenant == number), baseline, changed, after.utility - before.utility)
        for number, tenant in enumerate(traffic.tenants)
    ]
    return WhatIf(
        traffic=traffic,
        scenario=scenario,
        snapshot=world.snapshot,
        seed=seed,
        times=other.traffic / world.traffic,
        baseline=baseline,
        changed=changed,
        tenants=tuple(sorted(effects, key=_harm)),
        unpriced=int((~other.snapshot.prices.priced)[changed.winners[changed.winners >= 0]].sum()),
        dearer=_dearer(world.snapshot, other.snapshot),
    )


def _effect(
    tenant: TracedTenant,
    rows: npt.NDArray[np.intp],
    baseline: PreferenceResult,
    changed: PreferenceResult,
    utility_change: Floats,
) -> TenantEffect:
    both = rows[(baseline.winners[rows] >= 0) & (changed.winners[rows] >= 0)]
    before, after = baseline.of(rows), changed.of(rows)
    return TenantEffect(
        tenant=tenant,
        requests=len(rows),
        changed=int((baseline.winners[rows] != changed.winners[rows]).sum()),
        cost_usd_per_1000=(before.cost_usd_per_1000, after.cost_usd_per_1000),
        latency_p50_s=(before.latency_p50_s, after.latency_p50_s),
        latency_p95_s=(before.latency_p95_s, after.latency_p95_s),
        quality=(before.quality, after.quality),
        unserved=(before.unserved, after.unserved),
        utility_change=float(utility_change[both].mean()) if len(both) else 0.0,
    )


def _dearer(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    *_, risen = np.nonzero(after.prices.rates > before.prices.rates)  # of (hours, tiers, kinds, endpoints)
    return tuple(before.endpoint_ids[endpoint] for endpoint in np.unique(risen))


def _harm(effect: TenantEffect) -> tuple[int, float, str]:
    return (effect.unserved[0] - effect.unserved[1], effect.utility_change, effect.tenant.label)


def _per_request(side: PreferenceResult, figure: str) -> Floats:
    values: Floats = getattr(side, {"cost_usd": "costs_usd", "quality": "qualities"}.get(figure, figure))
    return values
