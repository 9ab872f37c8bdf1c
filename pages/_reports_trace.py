"""Reports on an uploaded trace: a job with progress and cancel whose id stands in the URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import streamlit as st

from freerelay_core.preference import RoutingPreference
from freerelay_core.reports import Figure, RankingReport, report_of_simulation
from freerelay_core.simulation import Cancelled, read_trace, simulate
from pages._format import count
from pages._job_view import JobWords, show_job, start_job
from pages._jobs import Job, JobCancelled, Jobs
from pages._layout import main_button
from pages._simulator_trace import MAX_UPLOAD_MB, SEED, Setting

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
    trace = read_trace(content, origin=origin)
    job.report(0, len(trace))
    try:
        simulation = simulate(
            trace,
            setting.snapshot,
            policy=setting.policy,
            tenant_id=setting.tenant_id,
            tier=setting.tier,
            seed=SEED,
            progress=job.report,
            cancelled=job.cancelled,
        )
    except Cancelled:
        raise JobCancelled from None
    reports = {}
    for preferences in (_ALL, *((preference,) for preference in _ALL)):
        part = replace(simulation, results={each: simulation.results[each] for each in preferences})
        reports[preferences] = report_of_simulation(part, made_at=setting.now, extra_scope=(ranked_as,))
    return reports


def upload(owner: str, setting: Setting, ranked_as: Figure) -> None:
    """Choose a file and start its job; `ranked_as` says whose requests they are taken for."""
    file = st.file_uploader(
        "Trace file (CSV)",
        type="csv",
        max_upload_size=MAX_UPLOAD_MB,
        key="trace_file",
        help="Columns TIMESTAMP, ContextTokens and GeneratedTokens, or timestamp, input_tokens and output_tokens.",
    )
    st.caption(
        f"CSV in UTF-8, at most {count(MAX_UPLOAD_MB)} MB; it is not stored. The report is kept until the server "
        "restarts. For larger files: `freerelay report`."
    )
    ready = file is not None and JOBS.running(owner) is None
    if main_button("Make the report", key="make_report", ready=ready) and file is not None:
        content, origin = file.getvalue(), " ".join(file.name.split())[:100]
        start_job(JOBS, owner, origin, lambda job: make_reports(job, content, origin, setting, ranked_as))


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
