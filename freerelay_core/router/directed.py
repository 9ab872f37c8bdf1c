"""What rules change in a request before it goes upstream: its temperature, and the form of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freerelay_core.decision import Decision
from freerelay_core.policy import EnforceMode
from freerelay_core.profile import read_conversation

__all__ = ["directed_body"]

ASK_FOR_JSON = "Answer with one JSON object."
"""Vendors refuse JSON mode for a conversation in which nobody says the word."""


def directed_body(body: Mapping[str, Any], decision: Decision) -> Mapping[str, Any]:
    """The client's body with what the decision's directive puts in place; the client's own is left as it is."""
    directive = decision.directive
    changes: dict[str, Any] = {}
    if directive.temperature is not None:
        changes["temperature"] = directive.temperature
    if directive.enforce_mode is not None:
        changes |= _in_form(body, directive.enforce_mode)
    return {**body, **changes} if changes else body


def _in_form(body: Mapping[str, Any], mode: EnforceMode) -> dict[str, Any]:
    asked = body.get("response_format")
    kind = asked.get("type") if isinstance(asked, dict) else None
    if kind == "json_schema" and isinstance(asked, dict):
        schema = asked.get("json_schema")
        if mode is EnforceMode.STRICT and isinstance(schema, dict):
            return {"response_format": {**asked, "json_schema": {**schema, "strict": True}}}
        return {}
    changes: dict[str, Any] = {} if kind == "json_object" else {"response_format": {"type": "json_object"}}
    said = read_conversation(body)  # its words alone: the letters may stand in a name, or in a picture's by chance
    if "json" not in f"{said.repeated}\n{said.fresh}".lower():
        changes["messages"] = _asking_for_json(body["messages"])
    return changes


def _asking_for_json(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The messages with the sentence that asks for JSON: in the first one where that instructs, else before it."""
    first, *rest = messages
    if first.get("role") in ("system", "developer") and isinstance(first.get("content"), str):
        return [{**first, "content": f"{first['content']}\n\n{ASK_FOR_JSON}"}, *rest]
    return [{"role": "system", "content": ASK_FOR_JSON}, *messages]
