"""The answer to one request: ranking, cost against time, two compared, the three preferences, exclusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from freerelay_core.decision import Decision, RankedEndpoint
from freerelay_core.preference import FACTORS, RoutingPreference
from freerelay_core.reports import report_of_decision
from pages import _charts
from pages import _simulator_words as words
from pages._factors import factors_caption
from pages._format import basis, markdown
from pages._report_download import download_row
from pages._session import application
from pages._simulator_scatter import cost_against_time
from pages._simulator_sensitivity import show_sensitivity
from pages._simulator_tables import Column, Table, show_table

__all__ = ["details", "ranking", "unknown_endpoints"]

WINNER, RUNNER_UP = "the winner", "the runner-up"

ROWS = 10
"""Rows of the ranking that are seen at once."""


def ranking(decision: Decision, basis_line: str, money: str | None) -> None:
    """The first answer: who wins and why, and the ranked table. `money` says what the tenant's budget has to do with
    it.
    """
    st.header(markdown(words.headline(decision)), anchor=False)
    if rule := words.rule_sentence(decision):
        st.info(markdown(rule))
    st.write(markdown(words.answer(decision)))
    if money:
        st.write(markdown(money))
    if decision.order:
        show_table(ranking_table(decision, basis_line), rows=ROWS)
        st.caption(words.ABSOLUTE)
    download_row(report_of_decision(decision, made_at=application().clock.now()))


def ranking_table(decision: Decision, basis_line: str) -> Table:
    """Every ranked endpoint, best first."""
    return Table(
        "ranking",
        f"Ranking of {len(decision.order)} endpoints under {decision.preference.value}. {basis_line}",
        (
            Column("Rank", "%d", width=44),
            Column("Endpoint", width=188),
            Column("Score, 0-100", "%.1f", width=90, bar=True, help="100 for the winner; its utility in proportion."),
            Column("USD per 1,000", "%.4f", width=94, help="Cost of 1,000 requests like this one."),
            Column("p50, s", "%.1f", width=48, help="Median time until the answer is complete."),
            Column("p95, s", "%.1f", width=48, help="95 of 100 answers are complete by then."),
            Column("Good, %", "%.0f", width=60, help="Expected share of good answers to a request this hard."),
            Column("Basis", width=190, help="The weakest of what ability and speed rest on. Prices are today's list."),
            Column("USD per request", "%.7f", width=110),
            Column("Provider", width=100),
            Column("Served by", width=90, help="Simulation: no vendor is called."),
        ),
        [
            (
                position + 1,
                row.endpoint,
                row.score,
                row.cost_usd * 1000,
                row.latency_p50_s,
                row.latency_p95_s,
                row.quality * 100,
                basis(row.basis),
                row.cost_usd,
                row.provider,
                "simulation" if row.simulated else "vendor",
            )
            for position, row in enumerate(decision.ranking)
        ],
    )


def details(decision: Decision, decisions: Mapping[RoutingPreference, Decision], basis_line: str) -> None:
    """Everything below the ranking."""
    if decision.order:
        _charts.show_chart(cost_against_time(decision.ranking, words.scatter_title(decision)), key="cost-against-time")
        st.caption("The lower left is better: cheaper and faster. The ranking above is the table behind this chart.")
        _explanations(decision, basis_line)
        if decision.sensitivity:
            show_sensitivity(decision.sensitivity, basis_line)
        _preferences(decisions, basis_line)
    if decision.excluded:
        _exclusions(decision, basis_line)
    else:
        st.write(f"{words.excluded_title([], len(decision.snapshot))}.")


def unknown_endpoints(decision: Decision, asked: Mapping[str, Sequence[str]]) -> list[str]:
    """What the URL names as A or B and is not in the ranking."""
    known = {WINNER, RUNNER_UP, *decision.endpoints}
    return [f"{key}={name[:60]}" for key in ("a", "b") for name in asked.get(key, ()) if name not in known]


def _explanations(decision: Decision, basis_line: str) -> None:
    st.header("Why A, not B", anchor=False)
    left, right = st.columns(2)
    a = _chosen(decision, left, "Endpoint A", "a", WINNER)
    b = _chosen(decision, right, "Endpoint B", "b", RUNNER_UP)
    first, second = decision.row(a), decision.row(b)
    comparison = decision.compare(a, b)[0]
    if a == b:
        st.write("A and B are the same endpoint. Choose another one to compare.")
    else:
        st.write(markdown(words.comparison_sentence(decision, a, b)))
    left, right = st.columns(2)
    with left:
        _charts.show_chart(_charts.contributions(first), key="contributions")
        show_table(contributions_table(first, basis_line))
    if a != b:
        with right:
            title = words.comparison_title(first, second, comparison.by_factor)
            chart = _charts.difference_bars(title, first.endpoint, second.endpoint, comparison.by_factor)
            _charts.show_chart(chart, key="difference")
            show_table(comparison_table(first, second, comparison.by_factor, basis_line))
    st.caption(factors_caption())


def _chosen(decision: Decision, place: DeltaGenerator, label: str, key: str, default: str) -> int:
    """The position of the endpoint chosen in a select box."""
    options = [default, *decision.endpoints]
    name = place.selectbox(label, options, key=key, bind="query-params")
    if name in decision.endpoints:
        return decision.endpoints.index(str(name))
    return 0 if default == WINNER or len(decision.order) == 1 else 1


def contributions_table(row: RankedEndpoint, basis_line: str) -> Table:
    """The factors of one endpoint; the contributions sum to ln U."""
    rows: list[tuple[str | float | None, ...]] = [(name, *row.factors[name]) for name in FACTORS]
    return Table(
        "contributions",
        f"Contributions of {row.endpoint}; they sum to ln U, and the utility is exp(ln U). {basis_line}",
        (
            Column("Factor", width=80),
            Column("Value", "%.4f", width=70, help="1 is best"),
            Column("Exponent", "%.1f", width=75, help="The preference's weight of this factor."),
            Column("Exponent x ln value", "%.4f", width=140),
        ),
        [*rows, ("all: U, ln U", row.utility, None, row.log_utility)],
    )


def comparison_table(a: RankedEndpoint, b: RankedEndpoint, by_factor: Mapping[str, float], basis_line: str) -> Table:
    """The contributions of two endpoints side by side; their differences sum to the gap in ln U."""
    rows: list[tuple[str | float | None, ...]] = [
        (name, a.factors[name][2], b.factors[name][2], by_factor[name]) for name in FACTORS
    ]
    sums = [sum(column) for column in zip(*(row[1:] for row in rows), strict=True)]
    return Table(
        "comparison",
        f"Contributions of A, {a.endpoint}, and B, {b.endpoint}; the differences sum to the gap in ln U. {basis_line}",
        (
            Column("Factor", width=80),
            Column("A", "%.4f", width=90),
            Column("B", "%.4f", width=90),
            Column("A - B", "%+.4f", width=90, help="Above 0 speaks for A."),
        ),
        [*rows, ("sum", *sums)],
    )


def _preferences(decisions: Mapping[RoutingPreference, Decision], basis_line: str) -> None:
    st.header("The three preferences", anchor=False)
    st.write(markdown(words.preferences_sentence(decisions)))
    show_table(preferences_table(decisions, basis_line))


def preferences_table(decisions: Mapping[RoutingPreference, Decision], basis_line: str) -> Table:
    """The winner under each preference."""
    rows: list[tuple[str | float | None, ...]] = []
    for preference, decision in decisions.items():
        if not decision.order:
            continue
        winner = decision.row(0)
        equals = [row.endpoint for row in decision.ranking[1:] if row.about_equal]
        rows.append(
            (
                preference.value,
                winner.endpoint,
                winner.cost_usd * 1000,
                winner.latency_p50_s,
                winner.latency_p95_s,
                winner.quality * 100,
                words.listed(equals, most=1) if equals else "none",
            )
        )
    return Table(
        "preferences",
        f"First choice under each preference. {basis_line}",
        (
            Column("Preference", width=140),
            Column("First choice", width=220),
            Column("USD per 1,000", "%.4f", width=110),
            Column("p50, s", "%.1f", width=65),
            Column("p95, s", "%.1f", width=65),
            Column("Good, %", "%.0f", width=75, help="Expected share of good answers."),
            Column(
                "About equal", width=330, help="Within 5 % of the first choice: as good, as far as the data can tell."
            ),
        ),
        rows,
    )


def _exclusions(decision: Decision, basis_line: str) -> None:
    excluded = decision.excluded
    st.header(words.excluded_title(excluded, len(decision.snapshot)), anchor=False)
    st.write(markdown(words.excluded_reasons(excluded)))
    table = Table(
        "excluded endpoints",
        f"Endpoints that cannot serve this request. {basis_line}",
        (Column("Endpoint", width=240), Column("Because it", width=340), Column("Reason code", width=200)),
        [(row.endpoint, row.detail, row.reason) for row in excluded],
    )
    show_table(table, rows=ROWS)
