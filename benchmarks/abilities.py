"""Whether the shipped abilities follow from the lists they are said to come from, by the method of docs/catalogue.md.

    python benchmarks/abilities.py --data DIR [--json]

DIR holds a folder `lmarena-*` with `text-style-control.csv` (category, model, rating, …) and a folder `model-figures-*`
with `figures.csv` (slug, pass rates of public tests from 0 to 1, …); the newest of each by name. The catalogue states
which row belongs to an endpoint (`rows`). Prints for each endpoint that has one the shipped abilities against the
computed ones, and marks differences over 25 Elo; what the catalogue calls a prior is shown and never marked.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from freerelay_core.catalogue import ABILITIES, Endpoint, load_catalogue

Floats = npt.NDArray[np.float64]

TOLERANCE_ELO = 25.0
"""Beyond this a shipped figure is marked: the two lists themselves disagree by about as much."""

CATEGORIES = {"chat": "overall", "multilingual": "non_english", "creative": "creative_writing"}
TESTS = (
    "gpqa",
    "hle",
    "livecodebench",
    "aime_25",
    "ifbench",
    "lcr",
    "terminalbench_hard",
    "tau2",
    "mmlu_pro",
    "scicode",
)
FAMILY_TESTS = {
    "code": ("livecodebench", "scicode", "terminalbench_hard"),
    "math": ("aime_25",),
    "agent": ("tau2", "terminalbench_hard"),
    "long": ("lcr",),
    "instruction": ("ifbench",),
    "general": (),
}
"""Tests whose residuals tell a family's ability from the common one; `general` is the common one itself."""

FEWEST_TESTS = 3
"""Models with fewer pass rates are left out of the fit."""
CLIP = 0.02
"""Pass rates closer to 0 or 1 are taken as this close: beyond it the logit only amplifies noise."""
SHRINKAGE = 2.0
"""A family's mean residual over n tests counts n / (n + 2)."""
ROUNDS = 200


@dataclass(frozen=True)
class Scale:
    """Abilities from pass rates: `common` in Elo and `family` residuals in Elo, by row of the list."""

    common: Mapping[str, float]
    family: Mapping[str, Mapping[str, float]]
    pairs: int
    correlation: float
    """Between the common ability and the preference ratings, over the pairs of rows."""

    def ability(self, row: str, name: str) -> float | None:
        """The ability `name` of the model in this row; None where it was left out."""
        if row not in self.common:
            return None
        return self.common[row] + self.family[name].get(row, 0.0)


def main() -> None:
    """Read the lists, compute, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lmarena-* and model-figures-*")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    ratings = _ratings(_newest(arguments.data, "lmarena-*/text-style-control.csv"))
    rates = _pass_rates(_newest(arguments.data, "model-figures-*/figures.csv"))
    endpoints = load_catalogue().endpoints
    scale = fit(rates, _pairs(endpoints, ratings))
    rows = [_computed(endpoint, ratings, scale) for endpoint in endpoints]
    _report(endpoints, rows, scale, as_json=arguments.json)


def _newest(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        sys.exit(f"{folder}: has no {pattern}")
    return found[-1]


def _ratings(path: Path) -> dict[str, dict[str, float]]:
    """Rating by category and model."""
    ratings: dict[str, dict[str, float]] = defaultdict(dict)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            ratings[row["category"]][row["model"]] = float(row["rating"])
    return ratings


def _pass_rates(path: Path) -> dict[str, Floats]:
    """Pass rates by row, in the order of `TESTS`; NaN where there is none."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["slug"]: np.array([float(row[test] or "nan") for test in TESTS]) for row in csv.DictReader(file)}


def _pairs(endpoints: Sequence[Endpoint], ratings: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Preference rating by row of the test list, for the models that both lists have in one mode."""
    return {
        endpoint.rows["aa"]: ratings[CATEGORIES["chat"]][endpoint.rows["lmarena"]]
        for endpoint in endpoints
        if "aa" in endpoint.rows
        and endpoint.rows.get("lmarena") in ratings[CATEGORIES["chat"]]
        and all(endpoint.abilities[name].kind == "published" for name in ("chat", "general"))
    }


def fit(rates: Mapping[str, Floats], pairs: Mapping[str, float]) -> Scale:
    """One common ability for each row and a slope for each test, on the logits; mapped to Elo by the pairs.

    Two-parameter item response on aggregates: logit = c + b ability, by alternating least squares.
    """
    names = [name for name, row in rates.items() if np.isfinite(row).sum() >= FEWEST_TESTS]
    clipped = np.clip(np.array([rates[name] for name in names]), CLIP, 1 - CLIP)
    logits = np.log(clipped / (1 - clipped))
    known = np.isfinite(logits)
    filled = np.where(known, logits, 0.0)
    ability = np.nanmean((logits - np.nanmean(logits, axis=0)) / np.nanstd(logits, axis=0), axis=1)
    for _ in range(ROUNDS):
        ability = (ability - ability.mean()) / ability.std()
        slope, offset = _lines(ability, filled, known)
        ability = (known * slope * (filled - offset)).sum(axis=1) / (known * slope**2).sum(axis=1)
    index = {name: number for number, name in enumerate(names)}
    both = [row for row in pairs if row in index]
    theirs = np.array([pairs[row] for row in both])
    ours = ability[[index[row] for row in both]]
    elo = float(theirs.std() / ours.std())
    start = float(theirs.mean()) - elo * float(ours.mean())
    residual = elo * ((logits - offset) / slope - ability[:, None])
    return Scale(
        common={name: start + elo * float(ability[number]) for name, number in index.items()},
        family={family: _shrunk(residual, tests, names) for family, tests in FAMILY_TESTS.items()},
        pairs=len(both),
        correlation=float(np.corrcoef(theirs, ours)[0, 1]),
    )


def _lines(ability: Floats, logits: Floats, known: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Slope and offset of each test by least squares over the rows that have it."""
    count = known.sum(axis=0)
    x, y = (known * ability[:, None]).sum(axis=0), logits.sum(axis=0)
    xx, xy = (known * ability[:, None] ** 2).sum(axis=0), (logits * ability[:, None]).sum(axis=0)
    slope = (count * xy - x * y) / (count * xx - x * x)
    return slope, (y - slope * x) / count


def _shrunk(residual: Floats, tests: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Each row's mean residual over a family's tests, n / (n + 2) of it."""
    shrunk: dict[str, float] = {}
    for name, row in zip(names, residual[:, [TESTS.index(test) for test in tests]], strict=True):
        present = row[np.isfinite(row)]
        if present.size:
            shrunk[name] = float(present.mean()) * present.size / (present.size + SHRINKAGE)
    return shrunk


def _computed(endpoint: Endpoint, ratings: Mapping[str, Mapping[str, float]], scale: Scale) -> dict[str, float | None]:
    """Every ability of an endpoint as the lists have it."""
    by_people = {name: ratings[category].get(endpoint.rows.get("lmarena", "")) for name, category in CATEGORIES.items()}
    return by_people | {name: scale.ability(endpoint.rows.get("aa", ""), name) for name in FAMILY_TESTS}


def _report(
    endpoints: Sequence[Endpoint], rows: Sequence[Mapping[str, float | None]], scale: Scale, *, as_json: bool
) -> None:
    differences = []
    print(f"{'shipped - computed, Elo':34}" + "".join(f"{name[:7]:>9}" for name in ABILITIES), file=sys.stderr)
    for endpoint, computed in zip(endpoints, rows, strict=True):
        if not any(value is not None for value in computed.values()):
            continue
        cells = []
        for name in ABILITIES:
            figure, value = endpoint.abilities[name], computed[name]
            if value is None:
                cells.append("-")
                continue
            difference = figure.value - value
            if figure.kind == "prior":
                cells.append(f"({difference:.0f})")
                continue
            differences.append(difference)
            cells.append(f"{difference:.0f}" + ("!" if abs(difference) > TOLERANCE_ELO else ""))
        print(f"{endpoint.id:34}" + "".join(f"{cell:>9}" for cell in cells), file=sys.stderr)
    print("(n): a prior, from another mode or model; n!: over 25 Elo", file=sys.stderr)
    size = np.abs(np.array(differences))
    figures = [
        _figure("abilities_compared", len(differences), "figures", None),
        _figure("abilities_over_25_elo", int((size > TOLERANCE_ELO).sum()), "figures", None),
        _figure("abilities_mean_difference", round(float(size.mean()), 1), "Elo", None),
        _figure("lists_paired", scale.pairs, "models", None),
        _figure("lists_correlation", round(scale.correlation, 3), "r", 0.85),
    ]
    if as_json:
        print(json.dumps(figures))
        return
    for figure in figures:
        print(f"{figure['name']}: {figure['value']} {figure['unit']}")


def _figure(name: str, value: float, unit: str, aim: float | None) -> dict[str, object]:
    return {"name": name, "value": value, "unit": unit, "aim": aim, "met": None if aim is None else value >= aim}


if __name__ == "__main__":
    main()
