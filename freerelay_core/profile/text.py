"""How many tokens a text is, estimated from the classes of its characters and of their neighbours.

A tokenizer cuts a text into words, numbers and runs of signs, and long or rare ones further. So a character costs by
its class, and more where a piece begins: a word, a number, a run of signs, a capital inside a word. Blanks and ends of
lines mostly join the piece beside them. They are pieces of their own as an indentation, as the end of a line after a
word (a run of signs takes it in), and where a blank stands between two signs, which cuts their run in two. All these
are properties of two neighbouring characters, hence the estimate is a sum over pairs of classes: linear in the length,
and never less for a longer text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

__all__ = ["BEFORE", "CLASSES", "TOKEN_WEIGHTS", "class_pairs", "estimate_tokens", "pair_features"]

_RANGES: tuple[tuple[int, int, str], ...] = (
    # First and last UTF-16 code unit, and class; what no range names is "other": rare scripts, and emoji as two units.
    (0x0000, 0x001F, "tab"),  # with the other control characters
    (0x000A, 0x000A, "newline"),
    (0x000D, 0x000D, "newline"),
    (0x0020, 0x0020, "space"),
    (0x0021, 0x007F, "sign"),
    (0x0030, 0x0039, "digit"),
    (0x0041, 0x005A, "upper"),
    (0x0061, 0x007A, "lower"),
    (0x0080, 0x00BF, "mark"),
    (0x00C0, 0x036F, "latin"),  # letters beyond ASCII
    (0x0370, 0x058F, "cyrillic"),  # with Greek and Armenian
    (0x0590, 0x08FF, "arabic"),  # with Hebrew
    (0x0900, 0x0DFF, "indic"),
    (0x0E00, 0x10FF, "southeast"),  # Thai, Lao, Burmese, with Tibetan and Georgian
    (0x1E00, 0x1EFF, "vietnamese"),
    (0x2000, 0x206F, "mark"),  # dashes, quotation marks
    (0x3000, 0x303F, "wide mark"),
    (0x3040, 0x30FF, "kana"),
    (0x3100, 0x9FFF, "han"),
    (0xAC00, 0xD7A3, "hangul"),
    (0xF900, 0xFAFF, "han"),
    (0xFF00, 0xFFEF, "wide mark"),
)
CLASSES = (
    "space", "newline", "tab", "lower", "upper", "digit", "sign", "mark", "latin", "vietnamese", "cyrillic", "arabic",
    "indic", "southeast", "kana", "han", "hangul", "wide mark", "other",
)  # fmt: skip
"""The first seven are those of ASCII."""
BEFORE = "tab"
"""A text is read as if a character of this class stood before it. After any other text it is never cheaper, so that
nothing put before a text makes it fewer tokens."""
_LETTERS = frozenset({"lower", "upper", "latin", "vietnamese"})
_ALPHANUMERIC = _LETTERS | {"digit", "cyrillic", "arabic", "indic", "southeast", "kana", "han", "hangul"}
_RUNS = frozenset({"tab", "digit", "sign", "cyrillic", "arabic", "indic", "hangul"})

TOKEN_WEIGHTS: Mapping[str, float] = {
    "space": 0.029,
    "newline": 0.020,
    "tab": 0.423,
    "lower": 0.187,
    "upper": 0.327,
    "digit": 0.307,
    "sign": 0.185,
    "mark": 0.815,
    "latin": 1.191,
    "vietnamese": 0.020,
    "cyrillic": 0.176,
    "arabic": 0.326,
    "indic": 0.307,
    "southeast": 0.400,
    "kana": 0.752,
    "han": 0.714,
    "hangul": 0.635,
    "wide mark": 0.724,
    "other": 0.900,
    "tab run": 0.958,
    "digit run": 0.875,
    "sign run": 0.435,
    "cyrillic run": 0.568,
    "arabic run": 0.199,
    "indic run": 0.231,
    "hangul run": 0.415,
    "indentation": 0.742,
    "end of line after a word": 0.788,
    "sign after a space": 0.513,
    "word": 0.167,
    "capital inside a word": 1.170,
    "letter after a digit": 0.584,
}
"""Tokens for each feature of a pair. Fitted by `benchmarks/token_weights.py` to texts in the vocabulary o200k, except
that "southeast" and "other" rest on one short text each."""


def pair_features(previous: str, current: str) -> Iterator[str]:
    """The weights that a character of class `current` takes after one of class `previous`."""
    yield current
    if current in _RUNS and previous != current:
        yield f"{current} run"
    if current == "space" and previous == "newline":
        yield "indentation"
    if current == "newline" and previous in _ALPHANUMERIC:
        yield "end of line after a word"
    if current == "sign" and previous == "space":
        yield "sign after a space"
    if current in _LETTERS and previous not in _LETTERS and previous != "digit":
        yield "word"
    if current == "upper" and previous in {"lower", "latin"}:
        yield "capital inside a word"
    if current in _LETTERS and previous == "digit":
        yield "letter after a digit"


def estimate_tokens(text: str) -> int:
    """Estimated tokens of `text`: 0 for an empty one, else at least 1."""
    if not text:
        return 0
    counts = class_pairs(text)
    weights = _ASCII_WEIGHTS if len(counts) == len(_ASCII_WEIGHTS) else _WEIGHTS
    return max(1, round(float(counts @ weights)))


def class_pairs(text: str) -> npt.NDArray[np.intp]:
    """How often each pair of classes occurs in `text`, which is read as if a tab stood before it (`BEFORE`).

    Shape (classes * classes,): of the 8 rows and columns that cover ASCII where that suffices, else of 32.
    """
    if text.isascii():
        classes = np.frombuffer(f"\t{text}".encode().translate(_ASCII_TABLE), dtype=np.uint8)
        return np.bincount((classes[:-1] << 3) | classes[1:], minlength=64)
    units = np.frombuffer(f"\t{text}".encode("utf-16-le", "surrogatepass"), dtype="<u2")
    wide = _TABLE[units]
    return np.bincount((wide[:-1] << 5) | wide[1:], minlength=1024)


def _table() -> npt.NDArray[np.uint16]:
    """The class of every UTF-16 code unit."""
    table = np.full(0x10000, CLASSES.index("other"), dtype=np.uint16)
    for first, last, name in _RANGES:
        table[first : last + 1] = CLASSES.index(name)
    return table


def _pair_weights(size: int) -> npt.NDArray[np.float64]:
    """Tokens of each pair of classes, for `class_pairs` of `size` rows and columns."""
    weights = np.zeros((size, size))
    for row, previous in enumerate(CLASSES[:size]):
        for column, current in enumerate(CLASSES[:size]):
            weights[row, column] = sum(TOKEN_WEIGHTS[name] for name in pair_features(previous, current))
    return weights.ravel()


_TABLE = _table()
_ASCII_TABLE = _TABLE[:0x80].astype(np.uint8).tobytes().ljust(256, b"\0")
_WEIGHTS, _ASCII_WEIGHTS = _pair_weights(32), _pair_weights(8)
