"""Makes a short text that matches a regular expression, from the parsed expression.

Nothing is ever matched against it, so an expression that takes for ever to match takes no time here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["MAX_TEXT", "matching_text"]

MAX_TEXT = 10_000


def matching_text(pattern: str) -> str | None:
    """A short text that matches, made from the parsed pattern: nothing is ever matched, so nothing can take long."""
    if len(pattern) > 500:
        return None
    try:
        parsed = re._parser.parse(pattern)  # type: ignore[attr-defined]  # noqa: SLF001  (no public parser)
        return "".join(_Letters().of(parsed))
    except (re.error, RecursionError, OverflowError, _TooLongError):
        return None


class _TooLongError(Exception):
    pass


class _Letters:
    """Letters that satisfy the parts of a parsed pattern."""

    def __init__(self) -> None:
        self._made = 0
        self._groups: dict[int, list[str]] = {}

    def of(self, parts: Any) -> list[str]:
        letters: list[str] = []
        for operation, argument in parts:
            letters += self._part(str(operation), argument)
            self._made += 1
            if self._made + len(letters) > MAX_TEXT:
                raise _TooLongError
        return letters

    def _part(self, operation: str, argument: Any) -> list[str]:
        match operation:
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return [_letter(operation, argument)]
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, repeated = argument
                wanted = int(least) or min(int(most), 1)
                return [letter for _ in range(min(wanted, MAX_TEXT)) for letter in self.of(repeated)]
            case "SUBPATTERN":
                self._groups[argument[0] or 0] = self.of(argument[-1])
                return self._groups[argument[0] or 0]
            case "ATOMIC_GROUP" | "BRANCH":
                return self.of(argument if operation == "ATOMIC_GROUP" else argument[1][0])
            case "GROUPREF":
                return self._groups.get(argument, [])
        return []  # anchors and look-arounds add nothing


def _letter(operation: str, argument: Any) -> str:
    match operation:
        case "LITERAL":
            return chr(argument)
        case "NOT_LITERAL":
            return "a" if argument != ord("a") else "b"
        case "IN":
            return _member(argument)
    return "a"


_CATEGORIES = {"CATEGORY_DIGIT": "0", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a", "CATEGORY_NOT_DIGIT": "a",
               "CATEGORY_NOT_SPACE": "a", "CATEGORY_NOT_WORD": "-"}  # fmt: skip


def _member(members: Any) -> str:
    """A character of the class."""
    kinds = [(str(kind), value) for kind, value in members]
    if kinds[0][0] == "NEGATE":
        return next((c for c in "a0 -~Zé" if not any(_holds(kind, value, c) for kind, value in kinds[1:])), "a")
    kind, value = kinds[0]
    if kind == "LITERAL":
        return chr(value)
    return chr(value[0]) if kind == "RANGE" else _CATEGORIES.get(str(value), "a")


def _holds(kind: str, value: Any, character: str) -> bool:
    if kind == "LITERAL":
        return bool(ord(character) == value)
    if kind == "RANGE":
        return bool(value[0] <= ord(character) <= value[1])
    negated = "_NOT_" in str(value)
    name = str(value).rpartition("_")[2]
    tests: dict[str, Callable[[str], bool]] = {
        "DIGIT": str.isdigit,
        "SPACE": str.isspace,
        "WORD": lambda letter: letter.isalnum() or letter == "_",
    }
    return tests[name](character) is not negated
