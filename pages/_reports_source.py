"""What a report of the reports page is about: a standard workload, recorded requests, or an uploaded trace."""

from __future__ import annotations

from datetime import datetime, timedelta

import streamlit as st

from freerelay_core.preference import RoutingPreference
from freerelay_core.reports import Figure, RankingReport, report_of_simulation
from freerelay_core.simulation import Trace, read_trace, recorded_traffic, simulate, standard_workload
from freerelay_core.store.values import Identity
from pages import _session
from pages._format import count, date_range

__all__ = ["DAYS", "QUESTIONS", "RECORDED", "TRACE", "WORKLOAD", "report_of"]

WORKLOAD, RECORDED, TRACE = QUESTIONS = ("workload", "recorded", "trace")

DAYS = 7
"""How far back recorded requests are taken, days."""

MOST_REQUESTS = 20_000
"""Newest recorded requests in a report: what is ranked in well under a second."""

SEED = 0
_FRESH_S = 60


def report_of(
    who: Identity, question: str, preferences: tuple[RoutingPreference, ...], file: tuple[str, bytes] | None
) -> RankingReport:
    """The report that answers the question for this caller, at most a minute old; `file` is the name and the content
    of an uploaded trace.

    Raises `UnprocessableRequest` when nothing was recorded, or the file is no trace.
    """
    tenant_id = None if who.tenant is None else who.tenant.id
    return _report(tenant_id, question, preferences, file)


@st.cache_data(ttl=_FRESH_S, max_entries=64, show_spinner="Ranking every request")
def _report(
    tenant_id: str | None,
    question: str,
    preferences: tuple[RoutingPreference, ...],
    file: tuple[str, bytes] | None,
) -> RankingReport:
    application = _session.application()
    tenant = None if tenant_id is None else _session.run(application.store.tenant(tenant_id))
    now = application.clock.now()
    trace, notes = _requests(tenant_id, question, file, now)
    simulation = simulate(
        trace,
        _session.fleet_snapshot(),
        policy=application.policy,
        tenant_id=tenant_id,
        tier=None if tenant is None else tenant.tier,
        preferences=preferences,
        seed=SEED,
    )
    asked_by = "no tenant in particular" if tenant is None else tenant.email
    return report_of_simulation(
        simulation, made_at=now, extra_scope=(Figure("ranked_as", "Ranked as", asked_by), *notes)
    )


def _requests(
    tenant_id: str | None, question: str, file: tuple[str, bytes] | None, now: datetime
) -> tuple[Trace, tuple[Figure, ...]]:
    """The requests, and what is to be known of them."""
    if question == RECORDED:
        return _recorded(tenant_id, now)
    if file is not None:
        name, content = file
        return read_trace(content, origin=name), ()
    return standard_workload(), (Figure("standard", "Traffic", "a mix of tasks that stands in for real requests"),)


def _recorded(tenant_id: str | None, now: datetime) -> tuple[Trace, tuple[Figure, ...]]:
    store, since = _session.application().store, now - timedelta(days=DAYS)
    tenants = [_session.run(store.tenant(tenant_id))] if tenant_id else _session.run(store.list_tenants())
    requests = _session.run(store.recorded_traffic(tenant_id, since=since, limit=MOST_REQUESTS))
    traffic = recorded_traffic(requests, {tenant.id: tenant for tenant in tenants}, days=DAYS)
    most = f"the newest {count(MOST_REQUESTS)}" if len(requests) == MOST_REQUESTS else "all of them"
    return traffic.trace, (
        Figure("range", "Recorded", date_range(since, now)),
        Figure("taken", "Taken", most),
        Figure("demo", "Of them generated for a first look", traffic.demo, "requests", "counted"),
        Figure("unreadable", "Left out, unreadable", traffic.unreadable, "requests", "counted"),
    )
