"""Reports: the ranking for a question as a file that can be kept, sent and checked. What is shown is the file."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.preference import RoutingPreference
from freerelay_core.reports import RankingReport, ReportFormat
from freerelay_core.store.values import Identity
from pages import _layout, _session
from pages._format import markdown
from pages._reports_preview import show_file
from pages._reports_source import DAYS, QUESTIONS, TRACE, ranked_as, report_of
from pages._reports_trace import show_reports, upload
from pages._trace_job import Setting

_ALL = "all"
_PREFERENCES = (_ALL, *(preference.value for preference in RoutingPreference))
_FORMATS = (ReportFormat.HTML.value, ReportFormat.CSV.value, ReportFormat.JSON.value)

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
        if question == TRACE:
            upload(_owner(who), _setting(who), ranked_as(who.tenant))
        under = st.selectbox(
            "Preference", _PREFERENCES, key="under", bind="query-params", help="One preference, or all three compared."
        )
        form = _choice("Format", _FORMATS, "format", "The same numbers in each, with all their digits.")
    with left:
        _layout.left_out(unusable)
        preferences = tuple(RoutingPreference) if under == _ALL else (RoutingPreference(under),)
        if question == TRACE:
            show_reports(_owner(who), lambda reports: _show(reports[preferences], form))
        else:
            _show_now(who, question, preferences, form)
        _layout.idle_notice(_session.fleet_snapshot())
    _layout.simulated_notice(_session.fleet_snapshot())
    _layout.revision_mark()


def _owner(who: Identity) -> str:
    return who.tenant.id if who.tenant else "operator"


def _setting(who: Identity) -> Setting:
    """What a trace is ranked with."""
    app, tenant = _session.application(), who.tenant
    tenant_id, tier = (tenant.id, tenant.tier) if tenant else (None, None)
    return Setting(_session.fleet_snapshot(), app.policy, tenant_id, tier, app.clock.now())


def _show_now(who: Identity, question: str, preferences: tuple[RoutingPreference, ...], form: str) -> None:
    """The report on what is ranked in a moment; or why there is none, and what to do."""
    try:
        report = report_of(who, question, preferences)
    except UnprocessableRequest:
        st.header(f"Nothing was recorded in the last {DAYS} days", anchor=False)
        st.write("Send a first request (the overview shows how), or report on the standard workload or a trace.")
    else:
        _show(report, form)


def _show(report: RankingReport, form: str) -> None:
    """The finding, the file and its content."""
    st.header(markdown(report.title), anchor=False)
    st.write(markdown(report.finding))
    show_file(report, next(each for each in ReportFormat if each == form))


def _choice(label: str, options: Sequence[str], key: str, explanation: str) -> str:
    """One of a few, bound to the URL; the first is the default."""
    chosen = st.segmented_control(
        label, options, default=options[0], required=True, key=key, bind="query-params", help=explanation
    )
    return chosen or options[0]


main()
