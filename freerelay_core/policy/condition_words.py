"""What is wrong with a condition, where, and what to write: the evaluator's messages in a rule writer's words."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["failure_words", "syntax_words", "unknown_variable_words"]

EXAMPLE = 'hour < 6, or task == "code" && depth >= 2'

_LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_CHAIN = (re.compile(r"[<>]=?[^&|?:<>=!()]+[<>]=?"), "join two comparisons with &&, as in 5 < hour && hour < 8")
_SLIPS: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile("[“”„‘’‚]"), "write straight quotes: \"code\" or 'code'"),
    (re.compile("[\"']"), "a quote is not closed"),
    (re.compile("=>|=<"), "write >= and <="),
    (re.compile("<>"), "for unequal write !="),
    (re.compile("(?<![=!<>])=(?!=)|==="), 'to compare write ==, as in task == "code"'),
    (re.compile(r"\b(and|or)\b|(?<!&)&(?!&)|(?<!\|)\|(?!\|)", re.IGNORECASE), "write && for and, || for or"),
    (re.compile(r"\bnot\b", re.IGNORECASE), "for not write !, as in !tools"),
    (re.compile(r"\bis\b", re.IGNORECASE), 'to compare write ==, as in task == "code"'),
    (re.compile(r"\bif\b", re.IGNORECASE), "write condition ? this : that"),
    _CHAIN,
)
"""What people used to other languages write, and what to write instead; literals are left out before."""
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def syntax_words(source: str, message: str) -> str:
    """Why a condition cannot be read, from the parser's message about it."""
    if not source.strip():
        return f"is empty; write a condition such as {EXAMPLE}, or leave `when` out"
    place = re.search(r"<input>:(\d+):(\d+)", message)
    if place is None:
        return f"cannot be read; {_advice(source)}"
    line, column = int(place[1]), int(place[2])
    where = f"character {column}" if "\n" not in source.strip() else f"character {column} of its line {line}"
    return f"cannot be read at {where}: {_advice(source)}"


def _advice(source: str) -> str:
    bare = _LITERAL.sub("x", source)
    for slip, advice in _SLIPS:
        if slip.search(bare):
            return advice
    for opening, closing in _PAIRS.items():
        if (missing := bare.count(opening) - bare.count(closing)) != 0:
            return f"a {closing if missing > 0 else opening} is missing"
    return f"something is missing or too much; write a condition such as {EXAMPLE}"


_FAILURES: Sequence[tuple[str, str]] = (
    (
        "No such overload",
        f"compares or combines values of different kinds; numbers stand without quotes, texts in quotes: {EXAMPLE}",
    ),
    ("division by zero", "divides by zero for some requests"),
    ("index out of bounds", "asks for a place that a list does not have"),
    ("Undefined variable or function", 'calls a function on what it does not take; write task.startsWith("c")'),
)


def failure_words(source: str, message: str) -> str:
    """Why a condition fails for some requests, from the evaluator's message."""
    slip, advice = _CHAIN
    if slip.search(_LITERAL.sub("x", source)):
        return f"cannot be worked out: {advice}"
    for begins, words in _FAILURES:
        if begins in message:
            return words
    if function := re.search(r"Function '(\w+)' error", message):
        return f"gives {function[1]} what it cannot take"
    return f"fails for some requests: {message[:100]}"


def unknown_variable_words(name: str, known: Sequence[str]) -> str:
    """That a condition reads what there is not."""
    if (small := name.lower()) in ("true", "false"):
        return f"unknown variable {name!r}; write {small}"
    return f'unknown variable {name!r}; a text stands in quotes, "{name}"; known are {", ".join(known)}'
