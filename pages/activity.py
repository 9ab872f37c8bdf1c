"""Activity: decisions as they come, found by filters, and one of them opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import streamlit as st

from freerelay_core.composition import Application
from freerelay_core.errors import NotFound
from freerelay_core.profile import TaskFamily
from freerelay_core.store.values import DecisionFilter, DecisionLine, Identity
from pages import _format as fmt
from pages._activity_decision import show_decision
from pages._format import markdown
from pages._layout import left_out, page_title, revision_mark, simulated_notice
from pages._session import application, fleet_snapshot, identity, run
from pages._simulator_tables import Column, Table, show_table

MOST = 200
"""Decisions in the list."""
POLL_S = 3.0
LIVE_FOR = timedelta(minutes=10)
RANGES = {"1 hour": timedelta(hours=1), "24 hours": timedelta(hours=24), "7 days": timedelta(days=7)}
DEFAULT_RANGE = "24 hours"
STATES = ("all", "failed", "failed over")
ANY = "any"
_FILTERS = "activity_filters"
"""Where the list leaves its filters, for the way back from one decision."""
_LIVE_SINCE = "activity_live_since"


def render() -> None:
    """The page: one decision where the URL names one, else the list."""
    app, who = application(), identity()
    asked = st.query_params.get("decision")
    if asked:
        _one(app, who, asked)
    else:
        _many(app)
    simulated_notice(fleet_snapshot())
    revision_mark()


def _one(app: Application, who: Identity, decision_id: str) -> None:
    page_title("Activity")
    filters = st.session_state.get(_FILTERS)
    st.page_link("activity.py", label="All decisions", icon=":material/arrow_back:", query_params=filters)
    try:
        record = run(app.decision_log.find(None if who.tenant is None else who.tenant.id, decision_id))
    except NotFound:
        st.warning("There is no such decision: its link is wrong, or it is not yours.")
        return
    show_decision(record)


def _many(app: Application) -> None:
    options = {"range": tuple(RANGES), "status": STATES, "family": (ANY, *TaskFamily)}
    options["endpoint"] = (ANY, *fleet_snapshot().endpoint_ids)
    with st.container(horizontal=True, vertical_alignment="center", key="activity-head"):
        page_title("Activity")
        live = st.toggle("Live", value=True, key="live", help="Asks for new decisions every few seconds.")
    _complain(options)
    until = _live_until(app, live=live)
    st.fragment(_list, run_every=POLL_S if until else None)(options, until)


def _complain(options: Mapping[str, Sequence[str]]) -> None:
    """Say which filters in the URL cannot be used; their widgets fall back by themselves."""
    asked = {name: st.query_params.get(name) for name in options}
    left_out(f"{name}={value[:60]}" for name, value in asked.items() if value and value not in options[name])


def _filters(options: Mapping[str, Sequence[str]]) -> _Chosen:
    range_, state, family, endpoint = st.columns(4)
    span = range_.segmented_control(
        "Range", options["range"], default=DEFAULT_RANGE, required=True, key="range", bind="query-params"
    )
    status = state.segmented_control(
        "Status", options["status"], default=STATES[0], required=True, key="status", bind="query-params"
    )
    task = family.selectbox("Task family", options["family"], key="family", bind="query-params")
    at = endpoint.selectbox("Endpoint", options["endpoint"], key="endpoint", bind="query-params")
    chosen = {"range": span or DEFAULT_RANGE, "status": status or STATES[0], "family": str(task), "endpoint": str(at)}
    st.session_state[_FILTERS] = chosen
    return _Chosen(RANGES[chosen["range"]], chosen["status"], chosen["family"], chosen["endpoint"])


def _live_until(app: Application, *, live: bool) -> datetime | None:
    """Until when the list asks for news; None when it is paused, or has done so for long enough."""
    now = app.clock.now()
    if not live:
        st.session_state.pop(_LIVE_SINCE, None)
        return None
    until: datetime = st.session_state.setdefault(_LIVE_SINCE, now) + LIVE_FOR
    if now < until:
        return until
    st.caption("Live for ten minutes, then it rests. Switch it off and on to go on.")
    return None


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What the filters say."""

    span: timedelta
    status: str
    family: str
    endpoint: str

    def since(self, now: datetime) -> DecisionFilter:
        return DecisionFilter(
            since=now - self.span,
            family=None if self.family == ANY else self.family,
            endpoint=None if self.endpoint == ANY else self.endpoint,
            failed=True if self.status == "failed" else None,
            failed_over=True if self.status == "failed over" else None,
        )


def _list(options: Mapping[str, Sequence[str]], until: datetime | None) -> None:
    """Drawn again and again until then; who looks is asked each time."""
    app, who = application(), identity()
    now = app.clock.now()
    if until is not None and now >= until:
        st.rerun()  # the page, which then draws the list once more and lets it rest
    tenant_id = None if who.tenant is None else who.tenant.id
    answer = st.container()
    chosen = _filters(options)
    lines = run(app.store.decision_lines(tenant_id, chosen.since(now), limit=MOST))
    answer.header(markdown(_headline(lines)), anchor=False)
    if not lines:
        st.write("Nothing matches in this range. Widen it, drop a filter, or send a request (see Overview).")
        return
    _open(lines)
    table = _table(lines, now, chosen, with_tenant=tenant_id is None)
    row = show_table(table, rows=15, selectable=True)
    if row is not None and row < len(lines):
        _go_to(lines[row].id)
    st.caption(
        f"{fmt.date_range(now - chosen.span, now)}, at most the newest {fmt.count(MOST)}. Time is from the request to "
        "the end of the answer. A status of 400 or more counts as failed; 499 says that the client left before the "
        "end. On a narrow screen the table scrolls sideways, to the first token and the preference. No text of a "
        "request or an answer is stored."
    )


def _headline(lines: Sequence[DecisionLine]) -> str:
    if not lines:
        return "No decisions here"
    failed = sum(line.status >= 400 for line in lines)
    demo = sum(line.demo for line in lines)
    said = fmt.count(len(lines), "decision") if len(lines) < MOST else f"The newest {fmt.count(MOST)} decisions"
    generated = f" ({fmt.count(demo)} of them demo data)" if demo else ""
    return f"{said}{generated}, {fmt.count(failed)} failed"


def _open(lines: Sequence[DecisionLine]) -> None:
    """Open one by a choice that works without a mouse; with one, a row of the table may be selected."""
    names = {line.id: _name(line) for line in lines}
    chosen = st.selectbox(
        "Open a decision",
        list(names),
        index=None,
        format_func=lambda each: names.get(each, ""),
        placeholder="Choose one",
        key="open",
    )
    if chosen:
        _go_to(chosen)


def _go_to(decision_id: str) -> None:
    st.query_params["decision"] = decision_id
    st.rerun()


def _name(line: DecisionLine) -> str:
    what = f"{line.family} at {line.endpoint or 'nobody'} ({line.status}), {line.id[-6:]}"
    return f"{fmt.second(line.created_at)} UTC: {what}"


def _table(lines: Sequence[DecisionLine], now: datetime, chosen: _Chosen, *, with_tenant: bool) -> Table:
    tenants = {tenant.id: tenant.email for tenant in run(application().store.list_tenants())} if with_tenant else {}
    columns = [
        Column("Arrived, UTC", width=147),
        *([Column("Tenant", width=180)] if with_tenant else []),
        Column("Basis", width=73),
        Column("Family", width=80),
        Column("Endpoint", width=196),
        Column("Status", "%d", width=55),
        Column("Tries", "%d", width=45),
        Column("Time, s", "%.2f", width=60),
        Column("Cost, USD", "%.3g", width=87),
        Column("In, tokens", "%,d", width=80),
        Column("Out, tokens", "%,d", width=85),
        Column("First token, s", "%.2f", width=95),
        Column("Preference", width=130),
    ]
    rows = [
        (
            fmt.second(line.created_at),
            *([tenants.get(line.tenant_id, line.tenant_id)] if with_tenant else []),
            "demo" if line.demo else line.basis,
            line.family,
            line.endpoint or "nobody",
            line.status,
            line.attempts,
            line.duration_s,
            line.cost_usd,
            line.input_tokens,
            line.output_tokens,
            line.first_token_s,
            line.preference,
        )
        for line in lines
    ]
    title = f"Decisions, {fmt.date_range(now - chosen.span, now)}, status {chosen.status}, family {chosen.family}"
    return Table("decisions", f"{title}, endpoint {chosen.endpoint}", tuple(columns), rows)


render()
