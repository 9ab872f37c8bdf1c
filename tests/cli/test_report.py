"""`freerelay report`: which file it writes, what is in it, and which it leaves alone."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from serving import environment

from freerelay_core.cli import main

TRACE = """TIMESTAMP,ContextTokens,GeneratedTokens
2026-11-16 18:15:46.680590,374,44
2026-11-16 18:15:50.994194,396,109
2026-11-16 23:59:59,8000,2000
"""


@dataclass(frozen=True)
class Run:
    """How a command ended and what it said."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def freerelay(tmp_path, monkeypatch, capsys):
    """Runs a command that needs no home, in the test's folder, where `trace.csv` lies."""
    (tmp_path / "trace.csv").write_text(TRACE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", environment(Path("/proc/no-home"), COLUMNS="100"))

    def run(*arguments: object) -> Run:
        monkeypatch.setattr(sys, "argv", ["freerelay", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        code, said = ended.value.code, capsys.readouterr()
        if isinstance(code, str):  # as the interpreter does with it
            return Run(1, said.out, said.err + code)
        return Run(code or 0, said.out, said.err)

    return run


def written(run: Run, folder: Path) -> Path:
    """The file that a command says it has written."""
    assert run.returncode == 0, run.stderr
    return folder / run.stdout.strip()


def test_the_report_holds_what_simulate_prints(freerelay, tmp_path):
    report = json.loads(
        written(freerelay("report", "trace.csv", "--format", "json", "--seed", 3), tmp_path).read_bytes()
    )
    printed = json.loads(freerelay("simulate", "trace.csv", "--seed", 3, "--json").stdout)
    for row in report["tables"]["preferences"]["rows"]:
        summary = printed["preferences"][row["preference"]]
        assert row["cost_usd"] == summary["cost_usd"]
        assert (row["latency_p50_s"], row["latency_p95_s"]) == tuple(summary["latency_s"].values())
        assert row["quality_percent"] == summary["quality"] * 100
    provenance = {figure["key"]: figure["value"] for figure in report["provenance"]}
    assert (provenance["trace_sha256"], provenance["seed"]) == (printed["trace"]["sha256"], 3)


def test_every_format_says_what_the_requests_are_taken_for_as_the_file_does_not(freerelay, tmp_path):
    read_as = json.loads(freerelay("simulate", "trace.csv", "--json").stdout)["trace"]["read_as"]
    report = json.loads(written(freerelay("report", "trace.csv", "--out", "a.json"), tmp_path).read_bytes())
    assert {figure["key"]: figure["value"] for figure in report["scope"]}["read_as"] == read_as
    table = pd.read_csv(written(freerelay("report", "trace.csv", "--out", "a.csv"), tmp_path))
    assert table[(table.section == "scope") & (table.field == "read_as")].value.item() == read_as
    page = written(freerelay("report", "trace.csv", "--out", "a.html"), tmp_path).read_text()
    assert re.search(rf"Every request taken as<.*?>{re.escape(read_as)}<", page)


def test_without_a_name_the_file_is_called_by_the_day(freerelay, tmp_path):
    path = written(freerelay("report", "trace.csv", "--format", "csv"), tmp_path)
    table = pd.read_csv(path)
    made_at = table[table.field == "made_at"].value.item()
    assert path.name == f"ranking-{made_at[:10]}.csv"


def test_the_name_of_the_file_tells_its_format_and_the_option_stands_above_it(freerelay, tmp_path):
    assert written(freerelay("report", "trace.csv", "--out", "a.JSON"), tmp_path).read_text().startswith("{")
    page = written(freerelay("report", "trace.csv", "--out", "a.txt", "--format", "html"), tmp_path)
    assert page.read_text().startswith("<!doctype html>")
    table = written(freerelay("report", "trace.csv", "--out", "a.html", "--format", "csv"), tmp_path)
    assert table.read_text().startswith("section,item,field,value,unit,basis")


@pytest.mark.parametrize("out", ["a.xls", "report", "html", "a.csv.gz"])
def test_a_file_that_ends_as_no_format_is_refused_naming_those_there_are_and_not_written(freerelay, tmp_path, out):
    run = freerelay("report", "trace.csv", "--out", out)
    (line,) = run.stderr.splitlines()
    assert (run.returncode, run.stdout) == (1, "")
    for word in (out, ".csv", ".json", ".html", "--format"):
        assert word in line
    assert [path.name for path in tmp_path.iterdir()] == ["trace.csv"]


def test_one_preference_can_be_asked_for(freerelay, tmp_path):
    path = written(freerelay("report", "trace.csv", "--out", "a.json", "--preference", "performance-first"), tmp_path)
    tables = json.loads(path.read_bytes())["tables"]
    assert [row["preference"] for row in tables["preferences"]["rows"]] == ["performance-first"]
    assert "ranking.performance-first" in tables
    assert "differences" not in tables


def test_a_file_that_is_there_is_left_alone_unless_told(freerelay, tmp_path):
    (tmp_path / "a.html").write_text("mine")
    run = freerelay("report", "trace.csv", "--out", "a.html")
    assert (run.returncode, run.stdout) == (1, "")
    assert "a.html: is there already" in run.stderr
    assert "--force" in run.stderr
    assert (tmp_path / "a.html").read_text() == "mine"
    assert written(freerelay("report", "trace.csv", "--out", "a.html", "--force"), tmp_path).read_text() != "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"trace.csv", "a.html"}


@pytest.mark.parametrize(("out", "reason"), [("absent/a.html", "No such file"), ("folder", "directory")])
def test_where_nothing_can_be_written_one_line_says_so_and_nothing_is_left(freerelay, tmp_path, out, reason):
    (tmp_path / "folder").mkdir()
    run = freerelay("report", "trace.csv", "--out", out, "--format", "html", "--force")
    (line,) = run.stderr.splitlines()
    assert (run.returncode, run.stdout) == (1, "")
    assert f"{out}: cannot be written" in line
    assert reason in line
    assert {path.name for path in tmp_path.iterdir()} == {"trace.csv", "folder"}


def test_a_trace_with_a_name_that_is_no_text_is_reported_all_the_same(freerelay, tmp_path):
    name = b"=odd\xff<b>.csv".decode(errors="surrogateescape")
    (tmp_path / name).write_text(TRACE)
    for form in ("csv", "json", "html"):
        assert written(freerelay("report", name, "--format", form), tmp_path).stat().st_size > 1000


def test_an_unknown_format_is_refused_naming_those_there_are(freerelay):
    run = freerelay("report", "trace.csv", "--format", "pdf")
    assert run.returncode != 0
    for name in ("csv", "json", "html"):
        assert name in run.stderr
