"""What `freerelay` says of itself, and whether an ordinary terminal has room for its tables."""

from __future__ import annotations

import tomllib
from pathlib import Path

from freerelay_core import __version__
from freerelay_core.cli import COMMANDS
from tests.cli.shell import in_a_process, printed

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
ORDINARY = {"COLUMNS": "80"}


def test_help_names_every_command():
    named = [line.strip("│ ").split(" ")[0] for line in printed("--help").splitlines()]
    assert [name for name in COMMANDS if name not in named] == []


def test_the_version_is_told_and_stands_in_one_place():
    run = in_a_process("--version")
    assert (run.status, run.stdout, run.stderr) == (0, f"freerelay {__version__}\n", "")
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"] == {"path": "freerelay_core/__init__.py"}


def test_eighty_columns_cut_no_figure_of_a_ranking(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-16 18:15:46.680590,374,44\n")
    for command in (
        ("decide", EXAMPLES / "request.json"),
        ("simulate", trace),
        ("simulate", trace, "--scenario", EXAMPLES / "scenario-outage.yaml"),
    ):
        drawn = printed(*command, **ORDINARY)
        assert "…" not in drawn, drawn
