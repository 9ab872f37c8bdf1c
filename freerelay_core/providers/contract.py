"""Whether an answer keeps the form that its request asked for: a JSON object, or an instance of a JSON Schema.

Schema and answer both come from outside, so nothing they say may be fetched or take long: references are followed by
their path within the schema alone, regular expressions are not run, and what takes too many steps is not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from threading import Thread
from typing import Any, TypeAlias

import orjson

__all__ = ["keeps_contract", "prepare_for_schemas"]

_LARGEST = 256 * 1024
"""Longer answers and schemas are not checked, characters."""
_MOST_STEPS = 10_000
"""Of about 2 us each, while every other request waits. Objects of ten members take 35 steps, so nearly 300 of them are
checked; a schema of a few lines may hold 2^30 steps."""
_NOT_CHECKED = (b'"patternProperties"', b'"unevaluated', b'"$anchor"', b'"$dynamicAnchor"')
"""Keywords that make it so; what is unevaluated may need all of the rest once more."""


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
    if not isinstance(schema, Mapping) or len(source) > _LARGEST or not _can_be_checked(schema, source):
        return None
    _steps_left.set([_MOST_STEPS])
    try:
        return bool(_validator()(schema, registry=_registry()).is_valid(answer))
    except (jsonschema.SchemaError, jsonschema.exceptions._WrappedReferencingError, Unresolvable, RecursionError):  # noqa: SLF001
        return None
    except (jsonschema.exceptions.UnknownType, TypeError, ValueError, AttributeError, KeyError, ArithmeticError):
        return None  # the schema is none, and its keywords hold odd values
    except _TooManyStepsError:
        return None


def _can_be_checked(schema: Mapping[str, Any], source: bytes) -> bool:
    """Whether nothing in the schema needs a regular expression, or a search through all of it at each reference."""
    parts_named = source.count(b'"$id"') > ("$id" in schema)
    return not parts_named and not any(keyword in source for keyword in _NOT_CHECKED)


_Check: TypeAlias = Callable[[Any, Any, Any, Any], Any]
"""A keyword of the library: it takes validator, the keyword's value, the instance and the schema."""


@lru_cache(maxsize=1)
def prepare_for_schemas() -> None:
    """Load what checks them, once and in a thread: it takes a quarter of a second, which a provider's answer gives."""
    Thread(target=_validator, name="prepare for schemas", daemon=True).start()


@lru_cache(maxsize=1)
def _validator() -> Any:
    import jsonschema  # noqa: PLC0415

    known: Mapping[str, _Check] = jsonschema.Draft202012Validator.VALIDATORS
    checks = {name: _counted(name, check) for name, check in known.items()}
    unchecked = dict.fromkeys(("pattern", "format"), _unchecked)
    return jsonschema.validators.extend(jsonschema.Draft202012Validator, checks | unchecked)


def _unchecked(*_: object) -> Iterator[Any]:
    """A regular expression from outside may take for ever."""
    return iter(())


class _TooManyStepsError(Exception):
    """The check would take too long."""


_steps_left: ContextVar[list[int]] = ContextVar("steps left")
"""Of the check under way: one number, which is counted down."""


def _counted(name: str, check: _Check) -> _Check:
    """The check of a keyword, whose steps are counted."""

    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        left = _steps_left.get()
        left[0] -= _steps(name, value, instance)
        if left[0] < 0:
            raise _TooManyStepsError
        return check(validator, value, instance, schema)

    return counted


_OF_MEMBERS = frozenset({"items", "contains", "additionalProperties", "propertyNames"})
"""Keywords that look at each member of the answer."""


def _steps(name: str, value: Any, instance: Any) -> int:
    """How many steps a keyword takes here, besides those of the schemas in it."""
    within = len(value) if isinstance(value, list | dict) else 0
    if name in ("$ref", "$dynamicRef"):
        by_path = isinstance(value, str) and (value == "#" or value.startswith("#/"))
        return 5 + len(value) // 64 if by_path else _MOST_STEPS + 1
    if name in ("enum", "const"):
        return 1 + (within if name == "enum" else 1) * (1 + _weight(instance)) // 4
    members = len(instance) if isinstance(instance, list | dict) else 0
    if name == "uniqueItems":
        return 1 + members * (members + _weight(instance)) // 2
    return 1 + within + (members if name in _OF_MEMBERS else 0)


def _weight(instance: Any) -> int:
    """Steps to compare a list or object with another one, at most."""
    return len(orjson.dumps(instance)) // 8 if isinstance(instance, list | dict) else 0


@lru_cache(maxsize=1)
def _registry() -> Any:
    """Knows no schema but the one at hand: the library's own default would fetch references from the network."""
    from referencing import Registry  # noqa: PLC0415

    return Registry()
