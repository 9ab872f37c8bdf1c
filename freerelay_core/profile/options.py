"""What a chat-completions body asks for beside its texts: tools, the form of the answer, limits, how it is sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.profile.axes import Determinism, Economics, OutputContract, ToolDependence

__all__ = ["Options", "read_options"]

_FREE_FROM = 0.7
"""Temperatures above this ask for variety: vendors suggest up to 0.7 for factual work."""
_LIMITS = ("max_completion_tokens", "max_tokens")
_BESIDE_STREAM = frozenset({
    "tools", "functions", "tool_choice", "function_call", "logprobs", "n", "logit_bias", "routing", "response_format",
    "service_tier", "temperature", "seed", "reasoning_effort", *_LIMITS,
})  # fmt: skip
"""The fields that are read here, but for `stream`."""


class Options(NamedTuple):
    """The options of one body."""

    stream: bool = False
    needs: frozenset[str] = frozenset()
    """Capabilities that these options need (`axes.NEEDS`)."""
    tools: int = 0
    """How many are offered."""
    tool_dependence: ToolDependence = ToolDependence.NONE
    """As far as the offer says; results in the conversation say more."""
    contract: OutputContract = OutputContract.TEXT
    determinism: Determinism = Determinism.DEFAULT
    economics: Economics = Economics.STANDARD
    effort: object = None
    """`reasoning_effort` as it stands there."""
    answers: int = 1
    """How many are asked for; the most that there may be are for the provider to say."""
    limit: int | None = None
    """The most tokens that the answer may have."""


_NONE, _STREAM = Options(), Options(stream=True, needs=frozenset({"streaming"}))


def read_options(body: Mapping[str, Any]) -> Options:
    """The options in `body`. Raises `UnprocessableRequest` for a `stream`, `n` or limit that cannot be meant."""
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise UnprocessableRequest("stream must be true or false.", param="stream")
    if _BESIDE_STREAM.isdisjoint(body):
        return _STREAM if stream else _NONE
    tools = _offered(body)
    number = _whole_number(body, "n")
    return Options(
        stream=bool(stream),
        needs=_needs(body, bool(tools)),
        tools=tools,
        tool_dependence=_dependence(body) if tools else ToolDependence.NONE,
        contract=_contract(body.get("response_format")),
        determinism=_determinism(body),
        economics=_economics(body.get("service_tier")),
        effort=body.get("reasoning_effort"),
        answers=1 if number is None else number,
        limit=_limit(body),
    )


def _offered(body: Mapping[str, Any]) -> int:
    tools = body.get("tools") or body.get("functions")
    return len(tools) if isinstance(tools, list) else int(bool(tools))


def _needs(body: Mapping[str, Any], tools: bool) -> frozenset[str]:  # noqa: FBT001
    routing = body.get("routing")
    found = (
        ("streaming", body.get("stream")),
        ("tools", tools),
        ("logprobs", body.get("logprobs")),
        ("choices", body.get("n") not in (None, 1)),
        ("logit_bias", body.get("logit_bias")),
        ("confidential", isinstance(routing, dict) and routing.get("confidential") is True),
    )
    return frozenset([need for need, wanted in found if wanted])


def _dependence(body: Mapping[str, Any]) -> ToolDependence:
    """What the choice says of tools that are offered: it may demand a call, or forbid one."""
    choice = body.get("tool_choice", body.get("function_call"))
    if choice == "none":
        return ToolDependence.NONE
    return ToolDependence.REQUIRED if _demands_call(choice) else ToolDependence.OFFERED


def _demands_call(choice: object) -> bool:
    """Whether a `tool_choice` leaves no answer but a call: "required", or one tool by name."""
    if not isinstance(choice, dict):
        return choice == "required"
    allowed = choice.get("allowed_tools")
    return not isinstance(allowed, dict) or allowed.get("mode") == "required"


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


def _determinism(body: Mapping[str, Any]) -> Determinism:
    temperature = body.get("temperature")
    if isinstance(temperature, bool) or not isinstance(temperature, int | float):
        temperature = None
    if body.get("seed") is not None or temperature == 0:
        return Determinism.FIXED
    return Determinism.FREE if temperature is not None and temperature > _FREE_FROM else Determinism.DEFAULT


def _economics(tier: object) -> Economics:
    if tier in ("flex", "batch"):
        return Economics.BULK
    return Economics.PRIORITY if tier == "priority" else Economics.STANDARD


def _limit(body: Mapping[str, Any]) -> int | None:
    """The most tokens that the answer may have. Raises `UnprocessableRequest` for either name: both are passed on."""
    stated = None
    for name in reversed(_LIMITS):
        limit = _whole_number(body, name)
        stated = stated if limit is None else limit
    return stated


def _whole_number(body: Mapping[str, Any], name: str) -> int | None:
    """What the body has under this name: no price can be told for anything but a whole number of at least 1."""
    number = body.get(name)
    if number is None:
        return None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise UnprocessableRequest(f"{name} must be a whole number of at least 1.", param=name)
    return number
