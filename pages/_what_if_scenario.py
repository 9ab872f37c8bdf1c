"""The scenario under edit: its changes as rows, a form for one more, YAML for those who like it, and what is kept.

Until it is saved a scenario lives in this browser session; a saved one is opened by its id in the URL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st
import yaml

from freerelay_core.errors import FreeRelayError, NotFound, UnprocessableRequest
from freerelay_core.marked_yaml import NotYaml, read_marked
from freerelay_core.preference import EXPONENTS, FACTORS, RoutingPreference
from freerelay_core.simulation import Scenario, World, read_scenario
from freerelay_core.store.base import Store
from freerelay_core.store.values import SavedScenario
from pages._factors import FACTOR_HELP
from pages._format import markdown
from pages._layout import main_button
from pages._session import run

__all__ = ["edit_scenario"]

_CHANGES, _NAME, _OPENED, _NEXT = "what_if_changes", "what_if_name", "what_if_opened", "what_if_next"
_NEW = "A new scenario"

_RULES = f"""- name: night is cheap
  when: "hour < 6"
  routing_preference: {RoutingPreference.COST_OPTIMIZED}
"""

KINDS = {
    "Price": "price",
    "Withdrawal": "withdraw",
    "Preference": "preference",
    "Exponents": "exponents",
    "Traffic": "traffic",
    "Rules": "rules",
}


def edit_scenario(store: Store, world: World, tenants: Sequence[str], shown: Scenario | None) -> Scenario | None:
    """The scenario as it stands, drawn for editing; None while it cannot be meant or does not fit the present `world`,
    which is then said.

    In a fresh browser it begins as the one whose answer is `shown`.
    """
    taken_over = st.session_state.pop(_NEXT, None if _CHANGES in st.session_state else shown)
    if taken_over is not None:
        _put(taken_over)
    _open_saved(store)
    st.text_input("Name of the scenario", key=_NAME, max_chars=80)
    changes: list[dict[str, Any]] = st.session_state.setdefault(_CHANGES, [])
    name = st.session_state[_NAME].strip() or "Scenario"
    scenario = read_scenario({"name": name, "changes": changes})
    _rows(scenario, changes)
    fits = _said(lambda: read_scenario(scenario.as_dict(), source=name, world=world)) is not None
    with st.popover("Add a change", icon=":material/add:", width="stretch"):
        _form(changes, name, world, tenants)
    with st.expander("As YAML"):
        _as_yaml(scenario, world)
    _keep(store, scenario)
    return scenario if fits else None


def _said(read: Callable[[], Scenario]) -> Scenario | None:
    """What `read` gives; where it refuses, None, and its words are drawn."""
    try:
        return read()
    except FreeRelayError as error:
        st.error(markdown(error.message))
        return None


def _open_saved(store: Store) -> None:
    """Choose among what is kept. The URL names the one that is open; opening replaces what was under edit."""
    kept = run(store.scenarios())
    asked = st.query_params.get("scenario")
    if asked != st.session_state.get(_OPENED):
        st.session_state[_OPENED] = asked
        _load(store, asked)
    by_id = {each.id: each.name for each in kept}
    st.session_state.setdefault(_NAME, "Scenario")
    options = [None, *by_id]
    chosen = st.selectbox(
        "Scenario",
        options,
        index=options.index(asked) if asked in by_id else 0,
        format_func=lambda each: by_id.get(each, _NEW) if each else _NEW,
        help="Scenarios that an operator saved. The link of this page opens the one that is chosen.",
    )
    if chosen != (asked if asked in by_id else None):
        _open(chosen)
        st.rerun()


def _open(scenario_id: str | None) -> None:
    if scenario_id is None:
        st.query_params.pop("scenario", None)
    else:
        st.query_params["scenario"] = scenario_id


def _load(store: Store, scenario_id: str | None) -> None:
    if scenario_id is None:
        return
    try:
        saved: SavedScenario = run(store.scenario(scenario_id))
        scenario = read_scenario(saved.body, source=saved.name)
    except NotFound:
        st.warning("The link names a scenario that is not kept any more: here is an empty one.")
        return
    except FreeRelayError as error:
        st.warning(markdown(f"This scenario cannot be read by this release: {error.message}"))
        return
    _put(scenario)


def _put(scenario: Scenario) -> None:
    st.session_state[_CHANGES] = scenario.as_dict()["changes"] if scenario.changes else []
    st.session_state[_NAME] = scenario.name


def _rows(scenario: Scenario, changes: list[dict[str, Any]]) -> None:
    if not changes:
        st.caption("Nothing changes yet. Add a price, a withdrawal, a preference, exponents, traffic or rules.")
        return
    for number, sentence in enumerate(scenario.sentences()):
        text, remove = st.columns([3, 2], vertical_alignment="center")
        text.markdown(f"{number + 1}. {markdown(sentence)}")
        remove.button(
            "Remove",
            key=f"remove_change_{number}",
            help=f"Remove change {number + 1}: {sentence}",
            icon=":material/close:",
            type="tertiary",
            on_click=changes.__delitem__,
            args=(number,),
        )


def _form(changes: list[dict[str, Any]], name: str, world: World, tenants: Sequence[str]) -> None:
    """A change put together; what is wrong with it is said at once, not when it is added."""
    kind = KINDS[st.selectbox("What changes", list(KINDS), key="change_kind")]
    change: Mapping[str, Any] | str
    if kind in ("price", "withdraw"):
        patterns = _patterns(world.snapshot.endpoint_ids)
        named = st.selectbox("Endpoint or provider", patterns, key="change_endpoints", accept_new_options=True)
        change = {"endpoints": named}
        if kind == "price":
            times = st.number_input("New price, as a multiple", 0.0, 1000.0, 1.3, 0.1, key="change_times")
            change = {**change, "times": times}
    elif kind == "traffic":
        change = {"times": st.number_input("Requests, as a multiple", 0.01, 1000.0, 1.5, 0.1, key="change_growth")}
    elif kind == "rules":
        change = st.text_area("Rules in place of the present ones (YAML)", _RULES, height=200, key="change_rules")
    else:
        change = _wish_form(kind, tenants)
    longer = _said(lambda: read_scenario({"changes": [*changes, {kind: _content(change)}]}, source=name, world=world))
    if main_button("Add", key="change_add", ready=longer is not None) and longer is not None:
        changes[:] = longer.as_dict()["changes"]
        st.rerun()


def _content(change: Mapping[str, Any] | str) -> Any:
    """What the form says, a text read as YAML."""
    if not isinstance(change, str):
        return change
    try:
        return read_marked(change).content
    except NotYaml as error:
        where = "" if error.line is None else f":{error.line}"
        raise UnprocessableRequest(f"Rules{where}: {error.reason}", param="rules") from None


def _wish_form(kind: str, tenants: Sequence[str]) -> Mapping[str, Any]:
    tenant = st.selectbox(
        "Whose", [None, *tenants], format_func=lambda each: each or "every tenant", key="change_tenant"
    )
    wish: dict[str, Any] = {} if tenant is None else {"tenant": tenant}
    if kind == "preference":
        return {**wish, "value": st.selectbox("Preference", [p.value for p in RoutingPreference], key="change_value")}
    factor = st.selectbox("Factor", FACTORS, index=FACTORS.index("cost"), key="change_factor")
    st.caption(FACTOR_HELP[factor])
    usual = EXPONENTS[RoutingPreference.BALANCED][factor]
    return {**wish, "values": {factor: st.number_input("Exponent", 0.0, 10.0, usual, 0.25, key="change_exponent")}}


def _patterns(endpoints: Sequence[str]) -> list[str]:
    """Providers first, then single endpoints."""
    return [*sorted({f"{endpoint.partition('/')[0]}/*" for endpoint in endpoints}), *sorted(endpoints)]


def _as_yaml(scenario: Scenario, world: World) -> None:
    """The scenario as a file, to read, to copy into `freerelay simulate --scenario`, or to change at will.

    What is wrong with a changed text is said as soon as it has been entered.
    """
    shown = yaml.safe_dump(scenario.as_dict(), sort_keys=False, allow_unicode=True)
    text = st.text_area("Scenario", shown, height=220, key=f"what_if_yaml_{hash(shown)}", label_visibility="collapsed")
    entered = scenario if text == shown else _said(lambda: read_scenario(text, world=world))
    if st.button("Take it over", key="what_if_take_over") and entered is not None:
        _put_later(entered)


def _put_later(scenario: Scenario) -> None:
    """A widget's value can only be set before it is drawn: on the next run."""
    st.session_state[_NEXT] = scenario
    st.rerun()


def _keep(store: Store, scenario: Scenario) -> None:
    """Save it by its name, or delete what the URL names."""
    save, delete = st.columns(2)
    opened = st.query_params.get("scenario")
    if save.button("Save", key="what_if_save", width="stretch", help="Kept by its name for every operator."):
        saved = run(store.save_scenario(scenario.name, scenario.as_dict()))
        st.session_state[_OPENED] = saved.id
        _open(saved.id)
        st.toast(markdown(f"Saved: {scenario.name}"))
        st.rerun()
    if opened and delete.button("Delete", key="what_if_delete", width="stretch", help="Delete the saved scenario."):
        run(store.delete_scenario(opened))
        _open(None)
        st.rerun()
