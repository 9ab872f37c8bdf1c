"""A what-if as figures and tables, numbers as `WhatIf` has them."""

from __future__ import annotations

from freerelay_core.reports.model import OF_ROW, BarChart, Figure, ReportColumn, ReportTable
from freerelay_core.reports.trace_tables import BARS, COUNTED, EXPECTED, LIST_PRICE, SIMULATED
from freerelay_core.simulation import PreferenceResult, WhatIf

__all__ = ["charts", "summary", "tables"]

_COMPUTED = "computed"


def summary(what_if: WhatIf) -> tuple[Figure, ...]:
    """What changes for all together."""
    before, after = what_if.total_usd(what_if.baseline), what_if.total_usd(what_if.changed)
    own, (unserved_now, unserved_then) = what_if.traffic.own, what_if.named_unserved
    return (
        Figure("requests", "Requests", len(what_if.traffic), basis=COUNTED),
        Figure("demo_requests", "Of them demo data", what_if.traffic.demo, basis=COUNTED),
        Figure("own_preference", "Of them with a preference of their own", int(own.overriding.sum()), basis=COUNTED),
        Figure("named_model", "Of them naming their model", int(own.named.sum()), basis=COUNTED),
        Figure("named_unserved_now", "Not served by the model named, now", unserved_now, basis=COUNTED),
        Figure("named_unserved_scenario", "Not served by it under the scenario", unserved_then, basis=COUNTED),
        Figure("cost_usd_now", "Cost in all now", before, "USD", LIST_PRICE, 4),
        Figure("cost_usd_scenario", "Cost in all under the scenario", after, "USD", LIST_PRICE, 4),
        Figure("first_choice_changed", "First choices that change", what_if.first_choices_changed, basis=COUNTED),
    )


def tables(what_if: WhatIf) -> tuple[ReportTable, ...]:
    """The scenario, both sides with their difference, endpoints, moves of first choices, and tenants."""
    return (_changes(what_if), _difference(what_if), _shares(what_if), _moves(what_if), _tenants(what_if))


def _changes(what_if: WhatIf) -> ReportTable:
    return ReportTable(
        "changes",
        "What the scenario changes, in order",
        (ReportColumn("rank", "Number"), ReportColumn("change", "Change")),
        list(enumerate(what_if.scenario.sentences(), start=1)),
    )


def _difference(what_if: WhatIf) -> ReportTable:
    before, after = what_if.baseline, what_if.changed
    cost, quality = what_if.interval("cost_usd"), what_if.interval("quality")
    none = (None, None)
    return ReportTable(
        "difference",
        "Now and under the scenario; intervals of 90 % over requests, paired",
        (
            ReportColumn("figure", "Figure"),
            ReportColumn("unit", "Unit"),
            ReportColumn("basis", "Basis"),
            ReportColumn("now", "Now", basis=OF_ROW, digits=4),
            ReportColumn("scenario", "Scenario", basis=OF_ROW, digits=4),
            ReportColumn("difference", "Difference", basis=OF_ROW, digits=4),
            ReportColumn("from", "From", basis=OF_ROW, digits=4),
            ReportColumn("to", "To", basis=OF_ROW, digits=4),
        ),
        [
            (
                "Cost per 1,000 requests",
                "USD",
                LIST_PRICE,
                before.cost_usd_per_1000,
                after.cost_usd_per_1000,
                *(value * 1000 for value in cost),
            ),
            ("Time p50", "s", SIMULATED, *_pair(before.latency_p50_s, after.latency_p50_s), *none),
            ("Time p95", "s", SIMULATED, *_pair(before.latency_p95_s, after.latency_p95_s), *none),
            (
                "Good answers",
                "%",
                EXPECTED,
                before.quality * 100,
                after.quality * 100,
                *(value * 100 for value in quality),
            ),
            ("Without an answer", "requests", COUNTED, *_pair(before.unserved, after.unserved), *none),
        ],
    )


def _pair(before: float, after: float) -> tuple[float, float, float]:
    return (before, after, after - before)


def _shares(what_if: WhatIf) -> ReportTable:
    changes = sorted(what_if.share_changes(), key=lambda row: (-row[2], -row[1], row[0]))
    return ReportTable(
        "ranking.scenario",
        "Ranking by requests won under the scenario",
        (
            ReportColumn("rank", "Rank"),
            ReportColumn("endpoint", "Endpoint"),
            ReportColumn("now_percent", "Now", "%", COUNTED, 2),
            ReportColumn("scenario_percent", "Scenario", "%", COUNTED, 2),
            ReportColumn("difference_points", "Difference", "points of 100", COUNTED, 2),
        ),
        [
            (rank, name, before * 100, after * 100, (after - before) * 100)
            for rank, (name, before, after) in enumerate(changes, start=1)
        ],
    )


def _moves(what_if: WhatIf) -> ReportTable:
    return ReportTable(
        "moves",
        "First choices that change",
        (
            ReportColumn("from", "From"),
            ReportColumn("to", "To"),
            ReportColumn("requests", "Requests", "requests", COUNTED),
        ),
        what_if.moves(),
    )


def _tenants(what_if: WhatIf) -> ReportTable:
    return ReportTable(
        "tenants",
        "What each tenant gains or loses, by the exponents that it has now; the most harmed first",
        (
            ReportColumn("tenant", "Tenant"),
            ReportColumn("verdict", "Verdict"),
            ReportColumn("requests", "Requests", "requests", COUNTED),
            ReportColumn("changed", "First choice differs", "requests", COUNTED),
            ReportColumn("utility_percent", "Utility", "%", _COMPUTED, 2),
            ReportColumn("cost_usd_per_1000_now", "Cost per 1,000 now", "USD", LIST_PRICE, 4),
            ReportColumn("cost_usd_per_1000_scenario", "Then", "USD", LIST_PRICE, 4),
            ReportColumn("latency_p95_s_now", "p95 now", "s", SIMULATED, 1),
            ReportColumn("latency_p95_s_scenario", "Then", "s", SIMULATED, 1),
            ReportColumn("quality_percent_now", "Good now", "%", EXPECTED, 1),
            ReportColumn("quality_percent_scenario", "Then", "%", EXPECTED, 1),
            ReportColumn("unserved", "Unserved then", "requests", COUNTED),
        ),
        [
            (
                effect.tenant.label,
                effect.verdict,
                effect.requests,
                effect.changed,
                effect.utility_percent,
                *effect.cost_usd_per_1000,
                *effect.latency_p95_s,
                *(quality * 100 for quality in effect.quality),
                effect.unserved[1],
            )
            for effect in what_if.tenants
        ],
    )


def charts(what_if: WhatIf) -> tuple[BarChart, ...]:
    """Where the requests go, now and under the scenario."""
    drawn = (_chart("now", what_if.baseline), _chart("under the scenario", what_if.changed))
    return tuple(chart for chart in drawn if chart.bars)


def _chart(when: str, side: PreferenceResult) -> BarChart:
    bars = [(endpoint, share * 100) for endpoint, share in list(side.share.items())[:BARS]]
    said = ", ".join(f"{name} {share:.2f} %" for name, share in bars)
    return BarChart(f"Where the requests go {when}", f"Bars of each endpoint's share. {said}.", "%", bars, digits=2)
