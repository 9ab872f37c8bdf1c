"""How hard a request is. Depth cannot be read off a text by rules, so it is the family's usual one unless the request
says more: by its effort, its tools and turns, or the caller's own word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.profile.axes import Depth, LatencyClass, TaskFamily

__all__ = ["DepthSigns", "depth_of"]

_USUAL: Mapping[TaskFamily, Depth] = {
    TaskFamily.CHAT: Depth.EASY,
    TaskFamily.CLASSIFY: Depth.TRIVIAL,
    TaskFamily.EXTRACT: Depth.EASY,
    TaskFamily.TRANSLATE: Depth.EASY,
    TaskFamily.SUMMARIZE: Depth.STANDARD,
    TaskFamily.RAG: Depth.STANDARD,
    TaskFamily.CODE: Depth.HARD,
    TaskFamily.MATH: Depth.HARD,
    TaskFamily.AGENT: Depth.STANDARD,
    TaskFamily.PLAN: Depth.HARD,
    TaskFamily.JUDGE: Depth.STANDARD,
    TaskFamily.LEGAL: Depth.HARD,
    TaskFamily.CREATIVE: Depth.STANDARD,
    TaskFamily.VISION: Depth.STANDARD,
}
"""Assumed; replaced by a tenant's own outcomes later."""
_EFFORT_DEPTH = {"none": Depth.EASY, "minimal": Depth.EASY, "low": Depth.EASY, "medium": Depth.STANDARD}
_HIGH_EFFORT = ("high", "xhigh", "max")
_EXPERT_FAMILIES = (TaskFamily.CODE, TaskFamily.MATH, TaskFamily.LEGAL)
_EXPERT_FROM_TOKENS = 8_000
_MANY_TOOLS = 8
"""From so many offered tools the choice among them is hard in itself; assumed."""
_MANY_TURNS = 6
"""From so many turns of the user a chat hangs together over more than an easy question; assumed."""


class DepthSigns(NamedTuple):
    """What a request shows of its depth."""

    family: TaskFamily
    latency_class: LatencyClass
    effort: object
    """`reasoning_effort` as the body has it."""
    input_tokens: int
    tools: int
    """How many are offered."""
    tool_results: int
    user_turns: int
    multiple_choice: bool
    proof: bool


def depth_of(signs: DepthSigns, stated: str | None) -> tuple[Depth, str]:
    """The depth and why. Raises `UnprocessableRequest` for a `stated` depth that there is not."""
    if stated is not None:
        return _stated(stated), "stated by the caller"
    return _by_effort(signs) or _by_structure(signs) or (_USUAL[signs.family], f"usual for {signs.family}")


def _stated(name: str) -> Depth:
    try:
        return Depth[name.upper()]
    except KeyError:
        labels = ", ".join(depth.label for depth in Depth)
        raise UnprocessableRequest(f"The depth must be one of {labels}.", param="depth") from None


def _by_effort(signs: DepthSigns) -> tuple[Depth, str] | None:
    effort, family = signs.effort, signs.family
    if not isinstance(effort, str):
        return None
    if effort in _HIGH_EFFORT:
        if family in _EXPERT_FAMILIES and signs.input_tokens >= _EXPERT_FROM_TOKENS:
            return Depth.EXPERT, f"reasoning_effort {effort} on {signs.input_tokens} tokens of {family}"
        if family in _EXPERT_FAMILIES and signs.proof:
            return Depth.EXPERT, f"reasoning_effort {effort} on a proof"
        return Depth.HARD, f"reasoning_effort {effort}"
    if effort in _EFFORT_DEPTH:
        return _EFFORT_DEPTH[effort], f"reasoning_effort {effort}"
    return None


def _by_structure(signs: DepthSigns) -> tuple[Depth, str] | None:
    if signs.latency_class is LatencyClass.REALTIME:
        return Depth.EASY, "a completion of a few tokens"
    if signs.family is TaskFamily.AGENT and signs.tool_results:
        return Depth.HARD, "goes on from results of tools"
    if signs.family is TaskFamily.AGENT and signs.tools >= _MANY_TOOLS:
        return Depth.HARD, f"offers {signs.tools} tools"
    if signs.family is TaskFamily.CHAT and signs.multiple_choice:
        return Depth.STANDARD, "a multiple-choice question"
    if signs.family is TaskFamily.CHAT and signs.user_turns >= _MANY_TURNS:
        return Depth.STANDARD, f"turn {signs.user_turns} of a conversation"
    return None
