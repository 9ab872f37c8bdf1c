"""What came of the last action on the keys and tenants pages: left by a callback, drawn by the run that follows it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from freerelay_core.errors import FreeRelayError
from pages._format import markdown

__all__ = ["attempt", "draw_result", "forget_result"]

_RESULT = "accounts_result"


def attempt(work: Callable[[], str]) -> None:
    """Do it, and leave its words (Markdown, "" for none) or the reason why it could not be done."""
    try:
        st.session_state[_RESULT] = ("done", work())
    except FreeRelayError as error:
        st.session_state[_RESULT] = ("failed", markdown(error.message))


def draw_result() -> None:
    """Say what came of the last action. It stands until the next one: Streamlit may draw a page twice."""
    kind, words = st.session_state.get(_RESULT, ("", ""))
    if kind == "failed":
        st.error(words, icon=":material/error:")
    elif words:
        st.success(words, icon=":material/check_circle:")


def forget_result() -> None:
    """What is looked at has changed: the last action is no longer of interest."""
    st.session_state.pop(_RESULT, None)
