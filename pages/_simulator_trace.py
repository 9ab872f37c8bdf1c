"""A trace file under all three preferences: upload, and a job with progress and cancel whose id stands in the URL."""

from __future__ import annotations

from datetime import datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from freerelay_core.profile import RequestProfile
from pages._job_view import JobWords, show_job, start_job
from pages._jobs import Job, Jobs
from pages._simulator_trace_view import TraceAnswer, show_answer
from pages._trace_job import Setting, chosen_file, simulated

__all__ = ["JOBS", "rank_trace", "show_ranked_trace", "upload"]

_SAMPLE = """TIMESTAMP,ContextTokens,GeneratedTokens
2026-11-24 09:15:46.68,374,44
2026-11-24 09:15:50.99,396,109"""

JOBS: Jobs[TraceAnswer] = Jobs()
"""The trace jobs of this process."""


def rank_trace(
    job: Job[TraceAnswer], content: bytes, origin: str, like: RequestProfile, setting: Setting
) -> TraceAnswer:
    """The work of a job: read the file and rank it under all preferences.

    Raises `UnprocessableRequest` naming columns or the first bad line, `JobCancelled` when its owner gave it up.
    """
    return TraceAnswer.of(simulated(job, content, origin, setting, like=like), like, setting.now)


def upload(owner: str, like: RequestProfile, setting: Setting) -> None:
    """Choose a file and start its job; the job's id goes into the URL."""
    chosen = chosen_file(
        "Rank this trace",
        "rank_trace",
        more=", with the columns TIMESTAMP, ContextTokens, GeneratedTokens. The file is not stored; its result is "
        "kept, among your last five, until the server restarts. A tenant's budget is not counted: every request is "
        "ranked as if there were money for it.",
        busy=JOBS.running(owner) is not None,
    )
    if chosen is not None:
        start_job(JOBS, owner, chosen[1], lambda job: rank_trace(job, *chosen, like, setting))


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
