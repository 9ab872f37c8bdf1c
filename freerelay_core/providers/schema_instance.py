"""Makes a plausible instance of a JSON schema, for answers of the simulated provider.

Covers what vendors accept for structured output (types, enum, const, $ref, anyOf, allOf, bounds, formats, patterns) and
stays small whatever the schema asks: recursion ends where the schema lets it, and size is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from freerelay_core.providers.schema_pattern import MAX_TEXT, matching_text

__all__ = ["schema_instance"]

_WANTED_DEPTH = 4
"""Below this depth optional parts are left out, so that recursive schemas end."""
_LAST_DEPTH = 40
_MAX_NODES = 2_000

_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def schema_instance(schema: object, words: str = "simulated") -> Any:
    """An instance of `schema`; `words` fills strings that may say anything."""
    return _Maker(schema, words).make(schema, 0)


class _Maker:
    def __init__(self, root: object, words: str) -> None:
        self._root = root
        self._words = words
        self._nodes = 0

    def make(self, schema: object, depth: int) -> Any:
        self._nodes += 1
        if not isinstance(schema, Mapping) or depth > _LAST_DEPTH or self._nodes > _MAX_NODES:
            return None
        schema = self._flat(schema)
        allowed = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(allowed, list) and allowed:
            return allowed[0]
        for name in ("anyOf", "oneOf"):
            if isinstance(schema.get(name), list) and schema[name]:
                rest = {key: value for key, value in schema.items() if key != name}
                return self.make(rest | self._branch(schema[name], depth), depth + 1)
        return self._typed(schema, depth)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        makers: dict[str | None, Callable[[], Any]] = {
            "object": lambda: self._object(schema, depth),
            "array": lambda: self._array(schema, depth),
            "string": lambda: self._string(schema),
            "integer": lambda: _number(schema, step=1),
            "number": lambda: _number(schema, step=0),
            "boolean": lambda: True,
        }
        make = makers.get(self._type(schema, depth))
        return make() if make else None

    def _flat(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The schema with its references and `allOf` written out."""
        flat: dict[str, Any] = dict(schema)
        for _ in range(_LAST_DEPTH):
            if isinstance(flat.get("$ref"), str):
                target = self._resolved(flat.pop("$ref"))
                flat = _both(target, flat)
            elif isinstance(flat.get("allOf"), list):
                for part in flat.pop("allOf"):
                    flat = _both(flat, part if isinstance(part, Mapping) else {})
            else:
                break
        return flat

    def _resolved(self, reference: str) -> Mapping[str, Any]:
        node: Any = self._root
        for part in reference.lstrip("#").strip("/").split("/") if reference != "#" else ():
            key = part.replace("~1", "/").replace("~0", "~")
            node = node.get(key) if isinstance(node, Mapping) else None
        return node if isinstance(node, Mapping) else {}

    def _branch(self, branches: Sequence[Any], depth: int) -> dict[str, Any]:
        """The branch to take: the first one, or deep down the first that ends."""
        flat = [self._flat(branch) for branch in branches if isinstance(branch, Mapping)]
        if depth >= _WANTED_DEPTH:
            flat.sort(key=lambda branch: bool(branch.get("properties") or branch.get("items")))
        return flat[0] if flat else {}

    def _type(self, schema: Mapping[str, Any], depth: int) -> str | None:
        stated = schema.get("type")
        if isinstance(stated, list):
            if depth >= _WANTED_DEPTH and "null" in stated:
                return None
            stated = next((name for name in stated if name != "null"), None)
        if isinstance(stated, str):
            return stated
        if "properties" in schema:
            return "object"
        return "array" if "items" in schema or "prefixItems" in schema else "string"

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        stated = schema.get("properties")
        properties: Mapping[str, Any] = stated if isinstance(stated, Mapping) else {}
        names = schema.get("required")
        required = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        wanted = list(properties) if depth < _WANTED_DEPTH else [name for name in properties if name in required]
        wanted += [name for name in required if name not in properties]
        extra = schema.get("additionalProperties")
        made = {
            name: self.make(properties.get(name, extra if isinstance(extra, Mapping) else {}), depth + 1)
            for name in wanted
        }
        for index in range(len(made), min(_count(schema, "minProperties"), _MAX_NODES)):
            made[f"key{index}"] = self.make(extra if isinstance(extra, Mapping) else {}, depth + 1)
        return made

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems")
        made = [self.make(item, depth + 1) for item in first] if isinstance(first, list) else []
        least = _count(schema, "minItems")
        wanted = max(least, len(made), 1 if depth < _WANTED_DEPTH and not made else 0)
        most = schema.get("maxItems")
        wanted = min(wanted, most if isinstance(most, int) else wanted, _MAX_NODES)
        items = self._flat(schema["items"]) if isinstance(schema.get("items"), Mapping) else {}
        choices = items.get("enum") if schema.get("uniqueItems") else None
        while len(made) < wanted and self._nodes <= _MAX_NODES:
            if isinstance(choices, list) and len(made) < len(choices):
                made.append(choices[len(made)])
                continue
            item = self.make(items, depth + 1)
            made.append(_distinct(item, len(made)) if schema.get("uniqueItems") else item)
        return made[:wanted]

    def _string(self, schema: Mapping[str, Any]) -> str:
        if isinstance(schema.get("pattern"), str):
            made = matching_text(schema["pattern"])
            if made is not None:
                return made
        stated = _FORMATS.get(str(schema.get("format")))
        if stated is not None:
            return stated
        least = min(_count(schema, "minLength"), MAX_TEXT)
        most = schema.get("maxLength")
        text = self._words
        while len(text) < least:
            text += f" {self._words}"
        return text[: most if isinstance(most, int) and most >= 0 else None]


def _both(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """One schema that asks for both; what `second` says wins, properties and requirements add up."""
    merged = {**first, **second}
    for name in ("properties", "$defs"):
        if isinstance(first.get(name), Mapping) and isinstance(second.get(name), Mapping):
            merged[name] = {**first[name], **second[name]}
    if isinstance(first.get("required"), list) and isinstance(second.get("required"), list):
        merged["required"] = first["required"] + [n for n in second["required"] if n not in first["required"]]
    return merged


def _count(schema: Mapping[str, Any], name: str) -> int:
    value = schema.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _distinct(item: Any, index: int) -> Any:
    if isinstance(item, str):
        return f"{item} {index + 1}" if index else item
    return item + index if isinstance(item, int | float) and not isinstance(item, bool) else item


def _number(schema: Mapping[str, Any], *, step: int) -> float | int:
    """A number within the bounds, near the lower one: whole where `step` is 1."""

    def bound(name: str) -> float | None:
        value = schema.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    low, high = bound("minimum"), bound("maximum")
    above, below = bound("exclusiveMinimum"), bound("exclusiveMaximum")
    every = bound("multipleOf") or step
    if above is not None and (low is None or above >= low):
        low = above + (every or (((below if below is not None else high) or above + 2) - above) / 2)
    if low is None:
        tops = [value for value in (high, None if below is None else below - (every or 1)) if value is not None]
        low = min([1.0, *tops])
    if every > 0 and math.isfinite(low / every):
        number = math.ceil(low / every) * every
        if high is not None and number > high:
            number = math.floor(high / every) * every
    else:
        number = low
    return int(number) if step or float(number).is_integer() else number
