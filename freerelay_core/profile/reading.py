"""Chat request -> request profile, without a model call; no prompt text leaves this module.

Structural signals come first (tools, response format, image parts, code fences), then the words of the user and of the
system prompt. Token counts are estimates from character classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.profile.axes import (
    Determinism,
    Economics,
    LatencyClass,
    OutputContract,
    Precision,
    TaskFamily,
    ToolDependence,
    Topology,
)
from freerelay_core.profile.conversation import Conversation, read_conversation
from freerelay_core.profile.depth import DepthSigns, depth_of
from freerelay_core.profile.family import Guess, guess_family
from freerelay_core.profile.text import estimate_tokens
from freerelay_core.profile.values import RequestProfile

__all__ = ["profile_request", "rounded_tokens"]

_ANSWER_TOKENS: Mapping[TaskFamily, int] = {
    TaskFamily.CHAT: 250,
    TaskFamily.CLASSIFY: 10,
    TaskFamily.EXTRACT: 150,
    TaskFamily.SUMMARIZE: 400,
    TaskFamily.RAG: 350,
    TaskFamily.CODE: 900,
    TaskFamily.MATH: 900,
    TaskFamily.AGENT: 300,
    TaskFamily.PLAN: 1200,
    TaskFamily.JUDGE: 300,
    TaskFamily.LEGAL: 1500,
    TaskFamily.CREATIVE: 1200,
    TaskFamily.VISION: 200,
}
"""Expected length of an answer; assumed, replaced by a tenant's own outcomes later."""
_EXACT_FAMILIES = (TaskFamily.MATH, TaskFamily.CODE, TaskFamily.EXTRACT, TaskFamily.CLASSIFY, TaskFamily.LEGAL)
_COMPLETION_TOKENS = 64
"""A stream of code limited to so many tokens is a completion at the cursor: done in about a second at reference speed
(0.5 s and 100 tokens/s), so that any wait is felt. Assumed; editors ask for one or a few lines."""
_LONG_CHARACTERS = 16_000
"""Characters of one message that make it a document, about 4,000 English tokens or eight pages; assumed."""
_NO_LIMIT_FROM = 10_000_000
"""A limit of so many tokens is none: no endpoint writes a tenth of it."""
_FREE_FROM = 0.7
"""Temperatures above this ask for variety: vendors suggest up to 0.7 for factual work."""
_EXACT_TOKENS = 24
"""Below, a step would be less than one token."""
_IMAGE_TOKENS = 800  # assumed: one picture at ordinary detail
_MESSAGE_TOKENS = 4
"""Tokens that mark role, beginning and end of a message in the usual chat formats."""
_SMALLEST_CACHED = 1_024
"""Prefix caches begin here at the large vendors (OpenAI and Anthropic, documentation of November 2026; some smaller
hosts cache less). A shorter prefix is never found again."""


def profile_request(
    body: Mapping[str, Any], *, hour_utc: int = 0, task: str | None = None, depth: str | None = None
) -> RequestProfile:
    """The profile of a chat-completions body. `task` and `depth` override what the request itself suggests.

    Raises `UnprocessableRequest` for `messages`, `stream`, limits, tools, `task` or `depth` that cannot be meant.
    """
    conversation = read_conversation(body)
    needs = _needs(body, conversation.images)
    contract = _contract(body.get("response_format"))
    dependence = _tool_dependence(body, conversation)
    guess = guess_family(conversation.asked, conversation.system, wants_json=contract is not OutputContract.TEXT)
    family, family_reason = _family(guess, needs, dependence, task)
    input_tokens, cached_tokens = _input_tokens(body, conversation)
    limit = _limit(body)
    latency_class = _latency_class(body, family, limit)
    signs = DepthSigns(
        family=family,
        latency_class=latency_class,
        effort=body.get("reasoning_effort"),
        input_tokens=input_tokens,
        tools=_offered(body),
        tool_results=conversation.tool_results,
        user_turns=conversation.user_turns,
        multiple_choice=guess.multiple_choice,
        proof=guess.proof,
    )
    level, depth_reason = depth_of(signs, depth)
    determinism = _determinism(body)
    return RequestProfile(
        family=family,
        depth=level,
        latency_class=latency_class,
        contract=contract,
        precision=_precision(family, contract, determinism, guess),
        topology=_topology(conversation, family, guess),
        tool_dependence=dependence,
        determinism=determinism,
        economics=_economics(body),
        input_tokens=input_tokens,
        cached_tokens=cached_tokens,
        output_tokens=_output_tokens(family, input_tokens, limit),
        answers=_answers(body),
        answer_limit=limit if limit is not None and limit < _NO_LIMIT_FROM else None,
        needs=frozenset(needs),
        locked_down="confidential" in needs,
        stream=_streams(body),
        hour_utc=hour_utc,
        reasons={"family": family_reason, "depth": depth_reason},
    )


def _offered(body: Mapping[str, Any]) -> int:
    """How many tools are offered."""
    tools = body.get("tools") or body.get("functions")
    return len(tools) if isinstance(tools, list) else int(bool(tools))


def _needs(body: Mapping[str, Any], images: int) -> set[str]:
    needs = set()
    if _offered(body):
        needs.add("tools")
    if images:
        needs.add("vision")
    if body.get("logprobs"):
        needs.add("logprobs")
    if body.get("n") not in (None, 1):
        needs.add("choices")
    if body.get("logit_bias"):
        needs.add("logit_bias")
    if body.get("stream"):
        needs.add("streaming")
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


def _tool_dependence(body: Mapping[str, Any], conversation: Conversation) -> ToolDependence:
    """Results of tools in the conversation say most, then a choice that demands a call, then an offer."""
    choice = body.get("tool_choice", body.get("function_call"))
    if conversation.tool_results:
        return ToolDependence.IN_USE
    if not _offered(body) or choice == "none":
        return ToolDependence.NONE
    return ToolDependence.REQUIRED if _demands_call(choice) else ToolDependence.OFFERED


def _demands_call(choice: object) -> bool:
    """Whether a `tool_choice` leaves no answer but a call: "required", or one tool by name."""
    if not isinstance(choice, dict):
        return choice == "required"
    allowed = choice.get("allowed_tools")
    return not isinstance(allowed, dict) or allowed.get("mode") == "required"


def _family(guess: Guess, needs: set[str], dependence: ToolDependence, task: str | None) -> tuple[TaskFamily, str]:
    if task is not None:
        try:
            return TaskFamily(task), "stated by the caller"
        except ValueError:
            raise UnprocessableRequest(
                f"The task family must be one of {', '.join(TaskFamily)}.", param="task"
            ) from None
    if "vision" in needs:
        return TaskFamily.VISION, "has a picture"
    if dependence is ToolDependence.IN_USE:
        return TaskFamily.AGENT, "holds results of tools"
    if dependence is not ToolDependence.NONE:
        return TaskFamily.AGENT, "offers tools"
    return guess.family, guess.reason


def _latency_class(body: Mapping[str, Any], family: TaskFamily, limit: int | None) -> LatencyClass:
    if body.get("service_tier") in ("flex", "batch"):
        return LatencyClass.BATCH
    if not body.get("stream"):
        return LatencyClass.STANDARD
    at_the_cursor = family is TaskFamily.CODE and limit is not None and limit <= _COMPLETION_TOKENS
    return LatencyClass.REALTIME if at_the_cursor else LatencyClass.INTERACTIVE


def _determinism(body: Mapping[str, Any]) -> Determinism:
    temperature = body.get("temperature")
    if isinstance(temperature, bool) or not isinstance(temperature, int | float):
        temperature = None
    if body.get("seed") is not None or temperature == 0:
        return Determinism.FIXED
    return Determinism.FREE if temperature is not None and temperature > _FREE_FROM else Determinism.DEFAULT


def _precision(family: TaskFamily, contract: OutputContract, determinism: Determinism, guess: Guess) -> Precision:
    """Exact for a schema, a choice and families whose answers can be checked; loose for fiction or high temperature."""
    if family in _EXACT_FAMILIES or contract >= OutputContract.SCHEMA or guess.multiple_choice:
        return Precision.EXACT
    return Precision.LOOSE if family is TaskFamily.CREATIVE or determinism is Determinism.FREE else Precision.NORMAL


def _topology(conversation: Conversation, family: TaskFamily, guess: Guess) -> Topology:
    if conversation.tool_results:
        return Topology.TOOL_LOOP
    if guess.passages or family is TaskFamily.RAG:
        return Topology.RETRIEVED
    if conversation.longest >= _LONG_CHARACTERS:
        return Topology.LONG_DOCUMENT
    return Topology.CONVERSATION if conversation.answered else Topology.SINGLE


def _economics(body: Mapping[str, Any]) -> Economics:
    tier = body.get("service_tier")
    if tier in ("flex", "batch"):
        return Economics.BULK
    return Economics.PRIORITY if tier == "priority" else Economics.STANDARD


def _input_tokens(body: Mapping[str, Any], conversation: Conversation) -> tuple[int, int]:
    """Expected tokens of the request, and how many of them a provider's prompt cache is expected to hold.

    A cache holds prefixes word for word, tools and system prompt first. What stands before the last answer of the
    assistant was a request's whole prefix then, so it is expected there; the answer itself and what follows are new.
    Nothing is expected of a first request: whether another one shared its beginning cannot be seen in it.
    """
    tools = _tool_tokens(body)
    repeated = tools + estimate_tokens(conversation.repeated)
    repeated += _MESSAGE_TOKENS * conversation.repeated_messages + _IMAGE_TOKENS * conversation.repeated_images
    fresh = estimate_tokens(conversation.fresh)
    fresh += _MESSAGE_TOKENS * (conversation.messages - conversation.repeated_messages)
    fresh += _IMAGE_TOKENS * (conversation.images - conversation.repeated_images)
    if conversation.answered and repeated >= _SMALLEST_CACHED:
        cached = rounded_tokens(repeated)
        return cached + rounded_tokens(fresh), cached
    return rounded_tokens(repeated + fresh), 0


def rounded_tokens(tokens: int) -> int:
    """The nearest sixteenth of an octave, at most 2.2 % away: estimates are good to 15 %, and alike requests share a
    ranking (`decision.alike`).
    """
    return tokens if tokens < _EXACT_TOKENS else round(2.0 ** (round(16.0 * math.log2(tokens)) / 16.0))


def _tool_tokens(body: Mapping[str, Any]) -> int:
    tools = body.get("tools") or body.get("functions")
    try:
        return estimate_tokens(str(tools)) if tools else 0
    except RecursionError:
        raise UnprocessableRequest("tools are nested too deeply.", param="tools") from None


def _streams(body: Mapping[str, Any]) -> bool:
    streams = body.get("stream")
    if streams is None or isinstance(streams, bool):
        return bool(streams)
    raise UnprocessableRequest("stream must be true or false.", param="stream")


def _answers(body: Mapping[str, Any]) -> int:
    """How many answers are asked for; what is no such number is for the provider to refuse."""
    number = body.get("n")
    return number if type(number) is int and number >= 1 else 1


def _limit(body: Mapping[str, Any]) -> int | None:
    """The most tokens that the answer may have. Raises `UnprocessableRequest` for either name: both are passed on."""
    limits = [(name, body[name]) for name in ("max_completion_tokens", "max_tokens") if body.get(name) is not None]
    for name, limit in limits:
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise UnprocessableRequest(f"{name} must be a whole number of at least 1.", param=name)
    return limits[0][1] if limits else None


def _output_tokens(family: TaskFamily, input_tokens: int, limit: int | None) -> int:
    """Expected length of the answer: usual for the family (a translation is as long as its text), within the limit."""
    expected = max(input_tokens, 20) if family is TaskFamily.TRANSLATE else _ANSWER_TOKENS[family]
    return expected if limit is None else min(expected, limit)
