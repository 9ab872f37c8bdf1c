"""What every vendor refuses, hence the simulated provider, too: so that it shows before a real one is asked.

What only some vendors take, or within other bounds, is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from freerelay_core.providers.upstream_body import EFFORTS

__all__ = ["RequestRefused", "require_plausible"]

MOST_CHOICES = 16
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_FORMATS = ("text", "json_object", "json_schema")


class RequestRefused(Exception):
    """The request asks for something that a vendor would refuse: `param`, which must be what `wanted` says."""

    def __init__(self, param: str, wanted: str) -> None:
        super().__init__(param, wanted)
        self.param = param
        self.message = f"{param} must be {wanted}."


def _number(low: float, high: float, kind: type[float] = float) -> Callable[[object], bool]:
    def fits(value: object) -> bool:
        return isinstance(value, int | kind) and not isinstance(value, bool) and low <= value <= high

    return fits


_FIELDS: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("n", _number(1, MOST_CHOICES, int), f"a whole number from 1 to {MOST_CHOICES}"),
    ("temperature", _number(0, 2), "a number from 0 to 2"),
    ("top_p", _number(0, 1), "a number from 0 to 1"),
    ("tools", lambda value: isinstance(value, list), "a list"),
    (
        "reasoning_effort",
        lambda value: isinstance(value, str) and value in EFFORTS,
        f"one of {', '.join(sorted(EFFORTS))}",
    ),
    ("response_format", lambda value: isinstance(value, dict), "an object"),
)
"""Fields of a body that may be left out or null, what they may hold otherwise, and the words for it."""


def require_plausible(body: Mapping[str, Any]) -> None:
    """Raise `RequestRefused` for the first field that no vendor takes. The messages are objects with a role."""
    for param, fits, wanted in _FIELDS:
        value = body.get(param)
        if value is not None and not fits(value):
            raise RequestRefused(param, wanted)
    response_format = body.get("response_format")
    if response_format is not None and response_format.get("type") not in _FORMATS:
        raise RequestRefused("response_format.type", f"one of {', '.join(_FORMATS)}")
    for index, message in enumerate(body["messages"]):
        if message["role"] not in _ROLES:
            raise RequestRefused(f"messages[{index}].role", f"one of {', '.join(_ROLES)}")
