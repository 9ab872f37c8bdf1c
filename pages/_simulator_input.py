"""What the simulator is asked: the request's profile and the preference, in widgets bound to the URL.

A pasted request body fills in the same widgets, so that the link restores the ranking without the text of the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import (
    NEEDS,
    Depth,
    Determinism,
    Economics,
    LatencyClass,
    OutputContract,
    Precision,
    RequestProfile,
    TaskFamily,
    ToolDependence,
    Topology,
)
from freerelay_core.simulation import USUAL_REQUEST
from pages._format import count

__all__ = [
    "INPUTS",
    "MAX_ANSWERS",
    "MAX_TOKENS",
    "RULE_AXES",
    "SNAPSHOTS",
    "bad_parameters",
    "preference_widget",
    "profile_widgets",
]

INPUTS = ("form", "body", "trace")
SNAPSHOTS = ("live", "catalogue")
MAX_TOKENS = 2_000_000
MAX_ANSWERS = 128
"""As many as OpenAI's API gives to a request."""

DEFAULT = RequestProfile(
    family=TaskFamily.CHAT,
    depth=Depth.STANDARD,
    latency_class=LatencyClass.INTERACTIVE,
    input_tokens=1000,
    output_tokens=300,
)
"""What the page shows before anything is chosen; of a trace, what reports and the shell take it for."""

RULE_AXES = {
    "precision": Precision,
    "topology": Topology,
    "tool_dependence": ToolDependence,
    "determinism": Determinism,
    "economics": Economics,
}
"""Axes that no factor reads, only rules; each is a field of the profile and a parameter of the URL."""

_SYNONYM = "preference"
"""What the settings call "under" in their links."""
_OTHERS = frozenset({"a", "b", "job"})
"""Parameters that are checked where they are used."""
_FAMILIES = [family.value for family in TaskFamily]
_DEPTHS = [depth.label for depth in Depth]
_CLASSES = [latency_class.label for latency_class in LatencyClass]
_CONTRACTS = [contract.label for contract in OutputContract]
_HOURS = ["now", *(str(hour) for hour in range(24))]


@dataclass(frozen=True, slots=True)
class BadParameter:
    """A part of the URL that cannot be used."""

    name: str
    value: str
    allowed: str
    """What the value can be; empty where the page has no parameter of that name."""

    def __str__(self) -> str:
        reason = f"can be {self.allowed}" if self.allowed else "no parameter of this page"
        return f"{self.name[:60]}={self.value[:60]} ({reason})"


def bad_parameters(query: Mapping[str, Sequence[str]]) -> list[BadParameter]:
    """The values in the URL that cannot be used, then the names that mean nothing here.

    Widgets fall back to what they show anyway.
    """
    bad = [
        BadParameter(name, value, allowed)
        for name, (check, allowed) in _CHECKS.items()
        for value in query.get(name, ())
        if not check(value)
    ]
    unknown = [name for name in query if name not in _CHECKS and name not in _OTHERS]
    return bad + [BadParameter(name, value, "") for name in unknown for value in query[name]]


def preference_widget(in_force: RoutingPreference) -> RoutingPreference:
    """The preference to rank by; at first, and again after it changes elsewhere, the one in force.

    A link may name it as those of the settings do. That name stays in the URL: then what is not chosen here is it.
    """
    asked = st.query_params.get(_SYNONYM)
    first = RoutingPreference(asked) if asked in list(RoutingPreference) else in_force
    if st.session_state.get("_first") not in (None, first):
        st.session_state["under"] = first.value
    st.session_state["_first"] = first
    chosen = st.segmented_control(
        "Preference",
        [preference.value for preference in RoutingPreference],
        default=first.value,
        required=True,
        key="under",
        bind="query-params",
        help=f"In force for you now: {in_force}. Choosing another here changes nothing but this page.",
    )
    return RoutingPreference(chosen or first)


def profile_widgets(hour_now: int, *, tokens: bool) -> RequestProfile:
    """The profile in the form. Without `tokens` the requests bring their own, and their hours."""
    usual = DEFAULT if tokens else USUAL_REQUEST
    _follow_usual(usual.depth)
    left, right = st.columns(2)
    family = left.selectbox(
        "Task family",
        _FAMILIES,
        key="task",
        bind="query-params",
        help="What kind of work: decides which ability counts.",
    )
    depth = right.selectbox(
        "Depth", _DEPTHS, index=int(usual.depth), key="depth", bind="query-params", help="How hard the request is."
    )
    sizes = _token_widgets() if tokens else {}
    left, right = st.columns(2)
    latency_class = left.selectbox(
        "Latency class",
        _CLASSES,
        index=int(usual.latency_class),
        key="class",
        bind="query-params",
        help="How urgently the answer is awaited. In a batch nobody waits, and time does not count.",
    )
    contract = right.selectbox(
        "Answer form", _CONTRACTS, key="form", bind="query-params", help="Strict: a JSON schema that must be kept."
    )
    needs = st.pills(
        "Needs",
        NEEDS,
        selection_mode="multi",
        key="needs",
        bind="query-params",
        help="An endpoint without one of these is excluded.",
    )
    rest = _rare_widgets(hour_now) if tokens else {}
    several = {"choices"} if rest.get("answers", 1) > 1 else set()
    if rest.get("answer_limit"):
        sizes["output_tokens"] = min(sizes["output_tokens"], rest["answer_limit"])  # as of a request that is sent
    return RequestProfile(
        family=TaskFamily(family),
        depth=Depth[str(depth).upper()],
        latency_class=LatencyClass[str(latency_class).upper()],
        contract=OutputContract[str(contract).upper()],
        needs=frozenset({*needs, *several}),
        **sizes,
        **rest,
    )


def _follow_usual(depth: Depth) -> None:
    """Put the usual depth in the place of that of the question before, which nobody has chosen.

    It is set, not let go of: a browser keeps what its widget shows until it is told another value.
    """
    before = st.session_state.get("_usual_depth", depth)
    st.session_state["_usual_depth"] = depth
    if before is not depth and st.session_state.get("depth") == before.label:
        st.session_state["depth"] = depth.label


def _token_widgets() -> dict[str, Any]:
    left, right = st.columns(2)
    input_tokens = left.number_input(
        "Input tokens", 0, MAX_TOKENS, DEFAULT.input_tokens, step=100, key="in", bind="query-params"
    )
    output_tokens = right.number_input(
        "Output tokens", 1, MAX_TOKENS, DEFAULT.output_tokens, step=50, key="out", bind="query-params"
    )
    return {"input_tokens": int(input_tokens or 0), "output_tokens": int(output_tokens or 1)}


def _rare_widgets(hour_now: int) -> dict[str, Any]:
    with st.expander("Answers, token limit, cache, hour of the prices, safety"):
        answers = st.number_input(
            "Answers (n)",
            1,
            MAX_ANSWERS,
            1,
            key="n",
            bind="query-params",
            help="Each is as long as the output and paid for. Several need an endpoint that gives them (choices).",
        )
        limit = st.number_input(
            "Token limit of an answer (max_tokens)",
            1,
            MAX_TOKENS,
            None,
            step=100,
            key="limit",
            bind="query-params",
            placeholder="none",
            help="Thinking counts against it: endpoints that may think it up before they answer lose quality.",
        )
        cached = st.number_input(
            "Cached input tokens",
            0,
            MAX_TOKENS,
            0,
            step=100,
            key="cached",
            bind="query-params",
            help="Part of the input that the provider is expected to have in its prompt cache.",
        )
        hour = st.selectbox("Prices at this hour, UTC", _HOURS, key="hour", bind="query-params")
        locked_down = st.toggle(
            "Locked-down posture",
            key="locked",
            bind="query-params",
            help="Prefer endpoints that are cleared for confidential content.",
        )
    return {
        **_rule_widgets(),
        "answers": int(answers or 1),
        "answer_limit": None if limit is None else int(limit),
        "cached_tokens": int(cached or 0),
        "hour_utc": hour_now if hour == "now" else int(str(hour)),
        "locked_down": bool(locked_down),
    }


def _rule_widgets() -> dict[str, Any]:
    """The axes that no factor reads."""
    with st.expander("What only rules read"):
        return {
            name: axis[
                str(
                    st.selectbox(
                        name.replace("_", " ").capitalize(),
                        [level.label for level in axis],
                        index=int(getattr(DEFAULT, name)),
                        key=name,
                        bind="query-params",
                    )
                ).upper()
            ]
            for name, axis in RULE_AXES.items()
        }


def _one_of(options: Any) -> tuple[Callable[[str], bool], str]:
    names = [str(option) for option in options]
    return names.__contains__, ", ".join(names)


def _number(low: int, high: int) -> tuple[Callable[[str], bool], str]:
    def check(value: str) -> bool:
        return value.isascii() and value.isdecimal() and low <= int(value[:12]) <= high and len(value) <= 12

    return check, f"{count(low)} to {count(high)}"


_CHECKS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "input": _one_of(INPUTS),
    "snapshot": _one_of(SNAPSHOTS),
    "under": _one_of(RoutingPreference),
    _SYNONYM: _one_of(RoutingPreference),
    "task": _one_of(_FAMILIES),
    "depth": _one_of(_DEPTHS),
    "class": _one_of(_CLASSES),
    "form": _one_of(_CONTRACTS),
    "needs": _one_of(NEEDS),
    "in": _number(0, MAX_TOKENS),
    "out": _number(1, MAX_TOKENS),
    "cached": _number(0, MAX_TOKENS),
    "n": _number(1, MAX_ANSWERS),
    "limit": _number(1, MAX_TOKENS),
    "hour": _one_of(_HOURS),
    "locked": _one_of(("true", "false")),
    **{name: _one_of([level.label for level in axis]) for name, axis in RULE_AXES.items()},
}
"""For each parameter of the URL: whether a value can be used, and what can."""
