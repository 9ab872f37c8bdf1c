"""The report of what a page shows, in every format, as a row of downloads."""

from __future__ import annotations

from functools import partial

import streamlit as st

from freerelay_core.reports import RankingReport, ReportFormat, file_name

__all__ = ["download_row"]


def download_row(report: RankingReport, *, key: str = "report") -> None:
    """A download for each format; a file is written when it is asked for. `key` tells the row from others of a page."""
    with st.container(horizontal=True, key=f"{key}_downloads"):
        for form in ReportFormat:
            st.download_button(
                f"Report as {form.upper()}",
                partial(form.write, report),
                file_name=file_name(report, form),
                mime=form.media_type,
                key=f"{key}_{form}",
                on_click="ignore",
                icon=":material/download:",
                help="Ranking, scope, exponents, factors, exclusions and what they rest on, with all digits.",
            )
