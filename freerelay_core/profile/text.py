"""Reads a conversation's text: how many tokens it is, and which family of task its words point to."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import yaml

__all__ = ["estimate_tokens", "guess_family"]

_HEAD, _TAIL = 1_000, 400
"""How much of the conversation's beginning and end is read for words, characters."""

_SPLIT = re.compile(r"[^\w']+")

# Tokens a character by class of character, close to what current tokenizers give (see docs/profile.md for the misses).
_ASCII_LETTER, _DIGIT, _PUNCTUATION, _SPACE = 0.215, 0.42, 0.42, 0.02
_LATIN, _CYRILLIC, _ARABIC, _INDIC, _CJK, _KANA, _HANGUL, _OTHER = 0.34, 0.27, 0.36, 0.36, 0.80, 0.72, 0.62, 1.0
_SCRIPTS = (  # first code point of a range, tokens a character
    (0x0000, _SPACE),
    (0x0021, _PUNCTUATION),
    (0x0030, _DIGIT),
    (0x003A, _PUNCTUATION),
    (0x0041, _ASCII_LETTER),
    (0x005B, _PUNCTUATION),
    (0x0061, _ASCII_LETTER),
    (0x007B, _PUNCTUATION),
    (0x00C0, _LATIN),
    (0x0370, _CYRILLIC),
    (0x0530, _OTHER),
    (0x0590, _ARABIC),
    (0x0900, _INDIC),
    (0x0E00, _OTHER),
    (0x1E00, _LATIN),
    (0x2000, _PUNCTUATION),
    (0x3040, _KANA),
    (0x3100, _CJK),
    (0xAC00, _HANGUL),
    (0xD7B0, _CJK),
)
_STARTS = np.array([start for start, _ in _SCRIPTS], dtype=np.uint32)
_WEIGHTS = np.array([weight for _, weight in _SCRIPTS])

_WORDS: dict[str, frozenset[str]] = {
    family: frozenset(words.split())
    for family, words in yaml.load(
        Path(__file__).with_name("words.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader
    ).items()
}


_ASCII_CLASSES = {weight: bytes([index]) for index, weight in enumerate(sorted({*_WEIGHTS[_STARTS < 0x80].tolist()}))}
_ASCII_TABLE = b"".join(
    _ASCII_CLASSES[float(weight)] for weight in _WEIGHTS[np.searchsorted(_STARTS, np.arange(0x80), side="right") - 1]
).ljust(256, b"\0")
"""Character -> its class, for the texts in which all are ASCII: counting bytes is several times faster."""


def estimate_tokens(text: str) -> int:
    """Estimated tokens of `text`, from the classes of its characters; linear in its length."""
    if not text:
        return 0
    if text.isascii():
        classes = text.encode().translate(_ASCII_TABLE)
        tokens: float = sum(classes.count(mark) * weight for weight, mark in _ASCII_CLASSES.items())
        return max(1, round(tokens))
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    counts = np.bincount(np.searchsorted(_STARTS, codes, side="right") - 1, minlength=len(_WEIGHTS))
    return max(1, round(float(counts @ _WEIGHTS)))


def guess_family(text: str, *, wants_json: bool) -> tuple[str, str]:
    """The task family that structure and words point to, and the reason in a few words."""
    sample = text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]} {text[-_TAIL:]}"
    lowered = sample.lower()
    if "```" in lowered or "def " in lowered or "#include" in lowered or "traceback (most recent" in lowered:
        return "code", "holds code"
    words = set(_SPLIT.split(lowered))
    hits = {family: len(words & known) for family, known in _WORDS.items()}
    if lowered.count("\\") + lowered.count("$") >= 4:
        hits["math"] = hits.get("math", 0) + 2
    if wants_json:
        hits["extract"] = hits.get("extract", 0) + 1
    best = max(hits, key=lambda family: hits[family])
    if hits[best] == 0:
        return "chat", "no sign of another task"
    return best, f"{hits[best]} word{'s' if hits[best] > 1 else ''} of {best}"
