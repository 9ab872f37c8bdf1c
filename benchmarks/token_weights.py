"""Fits the token weights of `freerelay_core/profile/text.py` to the texts in tests/data: token and structured texts.

    python benchmarks/token_weights.py

Prints the weights to be put there. Least squares on relative errors, over pieces of 300 characters, every kind of text
counting the same, a structured one half as much, since many of those are alike; no weight below zero, so that a longer
text is never fewer tokens, and none of a class below 0.02, so that no run is for nothing; drawn slightly towards a
start value, which decides where the texts say nothing. Needs `tiktoken` and the vocabulary o200k, since pieces are
counted anew: set TIKTOKEN_CACHE_DIR to a folder that holds it.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tiktoken
import yaml

from freerelay_core.profile.text import CLASSES, class_pairs, pair_features

DATA = Path(__file__).parents[1] / "tests" / "data"
SHARES = {DATA / "token-texts.yaml": 1.0, DATA / "structured-texts.yaml": 0.5}
"""How much a kind counts, by the file that it is in."""
PIECE = 300
PULL = 0.003
"""How strongly a weight is drawn to its start value, as a share of what the texts say about a common feature."""
LEAST = 0.02
"""The least weight of a class."""
START = {
    "space": 0.0, "newline": 0.05, "tab": 0.05, "lower": 0.2, "upper": 0.4, "digit": 0.3, "sign": 0.3, "mark": 0.8,
    "latin": 0.6, "vietnamese": 0.2, "cyrillic": 0.2, "arabic": 0.3, "indic": 0.3, "southeast": 0.4, "kana": 0.75,
    "han": 0.8, "hangul": 0.5, "wide mark": 0.8, "other": 0.9, "tab run": 0.8, "digit run": 0.6, "sign run": 0.5,
    "cyrillic run": 0.5, "arabic run": 0.3, "indic run": 0.3, "hangul run": 0.3, "indentation": 0.8,
    "end of line after a word": 0.8, "sign after a space": 0.3, "word": 0.3, "capital inside a word": 0.6,
    "letter after a digit": 0.4,
}  # fmt: skip


def main() -> None:
    """Fit, print."""
    names = list(START)
    pieces = list(_pieces())
    vocabulary = tiktoken.get_encoding("o200k_base")
    counts = np.array([len(vocabulary.encode(text, disallowed_special=())) for _, text, _ in pieces], dtype=np.float64)
    rows = _features(names, [text for _, text, _ in pieces])
    number = collections.Counter(kind for kind, _, _ in pieces)
    scale = np.array([np.sqrt(share / number[kind]) for kind, _, share in pieces]) / counts
    least = np.array([LEAST if name in CLASSES else 0.0 for name in names])
    weights = _least_squares(rows * scale[:, None], counts * scale, np.array(list(START.values())), least)
    for name, weight in zip(names, weights, strict=True):
        print(f'    "{name}": {weight:.3f},')


def _pieces() -> Iterator[tuple[str, str, float]]:
    """Kind, text, and how much the kind counts."""
    for path, share in SHARES.items():
        for text in yaml.safe_load(path.read_text("utf-8")):
            if text["part"] == "fit":
                for start in range(0, len(text["text"]), PIECE):
                    if len(text["text"]) - start >= PIECE // 5:
                        yield text["kind"], text["text"][start : start + PIECE], share


def _features(names: list[str], texts: list[str]) -> npt.NDArray[np.float64]:
    """How often each feature occurs in each text."""
    features = np.zeros((len(names), 32, 32))
    for row, previous in enumerate(CLASSES):
        for column, current in enumerate(CLASSES):
            for name in pair_features(previous, current):
                features[names.index(name), row, column] += 1
    return np.array([features.reshape(len(names), -1) @ _all_pairs(text) for text in texts])


def _all_pairs(text: str) -> npt.NDArray[np.float64]:
    """`class_pairs` with 32 rows and columns, also for ASCII."""
    pairs = class_pairs(text).astype(np.float64)
    if len(pairs) == 1024:
        return pairs
    padded = np.zeros((32, 32))
    padded[:8, :8] = pairs.reshape(8, 8)
    return padded.ravel()


def _least_squares(
    rows: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.float64],
    start: npt.NDArray[np.float64],
    least: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Weights of at least `least`, by coordinate descent."""
    gram = rows.T @ rows
    pull = np.full(len(gram), PULL * np.diag(gram).mean())
    target = rows.T @ wanted + pull * start
    gram += np.diag(pull)
    weights = start.copy()
    for _ in range(2_000):
        for index in range(len(weights)):
            weights[index] = max(
                least[index], weights[index] - (gram[index] @ weights - target[index]) / gram[index, index]
            )
    return weights


if __name__ == "__main__":
    main()
