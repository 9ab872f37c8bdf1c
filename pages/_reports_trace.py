"""Reports on an uploaded trace: a job with progress and cancel whose id stands in the URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import streamlit as st

from freerelay_core.preference import RoutingPreference
from freerelay_core.reports import Figure, RankingReport, report_of_simulation
from pages._job_view import JobWords, show_job, start_job
from pages._jobs import Job, Jobs
from pages._trace_job import Setting, chosen_file, simulated

__all__ = ["JOBS", "Reports", "make_reports", "show_reports", "upload"]

Reports = Mapping[tuple[RoutingPreference, ...], RankingReport]
"""By the preferences that they are about: all together, and each alone."""

JOBS: Jobs[Reports] = Jobs()
"""The reports on traces that this process makes."""

_ALL = tuple(RoutingPreference)


def make_reports(job: Job[Reports], content: bytes, origin: str, setting: Setting, ranked_as: Figure) -> Reports:
    """The work of a job: read the file, rank it under all preferences, and report on all and on each of them.

    Raises `UnprocessableRequest` naming columns or the first bad line, `JobCancelled` when its owner gave it up.
    """
    simulation = simulated(job, content, origin, setting)
    reports = {}
    for preferences in (_ALL, *((preference,) for preference in _ALL)):
        part = replace(simulation, results={each: simulation.results[each] for each in preferences})
        reports[preferences] = report_of_simulation(part, made_at=setting.now, extra_scope=(ranked_as,))
    return reports


def upload(owner: str, setting: Setting, ranked_as: Figure) -> None:
    """Choose a file and start its job; `ranked_as` says whose requests they are taken for."""
    chosen = chosen_file(
        "Make the report",
        "make_report",
        more="; it is not stored. The report is kept, among your last five, until the server restarts. For larger "
        "files: `freerelay report`.",
        busy=JOBS.running(owner) is not None,
    )
    if chosen is not None:
        start_job(JOBS, owner, chosen[1], lambda job: make_reports(job, *chosen, setting, ranked_as))


_WORDS = JobWords(
    running="Ranking",
    failed="could not be ranked",
    again="Choose Make the report",
    reading="Reading the file",
    step="request",
)


def show_reports(owner: str, answer: Callable[[Reports], None]) -> None:
    """The owner's reports that the URL names, in whatever state they are; `answer` draws them."""
    show_job(JOBS, owner, _WORDS, before=_invite, answer=answer)


def _invite() -> None:
    st.header("Which trace is the report about?", anchor=False)
    st.write(
        "Upload a CSV file with the time and the token counts of past requests. Every one is ranked, with today's "
        "prices at its hour of the day."
    )
