"""The rehearsal as a job: on which traffic, with progress and cancel, its id in the URL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from freerelay_core.composition import Application
from freerelay_core.errors import NotFound
from freerelay_core.preference import DEFAULT_PREFERENCE, RoutingPreference
from freerelay_core.simulation import (
    Cancelled,
    Scenario,
    Traffic,
    WhatIf,
    World,
    read_trace,
    recorded_traffic,
    traffic_of_trace,
    what_if,
)
from pages import _format as fmt
from pages._job_view import JobWords, show_job, start_job
from pages._jobs import Job, JobCancelled, Jobs
from pages._layout import main_button
from pages._session import run
from pages._trace_job import read_file, trace_file
from pages._what_if_view import Answer, show_answer

__all__ = ["JOBS", "Chosen", "choose_traffic", "run_button", "show_rehearsal", "shown_scenario"]

JOBS: Jobs[Answer] = Jobs()
"""The rehearsals of this process. Operators share them: there is one operator's key."""

OWNER = "operator"
SEED = 0
MAX_RECORDED = 200_000
_READ_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which traffic to rehearse on: a file, or the recorded requests of some days."""

    days: int = 7
    file: tuple[bytes, str] | None = None
    """Content and name."""
    preference: RoutingPreference = DEFAULT_PREFERENCE
    """In force for the requests of a file."""
    wants_file: bool = False

    @property
    def ready(self) -> bool:
        return not self.wants_file or self.file is not None


def choose_traffic() -> Chosen:
    """Draw the choice of traffic."""
    kind = st.segmented_control(
        "Traffic", ["recorded", "trace"], default="recorded", required=True, key="traffic", bind="query-params"
    )
    if kind == "trace":
        file = trace_file("what_if_file")
        preferences = list(RoutingPreference)
        preference = st.selectbox(
            "Preference in force now",
            preferences,
            index=preferences.index(DEFAULT_PREFERENCE),
            key="what_if_preference",
            format_func=lambda each: each.value,
        )
        return Chosen(file=None if file is None else read_file(file), preference=preference, wants_file=True)
    days = st.number_input("Days of recorded requests", 1, 90, 7, key="days", bind="query-params")
    st.caption(f"Every tenant's decisions, at most the newest {fmt.count(MAX_RECORDED)}. No text is stored or shown.")
    return Chosen(days=int(days))


def run_button(app: Application, scenario: Scenario, world: World, chosen: Chosen) -> None:
    """Start the rehearsal; its id goes into the URL."""
    ready = chosen.ready and bool(scenario.changes) and JOBS.running(OWNER) is None
    if main_button("Run", key="what_if_run", ready=ready, width="stretch"):
        start_job(JOBS, OWNER, scenario.name, lambda job: _rehearse(job, app, scenario, world, chosen))


def _rehearse(job: Job[Answer], app: Application, scenario: Scenario, world: World, chosen: Chosen) -> Answer:
    """The work of a job. Raises `FreeRelayError` for a trace that cannot be read or traffic that is not there."""
    traffic = _traffic(app, chosen)
    try:
        result: WhatIf = what_if(
            traffic, world, scenario, seed=SEED, live=True, progress=job.report, cancelled=job.cancelled
        )
    except Cancelled:
        raise JobCancelled from None
    return Answer(result, app.clock.now())


def _traffic(app: Application, chosen: Chosen) -> Traffic:
    if chosen.file is not None:
        content, name = chosen.file
        return traffic_of_trace(read_trace(content, origin=name), preference=chosen.preference)
    since = app.clock.now() - timedelta(days=chosen.days)
    requests = run(app.store.recorded_traffic(None, since=since, limit=MAX_RECORDED), timeout=_READ_LIMIT_S)
    tenants = {tenant.id: tenant for tenant in run(app.store.list_tenants())}
    return recorded_traffic(requests, tenants, days=chosen.days)


_WORDS = JobWords(
    running="Running",
    failed="could not be run",
    again="Choose Run",
    reading="Reading the traffic",
    step="ranking",
)


def show_rehearsal(now: datetime, rest: DeltaGenerator) -> None:
    """The rehearsal named in the URL, in whatever state it is; without one, what to do next."""
    show_job(JOBS, OWNER, _WORDS, before=_invite, answer=lambda answer: show_answer(answer, now, rest))


def _invite() -> None:
    st.header("What would a change do to everybody?", anchor=False)
    st.write(
        "Put together a scenario, choose the traffic, and run it: every request is ranked as it is now and as it "
        "would be, with the same luck on both sides. Nothing is changed and nobody is called."
    )


def shown_scenario(job_id: str | None) -> Scenario | None:
    """The scenario of the rehearsal named in the URL, once there is an answer to it."""
    try:
        job = None if job_id is None else JOBS.get(OWNER, job_id)
    except NotFound:
        return None
    return None if job is None or job.result is None else job.result.what_if.scenario
