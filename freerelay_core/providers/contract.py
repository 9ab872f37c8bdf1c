"""Whether an answer keeps the form that its request asked for: a JSON object, or an instance of a JSON Schema.

Schema and answer both come from outside, so nothing they say may be fetched or take long: references are not followed
beyond the schema, regular expressions are not run, and what is too large is not checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson

__all__ = ["keeps_contract"]

_LARGEST = 256 * 1024
"""Longer answers and schemas are not checked, characters."""


def keeps_contract(response_format: object, text: str) -> bool | None:
    """Whether `text` is what `response_format` of a chat-completions body asks for; None where that cannot be told."""
    if not isinstance(response_format, Mapping) or not text or len(text) > _LARGEST:
        return None
    kind = response_format.get("type")
    if kind not in ("json_object", "json_schema"):
        return None
    try:
        answer = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    if kind == "json_object":
        return isinstance(answer, dict)
    wanted = response_format.get("json_schema")
    return _fits(wanted.get("schema") if isinstance(wanted, Mapping) else None, answer)


def _fits(schema: object, answer: object) -> bool | None:
    import jsonschema  # noqa: PLC0415  (60 ms: only where a schema is asked for)
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    try:
        source = orjson.dumps(schema)
    except TypeError:
        return None
    if not isinstance(schema, Mapping) or len(source) > _LARGEST or b'"patternProperties"' in source:
        return None  # additional properties cannot be told without the patterns
    try:
        return bool(_validator()(schema, registry=_registry()).is_valid(answer))
    except (jsonschema.SchemaError, jsonschema.exceptions._WrappedReferencingError, Unresolvable, RecursionError):  # noqa: SLF001
        return None
    except (TypeError, ValueError, AttributeError, KeyError):  # the schema is none, and its keywords hold odd values
        return None


@lru_cache(maxsize=1)
def _validator() -> Any:
    import jsonschema  # noqa: PLC0415

    return jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _unchecked, "format": _unchecked})


def _unchecked(*_: object) -> Iterator[Any]:
    """A regular expression from outside may take for ever."""
    return iter(())


@lru_cache(maxsize=1)
def _registry() -> Any:
    """Knows no schema but the one at hand: the library's own default would fetch references from the network."""
    from referencing import Registry  # noqa: PLC0415

    return Registry()
