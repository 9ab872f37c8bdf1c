"""The answer to a what-if: what changes for all, who wins and loses, where requests go, and what that rests on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from freerelay_core.reports import report_of_what_if
from freerelay_core.simulation import CheaperMove, TenantEffect, WhatIf, fall_despite_rise
from pages import _charts
from pages import _format as fmt
from pages._format import markdown
from pages._report_download import download_row
from pages._simulator_tables import Column, Table, show_table

__all__ = [
    "Answer",
    "figures_table",
    "headline",
    "moves_table",
    "sentence",
    "share_table",
    "show_answer",
    "tenants_table",
]

_SHOWN_ROWS = 8
_SIDES = ("now", "scenario")
_LEFT_OUT = (
    ", so the scenario's figures leave them out; differences of cost and quality per request are over those that both "
    "sides serve."
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A rehearsal, and when it was run."""

    what_if: WhatIf
    ran_at: datetime

    @property
    def line(self) -> str:
        """What every table and file says of itself."""
        result = self.what_if
        return (
            f"{result.scenario.name} on {result.traffic.trace.origin}, snapshot {result.snapshot.id}, "
            f"seed {result.seed}, run {fmt.moment(self.ran_at)}; simulated."
        )


def show_answer(answer: Answer, now: datetime, rest: DeltaGenerator) -> None:
    """Draw it, the sentence first; what is behind it goes into `rest`."""
    result = answer.what_if
    st.header(markdown(headline(result)), anchor=False)
    st.write(markdown(sentence(result)))
    if result.traffic.demo:
        demo = fmt.count(result.traffic.demo, "request")
        st.html(f"<p class='fr-notice'><strong>Demo data.</strong> {demo} of these were generated, not sent.</p>")
    show_table(figures_table(answer))
    sides = zip(_SIDES, (result.baseline, result.changed), strict=True)
    _charts.show_chart(_charts.shares(_share_title(result), {name: side.share for name, side in sides}), key="shares")
    download_row(report_of_what_if(result, made_at=answer.ran_at))
    with rest:
        st.header(_tenants_title(result.tenants), anchor=False)
        show_table(tenants_table(answer), rows=_SHOWN_ROWS)
        st.header("Where requests go", anchor=False)
        show_table(share_table(answer), rows=_SHOWN_ROWS)
        if result.first_choices_changed:
            st.header("Where first choices move", anchor=False)
            show_table(moves_table(answer), rows=_SHOWN_ROWS)
        st.header("What this rests on", anchor=False)
        st.markdown("\n".join(f"- {markdown(text)}" for text in _provenance(answer, now)))


def headline(result: WhatIf) -> str:
    """What becomes of the cost; where nobody is served any more, that."""
    if result.serves_nobody:
        return f"{result.scenario.name}: nobody would be served"
    before, after = result.total_usd(result.baseline), result.total_usd(result.changed)
    change = fmt.difference(after, before, "cost")
    if change == "same":
        return f"{result.scenario.name}: the cost stays at about {fmt.usd(after)}"
    doubt = ", within chance" if result.cost_within_chance else ""
    return f"{result.scenario.name}: a cost of {fmt.usd(before)} becomes {fmt.usd(after)} ({change}{doubt})"


def sentence(result: WhatIf) -> str:
    """What the change would do, in plain words."""
    before, after = result.baseline, result.changed
    moved = result.first_choices_changed
    changed = f"{fmt.count(moved, 'first choice')} would change ({fmt.percent(moved / len(result.traffic))})"
    answers = "" if result.serves_nobody else f"{_answers(result)}; "
    said = [f"{_tenants_title(result.tenants)}: {answers}{changed}."]
    if result.cost_within_chance:
        said.append(
            "Other requests of this kind may cost more or less under the scenario: the difference's 90 % interval "
            "crosses 0."
        )
    if after.unserved > before.unserved:
        said.append(f"{fmt.count(after.unserved - before.unserved, 'request')} would no longer be answered")
        said[-1] += "." if result.serves_nobody else _LEFT_OUT
    if lost := _unserved_by_name(result):
        said.append(lost)
    if result.unpriced:
        goes = "goes" if result.unpriced == 1 else "go"
        said.append(
            f"{fmt.count(result.unpriced, 'request')} {goes} to endpoints without a price: that cost is left out."
        )
    if move := fall_despite_rise(result):
        said.append(_why_cheaper(move))
    if strangers := result.strangers:
        said.append(f"No request is of {', '.join(strangers)}, so what is said of it changes nothing.")
    changes = "; ".join(result.scenario.sentences()) or "nothing changes"
    return f"{' '.join(said)} The scenario: {changes}. Times are simulated."


def _unserved_by_name(result: WhatIf) -> str:
    """That requests lose the one model that they name; empty where the scenario changes nothing about it."""
    now, then = result.named_unserved
    if then <= now:
        return ""
    they, them = ("it names", "it") if then == 1 else ("they name", "them")
    before = f" (now {fmt.count(now)})" if now else ""
    return (
        f"{fmt.count(then, 'request')} would get no answer from the model that {they}{before}, and no other is "
        f"asked for {them}."
    )


def _in_vain(result: WhatIf) -> str:
    """How many of the requests that name their model it cannot serve; empty where it can serve all."""
    if not any(result.named_unserved):
        return ""
    now, then = (fmt.count(number) for number in result.named_unserved)
    return f": it cannot serve {now} of these now, {then} under the scenario"


def _why_cheaper(move: CheaperMove) -> str:
    """Why the total falls although prices rise, and why the cheaper endpoint was not the first choice before."""
    before, after, others = move.before, move.after, move.moved - move.requests
    quality = fmt.difference(after.quality, before.quality, "quality")
    time = fmt.difference(after.latency_p50_s, before.latency_p50_s, "time")
    worse = " and ".join(words for words in (quality, time) if words.endswith(("worse", "slower")))
    return (
        f"The total falls although prices rise, because {fmt.count(move.requests, 'request')} "
        f"{'moves' if move.requests == 1 else 'move'} from {move.old} to {move.new}, which costs "
        f"{fmt.usd(after.cost_usd_per_1000)} instead of {fmt.usd_per_1000(before.cost_usd_per_1000)}"
        f"{f' ({worse})' if worse else ''}"
        f"{f'; {fmt.count(others)} more move to something cheaper, too' if others else ''}."
    )


def _answers(result: WhatIf) -> str:
    """How the time and quality of answers change."""
    before, after = result.baseline, result.changed
    time = fmt.difference(after.latency_p50_s, before.latency_p50_s, "time")
    quality = fmt.difference(after.quality, before.quality, "quality")
    slow = fmt.difference(after.latency_p95_s, before.latency_p95_s, "time")
    return f"median time {time}, the slowest 5 % of answers {slow}, quality {quality}"


def figures_table(answer: Answer) -> Table:
    """Both sides, and the difference with its interval where there is one."""
    result = answer.what_if
    before, after = result.baseline, result.changed
    cost, quality = result.interval("cost_usd"), result.interval("quality")
    none = (None, None, None)
    rows: list[tuple[str, float, float, float | None, float | None, float | None]] = [
        (
            "Cost per 1,000 requests, USD",
            before.cost_usd_per_1000,
            after.cost_usd_per_1000,
            cost[0] * 1000,
            cost[1] * 1000,
            cost[2] * 1000,
        ),
        ("Cost in all, USD", result.total_usd(before), result.total_usd(after), *none),
        ("Time p50, s (simulated)", before.latency_p50_s, after.latency_p50_s, *none),
        ("Time p95, s (simulated)", before.latency_p95_s, after.latency_p95_s, *none),
        (
            "Good answers, %",
            before.quality * 100,
            after.quality * 100,
            quality[0] * 100,
            quality[1] * 100,
            quality[2] * 100,
        ),
        ("Requests without an answer", before.unserved, after.unserved, *none),
    ]
    return Table(
        "difference",
        f"Now and under the scenario: {answer.line} Intervals at 90 %, paired by request.",
        (
            Column("Figure", width=190),
            Column("Now", "%.4g", width=72),
            Column("Scenario", "%.4g", width=78),
            Column("Difference", "%+.3g", width=82),
            Column("90 % from", "%+.3g", width=77, help="Lower end of the difference's 90 % interval over requests."),
            Column("90 % to", "%+.3g", width=65, help="Upper end of the difference's 90 % interval over requests."),
        ),
        [(name, old, new, new - old if mean is None else mean, low, high) for name, old, new, mean, low, high in rows],
    )


def _tenants_title(effects: tuple[TenantEffect, ...]) -> str:
    counts = Counter(effect.verdict for effect in effects)
    lose, win = (fmt.count(counts[verdict], "tenant") for verdict in ("loses", "wins"))
    return f"{lose} would lose, {win} would win"


def tenants_table(answer: Answer) -> Table:
    """One row a tenant, the most harmed first."""
    return Table(
        "tenants",
        f"What each tenant gains or loses by its present preference: {answer.line}",
        (
            Column("Tenant", width=220),
            Column("Verdict", width=70),
            Column("Requests", "%d", width=75),
            Column("Changed", "%d", width=75, help="Requests whose first choice differs."),
            Column(
                "Utility, %", "%+.1f", width=80, help="Mean change of the utility by the tenant's present exponents."
            ),
            Column("USD per 1,000 now", "%.4f", width=126),
            Column("then", "%.4f", width=80),
            Column("p95 now, s", "%.1f", width=80),
            Column("then, s", "%.1f", width=70),
            Column("Good now, %", "%.1f", width=85),
            Column("then, %", "%.1f", width=70),
            Column("Unserved", "%d", width=75),
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
                *(100 * quality for quality in effect.quality),
                effect.unserved[1],
            )
            for effect in answer.what_if.tenants
        ],
    )


def _share_title(result: WhatIf) -> str:
    name, old, new = (*result.share_changes()[:1], ("", 0.0, 0.0))[0]
    if old == new:
        return "Requests go where they went before"
    return f"{name} goes from {fmt.percent(old)} to {fmt.percent(new)} of the requests"


def share_table(answer: Answer) -> Table:
    """One row an endpoint that wins anything on either side."""
    return Table(
        "shares",
        f"Share of the requests by endpoint: {answer.line}",
        (
            Column("Endpoint", width=260),
            Column("Now, %", "%.2f", width=90),
            Column("Scenario, %", "%.2f", width=100),
            Column("Difference, points", "%+.2f", width=140),
        ),
        [(name, old * 100, new * 100, (new - old) * 100) for name, old, new in answer.what_if.share_changes()],
    )


def moves_table(answer: Answer) -> Table:
    """From which endpoint to which, the most requests first."""
    return Table(
        "moves",
        f"First choices that change: {answer.line}",
        (Column("From", width=240), Column("To", width=240), Column("Requests", "%d", width=100)),
        answer.what_if.moves(),
    )


def _provenance(answer: Answer, now: datetime) -> list[str]:
    result, trace = answer.what_if, answer.what_if.traffic.trace
    age_s = result.snapshot.age_s(now)
    texts = [
        f"{trace.origin}, SHA-256 {trace.sha256[:12]}; run {fmt.moment(answer.ran_at)}.",
        f"Snapshot {result.snapshot.id}, {fmt.seconds(age_s)} old; list prices of its day at each request's hour, UTC.",
        f"Same requests and draws on both sides (seed {result.seed}). Times are simulated, qualities expected.",
        "Intervals say how far a mean would move with other requests of this kind, not how sure the catalogue is.",
        "A tenant wins or loses by the utility of its answers under the exponents it has now.",
        "No budget of a tenant is counted.",
    ]
    own = result.traffic.own
    if own.overriding.any() or own.named.any():
        keeping, naming = int(own.overriding.sum()), int(own.named.sum())
        verb, they = ("keeps", "it") if keeping == 1 else ("keep", "they")
        texts.append(
            f"On both sides {fmt.count(keeping, 'request')} {verb} the preference that {they} asked for, and "
            f"{fmt.count(naming)} the model that was named; no other is asked in its place{_in_vain(result)}."
        )
    if result.times != 1:
        texts.append("Growth multiplies cost: limits of providers and queues are not modelled.")
    if result.traffic.unreadable:
        texts.append(f"{fmt.count(result.traffic.unreadable, 'recorded request')} of another release left out.")
    return texts
