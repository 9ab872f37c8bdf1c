"""Part two of `quality.py`: what public outcomes of models say of the choice, on any file of its format.

Columns: task, family, prompt_chars, then one a model with the score of its answer from 0 to 1. A model that is not in
`MODELS` has no known price and the mean rating; a family that is not in `PROFILES` counts as standard questions. Both
are said on standard error.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from figures import figure

from freerelay_core.catalogue import ABILITIES, Catalogue, Endpoint, Figure, FixedPrice, Provider
from freerelay_core.decision import choose
from freerelay_core.fleet.lessons import Lessons
from freerelay_core.preference import FACTORS, PREFERENCE_EXPONENTS, RoutingPreference
from freerelay_core.profile import Depth, ProfileBatch, RequestProfile, TaskFamily
from freerelay_core.scoring import catalogue_quality, evaluate
from freerelay_core.snapshot import Snapshot, catalogue_snapshot

__all__ = ["outcomes"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Model:
    """What was publicly known of a model before any outcome."""

    name: str
    general: float
    code: float
    math: float
    creative: float
    usd: tuple[float, float] | None
    """Input and output, per million tokens; None where nobody lists one."""
    listed: bool = True
    """Whether the price is its own, not a relative's."""


# Elo: LMArena, text, style-controlled, 2026-08-19 (overall, coding, math, creative writing), rounded to tens. Five are
# not listed and take the nearest relative that is: codegemma-7b gemma-1.1-7b-it, the two chatqa the Llama 3 that they
# were tuned from, mistral v0.3 its v0.2, qwen2.5-7b qwen1.5-14b-chat; mathematics of super-49b-v1 are v1.5's less 15.
# USD: list prices in genai-prices 0.2.3 (OpenRouter, Novita, OVHcloud), 2026-11; codegemma-7b at gemma-2-9b's, 51b at
# super-49b's, chatqa at their Llama 3's.
MODELS = {
    model.name: model
    for model in (
        Model("codegemma-7b", 1180, 1220, 1160, 1150, (0.07, 0.07), listed=False),
        Model("gemma-2-9b-it", 1270, 1270, 1220, 1260, (0.07, 0.07)),
        Model("llama-3.1-8b-instruct", 1210, 1260, 1190, 1180, (0.05, 0.08)),
        Model("llama-3.1-nemotron-51b-instruct", 1290, 1310, 1270, 1260, (0.13, 0.40), listed=False),
        Model("llama-3.3-nemotron-super-49b-v1", 1330, 1360, 1370, 1300, (0.13, 0.40)),
        Model("llama3-chatqa-1.5-70b", 1280, 1310, 1260, 1250, (0.51, 0.74), listed=False),
        Model("llama3-chatqa-1.5-8b", 1220, 1250, 1190, 1200, (0.04, 0.04), listed=False),
        Model("mistral-7b-instruct-v0.3", 1150, 1190, 1130, 1100, (0.11, 0.11)),
        Model("qwen2.5-7b-instruct", 1190, 1240, 1170, 1140, (0.10, 0.20)),
    )
}
_MEAN_RATING = float(np.mean([model.general for model in MODELS.values()]))

_USUAL = (TaskFamily.JUDGE, Depth.STANDARD)
PROFILES = {
    "know": _USUAL,
    "qa": _USUAL,
    "expert": (TaskFamily.JUDGE, Depth.HARD),
    "reason": (TaskFamily.JUDGE, Depth.HARD),
    "math": (TaskFamily.MATH, Depth.STANDARD),
    "code": (TaskFamily.CODE, Depth.STANDARD),
    "creative": (TaskFamily.CREATIVE, Depth.STANDARD),
}
"""Our family and depth for each of the file's families."""
CHARS_A_TOKEN = 4
ANSWER_TOKENS = 200
"""Assumed for every answer; the file counts none."""
OUTCOMES = 50
"""Graded answers of each model and family that are learned from; all of them where a file has fewer."""
QUALITY_ALONE = np.array([float(name == "quality") for name in FACTORS])
BALANCED = PREFERENCE_EXPONENTS[RoutingPreference.BALANCED]
_UNITS = {
    "balanced_usd_per_1000": "USD",
    "cheapest_usd_per_1000": "USD",
    "balanced_beaten_by": "models that are cheaper and better",
    "balanced_beaten_by_cheapest": "1 where the cheapest is better",
}
_NOT_SCORES = frozenset({"task", "family", "prompt_chars"})


@dataclass(frozen=True, slots=True, eq=False)
class Graded:
    """R prompts: the file's family, and the score of each of M models, shape (R, M)."""

    models: tuple[Model, ...]
    family: npt.NDArray[np.str_]
    profiles: ProfileBatch
    score: Floats

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> Graded:
        return Graded(self.models, self.family[rows], self.profiles[rows], self.score[rows])

    @property
    def families(self) -> list[str]:
        """Those that occur."""
        return sorted(set(self.family.tolist()))


def read_outcomes(path: Path) -> Graded:
    """The outcomes in a file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in _NOT_SCORES]
    families = np.array([row["family"] for row in rows])
    for kind, unknown in (("price or rating", set(names) - set(MODELS)), ("depth", set(families) - set(PROFILES))):
        if unknown:
            print(f"no {kind} is known of {', '.join(sorted(unknown))}", file=sys.stderr)
    profiles = [
        RequestProfile(
            *PROFILES.get(row["family"], _USUAL),
            input_tokens=int(row["prompt_chars"]) // CHARS_A_TOKEN,
            output_tokens=ANSWER_TOKENS,
        )
        for row in rows
    ]
    models = tuple(MODELS.get(name, Model(name, *[_MEAN_RATING] * 4, usd=None, listed=False)) for name in names)
    scores = np.array([[float(row[name]) for name in names] for row in rows])
    return Graded(models, families, ProfileBatch.of(profiles), scores)


def models_snapshot(models: Sequence[Model]) -> Snapshot:
    """The models as endpoints of one provider, alike but for ability and price, in their order."""

    def figure_of(value: float) -> Figure:
        return Figure(value, value, value, "published", "benchmark", "2026-11")

    endpoints = [
        Endpoint(
            id=f"models/{number:03}-{model.name}",
            provider="models",
            model=model.name,
            effort=None,
            upstream_model=model.name,
            price=None if model.usd is None else FixedPrice(model.usd[0], model.usd[0], model.usd[1]),
            context_tokens=1_000_000,
            max_output_tokens=1_000_000,
            capabilities=frozenset(),
            free_tier=False,
            abilities={name: figure_of(getattr(model, name, model.general)) for name in ABILITIES},
            first_token_s=figure_of(0.5),
            tokens_per_s=figure_of(100.0),
            thinking_tokens=figure_of(0.0),
        )
        for number, model in enumerate(models)
    ]
    provider = Provider("models", "models", "http://127.0.0.1:9", None)
    return catalogue_snapshot(Catalogue({"models": provider}, tuple(endpoints)), datetime(2026, 11, 24, 12, tzinfo=UTC))


def taught(snapshot: Snapshot, learning: Graded, random: np.random.Generator) -> dict[str, Snapshot]:
    """The snapshot after 50 graded outcomes of each endpoint, for each of the file's families."""
    found = {}
    for family in learning.families:
        ours, depth = PROFILES.get(family, _USUAL)
        rows, lessons = np.flatnonzero(learning.family == family), Lessons(snapshot)
        for model in range(len(learning.models)):
            expected = catalogue_quality(snapshot, model, RequestProfile(family=ours, depth=depth))
            for row in random.choice(rows, min(OUTCOMES, len(rows)), replace=False):
                lessons.record("quality", ours.value, model, learning.score[row, model], expected=expected)
        found[family] = replace(snapshot, learned=lessons.learned())
    return found


def chosen(by_family: Mapping[str, Snapshot], graded: Graded, exponents: Floats) -> tuple[float, float]:
    """Mean score, and mean USD a request, of what the core chooses on the snapshot of each family."""
    score, usd = np.empty(len(graded.family)), np.empty(len(graded.family))
    for family in graded.families:
        rows = np.flatnonzero(graded.family == family)
        evaluation = evaluate(
            by_family[family], graded.profiles[rows], price_matters=bool(exponents[FACTORS.index("cost")] > 0)
        )
        choice = choose(evaluation, exponents)
        score[rows], usd[rows] = graded.score[rows, choice.endpoint], choice.cost_usd
    return float(score.mean()), float(usd.mean())


def baselines(test: Graded) -> dict[str, float]:
    """What needs no router; the best single model and the family oracle know the answers that count."""
    by_family = [test.score[test.family == family] for family in test.families]
    return {
        "random": float(test.score.mean()),
        "best_single": float(test.score.mean(axis=0).max()),
        "family_oracle": sum(float(s.sum(axis=0).max()) for s in by_family) / len(test.family),
        "oracle": float(test.score.max(axis=1).mean()),
    }


def run(graded: Graded, snapshot: Snapshot, seed: int) -> dict[str, float]:
    """One split."""
    random = np.random.default_rng(seed)
    rows = random.permutation(len(graded.family))
    learning, test = graded[rows[: len(rows) // 2]], graded[rows[len(rows) // 2 :]]
    known = taught(snapshot, learning, random)
    learned, untaught = ({family: by.get(family, snapshot) for family in test.families} for by in (known, {}))
    found = baselines(test) | {
        "acc_prior": chosen(untaught, test, QUALITY_ALONE)[0],
        "acc_50_outcomes": chosen(learned, test, QUALITY_ALONE)[0],
    }
    found["gain_over_best_single"] = found["acc_50_outcomes"] - found["best_single"]
    return found | _with_prices(test, snapshot, untaught, learned)


def _with_prices(
    test: Graded, snapshot: Snapshot, untaught: Mapping[str, Snapshot], learned: Mapping[str, Snapshot]
) -> dict[str, float]:
    """What hangs on prices; nothing where no model has one of its own.

    The cheapest is the cheapest by a price of its own. Answers of these small models cost so little beside the
    reference that cost hardly counts: `balanced` chooses nearly as quality alone does.
    """
    listed = [number for number, model in enumerate(test.models) if model.listed and model.usd is not None]
    if not listed:
        return {}
    score, usd = chosen(learned, test, BALANCED)
    singles, singles_usd = test.score.mean(axis=0), evaluate(snapshot, test.profiles).cost_usd.mean(axis=0)
    priced = np.array([model.usd is not None for model in test.models])
    better = priced & (singles_usd < usd) & (singles > score)
    cheapest = min(listed, key=lambda number: float(singles_usd[number]))
    return {
        "cheapest": float(singles[cheapest]),
        "balanced_acc_prior": chosen(untaught, test, BALANCED)[0],
        "balanced_acc_50_outcomes": score,
        "balanced_usd_per_1000": usd * 1000,
        "cheapest_usd_per_1000": float(singles_usd[cheapest]) * 1000,
        "balanced_beaten_by": float(better.sum()),
        "balanced_beaten_by_cheapest": float(better[cheapest]),
    }


def outcomes(path: Path, seeds: int) -> list[dict[str, Any]]:
    """Figures over so many random splits into rows that are learned from and rows that count."""
    graded = read_outcomes(path)
    snapshot = models_snapshot(graded.models)
    runs = [run(graded, snapshot, seed) for seed in range(seeds)]
    mean = {name: float(np.mean([each[name] for each in runs])) for name in runs[0]}
    error = {name: _standard_error([each[name] for each in runs]) for name in runs[0]}
    print(f"\n{path.name}: mean and standard error over {seeds} splits", file=sys.stderr)
    for name, value in mean.items():
        print(f"  {name:28}{value:9.4f} ± {error[name]:.4f}", file=sys.stderr)
    aims: dict[str, tuple[Any, bool]] = {
        "acc_50_outcomes": (0.63, mean["acc_50_outcomes"] >= 0.63),
        "gain_over_best_single": (
            "2 standard errors",
            mean["gain_over_best_single"] > 2 * error["gain_over_best_single"],
        ),
        "balanced_beaten_by_cheapest": (0, mean.get("balanced_beaten_by_cheapest") == 0),
    }
    found = []
    for name, value in mean.items():
        each = figure(name, value, _UNITS.get(name, "mean score"))
        each["aim"], each["met"] = aims.get(name, (None, None))
        found.append(each | {"standard_error": round(error[name], 4)})
    return found


def _standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
