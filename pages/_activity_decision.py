"""One decision opened: what was chosen and why, what was tried, and what was expected against what came."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, isclose
from typing import Any

import streamlit as st

from freerelay_core.preference import FACTORS
from freerelay_core.router import CLIENT_LEFT
from freerelay_core.router.recompute import recompute
from freerelay_core.store.values import DecisionRecord
from pages import _format as fmt
from pages._factors import FACTOR_HELP, factors_caption
from pages._format import markdown
from pages._simulator_input import MAX_TOKENS, RULE_AXES
from pages._simulator_tables import Column, Table, show_table

__all__ = ["attempts_table", "ranking_table", "show_decision"]

_SHOWN_ROWS = 10


def show_decision(record: DecisionRecord) -> None:
    """Draw it, the answer first."""
    st.header(markdown(_headline(record)), anchor=False)
    st.write(markdown(_sentence(record)))
    st.page_link("simulator.py", label="Simulate this one", icon=":material/science:", query_params=_query(record))
    show_table(_expectations(record))
    st.subheader(markdown(_ranking_title(record)), anchor=False)
    show_table(ranking_table(record), rows=_SHOWN_ROWS)
    st.caption(factors_caption())
    _recompute(record)
    if record.outcome.attempts:
        st.subheader(f"Tried: {fmt.count(len(record.outcome.attempts), 'endpoint')}", anchor=False)
        show_table(attempts_table(record))
    if record.excluded:
        st.subheader(f"Excluded: {fmt.count(len(record.excluded), 'endpoint')}", anchor=False)
        show_table(_excluded_table(record), rows=_SHOWN_ROWS)
    st.subheader("What it rests on", anchor=False)
    st.markdown("\n".join(f"- {markdown(text)}" for text in _facts(record)))


def _headline(record: DecisionRecord) -> str:
    outcome = record.outcome
    if outcome.endpoint is None:
        return f"No endpoint answered (status {outcome.status})"
    name, took, cost = outcome.endpoint, fmt.seconds(outcome.duration_s), fmt.usd(outcome.cost_usd)
    if outcome.status < 400:
        return f"{name} answered in {took} for {cost}"
    if outcome.status == CLIENT_LEFT:
        spent = "" if outcome.cost_usd is None else f"; what had come cost {cost}"
        return f"The client left after {took}, while {name} worked{spent}"
    if outcome.status < 500:
        return f"{name} refused the request (status {outcome.status})"
    return f"The answer of {name} broke off after {took} (status {outcome.status})"


def _sentence(record: DecisionRecord) -> str:
    preference, profile = record.preference, record.profile
    decided = f"rule {preference.rule}" if preference.rule else f"level {preference.level}"
    basis = "Demo data: generated, nobody sent it." if record.demo else f"{_basis(record).capitalize()}."
    if record.explored:
        basis += " An endpoint close to the best that was seldom asked of late was tried first, to learn of it"
        basis += "." if record.propensity is None else f" (chance {fmt.percent(record.propensity)})."
    return (
        f"{fmt.moment(record.created_at)}. {profile.get('family')}, {profile.get('depth')}, about "
        f"{fmt.count(profile.get('input_tokens', 0))} tokens in and {fmt.count(profile.get('output_tokens', 0))} out; "
        f"{preference.value}, decided by {decided}. {basis}"
    )


def _basis(record: DecisionRecord) -> str:
    """How the outcome came about; a generated one rests on no endpoint's answer, not even on a simulated one's."""
    return "generated" if record.demo else fmt.basis(record.outcome.basis)


def _expectations(record: DecisionRecord) -> Table:
    """What the chosen endpoint was expected to take and cost, beside what it did."""
    ranking, outcome = record.ranking, record.outcome
    at = ranking.endpoint.index(outcome.endpoint) if outcome.endpoint in ranking.endpoint else None

    def expected(column: Any) -> float | None:
        return None if at is None else float(column[at])

    profile = record.profile
    return Table(
        "expected and actual",
        f"Decision {record.id}: expected and actual.",
        (
            Column("Figure", width=260),
            Column("Expected", "%.6g", width=110),
            Column("Slow (95 %)", "%.4g", width=110),
            Column("Actual", "%.6g", width=110),
        ),
        [
            ("Cost, USD", expected(ranking.cost_usd), None, outcome.cost_usd),
            (
                "Duration, s",
                _milliseconds(expected(ranking.latency_p50_s)),
                _milliseconds(expected(ranking.latency_p95_s)),
                _milliseconds(outcome.duration_s),
            ),
            ("First token, s", None, None, _milliseconds(outcome.first_token_s)),
            ("Input, tokens", profile.get("input_tokens"), None, outcome.input_tokens),
            ("Cached input, tokens", profile.get("cached_tokens"), None, outcome.cached_tokens),
            ("Output, tokens (actual with thinking)", profile.get("output_tokens"), None, outcome.output_tokens),
        ],
    )


def _milliseconds(duration_s: float | None) -> float | None:
    """To the millisecond, s: what is finer means nothing."""
    return None if duration_s is None else round(duration_s, 3)


def _ranking_title(record: DecisionRecord) -> str:
    first = record.ranking.endpoint[:1]
    return f"{first[0]} ranked first of {fmt.count(len(record.ranking.endpoint))}" if first else "Nothing was ranked"


def ranking_table(record: DecisionRecord) -> Table:
    """The ranking with every factor's contribution, from the log."""
    ranking, logs = record.ranking, record.log_factors
    utilities = dict(recompute(record).ranking)
    best = max(utilities.values(), default=0.0)
    return Table(
        "ranking",
        f"Decision {record.id}: ranking, with each factor's contribution to ln U (exponent x ln value; 0 is best).",
        (
            Column("Rank", "%d", width=50),
            Column("Endpoint", width=230),
            Column("Score, 0-100", "%.1f", width=95),
            Column("USD", "%.3g", width=80),
            Column("p50, s", "%.1f", width=60),
            Column("p95, s", "%.1f", width=60),
            *(
                Column(name, "%.3f", width=75, help=f"{FACTOR_HELP[name]} Exponent {record.exponents[name]}.")
                for name in FACTORS
            ),
        ),
        [
            (
                number + 1,
                endpoint,
                100 * exp(utilities[endpoint] - best),
                ranking.cost_usd[number],
                ranking.latency_p50_s[number],
                ranking.latency_p95_s[number],
                *(record.exponents[name] * logs[name][number] for name in FACTORS),
            )
            for number, endpoint in enumerate(ranking.endpoint)
        ],
    )


def _recompute(record: DecisionRecord) -> None:
    """On demand, the proof that the log alone gives the order."""
    if not st.button("Recompute", icon=":material/replay:"):
        return
    again = recompute(record)
    if not again.agrees:
        what = "other scores" if again.same_order else "another order"
        st.error(f"Recomputed from the log just now: {what}. This is a fault; report it with the decision's id.")
        return
    scores = {True: "and every score equal to the last bit", None: "there are no scores on record to compare"}
    st.success(
        "Recomputed from the log just now, exponents times logged factors and nothing else: "
        f"the same order of {fmt.count(len(again.ranking), 'endpoint')}, {scores[again.same_bits or None]}."
    )


def attempts_table(record: DecisionRecord) -> Table:
    """Each attempt, in order."""
    return Table(
        "attempts",
        f"Decision {record.id}: attempts in order. Times are {_basis(record)}.",
        (
            Column("Attempt", "%d", width=70),
            Column("Endpoint", width=240),
            Column("Status", "%d", width=70),
            Column("First token, s", "%.3f", width=110),
            Column("Duration, s", "%.3f", width=100),
            Column("What went wrong", width=260),
        ),
        [_attempt(number, attempt) for number, attempt in enumerate(record.outcome.attempts, start=1)],
    )


def _attempt(number: int, attempt: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("endpoint", "status", "first_token_s", "duration_s")
    cut_off = "a limit cut the answer off" if attempt.get("cut_off") else None
    return (number, *(attempt.get(name) for name in names), attempt.get("error") or cut_off or "nothing")


def _excluded_table(record: DecisionRecord) -> Table:
    return Table(
        "excluded",
        f"Decision {record.id}: endpoints that could not serve it.",
        (Column("Endpoint", width=260), Column("Reason", width=260)),
        [(row.get("endpoint"), row.get("reason")) for row in record.excluded],
    )


def _facts(record: DecisionRecord) -> list[str]:
    exponents = ", ".join(f"{name} {value}" for name, value in record.exponents.items() if not isclose(value, 1.0))
    facts = [
        f"Decision {record.id}, request {record.request_id}, model asked for: {record.model}.",
        f"Snapshot {record.snapshot_id}. Exponents other than 1: {exponents or 'none'}.",
        f"Outcome: {_basis(record)}{', tokens estimated' if record.outcome.usage_estimated else ''}.",
        "No text of the request or the answer is stored.",
    ]
    if record.rules:
        facts.insert(1, f"Rules that matched: {', '.join(record.rules)}.")
    if record.actions:
        facts.insert(2, f"What they did: {'; '.join(map(_action, record.actions))}.")
    return facts


def _action(row: Mapping[str, Any]) -> str:
    """An action of a rule in words: `eu only: require mistral/* (dropped: nothing left met it)`."""
    value = row.get("value")
    shown = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is True else str(value)
    dropped = " (dropped: nothing left met it)" if row.get("dropped") else ""
    return f"{row.get('rule')}: {row.get('action')} {shown}".rstrip() + dropped


def _query(record: DecisionRecord) -> dict[str, str | list[str]]:
    """The simulator's parameters for a request like this one."""
    profile = record.profile
    names = {
        "task": "family",
        "depth": "depth",
        "class": "latency_class",
        "form": "contract",
        "in": "input_tokens",
        "out": "output_tokens",
        "cached": "cached_tokens",
        "hour": "hour_utc",
    }
    query: dict[str, str | list[str]] = {name: str(profile[source]) for name, source in names.items()}
    if profile["needs"]:
        query["needs"] = list(profile["needs"])
    if profile["locked_down"]:
        query["locked"] = "true"
    if profile.get("answers", 1) > 1:  # older records lack it
        query["n"] = str(profile["answers"])
    if profile.get("answer_limit"):  # as above
        query["limit"] = str(min(profile["answer_limit"], MAX_TOKENS))
    query |= {name: profile[name] for name in RULE_AXES if name in profile}  # as above
    return {**query, "under": record.preference.value.value}
