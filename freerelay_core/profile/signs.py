"""Words that point to a task family, and where in a text they stand.

The lists in `words/`, one file a language, hold for each family words that name the task (strong) and words that go
with it (weak). Lists of scripts that do not set words apart, or that bend them, name a `script`: they hold parts of
words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from freerelay_core.profile.axes import TaskFamily

__all__ = ["Place", "Sign", "find_signs", "sample_of"]

_HEAD, _TAIL = 1_000, 400
"""How much of the beginning and end of a text is read for words, characters."""
_LEAD, _LEAD_CHARACTERS = 25, 150
"""Words, and about as many characters, at either end of that in which an instruction is expected."""
_OPENING, _OPENING_CHARACTERS = 5, 40
"""Words, and about as many characters, at the beginning of the text and of its last line: "Could you translate"."""
_PARTS_OPENING = 14
"""Characters at the beginning and the end of a text without spaces, where Chinese and Japanese put the verb."""
_SEPARATORS = r"""!"#$%&()*,./:;<=>?@[\]^`{|}~«»“”„’¿¡…—–·。、，：；？！「」（）"""
"""What separates words beside white space. Hyphen, apostrophe and plus belong to words: "one-liner", "c++"."""
_TO_SPACE = str.maketrans(dict.fromkeys(_SEPARATORS, " "))
_SPLIT = re.compile(rf"[\s{re.escape(_SEPARATORS)}]+")
_PARTS_HEAD, _PARTS_TAIL = 500, 200
"""How much is read for parts of words: most of these scripts say more in a character, and searching takes longer."""


class Place(IntEnum):
    """Where a word stands."""

    BODY = 0
    LEAD = 1
    OPENING = 2


_PLACES = tuple(Place)


class Sign(NamedTuple):
    """A word, a phrase or a part of a word that points to a family."""

    text: str
    family: TaskFamily
    strong: bool


_Phrase = tuple[Sign, frozenset[str]]
"""A phrase, and its words after the first."""


class _Script(NamedTuple):
    seen: re.Pattern[str]
    signs: tuple[Sign, ...]


def sample_of(text: str) -> str:
    """What is read of a text, in lower case."""
    return (text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}\n{text[-_TAIL:]}").strip().lower()


def find_signs(sample: str) -> Iterator[tuple[Sign, Place]]:
    """The signs in a sample of a text, each once, with the best place at which it stands."""
    if not sample:
        return
    listed = _words(sample)
    words = set(listed)
    lead = words if len(listed) <= 2 * _LEAD else {*listed[:_LEAD], *listed[-_LEAD:]}
    lead_text = sample if lead is words else f"{sample[:_LEAD_CHARACTERS]} {sample[-_LEAD_CHARACTERS:]}"
    opening, opening_text = set(listed[:_OPENING]), sample[:_OPENING_CHARACTERS]
    last_line = sample.rfind("\n") + 1
    if last_line:
        last_words = sample[last_line : last_line + _OPENING_CHARACTERS]
        opening.update(_words(last_words)[:_OPENING])
        opening_text = f"{opening_text}\n{last_words}"
    for word in words & _SINGLE:
        for sign in _WORDS[word]:
            yield sign, _PLACES[(word in lead) + (word in opening)]
    for word in words & _FIRST:
        for sign, rest in _PHRASES[word]:
            if rest <= words and sign.text in sample:
                yield sign, _PLACES[(sign.text in lead_text) + (sign.text in opening_text)]
    if not sample.isascii():
        yield from _parts(sample)


def _words(text: str) -> list[str]:
    return text.translate(_TO_SPACE).split() if text.isascii() else _SPLIT.split(text)


def _parts(sample: str) -> Iterator[tuple[Sign, Place]]:
    ends = sample if len(sample) <= _PARTS_HEAD + _PARTS_TAIL else f"{sample[:_PARTS_HEAD]} {sample[-_PARTS_TAIL:]}"
    lead = (
        sample if len(sample) <= 2 * _LEAD_CHARACTERS else f"{sample[:_LEAD_CHARACTERS]} {sample[-_LEAD_CHARACTERS:]}"
    )
    opening = f"{sample[:_PARTS_OPENING]} {sample[-_PARTS_OPENING:]}"
    for script in _SCRIPTS:
        if script.seen.search(ends):
            for sign in script.signs:
                if sign.text in ends:
                    yield sign, _PLACES[(sign.text in lead) + (sign.text in opening)]


def _load() -> tuple[dict[str, list[Sign]], dict[str, list[_Phrase]], tuple[_Script, ...]]:
    """Single words, phrases by their first word, and parts of words by script."""
    spaced: dict[tuple[str, TaskFamily], Sign] = {}  # a word that several languages share counts once
    words: dict[str, list[Sign]] = {}
    phrases: dict[str, list[_Phrase]] = {}
    scripts: list[_Script] = []
    for path in sorted(Path(__file__).with_name("words").glob("*.yaml")):
        content: dict[str, Any] = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
        script = content.pop("script", None)
        signs = [
            Sign(text.strip(), TaskFamily(family), strong)
            for family, listed in content.items()
            for strong, texts in ((True, listed["strong"]), (False, listed["weak"]))
            for text in texts.split(",")
            if text.strip()
        ]
        if script is not None:
            scripts.append(_Script(re.compile(script, re.DOTALL), tuple(signs)))
            continue
        for sign in signs:
            known = spaced.get((sign.text, sign.family), sign)
            spaced[sign.text, sign.family] = max(sign, known, key=lambda each: each.strong)
    for sign in spaced.values():
        first, *rest = sign.text.split()
        if rest:
            phrases.setdefault(first, []).append((sign, frozenset(rest)))
        else:
            words.setdefault(first, []).append(sign)
    return words, phrases, tuple(scripts)


_WORDS, _PHRASES, _SCRIPTS = _load()
_SINGLE, _FIRST = frozenset(_WORDS), frozenset(_PHRASES)
