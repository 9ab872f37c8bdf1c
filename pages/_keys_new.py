"""The form that makes a key of a tenant; the key is then shown once."""

from __future__ import annotations

import streamlit as st

from freerelay_core.composition.accounts import LONGEST_LABEL
from freerelay_core.store.values import Identity, Tenant
from pages import _session
from pages._keys_result import attempt
from pages._keys_secret import keep_secret

__all__ = ["new_key_form", "viewer"]

_LABEL, _LIFETIME = "key_label", "key_lifetime"
_LIFETIMES = {"never": None, "in 7 days": 7, "in 30 days": 30, "in 90 days": 90, "in a year": 365}


def viewer(who: Identity) -> str:
    """To whom a new key may be shown: the tenant's id, or `operator`."""
    return who.role if who.tenant is None else who.tenant.id


def new_key_form(tenant: Tenant) -> None:
    """Draw the form for a key of this tenant."""
    with (
        st.form("new_key_form", border=False, enter_to_submit=True),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        st.text_input("Label of a new key", key=_LABEL, max_chars=LONGEST_LABEL, placeholder="laptop, nightly job …")
        st.selectbox("Expires", list(_LIFETIMES), key=_LIFETIME)
        st.form_submit_button("Create key", type="primary", on_click=_create, args=(tenant,))


def _create(tenant: Tenant) -> None:
    def work() -> str:
        who = _session.identity()
        made = _session.run(
            _session.application().accounts.create_key(
                who,
                tenant.id,
                name=st.session_state[_LABEL],
                lifetime_days=_LIFETIMES[st.session_state[_LIFETIME]],
            )
        )
        keep_secret(viewer(who), tenant.email, made)
        st.session_state[_LABEL] = ""
        return ""

    attempt(work)
