"""Reports of what the scoring core answers: the ranking of a request, a trace under the preferences, a what-if."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import version

from freerelay_core import __version__
from freerelay_core.amounts import usd_figure
from freerelay_core.decision import Decision
from freerelay_core.preference import FACTORS
from freerelay_core.reports import request_tables, trace_tables, what_if_tables
from freerelay_core.reports.model import Figure, RankingReport
from freerelay_core.simulation import Simulation, WhatIf
from freerelay_core.snapshot import Snapshot

__all__ = ["Provenance", "report_of_decision", "report_of_simulation", "report_of_what_if"]

_FACTOR_METHOD = (
    f"The utility of an endpoint is the product of its factors ({', '.join(FACTORS)}), each to the power of its "
    "exponent; the highest ranks first. "
)
_REQUEST_METHOD = (
    f"{_FACTOR_METHOD}A contribution is exponent x ln value; they sum to ln U. Costs are list prices of the hour for "
    "the expected tokens."
)
_TRACE_METHOD = (
    f"{_FACTOR_METHOD}Every request is ranked under each preference. Costs are list prices of the request's hour, "
    "qualities are expected; times are sampled with the same seeded draws for every preference. "
    "An operator's rule that sets a preference for a request wins over the one compared. "
    "No budget of a tenant is counted."
)
_WHAT_IF_METHOD = (
    f"{_FACTOR_METHOD}Every request is ranked as things are and as the scenario has them, with the same seeded draws. "
    "A request keeps the preference and the model that it asked for itself; no budget of a tenant is counted. "
    "A tenant wins or loses by the mean utility of its answers under the exponents that it has now. Intervals say how "
    "far a mean would move with other requests of this kind."
)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a report rests on, so that somebody else can arrive at the same numbers."""

    made_at: datetime
    snapshot: Snapshot
    method: str
    seed: int | None = None
    trace_origin: str | None = None
    trace_sha256: str | None = None

    def figures(self) -> tuple[Figure, ...]:
        """As they stand in the report; what does not apply is left out."""
        stated = (
            Figure("made_at", "Made", self.made_at.isoformat()),
            Figure("snapshot_id", "Snapshot", self.snapshot.id),
            Figure("snapshot_at", "Snapshot taken", self.snapshot.created_at.isoformat()),
            Figure("snapshot_age_s", "Age of the snapshot", self.snapshot.age_s(self.made_at), "s", "computed", 1),
            Figure("trace_origin", "Trace", self.trace_origin),
            Figure("trace_sha256", "SHA-256 of the trace", self.trace_sha256),
            Figure("seed", "Seed of the sampled times", self.seed),
            *(Figure(f"version_{name}", f"Version of {name}", number) for name, number in _versions().items()),
            Figure("method", "Method", self.method),
        )
        return tuple(figure for figure in stated if figure.value is not None)


def report_of_decision(decision: Decision, *, made_at: datetime) -> RankingReport:
    """The ranking of one request, with factors and contributions of every endpoint, and who is excluded and why."""
    ranked, preference = len(decision.order), decision.preference.value
    return RankingReport(
        kind="request",
        title=f"Ranking of {ranked} endpoint{'' if ranked == 1 else 's'} for one request, {preference}",
        finding=f"{decision.reason}." if decision.order else "No endpoint can serve this request.",
        made_at=made_at,
        scope=request_tables.scope(decision),
        summary=request_tables.summary(decision),
        tables=request_tables.tables(decision),
        charts=request_tables.charts(decision),
        provenance=Provenance(made_at, decision.snapshot, _REQUEST_METHOD).figures(),
    )


def report_of_simulation(
    simulation: Simulation, *, made_at: datetime, extra_scope: tuple[Figure, ...] = ()
) -> RankingReport:
    """A trace under the preferences that were simulated: figures of each, endpoints by the requests they win, and
    the differences. `extra_scope` says of the requests what their trace does not.
    """
    trace, names = simulation.trace, [preference.value for preference in simulation.results]
    under = f", {names[0]}" if len(names) == 1 else f" under {len(names)} preferences"
    return RankingReport(
        kind="trace",
        title=f"Ranking of endpoints for {trace_tables.requests(len(trace))}{under}",
        finding=trace_tables.finding(simulation),
        made_at=made_at,
        scope=(*trace_tables.scope(trace), *extra_scope),
        summary=trace_tables.summary(simulation),
        tables=trace_tables.tables(simulation),
        charts=trace_tables.charts(simulation),
        provenance=Provenance(
            made_at,
            simulation.snapshot,
            _TRACE_METHOD,
            seed=simulation.seed,
            trace_origin=trace.origin,
            trace_sha256=trace.sha256,
        ).figures(),
    )


def report_of_what_if(what_if: WhatIf, *, made_at: datetime) -> RankingReport:
    """A scenario against the present: both sides, where first choices move, and what each tenant gains or loses."""
    trace = what_if.traffic.trace
    return RankingReport(
        kind="what-if",
        title=f"What-if: {what_if.scenario.name}, {len(what_if.traffic):,} requests",
        finding=_what_if_finding(what_if),
        made_at=made_at,
        scope=trace_tables.scope(trace),
        summary=what_if_tables.summary(what_if),
        tables=what_if_tables.tables(what_if),
        charts=what_if_tables.charts(what_if),
        provenance=Provenance(
            made_at,
            what_if.snapshot,
            _WHAT_IF_METHOD,
            seed=what_if.seed,
            trace_origin=trace.origin,
            trace_sha256=trace.sha256,
        ).figures(),
    )


def _what_if_finding(what_if: WhatIf) -> str:
    before, after = what_if.total_usd(what_if.baseline), what_if.total_usd(what_if.changed)
    moved = what_if.first_choices_changed
    share = moved / len(what_if.traffic) * 100
    if what_if.serves_nobody:
        return f"{moved:,} first choices change ({share:.1f} %): nobody would be served."
    unknown = f"; {what_if.unpriced:,} requests go to endpoints without a price" if what_if.unpriced else ""
    return (
        f"{usd_figure(before)} USD become {usd_figure(after)} USD{unknown}; "
        f"{moved:,} first choices change ({share:.1f} %)."
    )


@cache
def _versions() -> Mapping[str, str]:
    """Of what decides numbers: the formula, the arithmetic and the list prices."""
    return {"freerelay": __version__, "numpy": version("numpy"), "genai-prices": version("genai-prices")}
