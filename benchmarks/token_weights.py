"""Fits the token weights of `freerelay_core/profile/text.py` to the texts in tests/data/token-texts.yaml.

    python benchmarks/token_weights.py

Prints the weights to be put there. Least squares on relative errors, over pieces of 300 characters, every kind of text
counting the same; no weight below zero, so that a longer text is never fewer tokens; drawn slightly towards a start
value, which decides where the texts say nothing. Needs `tiktoken` and the vocabulary o200k, since pieces are counted
anew: set TIKTOKEN_CACHE_DIR to a folder that holds it.
"""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tiktoken
import yaml

from freerelay_core.profile.text import CLASSES, class_pairs, pair_features

TEXTS = Path(__file__).parents[1] / "tests" / "data" / "token-texts.yaml"
PIECE = 300
PULL = 0.003
"""How strongly a weight is drawn to its start value, as a share of what the texts say about a common feature."""
START = {
    "space": 0.0, "newline": 0.05, "lower": 0.2, "upper": 0.4, "digit": 0.3, "sign": 0.3, "mark": 0.8, "latin": 0.6,
    "vietnamese": 0.2, "cyrillic": 0.2, "arabic": 0.3, "indic": 0.3, "southeast": 0.4, "kana": 0.75, "han": 0.8,
    "hangul": 0.5, "wide mark": 0.8, "other": 0.9, "digit run": 0.6, "sign run": 0.5, "cyrillic run": 0.5,
    "arabic run": 0.3, "indic run": 0.3, "hangul run": 0.3, "capital inside a word": 0.6, "letter after a digit": 0.4,
}  # fmt: skip


def main() -> None:
    """Fit, print."""
    names = list(START)
    rows, counts, kinds = _pieces(names)
    share = collections.Counter(kinds)
    scale = np.array([1 / np.sqrt(share[kind]) for kind in kinds]) / counts
    weights = _least_squares(rows * scale[:, None], counts * scale, np.array(list(START.values())))
    for name, weight in zip(names, weights, strict=True):
        print(f'    "{name}": {weight:.3f},')


def _pieces(names: list[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], list[str]]:
    """Features, exact tokens and kind of every piece."""
    vocabulary = tiktoken.get_encoding("o200k_base")
    features = np.zeros((len(names), 32, 32))
    for row, previous in enumerate(CLASSES):
        for column, current in enumerate(CLASSES):
            for name in pair_features(previous, current):
                features[names.index(name), row, column] += 1
    texts = [text for text in yaml.safe_load(TEXTS.read_text("utf-8")) if text["part"] == "fit"]
    pieces = [
        (text["kind"], text["text"][start : start + PIECE])
        for text in texts
        for start in range(0, len(text["text"]), PIECE)
        if len(text["text"]) - start >= PIECE // 5
    ]
    rows = [features.reshape(len(names), -1) @ _all_pairs(piece) for _, piece in pieces]
    counts = [len(vocabulary.encode(piece, disallowed_special=())) for _, piece in pieces]
    return np.array(rows), np.array(counts, dtype=np.float64), [kind for kind, _ in pieces]


def _all_pairs(text: str) -> npt.NDArray[np.float64]:
    """`class_pairs` with 32 rows and columns, also for ASCII."""
    pairs = class_pairs(text).astype(np.float64)
    if len(pairs) == 1024:
        return pairs
    padded = np.zeros((32, 32))
    padded[:8, :8] = pairs.reshape(8, 8)
    return padded.ravel()


def _least_squares(
    rows: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64], start: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Weights of at least zero, by coordinate descent."""
    gram = rows.T @ rows
    pull = np.full(len(gram), PULL * np.diag(gram).mean())
    target = rows.T @ wanted + pull * start
    gram += np.diag(pull)
    weights = start.copy()
    for _ in range(2_000):
        for index in range(len(weights)):
            weights[index] = max(0.0, weights[index] - (gram[index] @ weights - target[index]) / gram[index, index])
    return weights


if __name__ == "__main__":
    main()
