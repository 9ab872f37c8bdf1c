"""What the simulated provider says: text that owns up to being simulated, JSON in the asked form, or a tool call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from freerelay_core.catalogue import Endpoint
from freerelay_core.profile import RequestProfile
from freerelay_core.providers.schema_instance import schema_instance
from freerelay_core.providers.simulated_refusals import RequestRefused, require_plausible
from freerelay_core.providers.simulated_text import pieces_of, sentences

__all__ = ["Content", "plausible_content"]

MOST_TOKENS = 8_000
"""However long an answer the profile expects, no more is made up."""


@dataclass(frozen=True, slots=True)
class Content:
    """One answer, the same for each of its `choices`."""

    pieces: list[str]
    """The text, or the arguments of the tool call, token by token."""
    finish_reason: str
    choices: int
    tool_call: Mapping[str, Any] | None = None
    thinking: int = 0
    """Tokens of each choice that were thought before it."""

    @property
    def tokens(self) -> int:
        return len(self.pieces)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def plausible_content(
    body: Mapping[str, Any], endpoint: Endpoint, profile: RequestProfile, *, thinking: int
) -> Content:
    """An answer to this body in the form and of the length that it asks for. Raises `RequestRefused`.

    `thinking` tokens come before it, and take their part of the limit, or all.
    """
    require_plausible(body)
    choices = body.get("n") or 1
    limit = _limit(body)
    left = None if limit is None else max(0, limit - thinking)
    content = _content(body, endpoint, profile, left=left, choices=choices)
    return replace(content, thinking=thinking if limit is None else min(thinking, limit))


def _content(
    body: Mapping[str, Any], endpoint: Endpoint, profile: RequestProfile, *, left: int | None, choices: int
) -> Content:
    tool = _tool(body)
    if tool is not None:
        return _tool_call(tool, left, choices)
    text = _json(body.get("response_format"))
    if text is None:
        return _prose(endpoint, min(profile.output_tokens, MOST_TOKENS), left, choices)
    return _cut(pieces_of(text), left, choices)


def _limit(body: Mapping[str, Any]) -> int | None:
    limits = [body.get(name) for name in ("max_completion_tokens", "max_tokens")]
    return next((limit for limit in limits if isinstance(limit, int)), None)


def _cut(pieces: list[str], limit: int | None, choices: int) -> Content:
    if limit is not None and len(pieces) > limit:
        return Content(pieces[:limit], "length", choices)
    return Content(pieces, "stop", choices)


def _prose(endpoint: Endpoint, length: int, left: int | None, choices: int) -> Content:
    """Whole sentences, up to the end that is nearest to `length` and within `left`; no more than `left` tokens."""
    told = sentences(endpoint.id)
    if left is not None and left <= length:
        return Content(list(islice(chain.from_iterable(told), left)), "length", choices)
    pieces: list[str] = list(next(told))
    for sentence in told:
        more = len(pieces) + len(sentence)
        if more - length > length - len(pieces) or (left is not None and more >= left):
            break
        pieces += sentence
    return _cut(pieces, left, choices)


def _json(response_format: object) -> str | None:
    """JSON text in the asked form; None where plain text is asked for."""
    if not isinstance(response_format, dict):
        return None
    if response_format.get("type") == "json_object":
        return '{"answer": "This is a simulated answer", "simulated": true}'
    if response_format.get("type") != "json_schema":
        return None
    stated = response_format.get("json_schema")
    schema = stated.get("schema") if isinstance(stated, dict) else None
    if not isinstance(schema, dict):
        raise RequestRefused("response_format.json_schema.schema", "an object")
    return _spaced(schema_instance(schema))


def _spaced(value: Any) -> str:
    """JSON with spaces, so that it breaks into tokens where a model's would."""
    return json.dumps(value, indent=1, ensure_ascii=False)


def _tool(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The function to call: the one that is named, or the first when a call is asked for or a user spoke last."""
    tools = body.get("tools")
    functions: list[Mapping[str, Any]] = [
        tool["function"]
        for tool in (tools if isinstance(tools, list) else ())
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
        and isinstance(tool["function"].get("name"), str)
    ]  # fmt: skip
    choice = body.get("tool_choice", "auto")
    if not functions or choice == "none":
        return None
    if isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        wanted = choice["function"].get("name")
        named = next((function for function in functions if function["name"] == wanted), None)
        if named is None:
            raise RequestRefused("tool_choice", f"a function among the tools, not {str(wanted)[:60]!r}")
        return named
    last = body["messages"][-1]
    return functions[0] if choice == "required" or last.get("role") == "user" else None


def _tool_call(function: Mapping[str, Any], limit: int | None, choices: int) -> Content:
    parameters = function.get("parameters")
    made = schema_instance(parameters) if isinstance(parameters, dict) else {}
    content = _cut(pieces_of(_spaced(made if isinstance(made, dict) else {})), limit, choices)
    call = {
        "id": "call_simulated",
        "type": "function",
        "function": {"name": function["name"], "arguments": content.text},
    }
    reason = "length" if content.finish_reason == "length" else "tool_calls"
    return Content(content.pieces, reason, choices, call)
