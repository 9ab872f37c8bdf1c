"""What is wrong with a value in a file or form, and what to write, in plain words instead of a validator's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["plain_reason"]

_REASONS: Mapping[str, str] = {
    "missing": "is missing.",
    "string_type": "must be a text; in quotes where it looks like a number.",
    "finite_number": "must be a finite number.",
    "tuple_type": "must be a list; write it in square brackets: [...].",
    "list_type": "must be a list; write it in square brackets: [...].",
    "dict_type": "must be a mapping; write names with values: {{name: value}}.",
    "model_type": "must be a mapping; write names with values: {{name: value}}.",
    "string_too_short": "must not be empty.",
    "string_too_long": "must have at most {max_length} characters.",
    "too_short": "must not be empty.",
    "too_long": "must have at most {max_length} entries.",
    "greater_than": "must be a number above {gt}.",
    "greater_than_equal": "must be a number from {ge} on.",
    "less_than": "must be a number below {lt}.",
    "less_than_equal": "must be a number up to {le}.",
    "enum": "must be {expected}.",
    "literal_error": "must be {expected}.",
}
"""By Pydantic's type of error; braces hold what its context names."""

_KINDS = {"float": "must be a number.", "int": "must be a whole number.", "bool": "must be true or false."}
"""By the beginning of the type: `float_type`, `float_parsing`, ..."""


def plain_reason(problem: Mapping[str, Any], known: Sequence[str] = ()) -> str:
    """The reason of one of Pydantic's errors (with its context), as a sentence without a subject.

    `known` are the fields that may stand there, which help whoever misspelt one.
    """
    kind, context = str(problem["type"]), problem.get("ctx", {})
    if kind == "extra_forbidden":
        names = f"; known are {', '.join(known)}" if known else ""
        return f"there is no field of that name{names}."
    if kind in _REASONS:
        return _REASONS[kind].format_map({name: _shown(value) for name, value in context.items()})
    return _KINDS.get(kind.partition("_")[0], f"{str(problem['msg']).removeprefix('Value error, ')}.")


def _shown(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return f"{value:,.0f}" if whole or isinstance(value, int) else str(value)
