"""Ranks every request of a trace under several preferences, and sums up what each would cost and gain.

Costs and qualities are expectations of the scoring core. Durations are sampled from `behaviour` with draws keyed by
(seed, request, endpoint), so that two preferences that choose alike also wait alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from freerelay_core.behaviour import keyed_normals, keyed_uniforms
from freerelay_core.decision import Choice, choose, evaluate_batch
from freerelay_core.policy import NO_POLICY, Directive, Policy, batch_directives, conditions_of
from freerelay_core.preference import PREFERENCE_EXPONENTS, RoutingPreference, effective_preference
from freerelay_core.profile import ProfileBatch
from freerelay_core.simulation.trace import Trace
from freerelay_core.simulation.traffic import OVERRIDES, OwnWishes
from freerelay_core.snapshot import Snapshot

__all__ = ["CHUNK", "Cancelled", "PreferenceResult", "Simulation", "result_of", "simulate"]

Floats = npt.NDArray[np.float64]

CHUNK = 1024
"""Requests ranked at once: a few milliseconds of numpy, so that a live endpoint in the same process is not held up."""


class Cancelled(Exception):
    """The simulation was stopped on request."""


@dataclass(frozen=True, slots=True, eq=False)
class PreferenceResult:
    """What a trace costs and gains under one preference."""

    cost_usd: float
    cost_usd_per_1000: float
    latency_p50_s: float
    latency_p95_s: float
    quality: float
    """Mean expected share of good answers."""
    share: Mapping[str, float]
    """Fraction of the requests that each endpoint wins, largest first."""
    unserved: int
    """Requests that no endpoint could serve; they count in no other figure."""
    endpoint_ids: tuple[str, ...]
    winners: npt.NDArray[np.intp]
    """Shape (R,): index of the winner, -1 where unserved."""
    costs_usd: Floats
    """Shape (R,), as the next two: of each request at its winner, 0 where unserved."""
    qualities: Floats
    durations_s: Floats
    """Sampled."""

    def of(self, rows: npt.NDArray[np.intp]) -> PreferenceResult:
        """The same for these requests alone."""
        return _summed(
            self.endpoint_ids, self.winners[rows], self.costs_usd[rows], self.qualities[rows], self.durations_s[rows]
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "cost_usd": self.cost_usd,
            "cost_usd_per_1000": self.cost_usd_per_1000,
            "latency_s": {"p50": self.latency_p50_s, "p95": self.latency_p95_s},
            "quality": self.quality,
            "share": dict(self.share),
            "unserved": self.unserved,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """A trace under several preferences, and what the figures rest on."""

    trace: Trace
    snapshot: Snapshot
    seed: int
    results: Mapping[RoutingPreference, PreferenceResult]

    def changed(self, a: RoutingPreference, b: RoutingPreference) -> int:
        """Requests whose winner differs between two preferences."""
        return int((self.results[a].winners != self.results[b].winners).sum())

    def as_dict(self) -> dict[str, Any]:
        """The shape of `freerelay simulate --json`."""
        profiles = self.trace.profiles
        return {
            "requests": len(self.trace),
            "input_tokens": int(profiles.input_tokens.sum()),
            "output_tokens": int(profiles.output_tokens.sum()),
            "preferences": {preference.value: result.as_dict() for preference, result in self.results.items()},
            "trace": self.trace.as_dict(),
            "snapshot": {"id": self.snapshot.id, "created_at": self.snapshot.created_at.isoformat()},
            "seed": self.seed,
            "basis": "simulated",
        }


def simulate(
    trace: Trace,
    snapshot: Snapshot,
    *,
    policy: Policy = NO_POLICY,
    tenant_id: str | None = None,
    tier: str | None = None,
    preferences: Sequence[RoutingPreference] = tuple(RoutingPreference),
    seed: int = 0,
    live: bool = False,
    own: OwnWishes | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Simulation:
    """Rank every request of `trace` under each preference, as the tenant named.

    Requests with wishes of their `own` keep them: a preference stands above that of the tenant, and of a rule's below;
    where a model is named no other is asked.
    `live` leaves out simulated endpoints where real ones are configured, as live traffic does.
    `progress` is told how many of all requests are done, after each chunk. Raises `Cancelled` within a chunk of
    `cancelled` turning true.
    """
    conditions = conditions_of(snapshot)
    chunks: dict[RoutingPreference, list[Choice]] = {preference: [] for preference in preferences}
    for start in range(0, len(trace), CHUNK):
        if cancelled is not None and cancelled():
            raise Cancelled
        profiles = trace.profiles[start : start + CHUNK]
        wishes = OwnWishes.none(len(profiles)) if own is None else own[start : start + CHUNK]
        only = wishes.only(snapshot.endpoint_ids)
        for preference in preferences:
            if preference is preferences[0] or "preference" in policy.variables:  # else the rules ask the same of each
                directives, index = batch_directives(
                    policy, profiles, tenant=tenant_id, tier=tier, preference=preference, conditions=conditions
                )
                evaluation = evaluate_batch(snapshot, profiles, directives, index, live=live, only=only)
            chunks[preference].append(choose(evaluation, _exponents(preference, directives, index, wishes.override)))
        if progress is not None:
            progress(start + len(profiles), len(trace))
        time.sleep(0)  # lets a live request in this process have its turn
    results = {
        preference: result_of(trace.profiles, snapshot, _joined(chunks[preference]), seed) for preference in preferences
    }
    return Simulation(trace, snapshot, seed, results)


def _exponents(
    preference: RoutingPreference,
    directives: Sequence[Directive],
    index: npt.NDArray[np.intp],
    override: npt.NDArray[np.intp],
) -> Floats:
    """Exponents of each request: the preference's own, or those of its own one, or of a rule that names another."""

    def row(directive: Directive, own: RoutingPreference | None) -> Floats:
        wins = effective_preference(tenant=preference, request=own, rule=directive.routing_preference)
        return PREFERENCE_EXPONENTS[wins.value]

    rows = np.array([[row(directive, own) for own in OVERRIDES] for directive in directives])
    alike = len(directives) == 1 and not (override != override[0]).any()
    return rows[0, override[0]] if alike else rows[index, override]


def _joined(choices: Sequence[Choice]) -> Choice:
    names = [field.name for field in fields(Choice)]
    return Choice(*(np.concatenate([getattr(choice, name) for choice in choices], axis=-1) for name in names))


def result_of(profiles: ProfileBatch, snapshot: Snapshot, choice: Choice, seed: int) -> PreferenceResult:
    """Sums over the choices of R requests, with durations sampled at their winners.

    The draws of a request are its own: they depend on `seed`, its place and the endpoint alone.
    """
    served = np.flatnonzero(choice.endpoint >= 0)
    winners = choice.endpoint[served]
    normals = keyed_normals(keyed_uniforms(seed, served.astype(np.uint64), winners.astype(np.uint64), attempt=0))
    first, decode = snapshot.behaviour.sample(
        winners, profiles.input_tokens[served], choice.decoded_tokens[served], normals
    )
    durations = np.zeros(len(choice.endpoint))
    durations[served] = first + decode
    return _summed(snapshot.endpoint_ids, choice.endpoint, choice.cost_usd, choice.quality, durations)


def _summed(
    endpoint_ids: tuple[str, ...],
    winners: npt.NDArray[np.intp],
    costs_usd: Floats,
    qualities: Floats,
    durations_s: Floats,
) -> PreferenceResult:
    served = np.flatnonzero(winners >= 0)
    counts = np.bincount(winners[served], minlength=len(endpoint_ids))
    ranked = sorted(np.flatnonzero(counts), key=lambda e: (-counts[e], e))
    some = max(len(served), 1)
    p50, p95 = np.quantile(durations_s[served], [0.5, 0.95]) if len(served) else (0.0, 0.0)
    cost = float(costs_usd[served].sum())
    return PreferenceResult(
        cost_usd=cost,
        cost_usd_per_1000=cost / some * 1000,
        latency_p50_s=float(p50),
        latency_p95_s=float(p95),
        quality=float(qualities[served].sum()) / some,
        share={endpoint_ids[e]: float(counts[e]) / some for e in ranked},
        unserved=len(winners) - len(served),
        endpoint_ids=endpoint_ids,
        winners=winners,
        costs_usd=costs_usd,
        qualities=qualities,
        durations_s=durations_s,
    )
