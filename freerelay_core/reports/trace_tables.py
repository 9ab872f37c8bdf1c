"""A trace under the preferences as figures and tables, numbers as `Simulation` has them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import numpy.typing as npt

from freerelay_core.amounts import usd_figure
from freerelay_core.preference import EXPONENTS, FACTORS, RoutingPreference
from freerelay_core.profile import RequestProfile
from freerelay_core.reports.model import BarChart, Figure, ReportColumn, ReportTable
from freerelay_core.simulation import PreferenceResult, Simulation, Trace

__all__ = ["charts", "finding", "requests", "scope", "summary", "tables"]

LIST_PRICE, COUNTED, EXPECTED, SIMULATED = "list price", "counted", "expected", "simulated"

BARS = 12
"""Endpoints in a chart; the table has them all."""


def finding(simulation: Simulation) -> str:
    """What each preference costs, and where most of its requests go."""
    served = {preference: result for preference, result in simulation.results.items() if result.share}
    if not served:
        return "No endpoint can serve these requests."
    costs = ", ".join(
        f"{preference} {usd_figure(result.cost_usd_per_1000)} USD" for preference, result in served.items()
    )
    leaders: dict[str, list[str]] = {}
    for preference, result in served.items():
        leaders.setdefault(next(iter(result.share)), []).append(preference.value)
    if len(leaders) == 1:
        most = next(iter(leaders))
    else:
        most = "; ".join(f"{endpoint} ({', '.join(names)})" for endpoint, names in leaders.items())
    return f"Per 1,000 requests: {costs}. Most requests go to {most}."


def requests(count: int) -> str:
    """A number of requests, in words."""
    return f"{count:,} request{'' if count == 1 else 's'}"


def scope(trace: Trace) -> tuple[Figure, ...]:
    """What was asked: the requests of the trace, by what they are, or what they are taken for."""
    profiles = trace.profiles
    return (
        Figure("origin", "Requests", trace.origin),
        *(() if trace.read_as is None else (Figure("read_as", "Every request taken as", trace.read_as),)),
        Figure("families", "Task families", _mix(trace, profiles.family, lambda p: p.family.value)),
        Figure("depths", "Depths", _mix(trace, profiles.depth, lambda p: p.depth.label)),
        Figure(
            "latency_classes", "Latency classes", _mix(trace, profiles.latency_class, lambda p: p.latency_class.label)
        ),
        Figure("contracts", "Answer forms", _mix(trace, profiles.contract, lambda p: p.contract.label)),
    )


def _mix(trace: Trace, codes: npt.NDArray[np.intp], name: Callable[[RequestProfile], str]) -> str:
    """The kinds among the requests, the commonest first: "chat" or "chat 70 %, code 30 %"."""
    _, firsts, counts = np.unique(codes, return_index=True, return_counts=True)
    named = [
        (int(count), name(trace.profiles.profile(int(first)))) for first, count in zip(firsts, counts, strict=True)
    ]
    if len(named) == 1:
        return named[0][1]
    return ", ".join(f"{kind} {count / len(trace) * 100:.1f} %" for count, kind in sorted(named, reverse=True))


def summary(simulation: Simulation) -> tuple[Figure, ...]:
    """How much was asked."""
    profiles = simulation.trace.profiles
    return (
        Figure("requests", "Requests", len(simulation.trace), basis=COUNTED),
        Figure("input_tokens", "Input", int(profiles.input_tokens.sum()), "tokens", COUNTED),
        Figure("output_tokens", "Output", int(profiles.output_tokens.sum()), "tokens", COUNTED),
    )


def tables(simulation: Simulation) -> tuple[ReportTable, ...]:
    """A ranking for each preference, its figures, the differences between preferences, the exponents."""
    rankings = [_ranking(simulation, preference) for preference in simulation.results]
    differences = [_differences(simulation)] if len(simulation.results) > 1 else []
    return (_preferences(simulation), *rankings, *differences, _exponents(simulation))


def _preferences(simulation: Simulation) -> ReportTable:
    return ReportTable(
        "preferences",
        "The requests under each preference",
        (
            ReportColumn("preference", "Preference"),
            ReportColumn("cost_usd_per_1000", "Cost per 1,000", "USD", LIST_PRICE, 4),
            ReportColumn("cost_usd", "Cost in all", "USD", LIST_PRICE, 4),
            ReportColumn("latency_p50_s", "p50", "s", SIMULATED, 1),
            ReportColumn("latency_p95_s", "p95", "s", SIMULATED, 1),
            ReportColumn("quality_percent", "Good", "%", EXPECTED, 1),
            ReportColumn("unserved", "Unserved", "requests", COUNTED),
        ),
        [
            (
                preference.value,
                result.cost_usd_per_1000,
                result.cost_usd,
                result.latency_p50_s,
                result.latency_p95_s,
                result.quality * 100,
                result.unserved,
            )
            for preference, result in simulation.results.items()
        ],
    )


def _ranking(simulation: Simulation, preference: RoutingPreference) -> ReportTable:
    snapshot, result = simulation.snapshot, simulation.results[preference]
    won = np.bincount(result.winners[result.winners >= 0], minlength=len(snapshot))
    position = {endpoint: e for e, endpoint in enumerate(snapshot.endpoint_ids)}
    ranked = [(position[endpoint], endpoint, share) for endpoint, share in result.share.items()]
    return ReportTable(
        f"ranking.{preference}",
        f"Ranking by requests won, {preference}",
        (
            ReportColumn("rank", "Rank"),
            ReportColumn("endpoint", "Endpoint"),
            ReportColumn("share_percent", "Share", "%", COUNTED, 2),
            ReportColumn("requests", "Won", "requests", COUNTED),
            ReportColumn("provider", "Provider"),
            ReportColumn("model", "Model"),
        ),
        [
            (rank, endpoint, share * 100, int(won[e]), snapshot.providers[e], snapshot.models[e])
            for rank, (e, endpoint, share) in enumerate(ranked, start=1)
        ],
    )


def _differences(simulation: Simulation) -> ReportTable:
    return ReportTable(
        "differences",
        "Differences between preferences, the second against the first",
        (
            ReportColumn("first", "From"),
            ReportColumn("second", "To"),
            ReportColumn("changed", "First choice differs", "requests", COUNTED),
            ReportColumn("changed_percent", "Of all", "%", COUNTED, 2),
            ReportColumn("cost_usd_per_1000", "Cost per 1,000", "USD", LIST_PRICE, 4),
            ReportColumn("latency_p50_s", "p50", "s", SIMULATED, 1),
            ReportColumn("latency_p95_s", "p95", "s", SIMULATED, 1),
            ReportColumn("quality_points", "Good", "points of 100", EXPECTED, 1),
        ),
        [_difference(simulation, *pair) for pair in combinations(simulation.results, 2)],
    )


def _difference(
    simulation: Simulation, first: RoutingPreference, second: RoutingPreference
) -> tuple[str | int | float, ...]:
    old, new, changed = simulation.results[first], simulation.results[second], simulation.changed(first, second)
    return (
        first.value,
        second.value,
        changed,
        changed / len(simulation.trace) * 100,
        new.cost_usd_per_1000 - old.cost_usd_per_1000,
        new.latency_p50_s - old.latency_p50_s,
        new.latency_p95_s - old.latency_p95_s,
        (new.quality - old.quality) * 100,
    )


def _exponents(simulation: Simulation) -> ReportTable:
    return ReportTable(
        "exponents",
        "Preferences and their exponents",
        (
            ReportColumn("preference", "Preference"),
            *(ReportColumn(name, name.capitalize(), basis="stated", digits=2) for name in FACTORS),
        ),
        [(preference.value, *(EXPONENTS[preference][name] for name in FACTORS)) for preference in simulation.results],
    )


def charts(simulation: Simulation) -> tuple[BarChart, ...]:
    """Where the requests go under each preference."""
    drawn = (_shares(preference, result) for preference, result in simulation.results.items())
    return tuple(chart for chart in drawn if chart.bars)


def _shares(preference: RoutingPreference, result: PreferenceResult) -> BarChart:
    bars = [(endpoint, share * 100) for endpoint, share in list(result.share.items())[:BARS]]
    rest = len(result.share) - len(bars)
    more = f" {rest} more endpoints win fewer requests." if rest else ""
    return BarChart(
        f"Where the requests go, {preference}",
        f"Bars of each endpoint's share. {', '.join(f'{name} {share:.2f} %' for name, share in bars)}.{more}",
        "%",
        bars,
        digits=2,
    )
