"""The method behind the abilities, as `benchmarks/abilities.py` applies it to lists of any folder."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from freerelay_core.catalogue import load_catalogue

SCRIPT = Path(__file__).parents[2] / "benchmarks/abilities.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("abilities_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def made_up(script, count=60, missing=0.2):
    """Elo of models, and the pass rates that tests of known slopes and difficulties give them, some left out."""
    draw = np.random.default_rng(7)
    elo = {f"m{number}": 1300 + 80 * draw.standard_normal() for number in range(count)}
    slopes, difficulties = draw.uniform(0.006, 0.02, len(script.TESTS)), draw.uniform(1200, 1450, len(script.TESTS))
    rates = {}
    for name, value in elo.items():
        row = 1 / (1 + np.exp(-slopes * (value - difficulties)))
        row[draw.random(row.size) < missing] = np.nan
        rates[name] = row
    return elo, rates


def test_pass_rates_that_follow_from_an_ability_give_that_ability_back(script):
    elo, rates = made_up(script)
    scale = script.fit(rates, {name: elo[name] for name in list(elo)[:40]})
    inner = [name for name, row in rates.items() if np.nanmin(row) > script.CLIP and np.nanmax(row) < 1 - script.CLIP]
    assert len(inner) > 20
    assert scale.correlation > 0.99
    for name in inner:
        assert scale.ability(name, "general") == pytest.approx(elo[name], abs=15)


def test_a_model_that_is_better_at_one_family_than_at_the_rest_is_rated_so(script):
    elo, rates = made_up(script, missing=0)
    index = script.TESTS.index("ifbench")
    rates["m3"][index] = 1 / (1 + np.exp(-(np.log(rates["m3"][index] / (1 - rates["m3"][index])) + 1.0)))
    scale = script.fit(rates, elo)
    assert scale.ability("m3", "instruction") > scale.ability("m3", "general") + 10
    assert scale.ability("m4", "instruction") == pytest.approx(scale.ability("m4", "general"), abs=10)


def test_a_family_residual_counts_by_the_number_of_its_tests(script):
    residual = np.zeros((1, len(script.TESTS)))
    residual[0, [script.TESTS.index(test) for test in ("tau2", "terminalbench_hard")]] = 30.0
    assert script._shrunk(residual, ("tau2",), ["m"]) == {"m": pytest.approx(10.0)}
    assert script._shrunk(residual, ("tau2", "terminalbench_hard"), ["m"]) == {"m": pytest.approx(15.0)}


def test_models_with_too_few_pass_rates_are_left_out(script):
    elo, rates = made_up(script)
    rates["few"] = np.array([0.5, 0.5, *[np.nan] * (len(script.TESTS) - 2)])
    assert script.fit(rates, elo).ability("few", "general") is None


def test_it_compares_the_shipped_figures_with_lists_of_any_folder_and_marks_what_is_far_off(
    script, tmp_path, monkeypatch, capsys
):
    named = {e.rows["aa"]: e for e in load_catalogue().endpoints if {"aa", "lmarena"} <= set(e.rows)}
    elo, rates = made_up(script, count=len(named), missing=0)
    (tmp_path / "model-figures-2030-01").mkdir()
    (tmp_path / "lmarena-2030-01").mkdir()
    lines = ["slug," + ",".join(script.TESTS)]
    lines += [f"{slug}," + ",".join(map(str, row)) for slug, row in zip(named, rates.values(), strict=True)]
    (tmp_path / "model-figures-2030-01/figures.csv").write_text("\n".join(lines))
    lines = ["category,model,rating"]
    for endpoint, value in zip(named.values(), elo.values(), strict=True):
        lines += [f"{category},{endpoint.rows['lmarena']},{value}" for category in script.CATEGORIES.values()]
    (tmp_path / "lmarena-2030-01/text-style-control.csv").write_text("\n".join(lines))
    monkeypatch.setattr(sys, "argv", ["abilities.py", "--data", str(tmp_path), "--json"])
    script.main()
    out, table = capsys.readouterr()
    values = {row["name"]: row["value"] for row in json.loads(out)}
    assert values["lists_correlation"] > 0.95
    assert values["abilities_over_25_elo"] > 50, "the shipped figures do not follow from made-up lists"
    assert "!" in table
    assert all(endpoint.id in table for endpoint in named.values())


def test_a_folder_without_the_lists_is_named(script, tmp_path):
    with pytest.raises(SystemExit, match="lmarena"):
        script._newest(tmp_path, "lmarena-*/text-style-control.csv")


@pytest.mark.shared
def test_no_shipped_ability_is_over_25_elo_from_what_the_published_lists_give(script, monkeypatch, capsys):
    data = Path(__file__).parents[3] / "shared/data"
    if not list(data.glob("model-figures-2026-08")):
        pytest.skip("needs the published lists beside the project")
    monkeypatch.setattr(sys, "argv", ["abilities.py", "--data", str(data), "--json"])
    script.main()
    values = {row["name"]: row["value"] for row in json.loads(capsys.readouterr().out)}
    assert values["abilities_over_25_elo"] == 0
    assert values["lists_correlation"] > 0.85
