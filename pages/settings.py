"""Routing settings: which preference is in force, what each would mean, and changing it.

Choosing a preference only previews it. Saving compares the version of the settings that the reader knows with the
stored one, so that nobody overwrites a change that they have not seen. Each choice draws the page anew, and what has
changed elsewhere meanwhile is easily overlooked there.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import streamlit as st

from freerelay_core.errors import Conflict, FreeRelayError, PermissionDenied
from freerelay_core.preference import DEFAULT_PREFERENCE, RoutingPreference
from freerelay_core.store.values import SettingsChange, Tenant
from pages import _cards, _layout, _session
from pages._format import markdown, moment
from pages._outlook import DAYS, Outlook, outlook
from pages._settings_budget import draw_budget

_CHOICE = "preference"
"""Name of the choice in the URL and in `session_state`."""

_DEFAULT = "default"
"""What a tenant chooses there to take its choice back. As a value it is None, as in the store."""

_RESULT = "settings_result"
"""Where a save leaves what came of it, until the reader chooses again: (kind, words or the tenant's choice)."""

_KNOWN = "settings_known"
"""Where the version of the settings is kept that the reader knows: as the page was opened, as the reader left them, or
as a conflict said that they are."""

_BY_KEY = "key:"
"""How the log of changes begins the id of the key that made one."""

_MOST_REQUESTS = 1_000
_MOST_CHANGES = 20
_FRESH_S = 60


@st.cache_data(ttl=_FRESH_S, max_entries=256, show_spinner=False)
def _outlook_of(tenant_id: str, settings_version: int) -> Outlook:  # noqa: ARG001 - part of the key
    application = _session.application()
    since = datetime.now(UTC) - timedelta(days=DAYS)
    recent = _session.run(application.store.recorded_traffic(tenant_id, since=since, limit=_MOST_REQUESTS))
    tenant = _session.run(application.store.tenant(tenant_id))
    return outlook(recent, _session.fleet_snapshot(), application.policy, tenant=tenant)


def _save(choice: RoutingPreference | None) -> None:
    """Save, and leave what came of it."""
    try:
        tenant = _tenant()
        saved = _session.run(
            _session.application().set_preference(
                tenant.id, choice, expected_version=st.session_state[_KNOWN], actor=_actor(tenant)
            )
        )
    except Conflict:
        st.session_state[_RESULT] = ("conflict", "save")
    except FreeRelayError as error:
        st.session_state[_RESULT] = ("error", f"Not saved. {markdown(error.message)}")
    else:
        _keep("saved", saved.tenant)


def _undo() -> None:
    """Take back the newest change of the preference, and leave what came of it."""
    try:
        who = _session.identity()
        changed = _session.run(
            _session.application().accounts.undo_preference(
                who, expected_version=st.session_state[_KNOWN], actor=_actor(_tenant())
            )
        )
    except Conflict:
        st.session_state[_RESULT] = ("conflict", "undo")
    except FreeRelayError as error:
        st.session_state[_RESULT] = ("error", f"Not undone. {markdown(error.message)}")
    else:
        _keep("undone", changed)


def _keep(done: str, tenant: Tenant) -> None:
    """Remember the settings as the reader has left them, and how ("saved", "undone")."""
    st.session_state[_KNOWN] = tenant.settings_version
    _layout.put_in_url(_CHOICE, None)
    st.session_state[_RESULT] = (done, tenant.routing_preference)


def _changes(tenant: Tenant) -> list[SettingsChange]:
    """The newest changes; a key that made one is called as on the page of keys."""
    store = _session.application().store
    changes = _session.run(store.settings_history(tenant.id, limit=_MOST_CHANGES))
    if not any(change.actor.startswith(_BY_KEY) for change in changes):
        return changes
    named = {
        f"{_BY_KEY}{key.id}": f"API key {key.name} ({key.prefix}…)" for key in _session.run(store.list_keys(tenant.id))
    }
    return [replace(change, actor=named.get(change.actor, change.actor)) for change in changes]


def _actor(tenant: Tenant) -> str:
    return f"{tenant.email} (dashboard)"


def _tenant() -> Tenant:
    who = _session.identity()
    if who.tenant is None:
        raise PermissionDenied("Routing settings belong to a tenant, and the operator has none of its own.")
    return who.tenant


def _chosen_by(tenant: Tenant, changes: list[SettingsChange]) -> str:
    """By whom and when the preference in force was chosen."""
    last = next((change for change in changes if change.field == "routing_preference"), None)
    if tenant.routing_preference is not None:
        return "" if last is None else f"Chosen by {last.actor} on {moment(last.at)}."
    if last is None:
        return "Nobody has chosen for this tenant yet, so the default applies."
    return f"The choice was taken back by {last.actor} on {moment(last.at)}, so the default applies."


def _draw_result(tenant: Tenant, changes: list[SettingsChange]) -> None:
    """Say what came of the last save. It stands until the reader chooses again: Streamlit may draw a page twice."""
    kind, words = st.session_state.get(_RESULT, ("", ""))
    if kind in {"saved", "undone"} and words == tenant.routing_preference:  # somebody may have changed it since
        now = f"The default (**{DEFAULT_PREFERENCE}**)" if words is None else f"**{words}**"
        st.success(
            f"{kind.capitalize()}. {now} is in force: the very next request follows it.",
            icon=":material/check_circle:",
        )
        if kind == "saved" and _undoable(changes) is not None:
            st.button("Undo", on_click=_undo)
    elif kind == "error":
        st.error(words, icon=":material/error:")
    elif kind == "conflict":
        _draw_conflict(words, tenant, changes)


def _draw_conflict(work: str, tenant: Tenant, changes: list[SettingsChange]) -> None:
    """Say who was quicker than this `work` (save or undo), how the settings are now, and what may be done."""
    st.session_state[_KNOWN] = tenant.settings_version
    by = chosen = ""
    if changes:
        last = changes[0]
        by = f" by {markdown(f'{last.actor} on {moment(last.at)} ({_cards.change_words(last)})')}"
        chosen = "" if last.field == "routing_preference" else f" {markdown(_chosen_by(tenant, changes))}"
    done, again = ("saved", "Save again to replace it") if work == "save" else ("undone", "Undo again to change it")
    st.warning(
        f"Not {done}: these settings were changed meanwhile{by}. The preference is **{_in_force(tenant)}** now."
        f"{chosen} {again}, or reload to keep it.",
        icon=":material/sync_problem:",
    )
    st.button("Reload", on_click=_look_at_none)


def _in_force(tenant: Tenant) -> RoutingPreference:
    return tenant.routing_preference or DEFAULT_PREFERENCE


def _named(choice: str | None) -> str:
    return choice or f"the default ({DEFAULT_PREFERENCE})"


def _look_at(in_force: RoutingPreference) -> None:
    """The reader has chosen: what is in force needs no preview, and so no link."""
    chosen = st.session_state[_CHOICE]
    _layout.put_in_url(_CHOICE, None if chosen == in_force else chosen)
    st.session_state.pop(_RESULT, None)


def _look_at_none() -> None:
    _layout.put_in_url(_CHOICE, None)
    st.session_state.pop(_RESULT, None)


def _choice(tenant: Tenant) -> RoutingPreference | None:
    """The preference that the reader looks at: the one in the URL, else the one in force. None is the default, which
    is offered where there is a choice to take back.

    The URL is kept by hand: a bound widget does not follow "Keep", and takes an empty parameter for no choice at all.
    """
    asked, in_force = st.query_params.get(_CHOICE), _in_force(tenant)
    names = [preference.value for preference in RoutingPreference]
    offered = names if tenant.routing_preference is None else [*names, _DEFAULT]
    if asked is not None and asked not in (*names, _DEFAULT):
        st.warning(
            f"The URL asks for the preference “{markdown(asked[:60])}”, which does not exist. "
            f"Shown is the one in force; there are {', '.join(offered)}.",
            icon=":material/link_off:",
        )
    # Not offered is the default, too, where somebody else has taken the choice back.
    _layout.follow_url(_CHOICE, asked if asked in offered else in_force.value)
    chosen = st.segmented_control(
        "Preview a preference",
        offered,
        format_func=lambda name: f"Use {_named(None)}" if name == _DEFAULT else name,
        required=True,
        key=_CHOICE,
        on_change=_look_at,
        args=(in_force,),
    )
    return None if chosen == _DEFAULT else RoutingPreference(chosen or in_force.value)


def _draw_preview(view: Outlook, tenant: Tenant, chosen: RoutingPreference | None) -> None:
    """What saving would change, and the button that saves."""
    in_force, then = _in_force(tenant), chosen or DEFAULT_PREFERENCE
    if chosen is in_force:
        st.caption("Nothing is saved by choosing. Choose another preference to see what it would change.")
        return
    with st.container(border=True, key="preview"):
        st.header(f"What {_named(chosen)} would change", anchor=False)
        if then is in_force:
            st.write(
                f"Nothing for now: {then} is the default, too. Your requests would follow the default if it changes."
            )
        else:
            st.write(markdown(_cards.change_sentence(view, in_force, then)))
        with st.container(horizontal=True):
            st.button(f"Save {_named(chosen)}", type="primary", on_click=_save, args=(chosen,))
            st.button(f"Keep {in_force}", on_click=_look_at_none)
        if then is not in_force:
            st.html(_cards.changes_table(view, in_force, then))


def _draw_shell(choice: RoutingPreference | None) -> None:
    with st.expander("The same from a shell"):
        st.code(
            'curl "$OPENAI_BASE_URL/tenant/settings" \\\n'
            '  -H "Authorization: Bearer $OPENAI_API_KEY" \\\n'
            '  -H "Content-Type: application/json" \\\n'
            f"  -d '{json.dumps({'routing_preference': choice})}'",
            language=None,  # the colours of a highlighted shell lack contrast
        )


def _undoable(changes: list[SettingsChange]) -> SettingsChange | None:
    """The newest change of the preference, if what was before can still be chosen."""
    last = next((change for change in changes if change.field == "routing_preference"), None)
    return last if last is not None and last.old_value in {None, *RoutingPreference} else None


def _draw_history(changes: list[SettingsChange]) -> None:
    st.header("History of changes", anchor=False)
    if not changes:
        st.caption("No change yet. Each one will stand here with who made it, when, and from what to what.")
        return
    st.html(_cards.history(changes))
    last = _undoable(changes)
    if last is not None:
        st.button(f"Undo the last change: back to {_named(last.old_value)}", on_click=_undo)


def main() -> None:
    """Draw the page."""
    application = _session.application()
    settings = _session.run(application.settings_view(_tenant().id))
    tenant = settings.tenant
    changes = _changes(tenant)
    view = _outlook_of(tenant.id, tenant.settings_version)
    in_force = _in_force(tenant)
    if _CHOICE not in st.session_state:  # the page is just opened: Streamlit forgets a choice that is not drawn
        st.session_state[_KNOWN] = tenant.settings_version
    _layout.page_title("Routing settings")
    _draw_result(tenant, changes)
    st.html(_cards.answer(settings.effective, _chosen_by(tenant, changes), view, allow_override=tenant.allow_override))
    chosen = _choice(tenant)
    _draw_preview(view, tenant, chosen)
    traffic = "your requests" if view.is_own else "a standard workload"
    st.header(f"What each preference means for {traffic}", anchor=False)
    st.html(_cards.cards(view, in_force=in_force, chosen=chosen or DEFAULT_PREFERENCE))
    st.html(_cards.basis_line(view))
    draw_budget(settings.spending)
    _draw_shell(chosen)
    _draw_history(changes)
    _layout.simulated_notice(_session.fleet_snapshot())
    _layout.revision_mark()


main()
