"""Activity: decisions as they come, found by filters, and one of them opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import streamlit as st

from freerelay_core.composition import Application
from freerelay_core.errors import NotFound
from freerelay_core.profile import TaskFamily
from freerelay_core.store.base import DecisionFilter, DecisionLine, Identity
from pages import _format as fmt
from pages._activity_decision import show_decision
from pages._format import markdown
from pages._layout import page_title, revision_mark, simulated_notice
from pages._session import application, fleet_snapshot, identity, run
from pages._simulator_tables import Column, Table, show_table

MOST = 200
"""Decisions in the list."""
POLL_S = 3.0
LIVE_FOR = timedelta(minutes=10)
RANGES = {"1 hour": timedelta(hours=1), "24 hours": timedelta(hours=24), "7 days": timedelta(days=7)}
STATES = ("all", "failed", "failed over")
ANY = "any"


def render() -> None:
    """The page: one decision where the URL names one, else the list."""
    app, who = application(), identity()
    page_title("Activity")
    asked = st.query_params.get("decision")
    if asked:
        _one(app, who, asked)
    else:
        _many(app)
    simulated_notice(fleet_snapshot())
    revision_mark()


def _one(app: Application, who: Identity, decision_id: str) -> None:
    st.page_link("activity.py", label="All decisions", icon=":material/arrow_back:")
    try:
        record = run(app.decision_log.find(None if who.tenant is None else who.tenant.id, decision_id))
    except NotFound:
        st.warning("There is no such decision: its link is wrong, or it is not yours.")
        return
    show_decision(record)


def _many(app: Application) -> None:
    range_, state, family, endpoint = st.columns(4)
    span = range_.segmented_control(
        "Range", list(RANGES), default="24 hours", required=True, key="range", bind="query-params"
    )
    status = state.segmented_control("Status", STATES, default="all", required=True, key="status", bind="query-params")
    task = family.selectbox("Task family", [ANY, *TaskFamily], key="family", bind="query-params")
    at = endpoint.selectbox("Endpoint", [ANY, *app.fleet.snapshot().endpoint_ids], key="endpoint", bind="query-params")
    since = st.session_state.setdefault("_live_since", app.clock.now())
    live = st.toggle("Live", value=True, key="live", help="Ask for new decisions every few seconds, for ten minutes.")
    running = live and app.clock.now() - since < LIVE_FOR
    if live and not running:
        st.caption("Live for ten minutes, then it rests. Switch it off and on to go on.")
    if not live:
        st.session_state["_live_since"] = app.clock.now()
    chosen = _Chosen(RANGES[span or "24 hours"], str(status), str(task), str(at))
    st.fragment(_list, run_every=POLL_S if running else None)(chosen)


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


def _list(chosen: _Chosen) -> None:
    """Drawn again and again while it is live; who looks is asked each time."""
    app, who = application(), identity()
    now = app.clock.now()
    tenant_id = None if who.tenant is None else who.tenant.id
    lines = run(app.store.decision_lines(tenant_id, chosen.since(now), limit=MOST))
    if not lines:
        st.header("No decisions here", anchor=False)
        st.write("Nothing matches in this range. Widen it, drop a filter, or send a request (see Overview).")
        return
    st.header(markdown(_headline(lines)), anchor=False)
    _links(lines)
    show_table(_table(lines, now, chosen, with_tenant=tenant_id is None), rows=15)
    st.caption(
        f"{fmt.date_range(now - chosen.span, now)}, at most the newest {fmt.count(MOST)}. Time is from the request to "
        "the end of the answer. No text of a request or an answer is stored."
    )


def _headline(lines: Sequence[DecisionLine]) -> str:
    failed = sum(line.status >= 400 for line in lines)
    demo = sum(line.demo for line in lines)
    said = fmt.count(len(lines), "decision") if len(lines) < MOST else f"The newest {fmt.count(MOST)} decisions"
    return f"{said}, {fmt.count(failed)} failed{f', {fmt.count(demo)} of them demo data' if demo else ''}"


def _links(lines: Sequence[DecisionLine]) -> None:
    """Open one: a choice that works without a mouse, and changes the URL."""
    names = {line.id: _name(line) for line in lines}
    chosen = st.selectbox(
        "Open a decision",
        [None, *names],
        format_func=lambda each: names.get(each, "Choose one") if each else "Choose one",
    )
    if chosen:
        st.query_params["decision"] = chosen
        st.rerun()


def _name(line: DecisionLine) -> str:
    return f"{fmt.moment(line.created_at)}: {line.family} at {line.endpoint or 'nobody'} ({line.status})"


def _table(lines: Sequence[DecisionLine], now: datetime, chosen: _Chosen, *, with_tenant: bool) -> Table:
    tenants = {tenant.id: tenant.email for tenant in run(application().store.list_tenants())} if with_tenant else {}
    columns = [
        Column("Arrived", width=150),
        *([Column("Tenant", width=180)] if with_tenant else []),
        Column("Basis", width=75),
        Column("Family", width=80),
        Column("Endpoint", width=205),
        Column("Status", "%d", width=55),
        Column("Tries", "%d", width=45),
        Column("Time, s", "%.2f", width=65),
        Column("Cost, USD", "%.6f", width=80),
        Column("In, tokens", "%d", width=80),
        Column("Out, tokens", "%d", width=85),
        Column("First token, s", "%.2f", width=95),
        Column("Preference", width=130),
    ]
    rows = [
        (
            fmt.moment(line.created_at),
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
