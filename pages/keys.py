"""API keys: the tenant's own, to make (shown once), label and revoke."""

from __future__ import annotations

import streamlit as st

from freerelay_core.composition.accounts import LONGEST_LABEL, MOST_LIVE_KEYS, key_state
from freerelay_core.errors import PermissionDenied
from freerelay_core.store.values import Identity, KeyInfo, Tenant
from pages import _layout, _session
from pages._format import count, markdown, moment
from pages._keys_choice import choose, preset, unknown_notice
from pages._keys_new import new_key_form, viewer
from pages._keys_result import attempt, draw_result
from pages._keys_secret import draw_secret, forget_secret
from pages._keys_table import ended_keys, live_keys, name_of

_CHOSEN = "key"
"""Name of the chosen key in the URL and in `session_state`."""
_MOST_ENDED = 50


def _tenant(who: Identity) -> Tenant:
    if who.tenant is None:
        raise PermissionDenied("API keys belong to a tenant; the operator finds those of all on the page Tenants.")
    return who.tenant


def _answer(live: list[KeyInfo]) -> str:
    """How many keys work, and the newest use of one."""
    if not live:
        return "<div class='fr-answer'><p class='fr-answer-value'>No key works. Create one to send requests.</p></div>"
    last = max((key.last_used_at for key in live if key.last_used_at is not None), default=None)
    used = "None of them was used yet." if last is None else f"Last used: {moment(last)}."
    works = "works" if len(live) == 1 else "work"
    return (
        f"<div class='fr-answer'><p class='fr-answer-value'><strong>{count(len(live), 'key')}</strong> {works}</p>"
        f"<p class='fr-answer-notes'>{used} A use shows within seconds.</p></div>"
    )


def _rename(key: KeyInfo) -> None:
    def work() -> str:
        who = _session.identity()
        label = st.session_state[f"label:{key.id}"]
        renamed = _session.run(_session.application().accounts.rename_key(who, _tenant(who).id, key.id, label))
        return f"The key {markdown(key.prefix)}… is now called **{markdown(renamed.name)}**."

    attempt(work)


def _revoke(key: KeyInfo) -> None:
    def work() -> str:
        who = _session.identity()
        _session.run(_session.application().accounts.revoke_key(who, _tenant(who).id, key.id))
        preset(_CHOSEN, None)
        forget_secret(key.id)
        return f"**{markdown(name_of(key))}** is revoked: every server refuses it within a second."

    attempt(work)


def _draw_change(key: KeyInfo, *, own: bool) -> None:
    """Rename or revoke one key."""
    with st.container(border=True, key="change-key"):
        with st.form("rename", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input("Its label", value=key.name, key=f"label:{key.id}", max_chars=LONGEST_LABEL)
            st.form_submit_button("Rename", on_click=_rename, args=(key,))
        with st.popover("Revoke …", icon=":material/block:"):
            st.write(
                f"Requests with **{markdown(name_of(key))}** will be refused within a second, and dashboard sessions "
                "opened with it end. This cannot be undone; another key can be created."
            )
            if own:
                st.warning(
                    "You have signed in with this key: you will be signed out, and need another one to come back.",
                    icon=":material/logout:",
                )
            st.button(f"Revoke {key.prefix}… for good", on_click=_revoke, args=(key,))


def main() -> None:
    """Draw the page."""
    who = _session.identity()
    tenant, application = _tenant(who), _session.application()
    keys = _session.run(application.accounts.keys(who, tenant.id))
    now = application.clock.now()
    live = [key for key in keys if key_state(key, now) == "live"]
    ended = [key for key in keys if key_state(key, now) != "live"]
    _layout.page_title("API keys")
    st.html(_answer(live))
    draw_secret(viewer(who))
    draw_result()
    if len(live) < MOST_LIVE_KEYS:
        new_key_form(tenant)
    else:
        st.caption(f"No more than {count(MOST_LIVE_KEYS, 'key')} may work at a time: revoke one to create another.")
    if live:
        st.header("Keys that work", anchor=False)
        st.html(live_keys(live, session_key=who.key_id))
        names = {key.id: name_of(key) for key in live}
        unknown_notice(_CHOSEN, names)
        chosen = choose("Key to rename or revoke", names, param=_CHOSEN, placeholder="Choose a key")
        for key in live:
            if key.id == chosen:
                _draw_change(key, own=key.id == who.key_id)
    if ended:
        st.header("Keys that have ended", anchor=False)
        st.html(ended_keys(ended[:_MOST_ENDED], now))
        if len(ended) > _MOST_ENDED:
            st.caption(f"The newest {count(_MOST_ENDED)} of {count(len(ended))}.")
    _layout.revision_mark()


main()
