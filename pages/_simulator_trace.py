"""A trace file under all three preferences: upload, and a job with progress and cancel whose id stands in the URL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from freerelay_core.policy import Policy
from freerelay_core.profile import RequestProfile
from freerelay_core.simulation import Cancelled, read_trace, simulate
from freerelay_core.snapshot import Snapshot
from pages import _format as fmt
from pages._job_view import JobWords, show_job, start_job
from pages._jobs import Job, JobCancelled, Jobs
from pages._layout import main_button
from pages._simulator_trace_view import TraceAnswer, show_answer

__all__ = ["JOBS", "Setting", "rank_trace", "show_ranked_trace", "upload"]

MAX_UPLOAD_MB = 64
SEED = 0

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
        "GeneratedTokens. The file is not stored; its result is kept, among your last five, until the server restarts. "
        "A tenant's budget is not counted: every request is ranked as if there were money for it."
    )
    ready = file is not None and running is None
    pressed = main_button("Rank this trace", key="rank_trace", ready=ready)
    if pressed and file is not None:
        content, origin = file.getvalue(), " ".join(file.name.split())[:100]
        start_job(JOBS, owner, origin, lambda job: rank_trace(job, content, origin, like, setting))


_WORDS = JobWords(
    running="Ranking",
    failed="could not be ranked",
    again="Choose Rank this trace",
    reading="Reading the file",
    step="request",
)


def show_ranked_trace(owner: str, now: datetime, rest: DeltaGenerator) -> None:
    """The owner's trace named in the URL, in whatever state it is; without one, what to do next.

    What is behind an answer is drawn in `rest`.
    """
    show_job(JOBS, owner, _WORDS, before=_invite, answer=lambda answer: show_answer(answer, now, rest))


def _invite() -> None:
    st.header("What would your traffic cost under each preference?", anchor=False)
    st.write(
        "Upload a trace of past requests: every one is ranked under all three preferences, with today's prices at "
        "its hour of the day. No prompt is needed, only times and token counts, as in this file:"
    )
    st.code(_SAMPLE, language=None)
