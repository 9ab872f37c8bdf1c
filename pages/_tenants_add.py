"""The form that adds a tenant with its first key."""

from __future__ import annotations

import streamlit as st

from freerelay_core.errors import FreeRelayError
from freerelay_core.store import TIERS
from freerelay_core.store.values import Tenant
from pages import _session
from pages._format import markdown
from pages._keys_choice import preset
from pages._keys_new import viewer
from pages._keys_result import attempt
from pages._keys_secret import keep_secret

__all__ = ["add_tenant_form"]

_EMAIL, _TIER, _OVERRIDE = "new_email", "new_tier", "new_override"
_FIRST = "first"
"""Label of a tenant's first key."""


def add_tenant_form(choice: str) -> None:
    """Draw the form; the new tenant is then chosen under the name `choice`."""
    with st.form("add_tenant", border=False):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input("E-mail address", key=_EMAIL, max_chars=254, placeholder="name@example.com")
            st.selectbox("Tier of the new tenant", TIERS, key=_TIER, width=180)
        st.toggle("Its requests may each choose another preference", key=_OVERRIDE)
        st.form_submit_button("Add tenant and first key", type="primary", on_click=_add, args=(choice,))


def _add(choice: str) -> None:
    def work() -> str:
        tenant = _session.run(
            _session.application().accounts.create_tenant(
                _session.identity(),
                st.session_state[_EMAIL],
                tier=st.session_state[_TIER],
                allow_override=st.session_state[_OVERRIDE],
            )
        )
        preset(choice, tenant.id)
        st.session_state[_EMAIL] = ""
        return f"The tenant is added. {_first_key(tenant)}"

    attempt(work)


def _first_key(tenant: Tenant) -> str:
    """Make it; the tenant stands even where that fails."""
    who = _session.identity()
    try:
        made = _session.run(_session.application().accounts.create_key(who, tenant.id, name=_FIRST))
    except FreeRelayError as error:
        return f"Its first key could not be made: {markdown(error.message)} Create one below."
    keep_secret(viewer(who), tenant.email, made)
    return "Hand over its first key, which is shown above."
