"""Chat completions in the OpenAPI document. Fields are typed only where FreeRelay itself insists on the type."""

from __future__ import annotations

from typing import Any

from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import Depth, TaskFamily

__all__ = ["CHAT_SCHEMAS", "ROUTING_PARAMETERS"]

_PREFERENCE = {"type": "string", "enum": list(RoutingPreference)}
_TASK = {"type": "string", "enum": list(TaskFamily)}
_DEPTH = {"type": "string", "enum": [depth.label for depth in Depth]}

_ANY_OF_OPENAIS = (
    "stream_options", "tools", "tool_choice", "parallel_tool_calls", "response_format", "temperature", "top_p", "seed",
    "n", "reasoning_effort", "logprobs", "top_logprobs", "stop", "user", "metadata",
)  # fmt: skip
_LIMIT = {"type": ["integer", "null"], "minimum": 1, "description": "The most tokens that the answer may have."}
_ROUTING = {
    "type": ["object", "null"],
    "description": "What is wished of the routing; never passed on.",
    "properties": {
        **{
            # Texts: where a header says it as well, what stands here is not looked at.
            name: {"type": ["string", "null"], "description": "Those of the header.", "examples": known["enum"]}
            for name, known in (("preference", _PREFERENCE), ("task", _TASK), ("depth", _DEPTH))
        },
        "confidential": {"type": ["boolean", "null"]},
    },
    "additionalProperties": False,
}
_MESSAGE = {
    "type": "object",
    "required": ["role"],
    "properties": {"role": {"type": "string"}, "content": {"description": "A text, or a list of parts."}},
}
_REQUEST = {
    "type": "object",
    "required": ["messages"],
    "properties": {
        "model": {
            "type": ["string", "null"],
            "minLength": 1,
            "description": "`freerelay/auto`, or an endpoint as `provider/model[@effort]`.",
            "examples": ["freerelay/auto"],
        },
        "messages": {"type": "array", "minItems": 1, "maxItems": 2_000, "items": _MESSAGE},
        "stream": {"type": ["boolean", "null"]},
        "max_tokens": _LIMIT,
        "max_completion_tokens": _LIMIT,
        "routing": _ROUTING,
        **{name: {"description": "As at OpenAI; passed on to the provider."} for name in _ANY_OF_OPENAIS},
    },
    "additionalProperties": True,
    "examples": [{"model": "freerelay/auto", "messages": [{"role": "user", "content": "Hello!"}]}],
}


def _answer(kind: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": "As the provider wrote it.",
        "required": ["object", "choices"],
        "properties": {
            "id": {"type": "string"},
            "object": {"type": "string", "enum": [kind]},
            "created": {"type": "integer"},
            "model": {"type": "string"},
            "choices": {"type": "array", "items": {"type": "object"}},
            "usage": {"type": ["object", "null"]},
        },
    }


CHAT_SCHEMAS: dict[str, Any] = {
    "RoutedRequest": _REQUEST,
    "ChatRequest": {
        "allOf": [{"$ref": "#/components/schemas/RoutedRequest"}],
        "required": ["model", "messages"],
        "properties": {"model": {"type": "string"}},
    },
    "ChatCompletion": _answer("chat.completion"),
    "ChatCompletionChunk": _answer("chat.completion.chunk"),
    "ChatStream": {  # without a type: OpenAPI 3.1 has no words for a stream, and readers differ in what a schema is of
        "description": "Server-sent events: each `data:` is a `ChatCompletionChunk`, the last one `[DONE]`. A failure "
        "on the way is an event that holds an `Error`, its `request_id` beside the `code`, and no `[DONE]` follows.",
    },
}


def _header(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    field = name.rpartition("-")[2].lower()
    return {"name": name, "in": "header", "description": f"As `routing.{field}`, above which it stands.",
            "schema": schema}  # fmt: skip


ROUTING_PARAMETERS = [
    _header("X-FreeRelay-Preference", _PREFERENCE),
    _header("X-FreeRelay-Task", _TASK),
    _header("X-FreeRelay-Depth", _DEPTH),
]
