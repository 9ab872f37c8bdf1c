"""A trace file on a page: how it is chosen, and the job that reads and ranks it under all preferences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from freerelay_core.policy import Policy
from freerelay_core.profile import RequestProfile
from freerelay_core.simulation import Cancelled, Simulation, read_trace, simulate
from freerelay_core.snapshot import Snapshot
from pages._format import count
from pages._jobs import Job, JobCancelled
from pages._layout import main_button

__all__ = ["Setting", "chosen_file", "read_file", "simulated", "trace_file"]

MAX_UPLOAD_MB = 64
SEED = 0


@dataclass(frozen=True, slots=True)
class Setting:
    """What a trace is ranked with."""

    snapshot: Snapshot
    policy: Policy
    tenant_id: str | None
    tier: str | None
    now: datetime


def trace_file(key: str) -> UploadedFile | None:
    """Draw the choice of a trace file."""
    return st.file_uploader(
        "Trace file (CSV)",
        type="csv",
        max_upload_size=MAX_UPLOAD_MB,
        key=key,
        help="Columns TIMESTAMP, ContextTokens and GeneratedTokens, or timestamp, input_tokens and output_tokens.",
    )


def read_file(file: UploadedFile) -> tuple[bytes, str]:
    """The file's content, and its name as it is shown."""
    return file.getvalue(), " ".join(file.name.split())[:100]


def chosen_file(label: str, key: str, *, more: str, busy: bool) -> tuple[bytes, str] | None:
    """The file's content and name, once the button with this label is pressed; not while a job makes its owner `busy`.

    `more` says what becomes of the file, after how large it may be.
    """
    file = trace_file("trace_file")
    st.caption(f"CSV in UTF-8, at most {count(MAX_UPLOAD_MB)} MB{more}")
    if not main_button(label, key=key, ready=file is not None and not busy) or file is None:
        return None
    return read_file(file)


def simulated(
    job: Job[Any], content: bytes, origin: str, setting: Setting, *, like: RequestProfile | None = None
) -> Simulation:
    """The file's requests under all preferences; what it does not say of them is as in `like`.

    Raises `UnprocessableRequest` naming columns or the first bad line, `JobCancelled` when its owner gave it up.
    """
    trace = read_trace(content, origin=origin, like=like)
    job.report(0, len(trace))
    try:
        return simulate(
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
