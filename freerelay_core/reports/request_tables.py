"""The ranking of one request as figures and tables, numbers as `Decision` has them."""

from __future__ import annotations

from freerelay_core.decision import Decision, RankedEndpoint
from freerelay_core.preference import FACTORS
from freerelay_core.reports.model import OF_ROW, BarChart, Figure, ReportColumn, ReportTable

__all__ = ["charts", "scope", "summary", "tables"]

LIST_PRICE, COMPUTED, COUNTED, EXPECTED = "list price", "computed", "counted", "expected"

_RANK = (ReportColumn("rank", "Rank"), ReportColumn("endpoint", "Endpoint"))


def scope(decision: Decision) -> tuple[Figure, ...]:
    """The request as the router sees it, and the rules that applied."""
    profile, budget = decision.profile, decision.budget
    limit = [] if profile.answer_limit is None else [_limit(profile.answer_limit)]
    left = [] if budget is None else [_left(float(budget.left_usd))]
    return (
        Figure("family", "Task family", profile.family.value),
        Figure("depth", "Depth", profile.depth.label),
        Figure("latency_class", "Latency class", profile.latency_class.label),
        Figure("contract", "Answer form", profile.contract.label),
        Figure("input_tokens", "Input", profile.input_tokens, "tokens", EXPECTED),
        Figure("cached_tokens", "Of it cached", profile.cached_tokens, "tokens", EXPECTED),
        Figure("output_tokens", "Output", profile.output_tokens, "tokens", EXPECTED),
        Figure("answers", "Answers of that length (n)", profile.answers),
        *limit,
        Figure("needs", "Needs", ", ".join(sorted(profile.needs)) or "none"),
        Figure("posture", "Safety posture", "locked down" if profile.locked_down else "ordinary"),
        Figure("hour_utc", "Prices of the hour, UTC", profile.hour_utc),
        Figure("rules", "Rules that applied", ", ".join(decision.directive.rules) or "none"),
        *left,
    )


def _limit(tokens: int) -> Figure:
    return Figure("answer_limit", "Most that an answer may have (max_tokens)", tokens, "tokens")


def _left(usd: float) -> Figure:
    return Figure("budget_left_usd", "Left of the tenant's budget", usd, "USD", COUNTED, 4)


def summary(decision: Decision) -> tuple[Figure, ...]:
    """The winner and how many endpoints it stands among."""
    counts = (
        Figure("ranked", "Endpoints ranked", len(decision.order), basis=COUNTED),
        Figure("excluded", "Endpoints excluded", len(decision.excluded), basis=COUNTED),
    )
    if not decision.order:
        return counts
    first = decision.row(0)
    return (
        Figure("winner", "Ranked first", first.endpoint),
        Figure("cost_usd_per_1000", "Cost of 1,000 such requests", first.cost_usd * 1000, "USD", LIST_PRICE, 4),
        Figure("latency_p50_s", "Median time", first.latency_p50_s, "s", first.basis, 1),
        Figure("latency_p95_s", "95 of 100 within", first.latency_p95_s, "s", first.basis, 1),
        Figure("quality_percent", "Good answers", first.quality * 100, "%", first.basis, 1),
        *counts,
    )


def tables(decision: Decision) -> tuple[ReportTable, ...]:
    """Ranking, factors, contributions, exponents, exclusions."""
    rows = decision.ranking
    return (_ranking(rows), _factors(rows), _contributions(rows), _exponents(decision), _excluded(decision))


def _ranking(rows: list[RankedEndpoint]) -> ReportTable:
    return ReportTable(
        "ranking",
        "Ranking",
        (
            *_RANK,
            ReportColumn("score", "Score", "of 100", COMPUTED, 1),
            ReportColumn("cost_usd_per_1000", "Cost per 1,000", "USD", LIST_PRICE, 4),
            ReportColumn("latency_p50_s", "p50", "s", OF_ROW, 1),
            ReportColumn("latency_p95_s", "p95", "s", OF_ROW, 1),
            ReportColumn("quality_percent", "Good", "%", OF_ROW, 1),
            ReportColumn("basis", "Basis"),
            ReportColumn("cost_usd", "Cost per request", "USD", LIST_PRICE, 7),
            ReportColumn("provider", "Provider"),
            ReportColumn("model", "Model"),
            ReportColumn("served_by", "Served by"),
            ReportColumn("about_equal", "Within 5 % of the first"),
        ),
        [
            (
                rank,
                row.endpoint,
                row.score,
                row.cost_usd * 1000,
                row.latency_p50_s,
                row.latency_p95_s,
                row.quality * 100,
                row.basis,
                row.cost_usd,
                row.provider,
                row.model,
                "simulation" if row.simulated else "vendor",
                "yes" if row.about_equal else "no",
            )
            for rank, row in enumerate(rows, start=1)
        ],
    )


def _factors(rows: list[RankedEndpoint]) -> ReportTable:
    return ReportTable(
        "factors",
        "Factors: 1 is best",
        (
            *_RANK,
            *(ReportColumn(name, name.capitalize(), basis=COMPUTED, digits=4) for name in FACTORS),
            ReportColumn("utility", "Utility", basis=COMPUTED, digits=4),
        ),
        [
            (rank, row.endpoint, *(row.factors[name][0] for name in FACTORS), row.utility)
            for rank, row in enumerate(rows, start=1)
        ],
    )


def _contributions(rows: list[RankedEndpoint]) -> ReportTable:
    return ReportTable(
        "contributions",
        "Contributions: exponent x ln value, 0 is best",
        (
            *_RANK,
            *(ReportColumn(name, name.capitalize(), basis=COMPUTED, digits=4) for name in FACTORS),
            ReportColumn("ln_utility", "Sum: ln U", basis=COMPUTED, digits=4),
        ),
        [
            (rank, row.endpoint, *(row.factors[name][2] for name in FACTORS), row.log_utility)
            for rank, row in enumerate(rows, start=1)
        ],
    )


def _exponents(decision: Decision) -> ReportTable:
    preference = decision.preference
    return ReportTable(
        "exponents",
        "Preference and its exponents",
        (
            ReportColumn("preference", "Preference"),
            ReportColumn("level", "Decided by"),
            ReportColumn("rule", "Rule"),
            *(ReportColumn(name, name.capitalize(), basis="stated", digits=2) for name in FACTORS),
        ),
        [
            (
                preference.value.value,
                preference.level,
                preference.rule or "none",
                *(decision.exponents[name] for name in FACTORS),
            )
        ],
    )


def _excluded(decision: Decision) -> ReportTable:
    return ReportTable(
        "excluded",
        "Endpoints that cannot serve the request",
        (ReportColumn("endpoint", "Endpoint"), ReportColumn("reason", "Reason"), ReportColumn("detail", "Because it")),
        [(row.endpoint, row.reason, row.detail) for row in decision.excluded],
    )


def charts(decision: Decision) -> tuple[BarChart, ...]:
    """What each factor takes from the winner."""
    if not decision.order:
        return ()
    first = decision.row(0)
    parts = [(name, first.factors[name][2]) for name in FACTORS]
    said = ", ".join(f"{name} {part:z.3f}" for name, part in parts)
    return (
        BarChart(
            f"What each factor takes from {first.endpoint}",
            f"Bars of exponent x ln value; 0 takes nothing. {said}.",
            "",
            parts,
            digits=3,
        ),
    )
