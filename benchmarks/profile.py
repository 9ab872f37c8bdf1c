"""What a request profile costs, and how often it is right: families of labelled prompts, tokens of counted texts.

    python benchmarks/profile.py [--seconds 2] [--json]

Times are medians of single calls, measured in turn with `text.lower().split()` on the same text as the floor. Token
counts are those kept with the texts; with `tiktoken` and the vocabulary o200k (TIKTOKEN_CACHE_DIR) they are counted
again and must agree.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from freerelay_core.profile import TaskFamily, profile_request
from freerelay_core.profile.text import estimate_tokens
from freerelay_core.scoring.reference import ABILITY_OF_FAMILY

DATA = Path(__file__).parents[1] / "tests" / "data"
PROMPTS = {"dev": DATA / "prompts-development.yaml", "heldout": DATA / "prompts-held-out.yaml"}
TEXTS = DATA / "token-texts.yaml"
STRUCTURED_TEXTS = DATA / "structured-texts.yaml"
"""Made by `structured_texts.py`."""

FAMILY_AIM, CODE_MATH_AIM, RECALL_AIM, TOKEN_AIM = 0.75, 0.85, 0.70, 0.15
AIMED_KINDS = (
    "English", "Code", "JSON", "Chinese", "Japanese", "Korean", "Russian", "Arabic", "Hindi", "German", "French",
    "JSON, indented by 2", "JSON, indented by 4", "JSON, deep", "JSON, tabs", "JSON, one line", "JSON, compact", "YAML",
    "CSV", "Markdown table", "Logs", "Base64, lines", "UUIDs", "HTML", "XML", "SQL", "Diff", "Minified script",
)  # fmt: skip
PROFILE_US_AIM = 200.0
_CODE_MATH = (TaskFamily.CODE, TaskFamily.MATH)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A chat body, what family it is by its author's word, and in which language and style."""

    family: TaskFamily
    language: str
    style: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares of prompts, 0 to 1."""

    prompts: int
    family: float
    rating: float
    """Whose family reads the same rated ability as the right one: what the ranking feels."""
    code_math: float
    """Where "code or maths" against the rest is right."""
    recall: float
    """Of those that are code or maths."""
    confused: Counter[tuple[TaskFamily, TaskFamily]]
    """How often (right, guessed) differ."""


def labelled_prompts(path: Path) -> list[Prompt]:
    """The prompts of a file in tests/data."""
    entries = yaml.safe_load(path.read_text("utf-8"))
    return [
        Prompt(TaskFamily(entry["family"]), entry["language"], entry.get("style", "terse"), _body(entry))
        for entry in entries
    ]


def _body(entry: dict[str, Any]) -> dict[str, Any]:
    content: Any = entry["user"]
    if entry.get("image"):
        content = [{"type": "text", "text": content}, {"type": "image_url", "image_url": {"url": "data:image/png,"}}]
    messages = [{"role": "system", "content": entry["system"]}] if "system" in entry else []
    body: dict[str, Any] = {"messages": [*messages, {"role": "user", "content": content}]}
    if entry.get("json"):
        body["response_format"] = {"type": "json_object"}
    if "tools" in entry:
        body["tools"] = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in entry["tools"]]
    return body


def accuracy(prompts: Sequence[Prompt]) -> Accuracy:
    """How often the profile reads the family that the author meant."""
    pairs = [(prompt.family, profile_request(prompt.body).family) for prompt in prompts]
    hard = [(right in _CODE_MATH, guessed in _CODE_MATH) for right, guessed in pairs]
    return Accuracy(
        prompts=len(pairs),
        family=_share(right == guessed for right, guessed in pairs),
        rating=_share(ABILITY_OF_FAMILY[right] == ABILITY_OF_FAMILY[guessed] for right, guessed in pairs),
        code_math=_share(right == guessed for right, guessed in hard),
        recall=_share(guessed for right, guessed in hard if right),
        confused=Counter(pair for pair in pairs if pair[0] != pair[1]),
    )


def _share(hits: Any) -> float:
    return float(np.mean(list(hits)))


@cache
def counted_texts() -> list[dict[str, Any]]:
    """Every text whose exact number of tokens is kept: `kind`, `part`, `tokens`, `text`, and for some how `made`."""
    return [text for path in (TEXTS, STRUCTURED_TEXTS) for text in yaml.safe_load(path.read_text("utf-8"))]


def token_errors() -> dict[tuple[str, str], float]:
    """Relative error of the estimate by (kind, part): +0.1 is a tenth too many."""
    estimated: dict[tuple[str, str], int] = defaultdict(int)
    exact: dict[tuple[str, str], int] = defaultdict(int)
    for text in counted_texts():
        estimated[text["kind"], text["part"]] += estimate_tokens(text["text"])
        exact[text["kind"], text["part"]] += text["tokens"]
    return {key: estimated[key] / exact[key] - 1 for key in sorted(exact)}


def main() -> None:
    """Measure, print tables to stderr and figures to stdout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="time to measure, all sizes together")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    figures = [*_speed(arguments.seconds), *_families(), *_tokens()]
    if arguments.json:
        print(json.dumps(figures))
        return
    for figure in figures:
        print(f"{figure['name']}: {figure['value']} {figure['unit']} (aim {figure['aim']})")


# -- speed


def _speed(seconds: float) -> list[dict[str, Any]]:
    small, large, new = _prose(4_000), _prose(1_000_000), count()
    kinds: dict[str, Callable[[], object]] = {
        "profile 4 kB": lambda: profile_request(_asked(f"{next(new)} {small}")),
        "floor 4 kB": lambda: small.lower().split(),
        "profile 1 MB": lambda: profile_request(_asked(f"{next(new)} {large}")),
        "floor 1 MB": lambda: large.lower().split(),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in kinds.items():
            for _ in range(50 if "kB" in name else 1):
                started = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - started)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    print(f"{'':20}{'median':>12}", file=sys.stderr)
    for name, median in medians.items():
        print(f"{name:20}{median * 1e6:9.0f} µs", file=sys.stderr)
    return [
        _at_most("profile_us_4kb", medians["profile 4 kB"] * 1e6, "us", PROFILE_US_AIM),
        _at_most("profile_4kb_ratio", medians["profile 4 kB"] / medians["floor 4 kB"], "times lower().split()", None),
        _at_most("profile_ms_1mb", medians["profile 1 MB"] * 1e3, "ms", None),
        _at_most("profile_1mb_ratio", medians["profile 1 MB"] / medians["floor 1 MB"], "times lower().split()", None),
    ]


def _prose(characters: int) -> str:
    """English and code, as long as wanted."""
    texts = [text["text"] for text in counted_texts() if text["kind"] in {"English", "Code"}]
    once = "\n".join(texts)
    return (once * (characters // len(once) + 1))[:characters]


def _asked(text: str) -> dict[str, Any]:
    return {
        "messages": [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": text}]
    }


# -- families


def _families() -> list[dict[str, Any]]:
    found = {split: accuracy(labelled_prompts(path)) for split, path in PROMPTS.items()}
    print(f"\n{'':10}{'prompts':>8}{'family':>8}{'rating':>8}{'c or m':>8}{'recall':>8}", file=sys.stderr)
    for split, each in found.items():
        _accuracy_row(split, each)
    held_out = labelled_prompts(PROMPTS["heldout"])
    for style in sorted({prompt.style for prompt in held_out}):
        _accuracy_row(f"  {style}", accuracy([prompt for prompt in held_out if prompt.style == style]))
    for split, each in found.items():
        print(f"\nconfused, {split} (right -> guessed)", file=sys.stderr)
        for (right, guessed), times in each.confused.most_common():
            print(f"  {right} -> {guessed}: {times}", file=sys.stderr)
    figures = []
    for split, each in found.items():
        figures += [
            _at_least(f"family_accuracy_{split}", each.family, FAMILY_AIM),
            _at_least(f"rating_accuracy_{split}", each.rating, None),
            _at_least(f"code_math_accuracy_{split}", each.code_math, CODE_MATH_AIM),
            _at_least(f"code_math_recall_{split}", each.recall, RECALL_AIM),
        ]
    worst = {name: min(getattr(each, name) for each in found.values()) for name in ("code_math", "recall")}
    figures.append(_at_least("code_math_accuracy", worst["code_math"], CODE_MATH_AIM))
    figures.append(_at_least("code_math_recall", worst["recall"], RECALL_AIM))
    return figures


def _accuracy_row(name: str, found: Accuracy) -> None:
    shares = (found.family, found.rating, found.code_math, found.recall)
    print(f"{name:10}{found.prompts:8}{''.join(f'{share:8.2f}' for share in shares)}", file=sys.stderr)


# -- tokens


def _tokens() -> list[dict[str, Any]]:
    errors = token_errors()
    print(f"\n{'tokens':22}{'fit':>9}{'held out':>10}", file=sys.stderr)
    for kind in dict.fromkeys(kind for kind, _ in errors):
        columns = [f"{errors[kind, part]:+.1%}" if (kind, part) in errors else "" for part in ("fit", "held-out")]
        print(f"{kind:22}{columns[0]:>9}{columns[1]:>10}", file=sys.stderr)
    print(_recount(), file=sys.stderr)
    return [
        {
            **_at_most(f"token_error_{_slug(kind)}", error * 100, "%", None),
            "aim": TOKEN_AIM * 100 if kind in AIMED_KINDS else None,
            "met": abs(error) <= TOKEN_AIM if kind in AIMED_KINDS else None,
        }
        for (kind, part), error in errors.items()
        if part == "held-out"
    ]


def _recount() -> str:
    """Whether the counts kept with the texts are right, where that can be told. Raises where they are wrong."""
    try:
        import tiktoken  # noqa: PLC0415  (only here, and no dependency)
    except ImportError:
        return "tiktoken is absent: the counts are those kept with the texts"
    vocabulary = tiktoken.get_encoding("o200k_base")
    texts = counted_texts()
    for text in texts:
        exact = len(vocabulary.encode(text["text"], disallowed_special=()))
        if exact != text["tokens"]:
            raise ValueError(f"{text['kind']}, {text['part']}: {exact} tokens, and its file says {text['tokens']}")
    return f"tiktoken counts the {len(texts)} texts as the files do"


def _slug(kind: str) -> str:
    return "_".join(kind.lower().replace(",", "").split())


# -- figures


def _at_most(name: str, value: float, unit: str, aim: float | None) -> dict[str, Any]:
    met = None if aim is None else value <= aim
    return {"name": name, "value": round(value, 2), "unit": unit, "aim": aim, "met": met}


def _at_least(name: str, value: float, aim: float | None) -> dict[str, Any]:
    met = None if aim is None else value >= aim
    return {"name": name, "value": round(value, 3), "unit": "share", "aim": aim, "met": met}


if __name__ == "__main__":
    main()
