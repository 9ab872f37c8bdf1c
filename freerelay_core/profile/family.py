"""Which family of task a request's structure and words point to.

A word counts by where it stands: people say what they want at the beginning or the end of a message and put the
material in between. A verb that says what to do with material (translate, summarise, classify, extract, judge) counts
most where it opens the message, more than anything the material may be about.

The system prompt counts less than the user's words: for two thirds where the user's name no task, for one third where
they do. But where it opens with such a verb ("Classify the ticket as ..."), what the user sends is the material, and
the verb counts in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from freerelay_core.profile.axes import TaskFamily
from freerelay_core.profile.signs import Place, Sign, find_signs, sample_of

__all__ = ["Guess", "guess_family"]

_STRONG = {Place.BODY: 2, Place.LEAD: 6, Place.OPENING: 6}
_WEAK = {Place.BODY: 1, Place.LEAD: 2, Place.OPENING: 2}
"""Points of a word by its place. All points are set by hand on the development prompts."""
_OPERATIONS = frozenset({
    TaskFamily.TRANSLATE, TaskFamily.SUMMARIZE, TaskFamily.CLASSIFY, TaskFamily.EXTRACT, TaskFamily.JUDGE,
})  # fmt: skip
"""Families that do something with given material."""
_MOST = 14
"""Points that a family gets from one text at most: a subject spoken of at length is not asked for any more."""
_INSTRUCTION = 16
"""Points of an operation that opens a text."""
_USER, _SYSTEM, _SYSTEM_BESIDE_TASK = 3, 2, 1
_TASK = 6
"""Points with which the user's words name a task: one strong word."""
_CODE_MARK, _FORMULAS, _BROUGHT_PASSAGES, _JSON = 18, 24, 24, 12
"""Points of structural signs, beside 18 of one strong word of the user. Nobody writes them by chance, except that many
tasks ask for JSON."""
_ENOUGH = 8
"""Points below which no family but chat is claimed. One weak word is too little, as is one strong one amidst a text."""

_OPTIONS = (("\nb) ", "\nc) "), ("\nb. ", "\nc. "), ("\nb: ", "\nc: "), ("(b) ", "(c) "))
"""Second and third answer of a multiple-choice question, by layout, in lower case."""
_CODE: Mapping[str, Sequence[str]] = {
    "`": ("```",),
    ";": ("();", ";\n"),
    "<": ("<html", "</div", "</script"),
    ">": ("=> ",),
    "{": (") {",),
    "#": ("#include",),
    "(": ("traceback (most recent",),
    " ": ("def ", "import ", "public class", "exception in"),
}
"""Marks of code, by a character that all of them hold: most texts lack it, and looking for it alone is quick."""
_PASSAGES: Mapping[str, Sequence[str]] = {
    "<": ("<doc", "<context", "<passage", "<source", "<article"),
    ":": (
        "context:", "documents:", "passages:", "search results:", "paragraph:", "kontext:", "contexte :", "contexte:",
        "contexto:", "контекст:", "السياق:", "संदर्भ:",
    ),
    "：": ("资料：", "資料："),
    "1": ("passage 1", "document 1", "source 1", "资料1", "資料1"),
}  # fmt: skip
"""What introduces passages to answer from, in the same way."""
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


def guess_family(asked: str, system: str, *, wants_json: bool) -> Guess:
    """The family that the user's last message `asked` and the `system` prompt point to; chat where nothing does."""
    user, instructions = _read(sample_of(asked)), _read(sample_of(system))
    passages, options = user.passages or instructions.passages, user.multiple_choice
    by_user, by_system = user.points, instructions.points
    share = _SYSTEM_BESIDE_TASK if max(by_user.values(), default=0) >= _TASK else _SYSTEM
    points = {family: _USER * value for family, value in by_user.items()}
    for family, value in by_system.items():
        points[family] = points.get(family, 0) + (_USER if value == _INSTRUCTION else share) * value
    shown: dict[TaskFamily, list[str]] = {}
    for family, reason, value in _structure(user, passages=passages, wants_json=wants_json):
        points[family] = points.get(family, 0) + value
        shown.setdefault(family, []).append(reason)
    best = max(points, key=lambda family: (points[family], -_ORDER[family]), default=TaskFamily.CHAT)
    if points.get(best, 0) < _ENOUGH:
        reason = "a multiple-choice question" if options else "no sign of another task"
        return Guess(TaskFamily.CHAT, reason, passages, options, user.proof)
    words = user.words.count(best) + instructions.words.count(best)
    return Guess(best, _reason(best, shown.get(best, []), words), passages, options, user.proof)


class _Read(NamedTuple):
    """What a sample of a text shows."""

    points: Mapping[TaskFamily, int]
    words: tuple[TaskFamily, ...]
    """The family of each sign."""
    code: int
    """Marks of code, counted up to 2."""
    formulas: bool
    passages: bool
    multiple_choice: bool
    proof: bool


@lru_cache(maxsize=1024)
def _read(sample: str) -> _Read:
    """What a sample shows. Remembered, because applications send the same instructions with every request."""
    signs = list(find_signs(sample))
    return _Read(
        points=_points(signs),
        words=tuple(sign.family for sign, _ in signs),
        code=_count(_CODE, sample, 2),
        formulas=sample.count("\\") + sample.count("$") >= _MATH_SIGNS,
        passages=_count(_PASSAGES, sample, 1) > 0,
        multiple_choice=_offers_choice(sample),
        proof=any(sign.text in _PROOF for sign, _ in signs),
    )


def _points(signs: Sequence[tuple[Sign, Place]]) -> Mapping[TaskFamily, int]:
    """The points of each family from one text."""
    points: dict[TaskFamily, int] = {}
    for sign, place in signs:
        if place is Place.OPENING and sign.strong and sign.family in _OPERATIONS:
            points[sign.family] = _INSTRUCTION
        elif points.get(sign.family) != _INSTRUCTION:
            value = (_STRONG if sign.strong else _WEAK)[place]
            points[sign.family] = min(points.get(sign.family, 0) + value, _MOST)
    return points


def _reason(family: TaskFamily, shown: Sequence[str], words: int) -> str:
    """Why, without the words themselves: the reason is kept, the text is not."""
    counted = [f"{words} word{'s' if words > 1 else ''} of {family}"] if words else []
    return ", ".join([*shown, *counted])


def _structure(user: _Read, *, passages: bool, wants_json: bool) -> Iterator[tuple[TaskFamily, str, int]]:
    """What the form of a request points to: family, reason, points."""
    if user.code:
        yield TaskFamily.CODE, "code in the message", _CODE_MARK * user.code
    if user.formulas:
        yield TaskFamily.MATH, "formulas", _FORMULAS
    if passages:
        yield TaskFamily.RAG, "passages to answer from", _BROUGHT_PASSAGES
    if wants_json:
        yield TaskFamily.EXTRACT, "a JSON answer", _JSON


def _offers_choice(sample: str) -> bool:
    """Whether it lists answers to choose from."""
    if "\nb" not in sample and "(b) " not in sample:
        return False
    return any(second in sample and third in sample for second, third in _OPTIONS)


def _count(marks: Mapping[str, Sequence[str]], sample: str, most: int) -> int:
    """How many of the marks a sample holds, counted up to `most`."""
    found = 0
    for character, holding in marks.items():
        if character not in sample:
            continue
        for mark in holding:
            if mark in sample:
                found += 1
                if found == most:
                    return found
    return found


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
