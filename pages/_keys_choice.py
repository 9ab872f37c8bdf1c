"""A choice among a few things that stands in the URL, as an id."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from pages._keys_result import forget_result
from pages._layout import follow_url, put_in_url

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
    follow_url(param, asked if asked in names else None)
    return st.selectbox(
        label,
        list(names),
        index=None,
        key=param,
        format_func=lambda name: names.get(name, ""),
        placeholder=placeholder,
        on_change=_chosen,
        args=(param,),
    )


def _chosen(param: str) -> None:
    put_in_url(param, st.session_state[param])
    forget_result()


def preset(param: str, chosen: str | None) -> None:
    """Have this id, or none, chosen in the run that follows the callback."""
    put_in_url(param, chosen)
