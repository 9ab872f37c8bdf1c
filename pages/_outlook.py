"""What each preference would mean for a tenant's traffic: the figures of the settings page, without its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

import numpy as np

from freerelay_core.policy import Policy, batch_directives, conditions_of
from freerelay_core.preference import RoutingPreference
from freerelay_core.simulation import PreferenceResult, Trace, simulate, tenant_workload
from freerelay_core.snapshot import Snapshot
from freerelay_core.store.values import RecordedRequest, Tenant

__all__ = ["DAYS", "Figures", "Outlook", "RuledShare", "ShareChange", "outlook"]

DAYS = 7
"""How far back a tenant's own requests are taken, days."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the workload costs and gains under one preference. Expectations; times are simulated, s."""

    cost_usd_per_1000: float
    latency_p50_s: float
    latency_p95_s: float
    quality: float
    share: Mapping[str, float]
    """Fraction of the requests that each endpoint wins, largest first."""
    unserved: int

    @classmethod
    def of(cls, result: PreferenceResult) -> Figures:
        return cls(
            result.cost_usd_per_1000,
            result.latency_p50_s,
            result.latency_p95_s,
            result.quality,
            dict(result.share),
            result.unserved,
        )


@dataclass(frozen=True, slots=True)
class RuledShare:
    """A rule that names a preference, and the fraction of the workload for which it decides."""

    rule: str
    preference: RoutingPreference
    fraction: float


@dataclass(frozen=True, slots=True)
class ShareChange:
    """An endpoint's fraction of the requests before and after."""

    endpoint: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """A workload under every preference, and what the figures rest on."""

    own_requests: int
    """The tenant's own recent requests."""
    is_own: bool
    """Whether they are the workload; where they are too few the standard one stands in for them."""
    requests: int
    demo_requests: int
    """Of `requests` generated for a first look."""
    own_preference: int
    """Of `requests` with a preference of their own, which no other changes."""
    named_model: int
    """Of `requests` with a model of their own, for which no preference chooses."""
    snapshot_id: str
    snapshot_at: datetime
    figures: Mapping[RoutingPreference, Figures]
    changed: Mapping[tuple[RoutingPreference, RoutingPreference], int]
    """Requests whose first choice differs between two preferences."""
    ruled: tuple[RuledShare, ...]

    @property
    def unserved(self) -> int:
        """Requests that no endpoint can serve; they count in no figure."""
        return max(figures.unserved for figures in self.figures.values())

    def equals(self, preference: RoutingPreference) -> list[RoutingPreference]:
        """The other preferences that choose as `preference` does, for every request."""
        return [p for p in self.figures if p is not preference and not self.changed[preference, p]]

    def share_changes(self, before: RoutingPreference, after: RoutingPreference) -> list[ShareChange]:
        """Every endpoint whose share changes, largest change first."""
        old, new = self.figures[before].share, self.figures[after].share
        names = sorted({*old, *new})
        changes = [ShareChange(name, old.get(name, 0.0), new.get(name, 0.0)) for name in names]
        moved = [change for change in changes if change.before != change.after]
        return sorted(moved, key=lambda change: -abs(change.after - change.before))


def outlook(recent: Sequence[RecordedRequest], snapshot: Snapshot, policy: Policy, *, tenant: Tenant) -> Outlook:
    """The tenant's workload, as far as `recent` gives one, ranked under every preference as live traffic would be."""
    traffic = tenant_workload(recent, tenant, days=DAYS)
    trace, own = traffic.trace, traffic.own
    simulation = simulate(trace, snapshot, policy=policy, tenant_id=tenant.id, tier=tenant.tier, live=True, own=own)
    return Outlook(
        own_requests=len(recent),
        is_own=traffic.wishes is not None,
        requests=len(trace),
        demo_requests=traffic.demo,
        own_preference=int(own.overriding.sum()),
        named_model=int(own.named.sum()),
        snapshot_id=snapshot.id,
        snapshot_at=snapshot.created_at,
        figures={preference: Figures.of(result) for preference, result in simulation.results.items()},
        changed={(a, b): simulation.changed(a, b) for a, b in product(RoutingPreference, repeat=2)},
        ruled=_ruled(trace, snapshot, policy, tenant),
    )


def _ruled(trace: Trace, snapshot: Snapshot, policy: Policy, tenant: Tenant) -> tuple[RuledShare, ...]:
    directives, index = batch_directives(
        policy, trace.profiles, tenant=tenant.id, tier=tenant.tier, conditions=conditions_of(snapshot)
    )
    counts = np.bincount(index, minlength=len(directives))
    fractions: dict[tuple[str, RoutingPreference], float] = {}
    for directive, number in zip(directives, counts, strict=True):
        if directive.routing_preference is not None and directive.preference_rule is not None:
            key = directive.preference_rule, directive.routing_preference
            fractions[key] = fractions.get(key, 0.0) + float(number) / len(trace)
    ranked = sorted(fractions.items(), key=lambda item: -item[1])
    return tuple(RuledShare(rule, preference, fraction) for (rule, preference), fraction in ranked)
