"""A choice among a few things that stands in the URL, as an id."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from pages._keys_result import forget_result

__all__ = ["choose", "preset", "unknown_notice"]


def unknown_notice(param: str, names: Mapping[str, str]) -> None:
    """Say that the URL names in `param` none of these ids: somebody else's and nobody's are refused alike."""
    asked = st.query_params.get(param)
    if asked is not None and asked not in names:
        st.warning(
            f"The URL names a {param} that does not exist, has ended or is not yours. None is chosen.",
            icon=":material/link_off:",
        )


def choose(label: str, names: Mapping[str, str], *, param: str, placeholder: str) -> str | None:
    """The id that the reader chose here or that the URL names in `param`; None before a choice.

    `names` says what each id is called; any other id in the URL counts as none.
    """
    asked = st.query_params.get(param)
    chosen = st.session_state.get(param, asked)
    st.session_state[param] = chosen if chosen in names else None
    chosen = st.selectbox(
        label,
        list(names),
        index=None,
        key=param,
        format_func=lambda name: names.get(name, ""),
        placeholder=placeholder,
        on_change=forget_result,
    )
    if chosen is not None:
        st.query_params[param] = chosen
    elif asked is not None:
        del st.query_params[param]
    return chosen


def preset(param: str, chosen: str | None) -> None:
    """Have this id, or none, chosen in the run that follows the callback."""
    st.session_state[param] = chosen
    if param in st.query_params:
        del st.query_params[param]
