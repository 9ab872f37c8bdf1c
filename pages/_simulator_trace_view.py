"""The answer to a trace: what it costs and gains under each preference, and what that rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import RequestProfile
from freerelay_core.reports import RankingReport, report_of_simulation
from freerelay_core.simulation import Simulation, words_of
from pages import _charts
from pages import _format as fmt
from pages._format import markdown
from pages._outlook import Figures
from pages._report_download import download_row
from pages._simulator_tables import Column, Table, show_table
from pages._simulator_words import listed

__all__ = ["TraceAnswer", "figures_table", "share_table", "show_answer"]

_ORDER = tuple(RoutingPreference)


@dataclass(frozen=True, slots=True)
class TraceAnswer:
    """What a trace costs and gains under each preference, without its rows."""

    origin: str
    sha256: str
    requests: int
    input_tokens: int
    output_tokens: int
    read_as: str
    """What was assumed of every request, for people."""
    snapshot_id: str
    snapshot_at: datetime
    ranked_at: datetime
    seed: int
    figures: Mapping[RoutingPreference, Figures]
    costs_usd: Mapping[RoutingPreference, float]
    changed: Mapping[tuple[RoutingPreference, RoutingPreference], int]
    """Requests whose first choice differs between two preferences."""
    report: RankingReport

    def total_usd(self, preference: RoutingPreference) -> float:
        """Cost of all requests that could be served, USD."""
        return self.costs_usd[preference]

    @classmethod
    def of(cls, simulation: Simulation, like: RequestProfile, ranked_at: datetime) -> TraceAnswer:
        trace = simulation.trace
        return cls(
            origin=trace.origin,
            sha256=trace.sha256,
            requests=len(trace),
            input_tokens=int(trace.profiles.input_tokens.sum()),
            output_tokens=int(trace.profiles.output_tokens.sum()),
            read_as=words_of(like),
            snapshot_id=simulation.snapshot.id,
            snapshot_at=simulation.snapshot.created_at,
            ranked_at=ranked_at,
            seed=simulation.seed,
            figures={preference: Figures.of(result) for preference, result in simulation.results.items()},
            costs_usd={preference: result.cost_usd for preference, result in simulation.results.items()},
            changed={(a, b): simulation.changed(a, b) for a, b in combinations(_ORDER, 2)},
            report=report_of_simulation(simulation, made_at=ranked_at),
        )


def show_answer(answer: TraceAnswer, now: datetime, rest: DeltaGenerator) -> None:
    """Draw it, the sentence first; what is behind it goes into `rest`."""
    line = (
        f"{answer.origin}, {fmt.count(answer.requests, 'request')}, snapshot {answer.snapshot_id}, seed {answer.seed}."
    )
    st.header(markdown(_headline(answer)), anchor=False)
    st.write(markdown(_sentence(answer)))
    show_table(figures_table(answer, line))
    download_row(answer.report)
    by_row = {preference.value: answer.figures[preference].share for preference in _ORDER}
    _charts.show_chart(_charts.shares(_share_title(answer), by_row), key="shares")
    with rest:
        show_table(share_table(answer, line), rows=8)
        _show_changes(answer, line)
        st.header("What this rests on", anchor=False)
        st.markdown("\n".join(f"- {markdown(text)}" for text in _provenance(answer, now)))


def _headline(answer: TraceAnswer) -> str:
    costs = [f"{fmt.usd(answer.total_usd(preference))} {preference.value}" for preference in _ORDER]
    return f"{fmt.count(answer.requests, 'request')}: {costs[0]}, {costs[1]}, {costs[2]}"


def _sentence(answer: TraceAnswer) -> str:
    """From the cheapest to the best, in words."""
    cheapest, best = RoutingPreference.COST_OPTIMIZED, RoutingPreference.PERFORMANCE_FIRST
    low, high = answer.figures[cheapest], answer.figures[best]
    unserved = f" {fmt.count(low.unserved, 'request')} cannot be served by any endpoint." if low.unserved else ""
    cost = fmt.difference(high.cost_usd_per_1000, low.cost_usd_per_1000, "cost")
    time = fmt.difference(high.latency_p50_s, low.latency_p50_s, "time")
    quality = fmt.difference(high.quality, low.quality, "quality")
    return (
        f"{best.value.capitalize()} against {cheapest.value}: cost per 1,000 requests {cost}, median time {time}, "
        f"quality {quality}.{unserved} Times are simulated."
    )


def figures_table(answer: TraceAnswer, line: str) -> Table:
    """One row a preference."""
    return Table(
        "preferences",
        f"The trace under each preference: {line}",
        (
            Column("Preference", width=125),
            Column("USD per 1,000", "%.4f", width=98),
            Column("USD in all", "%.4f", width=90),
            Column("p50, s", "%.1f", width=55, help="Median time, simulated."),
            Column("p95, s", "%.1f", width=55, help="95 of 100 answers are complete by then, simulated."),
            Column("Good, %", "%.1f", width=62, help="Expected share of good answers."),
            Column("Unserved", "%d", width=72, help="Requests that no endpoint could serve."),
        ),
        [
            (
                preference.value,
                figures.cost_usd_per_1000,
                answer.total_usd(preference),
                figures.latency_p50_s,
                figures.latency_p95_s,
                figures.quality * 100,
                figures.unserved,
            )
            for preference, figures in answer.figures.items()
        ],
    )


def _share_title(answer: TraceAnswer) -> str:
    """Where most requests go, preferences that agree together."""
    senders: dict[str, list[str]] = {}
    for preference in _ORDER:
        for endpoint in list(answer.figures[preference].share)[:1]:
            senders.setdefault(endpoint, []).append(preference.value)
    if not senders:
        return "No endpoint can serve these requests"
    if len(senders) == 1:
        return f"Most requests go to {next(iter(senders))} under every preference"
    said = [f"{listed(names, most=3)} to {endpoint}" for endpoint, names in senders.items()]
    return f"Most requests go elsewhere: under {'; under '.join(said)}"


def share_table(answer: TraceAnswer, line: str) -> Table:
    """One row an endpoint that wins anything."""
    names: list[str] = []
    for preference in _ORDER:
        names += [name for name in answer.figures[preference].share if name not in names]
    shares = [answer.figures[preference].share for preference in _ORDER]
    return Table(
        "shares",
        f"Share of the requests by endpoint: {line}",
        (
            Column("Endpoint", width=240),
            *(Column(f"{preference.value}, %", "%.2f", width=150) for preference in _ORDER),
        ),
        [(name, *(share.get(name, 0.0) * 100 for share in shares)) for name in names],
    )


def _show_changes(answer: TraceAnswer, line: str) -> None:
    most = max(answer.changed.values())
    st.header(
        "The first choice is the same under every preference"
        if not most
        else f"Up to {fmt.percent(most / answer.requests)} of the first choices depend on the preference",
        anchor=False,
    )
    table = Table(
        "changed first choices",
        f"Requests whose first choice differs between two preferences: {line}",
        (
            Column("From", width=150),
            Column("To", width=150),
            Column("Requests", "%d", width=100),
            Column("Of all, %", "%.2f", width=100),
        ),
        [(a.value, b.value, number, number / answer.requests * 100) for (a, b), number in answer.changed.items()],
    )
    show_table(table)


def _provenance(answer: TraceAnswer, now: datetime) -> list[str]:
    age_s = max((now - answer.snapshot_at).total_seconds(), 0.0)
    tokens = f"{fmt.count(answer.input_tokens)} input and {fmt.count(answer.output_tokens)} output tokens"
    return [
        f"File {answer.origin}, SHA-256 {answer.sha256[:12]}, {fmt.count(answer.requests, 'row')}, {tokens}.",
        f"Every request taken as {answer.read_as}; ranked {fmt.moment(answer.ranked_at)}.",
        f"Snapshot {answer.snapshot_id}, {fmt.seconds(age_s)} old; list prices of its day at each row's hour, UTC.",
        f"Times are simulated with seed {answer.seed}, the same draws for every preference. Qualities are expected.",
        "A tenant's budget is not counted: every request is ranked as if there were money for it.",
    ]
