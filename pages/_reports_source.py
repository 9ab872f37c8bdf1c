"""What a report of the reports page is about: a standard workload, recorded requests, or an uploaded trace.

The first two are ranked while the reader waits; a trace may be long, and has a job (`_reports_trace`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

import streamlit as st

from freerelay_core.preference import RoutingPreference
from freerelay_core.reports import Figure, RankingReport, report_of_simulation
from freerelay_core.simulation import OwnWishes, Trace, recorded_traffic, simulate, standard_workload
from freerelay_core.store.values import Identity, Tenant
from pages import _session
from pages._format import count, date_range

__all__ = ["DAYS", "QUESTIONS", "RECORDED", "TRACE", "WORKLOAD", "ranked_as", "report_of"]

WORKLOAD, RECORDED, TRACE = QUESTIONS = ("workload", "recorded", "trace")

DAYS = 7
"""How far back recorded requests are taken, days."""

MOST_REQUESTS = 20_000
"""Newest recorded requests in a report: what is ranked in well under a second."""

SEED = 0
_FRESH_S = 60


def report_of(who: Identity, question: str, preferences: tuple[RoutingPreference, ...]) -> RankingReport:
    """The report on the workload or on recorded requests for this caller, at most a minute old.

    Raises `UnprocessableRequest` when nothing was recorded.
    """
    tenant_id = None if who.tenant is None else who.tenant.id
    return _report(tenant_id, question, preferences)


def ranked_as(tenant: Tenant | None) -> Figure:
    """Whose requests they are taken for."""
    return Figure("ranked_as", "Ranked as", "no tenant in particular" if tenant is None else tenant.email)


@st.cache_data(ttl=_FRESH_S, max_entries=64, show_spinner="Ranking every request")
def _report(tenant_id: str | None, question: str, preferences: tuple[RoutingPreference, ...]) -> RankingReport:
    application = _session.application()
    tenant = None if tenant_id is None else _session.run(application.store.tenant(tenant_id))
    now = application.clock.now()
    trace, own, notes = _recorded(tenant_id, now) if question == RECORDED else _workload()
    simulation = simulate(
        trace,
        _session.fleet_snapshot(),
        policy=application.policy,
        tenant_id=tenant_id,
        tier=None if tenant is None else tenant.tier,
        preferences=preferences,
        seed=SEED,
        own=own,
    )
    return report_of_simulation(simulation, made_at=now, extra_scope=(ranked_as(tenant), *notes))


def _workload() -> tuple[Trace, None, tuple[Figure, ...]]:
    """The standard requests, which have no wishes, and what is to be known of them."""
    return (
        standard_workload(),
        None,
        (Figure("standard", "Traffic", "a mix of tasks that stands in for real requests"),),
    )


def _recorded(tenant_id: str | None, now: datetime) -> tuple[Trace, OwnWishes, tuple[Figure, ...]]:
    """The requests on record, what they asked for themselves, and what is to be known of them."""
    store, since = _session.application().store, now - timedelta(days=DAYS)
    tenants = [_session.run(store.tenant(tenant_id))] if tenant_id else _session.run(store.list_tenants())
    requests = _session.run(store.recorded_traffic(tenant_id, since=since, limit=MOST_REQUESTS))
    traffic = recorded_traffic(requests, {tenant.id: tenant for tenant in tenants}, days=DAYS)
    most = f"the newest {count(MOST_REQUESTS)}" if len(requests) == MOST_REQUESTS else "all of them"
    own = traffic.own
    notes = (
        Figure("range", "Recorded", date_range(since, now)),
        Figure("taken", "Taken", most),
        Figure("demo", "Of them generated for a first look", traffic.demo, "requests", "counted"),
        Figure(
            "own_preference", "Of them with a preference of their own", int(own.overriding.sum()), "requests", "counted"
        ),
        Figure("named_model", "Of them naming their model", int(own.named.sum()), "requests", "counted"),
        Figure("unreadable", "Left out, unreadable", traffic.unreadable, "requests", "counted"),
    )
    return traffic.trace, own, notes
