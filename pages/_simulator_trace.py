"""A trace file under all three preferences: upload, and a job with progress and cancel whose id stands in the URL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from freerelay_core.errors import FreeRelayError
from freerelay_core.policy import Policy
from freerelay_core.profile import RequestProfile
from freerelay_core.simulation import Cancelled, read_trace, simulate
from freerelay_core.snapshot import Snapshot
from pages import _format as fmt
from pages._format import markdown
from pages._jobs import Job, JobCancelled, Jobs, JobState
from pages._simulator_trace_view import TraceAnswer, show_answer

__all__ = ["JOBS", "Setting", "rank_trace", "show_job", "upload"]

MAX_UPLOAD_MB = 64
SEED = 0
POLL_S = 0.25

_SAMPLE = """TIMESTAMP,ContextTokens,GeneratedTokens
2026-11-24 09:15:46.68,374,44
2026-11-24 09:15:50.99,396,109"""

JOBS: Jobs[TraceAnswer] = Jobs()
"""The trace jobs of this process."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a trace is ranked with."""

    snapshot: Snapshot
    policy: Policy
    tenant_id: str | None
    tier: str | None
    now: datetime


def rank_trace(
    job: Job[TraceAnswer], content: bytes, origin: str, like: RequestProfile, setting: Setting
) -> TraceAnswer:
    """The work of a job: read the file and rank it under all preferences.

    Raises `UnprocessableRequest` naming columns or the first bad line, `JobCancelled` when its owner gave it up.
    """
    trace = read_trace(content, origin=origin, like=like)
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
    return TraceAnswer.of(simulation, like, setting.now)


def upload(owner: str, like: RequestProfile, setting: Setting) -> None:
    """Choose a file and start its job; the job's id goes into the URL."""
    running = JOBS.running(owner)
    file = st.file_uploader(
        "Trace file (CSV)",
        type="csv",
        max_upload_size=MAX_UPLOAD_MB,
        key="trace_file",
        help="Columns TIMESTAMP, ContextTokens and GeneratedTokens, or timestamp, input_tokens and output_tokens.",
    )
    st.caption(
        f"CSV in UTF-8, at most {fmt.count(MAX_UPLOAD_MB)} MB, with the columns TIMESTAMP, ContextTokens, "
        "GeneratedTokens. The file is not stored; its result is kept until the server restarts."
    )
    ready = file is not None and running is None
    pressed = st.button(
        "Rank this trace", key="rank_trace", type="primary" if ready else "secondary", disabled=not ready
    )
    if pressed and file is not None:
        content, origin = file.getvalue(), " ".join(file.name.split())[:100]
        try:
            job = JOBS.start(owner, origin, lambda job: rank_trace(job, content, origin, like, setting))
        except FreeRelayError as error:
            st.error(markdown(error.message))
        else:
            st.query_params["job"] = job.id
            st.rerun()


def show_job(owner: str, job_id: str | None, now: datetime, rest: DeltaGenerator) -> None:
    """The owner's job named in the URL, in whatever state it is; without one, what to do next.

    What is behind an answer is drawn in `rest`.
    """
    if job_id is None and (running := JOBS.running(owner)):
        st.query_params["job"] = job_id = running.id
    if job_id is None:
        st.header("What would your traffic cost under each preference?", anchor=False)
        st.write(
            "Upload a trace of past requests: every one is ranked under all three preferences, with today's prices at "
            "its hour of the day. No prompt is needed, only times and token counts, as in this file:"
        )
        st.code(_SAMPLE, language=None)
        return
    try:
        job = JOBS.get(owner, job_id)
    except FreeRelayError as error:
        st.warning(markdown(error.message))
        return
    if job.state is JobState.DONE and job.result is not None:
        show_answer(job.result, now, rest)
    elif job.state is JobState.FAILED and job.error is not None:
        st.header(markdown(f"{job.title} could not be ranked"), anchor=False)
        st.error(markdown(job.error.message))
    elif job.state is JobState.CANCELLED:
        st.header(markdown(f"{job.title} was cancelled"), anchor=False)
        st.write("Nothing is kept of it. Choose Rank this trace to start again.")
    else:
        st.header(markdown(f"Ranking {job.title}"), anchor=False)
        st.fragment(_show_progress, run_every=POLL_S)(job)


def _show_progress(job: Job[TraceAnswer]) -> None:
    """Drawn again and again while the job runs; then the whole page once."""
    if job.state is not JobState.RUNNING:
        st.rerun()
    done, total = job.progress
    text = f"{fmt.count(done)} of {fmt.count(total, 'request')} ranked" if total else "Reading the file"
    st.progress(done / total if total else 0.0, text=text)
    st.button("Cancel", on_click=job.cancel)
