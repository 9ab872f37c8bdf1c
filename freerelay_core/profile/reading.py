"""Chat request -> request profile, without a model call; no prompt text leaves this module.

Structural signals come first (tools, response format, image parts, code fences), then word sets over the beginning and
end of the conversation. Depth cannot be read off a text by rules, so it is the family's default unless the request says
more. Token counts are estimates from character classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.profile.text import estimate_tokens, guess_family
from freerelay_core.profile.values import Depth, LatencyClass, OutputContract, RequestProfile, TaskFamily

__all__ = ["profile_request"]

# Expected answer length in tokens and usual depth of each family. Assumed; replaced by a tenant's own outcomes later.
_FAMILY_DEFAULTS: Mapping[TaskFamily, tuple[int, Depth]] = {
    TaskFamily.CHAT: (250, Depth.EASY),
    TaskFamily.CLASSIFY: (10, Depth.TRIVIAL),
    TaskFamily.EXTRACT: (150, Depth.EASY),
    TaskFamily.TRANSLATE: (400, Depth.EASY),
    TaskFamily.SUMMARIZE: (400, Depth.STANDARD),
    TaskFamily.RAG: (350, Depth.STANDARD),
    TaskFamily.CODE: (900, Depth.HARD),
    TaskFamily.MATH: (900, Depth.HARD),
    TaskFamily.AGENT: (300, Depth.HARD),
    TaskFamily.PLAN: (1200, Depth.HARD),
    TaskFamily.JUDGE: (300, Depth.STANDARD),
    TaskFamily.LEGAL: (1500, Depth.HARD),
    TaskFamily.CREATIVE: (1200, Depth.STANDARD),
    TaskFamily.VISION: (200, Depth.STANDARD),
}
_EFFORT_DEPTH = {"none": Depth.EASY, "minimal": Depth.EASY, "low": Depth.EASY, "medium": Depth.STANDARD}
_EXPERT_FAMILIES = (TaskFamily.CODE, TaskFamily.MATH, TaskFamily.LEGAL)
_EXPERT_FROM_TOKENS = 8_000
_IMAGE_TOKENS = 800  # assumed: one picture at ordinary detail


def profile_request(
    body: Mapping[str, Any], *, hour_utc: int = 0, task: str | None = None, depth: str | None = None
) -> RequestProfile:
    """The profile of a chat-completions body. `task` and `depth` override what the request itself suggests.

    Raises `UnprocessableRequest` for a `messages`, `task` or `depth` that cannot be meant.
    """
    messages = _messages(body)
    text, images = _conversation(messages)
    needs = _needs(body, images)
    contract = _contract(body.get("response_format"))
    family, family_reason = _family(text, contract, needs, task)
    input_tokens = estimate_tokens(text) + 4 * len(messages) + _IMAGE_TOKENS * images
    input_tokens += estimate_tokens(str(body["tools"])) if body.get("tools") else 0
    level, depth_reason = _depth(family, body, input_tokens, depth)
    stream = bool(body.get("stream"))
    return RequestProfile(
        family=family,
        depth=level,
        latency_class=_latency_class(body, stream=stream),
        contract=contract,
        input_tokens=input_tokens,
        output_tokens=_output_tokens(family, body, input_tokens),
        needs=frozenset(needs),
        stream=stream,
        hour_utc=hour_utc,
        reasons={"family": family_reason, "depth": depth_reason},
    )


def _messages(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise UnprocessableRequest("messages must be a non-empty list.", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise UnprocessableRequest(
                f"messages[{index}] must be an object with a role and content.", param=f"messages[{index}]"
            )
    return messages


def _conversation(messages: Sequence[Mapping[str, Any]]) -> tuple[str, int]:
    """All text of the conversation and its number of pictures."""
    parts: list[str] = []
    images = 0
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            parts.append(content)
        elif isinstance(content, list):
            for part in content:
                if isinstance(part, dict) and part.get("type") == "image_url":
                    images += 1
                elif isinstance(part, dict) and isinstance(part.get("text"), str):
                    parts.append(part["text"])
    return "\n".join(parts), images


def _needs(body: Mapping[str, Any], images: int) -> set[str]:
    needs = set()
    if body.get("tools") or body.get("functions"):
        needs.add("tools")
    if images:
        needs.add("vision")
    if body.get("logprobs"):
        needs.add("logprobs")
    routing = body.get("routing")
    if isinstance(routing, dict) and routing.get("confidential") is True:
        needs.add("confidential")
    return needs


def _contract(response_format: object) -> OutputContract:
    if not isinstance(response_format, dict):
        return OutputContract.TEXT
    if response_format.get("type") == "json_object":
        return OutputContract.JSON
    if response_format.get("type") == "json_schema":
        schema = response_format.get("json_schema")
        strict = isinstance(schema, dict) and schema.get("strict") is True
        return OutputContract.STRICT if strict else OutputContract.SCHEMA
    return OutputContract.TEXT


def _family(text: str, contract: OutputContract, needs: set[str], task: str | None) -> tuple[TaskFamily, str]:
    if task is not None:
        try:
            return TaskFamily(task), "stated by the caller"
        except ValueError:
            raise UnprocessableRequest(
                f"The task family must be one of {', '.join(TaskFamily)}.", param="task"
            ) from None
    if "vision" in needs:
        return TaskFamily.VISION, "has a picture"
    if "tools" in needs:
        return TaskFamily.AGENT, "offers tools"
    name, reason = guess_family(text, wants_json=contract is not OutputContract.TEXT)
    return TaskFamily(name), reason


def _depth(family: TaskFamily, body: Mapping[str, Any], input_tokens: int, stated: str | None) -> tuple[Depth, str]:
    if stated is not None:
        try:
            return Depth[stated.upper()], "stated by the caller"
        except KeyError:
            labels = ", ".join(depth.label for depth in Depth)
            raise UnprocessableRequest(f"The depth must be one of {labels}.", param="depth") from None
    effort = body.get("reasoning_effort")
    if isinstance(effort, str):
        if effort in _EFFORT_DEPTH:
            return _EFFORT_DEPTH[effort], f"reasoning_effort {effort}"
        if effort in ("high", "xhigh", "max"):
            if family in _EXPERT_FAMILIES and input_tokens >= _EXPERT_FROM_TOKENS:
                return Depth.EXPERT, f"reasoning_effort {effort} on {input_tokens} tokens of {family}"
            return Depth.HARD, f"reasoning_effort {effort}"
    return _FAMILY_DEFAULTS[family][1], f"usual for {family}"


def _latency_class(body: Mapping[str, Any], *, stream: bool) -> LatencyClass:
    if body.get("service_tier") in ("flex", "batch"):
        return LatencyClass.BATCH
    return LatencyClass.INTERACTIVE if stream else LatencyClass.STANDARD


def _output_tokens(family: TaskFamily, body: Mapping[str, Any], input_tokens: int) -> int:
    """Expected length of the answer: usual for the family (a translation is as long as its text), within max_tokens."""
    expected = max(input_tokens, 20) if family is TaskFamily.TRANSLATE else _FAMILY_DEFAULTS[family][0]
    for name in ("max_completion_tokens", "max_tokens"):
        limit = body.get(name)
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise UnprocessableRequest(f"{name} must be a whole number of at least 1.", param=name)
        return min(expected, limit)
    return expected
