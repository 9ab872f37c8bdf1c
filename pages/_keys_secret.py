"""A new key, shown once: it lives in this browser session's memory until the reader has stored it, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import streamlit as st

from freerelay_core.composition.accounts import CreatedKey
from pages._format import moment

__all__ = ["draw_secret", "forget_secret", "keep_secret"]

_SECRET = "new_key"  # noqa: S105 - where it is kept


@dataclass(frozen=True, slots=True)
class _Kept:
    viewer: str
    owner: str
    made: CreatedKey


def keep_secret(viewer: str, owner: str, made: CreatedKey) -> None:
    """Keep a new key of the tenant `owner` (its address) for whoever made it: a tenant's id, or `operator`."""
    st.session_state[_SECRET] = _Kept(viewer, owner, made)


def draw_secret(viewer: str) -> None:
    """Show the key that was just made, to the one who made it, until they say that they have stored it."""
    kept: _Kept | None = st.session_state.get(_SECRET)
    if kept is None:
        return
    if kept.viewer != viewer:
        _forget()
        return
    info = kept.made.info
    end = "does not expire" if info.expires_at is None else f"works until {moment(info.expires_at)}"
    with st.container(border=True, key="new-key"):
        st.header("Store this key now", anchor=False)
        st.html(
            f"<p><strong>{escape(info.name)}</strong> of {escape(kept.owner)} works from now on and {end}. It is shown "
            "this once: FreeRelay keeps only a digest of it, and nobody can show it again.</p>"
        )
        st.code(kept.made.secret, language=None, wrap_lines=True)
        st.button("I have stored it", type="primary", on_click=_forget)


def forget_secret(key_id: str) -> None:
    """Show the key no more: it does not work any longer."""
    kept: _Kept | None = st.session_state.get(_SECRET)
    if kept is not None and kept.made.info.id == key_id:
        _forget()


def _forget() -> None:
    st.session_state.pop(_SECRET, None)
