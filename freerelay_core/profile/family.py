"""Which family of task a request's structure and words point to.

The lists in `words/`, one file a language, hold for each family words that name the task (strong) and words that go
with it (weak). A word counts by where it stands: people say what they want at the beginning or the end of a message and
put the material in between. The user's words count in full and the system prompt's for two thirds: it often states the
only instruction there is ("Translate what the user sends"), but where both state one the user's is the nearer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from freerelay_core.profile.axes import TaskFamily

__all__ = ["Guess", "guess_family"]

_HEAD, _TAIL = 1_000, 400
"""How much of the beginning and end of a text is read for words, characters."""
_LEAD = 160
"""Characters at either end of that in which an instruction is expected."""

# Points of a sign: in the lead, elsewhere. Set by hand on the development prompts.
_STRONG, _WEAK = (6, 2), (2, 1)
_USER, _SYSTEM = 3, 2
"""How a text's points count by who wrote it."""
_STRUCTURE = 12
"""Points of a structural sign: as much as two strong words in the lead, since nobody writes one by chance."""
_ENOUGH = 8
"""Points below which no family but chat is claimed. One weak word is too little, as is one strong one amidst a text."""

_SPLIT = re.compile(r"[\s!-&(-/:-@\[-^`{-~«»“”„’¿¡…—–]+")
_OPTION = re.compile(r"(?:^|\n)\s*\(?[A-Ea-e][).:] ?\S")
_NUMBER = re.compile(r"\d")
_CODE = (
    "```",
    "def ",
    "#include",
    "traceback (most recent",
    "();",
    "=> ",
    "import ",
    "public class",
    "</",
    ") {",
    ";\n",
    "exception in",
)
_PASSAGES = (
    "<doc", "<context", "<passage", "<source", "<article", "passage 1", "document 1", "source 1", "context:",
    "documents:", "passages:", "search results:", "paragraph:", "kontext:", "contexte :", "contexte:", "contexto:",
    "контекст:", "资料：", "資料：", "السياق:", "संदर्भ:",
)  # fmt: skip
_OPTIONS_FROM = 3
_MATH_SIGNS = 4


class Guess(NamedTuple):
    """The family, why, and what else the text shows."""

    family: TaskFamily
    reason: str
    passages: bool = False
    """Whether it brings passages to answer from."""
    multiple_choice: bool = False
    proof: bool = False
    """Whether it asks for a proof."""


class _Sign(NamedTuple):
    text: str
    family: TaskFamily
    points: tuple[int, int]


class _Script(NamedTuple):
    """Parts of words that are looked for in texts of a script that does not set words apart, or bends them."""

    seen: re.Pattern[str]
    signs: tuple[_Sign, ...]


def guess_family(asked: str, system: str, *, wants_json: bool) -> Guess:
    """The family that the user's last message `asked` and the `system` prompt point to; chat where nothing does."""
    user, instructions = _sample(asked), _sample(system)
    passages = any(mark in user or mark in instructions for mark in _PASSAGES)
    options = len(_OPTION.findall(user)) >= _OPTIONS_FROM
    points: dict[TaskFamily, int] = {}
    shown: dict[TaskFamily, list[str]] = {}
    words: dict[TaskFamily, int] = {}
    proof = False
    for family, reason, signs in _structure(user, passages=passages, wants_json=wants_json):
        points[family] = points.get(family, 0) + _STRUCTURE * signs
        shown.setdefault(family, []).append(reason)
    for sample, share in ((user, _USER), (instructions, _SYSTEM)):
        for sign, lead in _signs(sample):
            points[sign.family] = points.get(sign.family, 0) + share * sign.points[0 if lead else 1]
            words[sign.family] = words.get(sign.family, 0) + 1
            proof |= sign.text in _PROOF
    best = max(points, key=lambda family: (points[family], -_ORDER[family]), default=TaskFamily.CHAT)
    if points.get(best, 0) < _ENOUGH:
        reason = "a multiple-choice question" if options else "no sign of another task"
        return Guess(TaskFamily.CHAT, reason, passages, options, proof)
    return Guess(best, _reason(best, shown.get(best, []), words.get(best, 0)), passages, options, proof)


def _reason(family: TaskFamily, shown: Sequence[str], words: int) -> str:
    """Why, without the words themselves: the reason is kept, the text is not."""
    counted = [f"{words} word{'s' if words > 1 else ''} of {family}"] if words else []
    return ", ".join([*shown, *counted])


def _sample(text: str) -> str:
    """What is read of a text, in lower case."""
    return (text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]} {text[-_TAIL:]}").lower()


def _signs(sample: str) -> Iterator[tuple[_Sign, bool]]:
    """The signs in a text, each with whether it stands at the beginning or the end."""
    if not sample:
        return
    lead = sample if len(sample) <= 2 * _LEAD else f"{sample[:_LEAD]} {sample[-_LEAD:]}"
    words = set(_SPLIT.split(sample))
    first = words if lead is sample else set(_SPLIT.split(lead))
    for word in words & _WORDS.keys():
        for sign in _WORDS[word]:
            yield sign, word in first
    for word in words & _PHRASES.keys():
        for sign in _PHRASES[word]:
            if sign.text in sample:
                yield sign, sign.text in lead
    if sample.isascii():
        return
    for script in _SCRIPTS:
        if script.seen.search(sample):
            for sign in script.signs:
                if sign.text in sample:
                    yield sign, sign.text in lead


def _structure(user: str, *, passages: bool, wants_json: bool) -> Iterator[tuple[TaskFamily, str, int]]:
    """What the form of a request points to: family, reason, weight."""
    code = sum(mark in user for mark in _CODE)
    if code:
        yield TaskFamily.CODE, "code in the message", min(code, 2)
    if user.count("\\") + user.count("$") >= _MATH_SIGNS:
        yield TaskFamily.MATH, "formulas", 1
    if passages:
        yield TaskFamily.RAG, "passages to answer from", 1
    if wants_json:
        yield TaskFamily.EXTRACT, "a JSON answer", 1


def _load() -> tuple[dict[str, list[_Sign]], dict[str, list[_Sign]], tuple[_Script, ...]]:
    """Single words, phrases by their first word, and parts of words by script."""
    spaced: dict[tuple[str, TaskFamily], _Sign] = {}  # a word that several languages share counts once
    words: dict[str, list[_Sign]] = {}
    phrases: dict[str, list[_Sign]] = {}
    scripts: list[_Script] = []
    for path in sorted(Path(__file__).with_name("words").glob("*.yaml")):
        content: dict[str, Any] = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
        script = content.pop("script", None)
        signs = [
            _Sign(text.strip(), TaskFamily(family), points)
            for family, listed in content.items()
            for points, texts in ((_STRONG, listed.get("strong", "")), (_WEAK, listed.get("weak", "")))
            for text in texts.split(",")
            if text.strip()
        ]
        if script is not None:
            scripts.append(_Script(re.compile(script, re.DOTALL), tuple(signs)))
            continue
        for sign in signs:
            known = spaced.get((sign.text, sign.family), sign)
            spaced[sign.text, sign.family] = max(sign, known, key=lambda each: each.points)
    for sign in spaced.values():
        first = sign.text.partition(" ")[0]
        (words if first == sign.text else phrases).setdefault(first, []).append(sign)
    return words, phrases, tuple(scripts)


_WORDS, _PHRASES, _SCRIPTS = _load()
_ORDER = {
    family: position
    for position, family in enumerate(
        (
            TaskFamily.TRANSLATE, TaskFamily.SUMMARIZE, TaskFamily.JUDGE, TaskFamily.CLASSIFY, TaskFamily.CODE,
            TaskFamily.MATH, TaskFamily.RAG, TaskFamily.EXTRACT, TaskFamily.LEGAL, TaskFamily.PLAN, TaskFamily.CREATIVE,
            TaskFamily.CHAT, TaskFamily.AGENT, TaskFamily.VISION,
        )
    )
}  # fmt: skip
"""Which family wins a tie: the one whose words say more surely what is to be done."""
_PROOF = frozenset({
    "prove", "proof", "theorem", "show that", "beweise", "beweis", "démontre", "démontrer", "demuestra", "demostrar",
    "prove que", "demonstre", "докаж", "证明", "証明", "증명", "أثبت", "सिद्ध",
})  # fmt: skip
"""Signs of mathematics that ask for a proof."""
