"""The file itself, before it is downloaded: drawn from its very bytes."""

from __future__ import annotations

import base64
import csv
import io
from html import escape

import streamlit as st

from freerelay_core.reports import RankingReport, ReportFormat, file_name
from pages._format import count, markdown

__all__ = ["show_file"]

HEIGHT = 620
"""Of the preview, px."""


def show_file(report: RankingReport, form: ReportFormat) -> None:
    """The download of a report in this format, and under it what is in the file."""
    content, name = form.write(report), file_name(report, form)
    st.download_button(
        f"Download {name}",
        content,
        file_name=name,
        mime=form.media_type,
        key="download",
        on_click="ignore",
        type="primary",
        icon=":material/download:",
    )
    st.caption(markdown(f"{count(len(content), 'byte')}, content SHA-256 {report.sha256[:12]}. The file holds:"))
    _PREVIEWS[form](content, f"Preview of {name}")


def _table(content: bytes, title: str) -> None:
    header, *rows = csv.reader(io.StringIO(content.decode()))
    columns = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    st.dataframe(columns, hide_index=True, height=HEIGHT, alt=title, key="preview")


def _text(content: bytes, title: str) -> None:
    # `st.code` scrolls, too, but cannot be reached by keyboard.
    with st.container(border=True):
        st.html(
            f"<pre tabindex='0' role='region' aria-label='{escape(title)}' style='max-height: {HEIGHT}px; "
            f"overflow: auto; margin: 0; font-size: 0.85rem'>{escape(content.decode())}</pre>"
        )


def _page(content: bytes, title: str) -> None:
    # An address of its own has no way to the dashboard, were there ever a script in the file.
    with st.container(border=True):
        st.iframe(f"data:text/html;base64,{base64.b64encode(content).decode()}", height=HEIGHT, alt=title)


_PREVIEWS = {ReportFormat.CSV: _table, ReportFormat.JSON: _text, ReportFormat.HTML: _page}
