"""Reports: the ranking for a question as a file that can be kept, sent and checked. What is shown is the file."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.preference import RoutingPreference
from freerelay_core.reports import ReportFormat
from freerelay_core.store.values import Identity
from pages import _layout, _session
from pages._format import count, markdown
from pages._reports_preview import show_file
from pages._reports_source import DAYS, QUESTIONS, RECORDED, TRACE, report_of

_ALL = "all"
_PREFERENCES = (_ALL, *(preference.value for preference in RoutingPreference))
_FORMATS = (ReportFormat.HTML.value, ReportFormat.CSV.value, ReportFormat.JSON.value)

MAX_UPLOAD_MB = 8
"""Ranked while the reader waits; the simulator takes larger files, in the background."""

_QUESTION_HELP = (
    "Workload: a standard mix of requests, the same for everybody. Recorded: the requests of the last "
    f"{DAYS} days. Trace: a file of your own."
)


def main() -> None:
    """The page: the report on the left, what it is about on the right; on a phone the report comes first."""
    who = _session.identity()
    unusable = [
        f"{name}={value[:60]} (can be {', '.join(options)})"
        for name, options in (("question", QUESTIONS), ("under", _PREFERENCES), ("format", _FORMATS))
        for value in st.query_params.get_all(name)
        if value not in options
    ]
    _layout.page_title("Reports")
    left, right = st.columns([5, 3], gap="medium")
    with right:
        question = _choice("Report on", QUESTIONS, "question", _QUESTION_HELP)
        file = _upload() if question == TRACE else None
        under = st.selectbox(
            "Preference", _PREFERENCES, key="under", bind="query-params", help="One preference, or all three compared."
        )
        form = _choice("Format", _FORMATS, "format", "The same numbers in each, with all their digits.")
    with left:
        _layout.left_out(unusable)
        if question == TRACE and file is None:
            _ask_for_a_file()
        else:
            preferences = tuple(RoutingPreference) if under == _ALL else (RoutingPreference(under),)
            _show(who, question, preferences, file, form)
        _layout.idle_notice(_session.fleet_snapshot())
    _layout.simulated_notice(_session.fleet_snapshot())
    _layout.revision_mark()


def _show(
    who: Identity,
    question: str,
    preferences: tuple[RoutingPreference, ...],
    file: tuple[str, bytes] | None,
    form: str,
) -> None:
    """The finding, the file and its content; or why there is none, and what to do."""
    try:
        report = report_of(who, question, preferences, file)
    except UnprocessableRequest as error:
        if question == RECORDED:
            st.header(f"Nothing was recorded in the last {DAYS} days", anchor=False)
            st.write("Send a first request (the overview shows how), or report on the standard workload or a trace.")
        else:
            st.header("This file cannot be ranked", anchor=False)
            st.error(markdown(error.message))
        return
    st.header(markdown(report.title), anchor=False)
    st.write(markdown(report.finding))
    show_file(report, next(each for each in ReportFormat if each == form))


def _upload() -> tuple[str, bytes] | None:
    """The name and the content of a trace file, once there is one."""
    file = st.file_uploader(
        "Trace file (CSV)",
        type="csv",
        max_upload_size=MAX_UPLOAD_MB,
        key="trace_file",
        help="Columns TIMESTAMP, ContextTokens and GeneratedTokens, or timestamp, input_tokens and output_tokens.",
    )
    st.caption(
        f"CSV in UTF-8, at most {count(MAX_UPLOAD_MB)} MB; it is not stored. For larger ones: the simulator, or "
        "`freerelay report`."
    )
    return None if file is None else (" ".join(file.name.split())[:100], file.getvalue())


def _ask_for_a_file() -> None:
    st.header("Which trace is the report about?", anchor=False)
    st.write(
        "Upload a CSV file with the time and the token counts of past requests. Every one is ranked, with today's "
        "prices at its hour of the day."
    )


def _choice(label: str, options: Sequence[str], key: str, explanation: str) -> str:
    """One of a few, bound to the URL; the first is the default."""
    chosen = st.segmented_control(
        label, options, default=options[0], required=True, key=key, bind="query-params", help=explanation
    )
    return chosen or options[0]


main()
