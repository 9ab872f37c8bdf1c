"""What the bodies of our own routes may hold; that of a chat request is read by the profile and the wishes.

The description of a field completes the sentence "it must be ...", with which what is none is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.preference import RoutingPreference

__all__ = ["Feedback", "SettingsChange", "read_as"]

Shape = TypeVar("Shape", bound=BaseModel)

_LONGEST_NAME = 40
_NAME = re.compile(r"[A-Za-z][a-z]*([_-][a-z]+|[A-Z][a-z]{2,})*")
"""How fields are called: in words. A key or a token, which may have got in the place of a name, has digits or capitals
within, and is not repeated."""


class SettingsChange(BaseModel):
    """What a tenant may change of its own settings."""

    model_config = ConfigDict(extra="forbid")

    routing_preference: Any = Field(
        description=f"one of {', '.join(RoutingPreference)}, or null, which takes the choice back: the default applies",
        json_schema_extra={"type": ["string", "null"], "enum": [*RoutingPreference, None]},
    )
    settings_version: int | None = Field(
        None, strict=True, ge=0, lt=2**63, description="a whole number, the version that was read, or left out"
    )


class Feedback(BaseModel):
    """A grade of an answer."""

    model_config = ConfigDict(extra="forbid")

    score: float = Field(
        strict=True,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="a number from 0 (useless) to 1 (as good as could be)",
    )


def read_as(shape: type[Shape], body: dict[str, Any]) -> Shape:
    """The body as `shape`. Raises `UnprocessableRequest` for its first problem, without the values that were sent.

    A field that does not exist comes first: it may be another one misspelt, which is then missing.
    """
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
    unknown = next((str(problem["loc"][0]) for problem in problems if problem["type"] == "extra_forbidden"), None)
    if unknown is not None:
        raise _unknown_field(unknown, list(shape.model_fields))
    name = str(problems[0]["loc"][0])
    missing = "is missing; it " if problems[0]["type"] == "missing" else ""
    raise UnprocessableRequest(f"{name} {missing}must be {shape.model_fields[name].description}.", param=name)


def _unknown_field(name: str, fields: Sequence[str]) -> UnprocessableRequest:
    known = f"The field{'s are' if len(fields) > 1 else ' is'} {', '.join(fields)}."
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        return UnprocessableRequest(f"The body has a field that is not known. {known}")
    near = get_close_matches(name, fields, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return UnprocessableRequest(f"The field {name} is not known.{hint} {known}", param=name)
