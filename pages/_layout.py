"""The frame of every page: style, title, notices, who is signed in, and the mark that says a page is complete."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Literal

import streamlit as st

from freerelay_core.errors import FreeRelayError, StoreUnavailable
from freerelay_core.snapshot import Snapshot
from pages._format import count, markdown

__all__ = [
    "FAVICON",
    "account",
    "brand",
    "failure",
    "follow_url",
    "idle_notice",
    "left_out",
    "main_button",
    "page_title",
    "put_in_url",
    "revision_mark",
    "simulated_notice",
    "style",
]

_ASSETS = Path(__file__).parent / "assets"
_STYLE = (_ASSETS / "style.css").read_text(encoding="utf-8")
FAVICON = str(_ASSETS / "favicon.png")


def style() -> None:
    """The style of our own HTML, in the accent colours that the theme sets for Streamlit's."""
    light, dark = (st.get_option(f"theme.{mode}.primaryColor") for mode in ("light", "dark"))
    st.html(f"<style>:root {{ --fr-accent: light-dark({light}, {dark}); }}\n{_STYLE}</style>")


def brand() -> None:
    """The product's mark, above the menu or, where there is none, above the page."""
    st.logo(FAVICON, size="large")


def page_title(title: str) -> None:
    """The page's one heading of the first rank."""
    st.title(title, anchor=False)


def idle_notice(snapshot: Snapshot) -> None:
    """For pages that rank what serves no live traffic beside what does: says how many endpoints those are."""
    idle = len(snapshot) - int(snapshot.live.sum())
    if idle:
        st.html(
            f"<p class='fr-notice'><strong>{count(idle)} of {count(len(snapshot), 'endpoint')}</strong> "
            f"{'is' if idle == 1 else 'are'} simulated and {'gets' if idle == 1 else 'get'} no live traffic, as real "
            "ones serve; all are ranked here, to compare.</p>"
        )


def simulated_notice(snapshot: Snapshot) -> None:
    """Says that answers are simulated, where they are."""
    live = snapshot.simulated[snapshot.live]
    if not live.any():
        return
    share = "Every endpoint is" if live.all() else "Some endpoints are"
    st.html(
        f"<p class='fr-notice'><strong>Simulated.</strong> {share} simulated: prices, speeds and abilities are the "
        "catalogue's, no vendor is called and no money is spent.</p>"
    )


def failure(error: FreeRelayError) -> None:
    """What went wrong, in the error's own words, and the way out."""
    st.error(markdown(error.message), icon=":material/error:")
    if isinstance(error, StoreUnavailable):
        st.write("The database does not answer. Live requests go on with the settings last known; nothing is lost.")
    st.button("Try again")


def left_out(unusable: Iterable[str]) -> None:
    """Say which parts of the page's link ("provider=nope") cannot be used, where there are any."""
    if parts := list(unusable):
        st.warning(markdown(f"Not usable in this link, so left out: {'; '.join(parts)}."))


def follow_url(key: str, value: object) -> None:
    """Have the widget of this key show what the URL says, also after the browser's way back.

    A choice must stand in the URL before the page is drawn: its callback calls `put_in_url`. What the widget shows
    already is not set again, as that would undo what is being typed.
    """
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value


def put_in_url(name: str, value: str | None) -> None:
    """State this parameter, or none."""
    if value:
        st.query_params[name] = value
    else:
        st.query_params.pop(name, None)


def main_button(label: str, *, key: str, ready: bool, width: Literal["content", "stretch"] = "content") -> bool:
    """The page's main action; whether it was pressed. Not `ready` it looks plain: a disabled primary shows no label."""
    return st.button(label, key=key, type="primary" if ready else "secondary", disabled=not ready, width=width)


def account(name: str, detail: str) -> None:
    """Who is signed in, and the way to sign out; drawn in the menu."""
    with st.sidebar:
        st.html(
            f"<div class='fr-account'><p><strong>{escape(name)}</strong><br><span>{escape(detail)}</span></p>"
            "<form method='post' action='/session/end'><button type='submit'>Sign out</button></form></div>"
        )


def revision_mark() -> None:
    """Draw the invisible mark that ends every page; `data-rev` grows with each run, so that a test can await it."""
    revision = st.session_state.get("_revision", 0) + 1
    st.session_state["_revision"] = revision
    st.html(f"<span id='rev' data-rev='{revision}'></span>")
