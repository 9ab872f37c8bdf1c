"""One tenant, for the operator: its tier, whether a request may override, and its keys."""

from __future__ import annotations

from html import escape

import streamlit as st

from freerelay_core.composition.accounts import key_state
from freerelay_core.store import LARGEST_BUDGET_USD, TIERS
from freerelay_core.store.values import Tenant
from pages import _session
from pages._format import markdown, usd
from pages._keys_new import new_key_form
from pages._keys_result import attempt
from pages._keys_table import live_keys
from pages._tenants_table import override_words, preference_words

__all__ = ["draw_tenant"]


def draw_tenant(tenant: Tenant) -> None:
    """Show the tenant and what can be changed of it."""
    with st.container(border=True, key="tenant-panel"):
        st.html(f"<h2 class='fr-name'>{escape(tenant.email)}</h2>")  # Markdown would make it a link to write a mail
        st.html(
            f"<p class='fr-basis'>Routing preference: {preference_words(tenant)}; only the tenant itself changes it. "
            f"Id for rules: <code>{tenant.id}</code></p>"
        )
        _draw_settings(tenant)
        _draw_budget(tenant)
        _draw_keys(tenant)


def _draw_settings(tenant: Tenant) -> None:
    # Keyed by version: what is shown starts from what is stored whenever that has changed.
    at = f"{tenant.id}:{tenant.settings_version}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        tier = st.selectbox("Tier", TIERS, index=TIERS.index(tenant.tier), key=f"tier:{at}", width=180)
        allowed = st.toggle(
            "A single request may choose another preference", value=tenant.allow_override, key=f"override:{at}"
        )
    changes = []
    if tier != tenant.tier:
        changes.append(f"tier **{tenant.tier} → {tier}**")
    if allowed != tenant.allow_override:
        before, after = override_words(allowed=tenant.allow_override), override_words(allowed=allowed)
        changes.append(f"override **{before} → {after}**")
    if not changes:
        st.caption("Nothing is saved by choosing: what would change is shown first.")
        return
    st.write(f"Saving changes {' and '.join(changes)}, from this tenant's next request on.")
    st.button("Save changes", type="primary", on_click=_save, args=(tenant, tier, allowed))


def _save(tenant: Tenant, tier: str, allowed: bool) -> None:  # noqa: FBT001 - called by Streamlit, by position
    def work() -> str:
        changed = _session.run(
            _session.application().accounts.update_tenant(
                _session.identity(),
                tenant.id,
                tier=tier if tier != tenant.tier else None,
                allow_override=allowed if allowed != tenant.allow_override else None,
            )
        )
        return (
            f"Saved: tier **{changed.tier}**, override **{override_words(allowed=changed.allow_override)}**. "
            "The very next request follows it."
        )

    attempt(work)


def _draw_budget(tenant: Tenant) -> None:
    key = f"budget:{tenant.id}:{tenant.settings_version}"
    with st.form(f"budget_form:{tenant.id}", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            "Budget, USD a calendar month",
            min_value=0.0,
            max_value=LARGEST_BUDGET_USD,
            value=tenant.budget_usd,
            placeholder="no budget",
            key=key,
            width=320,
        )
        st.form_submit_button("Save budget", on_click=_save_budget, args=(tenant, key))
    if tenant.budget_usd is not None:  # a number field that starts with a number cannot be emptied
        st.button("Take the budget away", on_click=_save_budget, args=(tenant, None))


def _save_budget(tenant: Tenant, key: str | None) -> None:
    def work() -> str:
        accounts, amount = _session.application().accounts, None if key is None else st.session_state[key]
        changed = _session.run(accounts.set_budget(_session.identity(), tenant.id, amount)).budget_usd
        words = "there is **no budget**" if changed is None else f"the budget is **{markdown(usd(changed))}** a month"
        return f"Saved: {words}. The very next request follows it."

    attempt(work)


def _draw_keys(tenant: Tenant) -> None:
    application = _session.application()
    keys = _session.run(application.accounts.keys(_session.identity(), tenant.id))
    live = [key for key in keys if key_state(key, application.clock.now()) == "live"]
    if live:
        st.html(live_keys(live))
    else:
        st.caption("This tenant has no key that works: it can neither send requests nor sign in.")
    new_key_form(tenant)
