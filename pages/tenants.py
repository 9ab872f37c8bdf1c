"""Tenants, for the operator: who they are, what they sent and spent, their tier, and adding one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import streamlit as st

from freerelay_core.composition.spending import Spending, spendings
from freerelay_core.errors import PermissionDenied, StoreUnavailable
from freerelay_core.store.values import Tenant, Traffic
from pages import _layout, _session
from pages._format import count, date_range, markdown, usd
from pages._keys_choice import choose, unknown_notice
from pages._keys_new import viewer
from pages._keys_result import draw_result
from pages._keys_secret import draw_secret
from pages._tenants_add import add_tenant_form
from pages._tenants_change import draw_tenant
from pages._tenants_table import tenants_table

_CHOSEN, _SEARCH = "tenant", "search"
"""Names of the chosen tenant and of the search in the URL and in `session_state`."""
_TRAFFIC = "tenants_traffic"
_MOST_SHOWN = 50
_RANGE = timedelta(hours=24)
_FRESH = timedelta(seconds=30)


def _traffic(now: datetime) -> tuple[datetime, Mapping[str, Traffic] | None]:
    """The traffic of the last 24 h by tenant, at most half a minute old, and until when it was counted.

    None where the log does not answer in time: tenants can be managed all the same.
    """
    at, known = st.session_state.get(_TRAFFIC, (None, None))
    if at is not None and now - at < _FRESH:
        return at, known
    try:
        known = _session.run(_session.application().store.traffic_by_tenant(since=now - _RANGE, until=now))
    except StoreUnavailable:
        return now, None
    st.session_state[_TRAFFIC] = (now, known)
    return now, known


def _spending(tenants: list[Tenant]) -> Mapping[str, Spending]:
    """The month of the tenants shown; empty where the store does not answer in time."""
    application = _session.application()
    now, simulated = application.clock.now(), application.budgets.simulated
    try:
        return _session.run(spendings(application.store, tenants, now, simulated=simulated))
    except StoreUnavailable:
        return {}


def _answer(tenants: list[Tenant], traffic: Mapping[str, Traffic] | None) -> str:
    if traffic is None:
        notes = "The decision log does not answer: requests and cost are unknown."
    else:
        requests = sum(each.requests for each in traffic.values())
        cost = sum(each.cost_usd for each in traffic.values())
        notes = f"{count(requests, 'request')} and {usd(cost)} in the last 24 hours."
    return (
        f"<div class='fr-answer'><p class='fr-answer-value'><strong>{count(len(tenants), 'tenant')}</strong></p>"
        f"<p class='fr-answer-notes'>{notes}</p></div>"
    )


def _search() -> str:
    """What the reader looks for, kept in the URL."""
    _layout.follow_url(_SEARCH, st.query_params.get(_SEARCH, "")[:254])
    entered = st.text_input("Search by address", key=_SEARCH, max_chars=254, placeholder="all", on_change=_searched)
    return entered.strip().lower()


def _searched() -> None:
    _layout.put_in_url(_SEARCH, st.session_state[_SEARCH])


def _found(tenants: list[Tenant], wanted: str, traffic: Mapping[str, Traffic] | None) -> list[Tenant]:
    """The tenants looked for, those that spent most first."""
    known = traffic or {}
    return sorted(
        (tenant for tenant in tenants if wanted in tenant.email.lower()),
        key=lambda tenant: -known[tenant.id].cost_usd if tenant.id in known else 0.0,
    )


def _draw_list(found: list[Tenant], wanted: str, traffic: Mapping[str, Traffic] | None, until: datetime) -> None:
    if not found:
        st.info(f"No tenant's address contains “{markdown(wanted)}”.", icon=":material/search_off:")
        return
    st.html(tenants_table(found[:_MOST_SHOWN], traffic, _spending(found[:_MOST_SHOWN])))
    st.html(f"<p class='fr-basis'>{_basis(found, traffic, until)}</p>")


def _basis(found: list[Tenant], traffic: Mapping[str, Traffic] | None, until: datetime) -> str:
    shown = min(len(found), _MOST_SHOWN)
    rest = (
        f"The {count(shown)} that spent most of {count(len(found))}; search for others. " if shown < len(found) else ""
    )
    if traffic is None:
        return rest
    simulated = sum(each.simulated - each.demo for each in traffic.values())  # a generated one was answered by nobody
    demo = sum(each.demo for each in traffic.values())
    return (
        f"{rest}Requests and cost are those logged {date_range(until - _RANGE, until)}; of all tenants' requests "
        f"{count(simulated)} were answered by simulated endpoints and {count(demo)} were generated for a first look. "
        f"Budgets are for the calendar month (UTC) and count {_counted()}; eight of ten futures lie within a forecast."
    )


def _counted() -> str:
    simulated = _session.application().budgets.simulated
    return "simulated and generated cost, as no real endpoint serves" if simulated else "measured cost alone"


def main() -> None:
    """Draw the page."""
    who = _session.identity()
    if not who.is_operator:
        raise PermissionDenied("The list of tenants is for the operator.")
    application = _session.application()
    tenants = _session.run(application.accounts.tenants(who))
    until, traffic = _traffic(application.clock.now())
    _layout.page_title("Tenants")
    st.html(_answer(tenants, traffic))
    draw_secret(viewer(who))
    draw_result()
    if tenants:
        unknown_notice(_CHOSEN, {tenant.id: tenant.email for tenant in tenants})
        with st.container(horizontal=True, vertical_alignment="bottom"):
            wanted = _search()
            found = _found(tenants, wanted, traffic)
            chosen = _choose(tenants, found)
        if chosen is not None:
            draw_tenant(chosen)
        _draw_list(found, wanted, traffic, until)
    st.header("Add a tenant", anchor=False)
    add_tenant_form(_CHOSEN)
    _layout.simulated_notice(_session.fleet_snapshot())
    _layout.revision_mark()


def _choose(tenants: list[Tenant], found: list[Tenant]) -> Tenant | None:
    """The tenant to look at: one of those found, or whichever was chosen before."""
    named = st.query_params.get(_CHOSEN)
    by_id = {tenant.id: tenant for tenant in tenants}
    offered = found[:_MOST_SHOWN] + ([by_id[named]] if named in by_id else [])
    chosen = choose(
        "Tenant to look at",
        {tenant.id: tenant.email for tenant in offered},
        param=_CHOSEN,
        placeholder="Choose a tenant",
    )
    return None if chosen is None else by_id[chosen]


main()
