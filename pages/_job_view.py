"""A job as a page shows it: what it works on, how far it is, how it ended, and the way to cancel it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from freerelay_core.errors import FreeRelayError
from pages._format import count, markdown
from pages._jobs import Job, Jobs, JobState

__all__ = ["JobWords", "show_job", "start_job"]

T = TypeVar("T")

POLL_S = 0.25
CANCEL_KEYS = "Alt+X"
"""Cancels from wherever the focus is. Escape would, too, where it only closes a list; C is Streamlit's own."""


@dataclass(frozen=True, slots=True)
class JobWords:
    """How a page speaks of its jobs."""

    running: str
    """Before the title while it runs: "Ranking"."""
    failed: str
    """After the title: "could not be ranked"."""
    again: str
    """How to start once more: "Choose Rank this trace"."""
    reading: str
    """What it does before it knows how many steps there are."""
    step: str
    """One step: "request"."""


def start_job(jobs: Jobs[T], owner: str, title: str, work: Callable[[Job[T]], T]) -> None:
    """Start a job; its id goes into the URL, and the page is drawn anew. Where it cannot be started, that is said."""
    try:
        job = jobs.start(owner, title, work)
    except FreeRelayError as error:
        st.error(markdown(error.message))
    else:
        st.query_params["job"] = job.id
        st.rerun()


def show_job(
    jobs: Jobs[T], owner: str, words: JobWords, *, before: Callable[[], None], answer: Callable[[T], None]
) -> None:
    """The owner's job that the URL names (or that runs), in whatever state it is. `before` draws what there is to do
    without one, `answer` its result.
    """
    job_id = st.query_params.get("job")
    if job_id is None and (running := jobs.running(owner)):
        st.query_params["job"] = job_id = running.id
    if job_id is None:
        before()
        return
    try:
        job = jobs.get(owner, job_id)
    except FreeRelayError as error:
        st.warning(markdown(error.message))
        return
    if job.state is JobState.DONE and job.result is not None:
        answer(job.result)
    elif job.state is JobState.FAILED and job.error is not None:
        st.header(markdown(f"{job.title} {words.failed}"), anchor=False)
        st.error(markdown(job.error.message))
    elif job.state is JobState.CANCELLED:
        st.header(markdown(f"{job.title} was cancelled"), anchor=False)
        st.write(f"Nothing is kept of it. {words.again} to start again.")
    else:
        st.header(markdown(f"{words.running} {job.title}"), anchor=False)
        st.fragment(_show_progress, run_every=POLL_S)(job, words)


def _show_progress(job: Job[T], words: JobWords) -> None:
    """Drawn again and again while the job runs; then the whole page once."""
    if job.state is not JobState.RUNNING:
        st.rerun()
    done, total = job.progress
    text = f"{count(done)} of {count(total, words.step)} done" if total else words.reading
    if total and done == total:
        text = f"All {count(total, words.step)} done, adding up"
    st.progress(done / total if total else 0.0, text=text)
    st.button(
        "Cancel",
        on_click=job.cancel,
        key="cancel_job",
        shortcut=CANCEL_KEYS,
        help=f"{CANCEL_KEYS} (Option+X on a Mac) cancels from anywhere on the page.",
    )
