"""Overview: how to call the endpoint, what the last day was like, and what needs attention."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import streamlit as st

from freerelay_core.composition import Application
from freerelay_core.composition.beside import DEMO_EMAIL
from freerelay_core.store.values import (
    DecisionFilter,
    Identity,
    KeyInfo,
    Tenant,
    Traffic,
)
from pages import _format as fmt
from pages import _session
from pages._format import markdown
from pages._layout import page_title, revision_mark, simulated_notice
from pages._overview_figures import DAY, attention, headline, show_figures
from pages._overview_snippets import show_snippets
from pages._session import application, fleet_snapshot, identity, run
from pages._simulator_tables import Column, Table, show_table

POLL_S = 0.5
_SINCE_EVER = DAY * 30
"""How far back traffic makes a tenant one that has sent something."""


def render() -> None:
    """The page, for a tenant or the operator."""
    app, who = application(), identity()
    page_title("Overview")
    if who.tenant is not None and not _has_sent(app, who.tenant.id):
        _first_request(who)
    else:
        _day(app, who)
    simulated_notice(fleet_snapshot())
    revision_mark()


def _has_sent(app: Application, tenant_id: str) -> bool:
    where = DecisionFilter(since=app.clock.now() - _SINCE_EVER)
    return bool(run(app.store.decision_lines(tenant_id, where, limit=1)))


def _traffic(app: Application, tenant_id: str | None, span: timedelta = DAY, *, back: int = 0) -> Traffic:
    """Of the last `span`, or of the one before."""
    until = app.clock.now() - DAY * back
    return run(app.store.traffic(tenant_id, since=until - span, until=until))


def _first_request(who: Identity) -> None:
    st.header("Send your first request", anchor=False)
    st.write("Run one of these where `OPENAI_API_KEY` holds your key. This page turns over when the request arrives.")
    _call(who)
    st.fragment(_await_first, run_every=POLL_S)()


def _await_first() -> None:
    who = identity()
    st.caption("Waiting for a request.")
    if who.tenant is not None and _has_sent(application(), who.tenant.id):
        st.rerun()


def _call(who: Identity) -> None:
    """How to send a request as this tenant."""
    prefix = "" if who.tenant is None or who.key_id is None else _session.key_prefix(who.tenant.id, who.key_id)
    demo_key = application().demo_key
    show_snippets(prefix, printed=bool(prefix) and demo_key is not None and demo_key.startswith(prefix))


def _day(app: Application, who: Identity) -> None:
    tenant_id = None if who.tenant is None else who.tenant.id
    now = app.clock.now()
    today, yesterday = _traffic(app, tenant_id), _traffic(app, tenant_id, back=1)
    st.header(markdown(headline(today)), anchor=False)
    show_figures(today, yesterday, now - DAY, now)
    keys: Sequence[KeyInfo] = [] if tenant_id is None else run(app.store.list_keys(tenant_id))
    _attention(attention(today, fleet_snapshot(), keys, now))
    if who.tenant is None:
        _busiest(app)
    else:
        _demo(app, who.tenant)
        st.header("Call it", anchor=False)
        _call(who)


def _attention(said: Sequence[str]) -> None:
    st.header("Needs attention" if said else "Nothing needs attention", anchor=False)
    if said:
        st.markdown("\n".join(f"- {line}" for line in said))
    else:
        st.caption("No endpoint is failing or cooling down, no key is about to end, and few requests failed.")


def _busiest(app: Application) -> None:
    """The tenants with traffic in the last day, the busiest first."""
    now = app.clock.now()
    by_tenant = run(app.store.traffic_by_tenant(since=now - DAY, until=now))
    names = {tenant.id: tenant.email for tenant in run(app.store.list_tenants())}
    if not by_tenant:
        st.caption("No tenant has sent anything in the last 24 hours.")
        st.page_link("tenants.py", label="Tenants", icon=":material/group:")
        return
    st.header(f"{fmt.count(len(by_tenant), 'tenant')} sent requests", anchor=False)
    ranked = sorted(by_tenant.items(), key=lambda item: -item[1].requests)
    table = Table(
        "tenants",
        f"Traffic by tenant, {fmt.date_range(now - DAY, now)}",
        (
            Column("Tenant", width=260),
            Column("Requests", "%d", width=90),
            Column("of them demo", "%d", width=110),
            Column("Failed", "%d", width=80),
            Column("Fail-overs", "%d", width=90),
            Column("Cost, USD", "%.4f", width=100),
            Column("p95, s", "%.1f", width=80),
        ),
        [
            (
                names.get(tenant_id, tenant_id),
                each.requests,
                each.demo,
                each.failed,
                each.failed_over,
                each.cost_usd,
                each.latency_p95_s,
            )
            for tenant_id, each in ranked
        ],
    )
    show_table(table, rows=10)


def _demo(app: Application, tenant: Tenant) -> None:
    """Say what is demo data, and offer to take it away. Only the demo tenant is ever given any."""
    demo = _traffic(app, tenant.id, _SINCE_EVER).demo if tenant.email == DEMO_EMAIL else 0
    if not demo:
        return
    count = markdown(fmt.count(demo, "decision"))
    with st.container(border=True, key="demo_data"):
        st.markdown(
            f"**Demo data: generated, not yours.** {count} were made up for a first look; none was "
            "sent, and what they would have cost was not spent."
        )
        with st.popover("Remove the demo data …", icon=":material/delete:"):
            st.write(f"{count} will be removed for good. What you have sent yourself stays.")
            st.button("Remove the demo data for good", key="demo_remove", on_click=_remove_demo)


def _remove_demo() -> None:
    who = identity()
    if who.tenant is not None:
        removed = run(application().store.remove_demo_decisions(who.tenant.id), timeout=15.0)
        st.toast(f"Removed: {fmt.count(removed, 'decision')} of demo data")


render()
