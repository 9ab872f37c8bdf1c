"""What is sent to a provider: the client's request, said as this provider understands it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from freerelay_core.catalogue import OPENAI_WIRE, Endpoint, Wire

__all__ = ["asks_for_usage", "upstream_body"]

EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
"""Values of `reasoning_effort`. Other modes of a catalogue entry (`@instant`) are the vendor's own model names."""

_LIMITS = ("max_completion_tokens", "max_tokens")
"""Names of the limit of the answer; the first counts where a client sends both, as at OpenAI."""


def upstream_body(body: Mapping[str, Any], endpoint: Endpoint, wire: Wire = OPENAI_WIRE) -> bytes:
    """The client's body for this endpoint, as its provider's wire has it; what is not known passes as it came.

    Effort and ability belong together, so an endpoint's effort replaces the client's, and an endpoint that does not
    think is told none.
    """
    sent = {**body, "model": endpoint.upstream_model}
    sent.pop("routing", None)
    if endpoint.effort in EFFORTS:
        sent["reasoning_effort"] = endpoint.effort
    elif endpoint.thinking_tokens.value == 0:
        sent.pop("reasoning_effort", None)
    if wire is not OPENAI_WIRE:
        _translate(sent, wire)
    return bytes(
        memoryview(orjson.dumps(sent))
    )  # a copy: what orjson returns keeps 64 KiB, and providers are waited for


def asks_for_usage(body: Mapping[str, Any]) -> bool:
    """Whether the client wants to see what a stream has used."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _translate(sent: dict[str, Any], wire: Wire) -> None:
    if wire.output_limit is not None:
        limits = [value for name in _LIMITS if (value := sent.pop(name, None)) is not None]
        if limits:
            sent[wire.output_limit] = limits[0]
    for name, theirs in wire.renames.items():
        if name in sent:
            sent[theirs] = sent.pop(name)
    for name in (*wire.drops, *wire.refuses):  # what is refused says no more than the default by now
        sent.pop(name, None)
    if wire.stream_usage == "on_request" and sent.get("stream") is True:
        options = sent.get("stream_options")
        sent["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    messages = sent.get("messages")
    if isinstance(messages, list) and (wire.drops_in_messages or not wire.developer_role):
        sent["messages"] = [_message(message, wire) for message in messages]


def _message(message: Any, wire: Wire) -> Any:
    """The message as it is where nothing in it differs; the client's own is left alone."""
    if not isinstance(message, dict):
        return message
    if not wire.developer_role and message.get("role") == "developer":
        message = {**message, "role": "system"}
    if not wire.drops_in_messages.isdisjoint(message):
        return {name: value for name, value in message.items() if name not in wire.drops_in_messages}
    return message
