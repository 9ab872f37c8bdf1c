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
from freerelay_core.profile.options import Options, read_options
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

    Raises `UnprocessableRequest` for `messages`, `stream`, `n`, limits, tools, `task` or `depth` that cannot be meant.
    """
    conversation, options = read_conversation(body), read_options(body)
    needs, contract = options.needs, options.contract
    if conversation.images:
        needs |= {"vision"}
    # Results of tools in the conversation say more than what is offered, and how.
    dependence = ToolDependence.IN_USE if conversation.tool_results else options.tool_dependence
    guess = guess_family(conversation.asked, conversation.system, wants_json=contract is not OutputContract.TEXT)
    family, family_reason = _family(guess, needs, dependence, task)
    input_tokens, cached_tokens = _input_tokens(body, options, conversation)
    latency_class, limit = _latency_class(options, family), options.limit
    signs = DepthSigns(
        family=family,
        latency_class=latency_class,
        effort=options.effort,
        input_tokens=input_tokens,
        tools=options.tools,
        tool_results=conversation.tool_results,
        user_turns=conversation.user_turns,
        multiple_choice=guess.multiple_choice,
        proof=guess.proof,
    )
    level, depth_reason = depth_of(signs, depth)
    return RequestProfile(
        family=family,
        depth=level,
        latency_class=latency_class,
        contract=contract,
        precision=_precision(family, options, guess),
        topology=_topology(conversation, family, guess),
        tool_dependence=dependence,
        determinism=options.determinism,
        economics=options.economics,
        input_tokens=input_tokens,
        cached_tokens=cached_tokens,
        output_tokens=_output_tokens(family, input_tokens, limit),
        answers=options.answers,
        answer_limit=limit if limit is not None and limit < _NO_LIMIT_FROM else None,
        needs=needs,
        locked_down="confidential" in needs,
        stream=options.stream,
        hour_utc=hour_utc,
        reasons={"family": family_reason, "depth": depth_reason},
    )


def _family(
    guess: Guess, needs: frozenset[str], dependence: ToolDependence, task: str | None
) -> tuple[TaskFamily, str]:
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


def _latency_class(options: Options, family: TaskFamily) -> LatencyClass:
    if options.economics is Economics.BULK:
        return LatencyClass.BATCH
    if not options.stream:
        return LatencyClass.STANDARD
    at_the_cursor = family is TaskFamily.CODE and options.limit is not None and options.limit <= _COMPLETION_TOKENS
    return LatencyClass.REALTIME if at_the_cursor else LatencyClass.INTERACTIVE


def _precision(family: TaskFamily, options: Options, guess: Guess) -> Precision:
    """Exact for a schema, a choice and families whose answers can be checked; loose for fiction or high temperature."""
    if family in _EXACT_FAMILIES or options.contract >= OutputContract.SCHEMA or guess.multiple_choice:
        return Precision.EXACT
    free = family is TaskFamily.CREATIVE or options.determinism is Determinism.FREE
    return Precision.LOOSE if free else Precision.NORMAL


def _topology(conversation: Conversation, family: TaskFamily, guess: Guess) -> Topology:
    if conversation.tool_results:
        return Topology.TOOL_LOOP
    if guess.passages or family is TaskFamily.RAG:
        return Topology.RETRIEVED
    if conversation.longest >= _LONG_CHARACTERS:
        return Topology.LONG_DOCUMENT
    return Topology.CONVERSATION if conversation.answered else Topology.SINGLE


def _input_tokens(body: Mapping[str, Any], options: Options, conversation: Conversation) -> tuple[int, int]:
    """Expected tokens of the request, and how many of them a provider's prompt cache is expected to hold.

    A cache holds prefixes word for word, tools and system prompt first. What stands before the last answer of the
    assistant was a request's whole prefix then, so it is expected there; the answer itself and what follows are new.
    Nothing is expected of a first request: whether another one shared its beginning cannot be seen in it.
    """
    tools = _tool_tokens(body) if options.tools else 0
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
    try:
        return estimate_tokens(str(body.get("tools") or body.get("functions")))
    except RecursionError:
        raise UnprocessableRequest("tools are nested too deeply.", param="tools") from None


def _output_tokens(family: TaskFamily, input_tokens: int, limit: int | None) -> int:
    """Expected length of the answer: usual for the family (a translation is as long as its text), within the limit."""
    expected = max(input_tokens, 20) if family is TaskFamily.TRANSLATE else _ANSWER_TOKENS[family]
    return expected if limit is None else min(expected, limit)
