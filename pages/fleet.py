"""Fleet, for the operator: which endpoints serve now, why the others do not, and how quick each is expected to be."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from freerelay_core.composition import EndpointState, RouterState, router_state
from freerelay_core.fleet import QuotaFigure
from freerelay_core.store.values import Identity
from pages import _layout, _session
from pages._format import count, markdown, seconds
from pages._simulator_tables import Column, Table, show_table

POLL_S = 5.0
MOST_WARNINGS = 4
"""In an outage of a whole provider the table must stay within sight."""
ALL = "all"
STATES = {
    ALL: "all",
    "serving": "serving",
    "breaker_open": "breaker open",
    "cooling_down": "asked us to wait",
    "quota_gone": "quota used up",
    "provider_budget_gone": "budget used up",
    "not_live": "without live traffic",
}
"""What the filter offers, in words."""
_IDS = {words: state for state, words in STATES.items()}
"""Older links name a state in its words."""
_STATE = "state"
"""Name of the chosen state in the URL, as its id, and in `session_state`."""


LIMIT_WORDS = {
    "rpm": "requests a minute",
    "tpm": "tokens a minute",
    "rpd": "requests a day",
    "tpd": "tokens a day",
}
"""Names of `fleet.LIMITS` in words."""


_CATALOGUE_WORDS = (
    "Catalogue p50 is the time to the first token as routing takes it from the catalogue before anything is measured. "
    "A prior enters at the slow end of its interval, while freerelay catalogue list shows the figure itself."
)


def render() -> None:
    """The page: what needs a look first, then every endpoint and its quotas."""
    _layout.page_title("Fleet")
    _complain()
    asked = _asked_state()
    st.session_state[_STATE] = asked if asked in STATES else ALL
    st.fragment(_now, run_every=POLL_S)()
    _layout.simulated_notice(_session.fleet_snapshot())
    _layout.revision_mark()


def _complain() -> None:
    """Say which filters in the URL cannot be used: those fall back."""
    providers = {ALL, *(each.provider for each in _session.application().catalogue.endpoints)}
    known = {"provider": providers, _STATE: {*STATES, *_IDS}}
    asked = {name: st.query_params.get(name) for name in known}
    _layout.left_out(f"{name}={value[:60]}" for name, value in asked.items() if value and value not in known[name])


def _now() -> None:
    """Drawn again every few seconds; who looks is asked each time."""
    state = _read(_session.identity())
    st.html(_answer(state))
    _draw_troubles(state)
    chosen = _filtered(state.endpoints)
    if not chosen:
        st.info("No endpoint is of this provider and in this state.", icon=":material/search_off:")
    else:
        show_table(_table(chosen, state), rows=15)
        _link(chosen)
        _draw_quotas(chosen, state.quotas)
    st.html(f"<p class='fr-basis'>{_basis(state)}</p>")


def _read(who: Identity) -> RouterState:
    async def read() -> RouterState:
        return router_state(_session.application(), who)

    return _session.run(read())


def _answer(state: RouterState) -> str:
    live = [each for each in state.endpoints if each.live]
    serving = sum(each.serving for each in live)
    held = [f"{count(n)} {STATES[name]}" for name in list(STATES)[2:-1] if (n := _number(live, name))]
    verb = "serves" if len(live) == 1 else "serve"
    notes = f"Not serving: {', '.join(held)}." if held else "None is failing, cooling down or out of quota."
    return (
        f"<div class='fr-answer'><p class='fr-answer-value'><strong>{count(serving)} of "
        f"{count(len(live), 'endpoint')}</strong> {verb} live traffic</p><p class='fr-answer-notes'>{notes}</p></div>"
    )


def _number(live: Sequence[EndpointState], availability: str) -> int:
    return sum(each.availability == availability for each in live)


def _draw_troubles(state: RouterState) -> None:
    """Each endpoint that should serve and does not, with its reason."""
    held = [each for each in state.endpoints if each.live and not each.serving]
    for each in held[:MOST_WARNINGS]:
        again = "" if each.retry_in_s is None else f" Asked again in {seconds(each.retry_in_s)}."
        st.warning(f"**{markdown(each.endpoint)}** {markdown(f'{each.why}{again}')}", icon=":material/warning:")
    if len(held) > MOST_WARNINGS:
        st.write(f"And {count(len(held) - MOST_WARNINGS)} more: choose a state to list them.")


def _filtered(endpoints: Sequence[EndpointState]) -> list[EndpointState]:
    providers = (ALL, *sorted({each.provider for each in endpoints}))
    left, right = st.columns(2)
    provider = left.selectbox("Provider", providers, key="provider", bind="query-params")
    state = right.selectbox(
        "State", list(STATES), format_func=STATES.__getitem__, key=_STATE, on_change=_keep_state_in_url
    )
    _keep_state_in_url()
    return [each for each in endpoints if provider in (ALL, each.provider) and state in (ALL, _state(each))]


def _asked_state() -> str | None:
    """The id of the state that the URL asks for, as it stands there where there is no such state."""
    asked = st.query_params.get(_STATE)
    return asked if asked is None else _IDS.get(asked, asked)


def _keep_state_in_url() -> None:
    """Done by hand: a bound widget writes what it shows, and links must outlive a change of words.

    The page follows the URL only when it is drawn as a whole (opened, or by the browser's way back). A refresh of its
    own may have been asked for just before a choice, and then still has the URL of before.
    """
    chosen = st.session_state[_STATE]
    if chosen == ALL:
        st.query_params.pop(_STATE, None)
    elif st.query_params.get(_STATE) != chosen:
        st.query_params[_STATE] = chosen


def _state(each: EndpointState) -> str:
    if not each.live:
        return "not_live"
    return "serving" if each.serving else each.availability


def _table(chosen: Sequence[EndpointState], state: RouterState) -> Table:
    columns = (
        Column("Endpoint", width=225),
        Column("State", width=115),
        Column("Basis", width=75),
        Column("Success, %", "%.1f", width=85),
        Column("Headroom, %", "%.0f", width=95),
        Column("First token p50, s", "%.2f", width=120),
        Column("Catalogue p50, s", "%.2f", width=115, help=_CATALOGUE_WORDS),
        Column("First token p95, s", "%.2f", width=120),
        Column("Speed, tokens/s", "%.0f", width=110),
        Column("Breaker", width=80),
        Column("Measured, 15 min", "%d", width=115),
        Column("Attempts", "%d", width=75),
        Column("Failed", "%d", width=65),
    )
    rows = [
        (
            each.endpoint,
            STATES[_state(each)],
            "simulated" if each.simulated else "real",
            each.success * 100,
            each.headroom * 100,
            each.pace.first_token_p50_s,
            each.catalogue_pace.first_token_p50_s,
            each.pace.first_token_p95_s,
            each.pace.tokens_per_s,
            each.breaker.state,
            each.first_tokens_seen,
            each.attempts,
            each.failures,
        )
        for each in chosen
    ]
    return Table("fleet", f"Endpoints as worker {state.process.worker} knows them", columns, rows)


def _link(chosen: Sequence[EndpointState]) -> None:
    """The way to one endpoint's decisions."""
    name = st.selectbox("Decisions of an endpoint", [each.endpoint for each in chosen], key="decisions_of")
    st.page_link("activity.py", label="See its decisions", icon=":material/list_alt:", query_params={"endpoint": name})


def _draw_quotas(chosen: Sequence[EndpointState], quotas: Sequence[QuotaFigure]) -> None:
    """The limits of the chosen endpoints' quota groups, the tightest first."""
    groups = {each.quota_group for each in chosen}
    figures = [figure for figure in quotas if figure.group in groups]
    if not figures:
        st.write("None of these endpoints has a known limit.")
        return
    st.header("Quotas", anchor=False)
    columns = (
        Column("Quota group", width=225),
        Column("Limit", width=160),
        Column("Allowed", "%,d", width=100),
        Column("Used", "%,d", width=100),
        Column("Left", "%,d", width=100),
        Column("Left, %", "%.0f", width=75),
        Column("All back in", width=100),
        Column("Known from", width=150),
    )
    rows = [
        (
            each.group,
            LIMIT_WORDS[each.limit],
            each.most,
            each.used,
            each.left,
            100 * _share_left(each),
            seconds(each.reset_s),
            "the provider's word" if each.stated else "our count",
        )
        for each in sorted(figures, key=lambda each: (_share_left(each), each.group, each.limit))
    ]
    show_table(Table("quotas", "Limits of quota groups, the tightest first", columns, rows), rows=8)


def _share_left(figure: QuotaFigure) -> float:
    return figure.left / figure.most if figure.most else float(figure.left > 0)


def _basis(state: RouterState) -> str:
    log, process, snapshot = state.decision_log, state.process, state.snapshot
    return (
        f"Snapshot {snapshot.id}, {seconds(snapshot.age_s)} old. This worker: version {process.version}, up for "
        f"{seconds(process.uptime_s)}, {count(process.open_requests, 'request')} under way, "
        f"{count(log.pending, 'decision')} waiting to be written, {count(log.spilled)} in files, "
        f"{count(log.dropped)} lost. Success, pace and "
        "headroom are what routing expects now; attempts and failures are counted since this worker's start. "
        f"{_CATALOGUE_WORDS}"
    )


render()
