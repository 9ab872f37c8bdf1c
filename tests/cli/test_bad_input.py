"""Whatever file or name a command is given, it ends in one line: never in a traceback."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from freerelay_core.config import Settings, load_settings
from tests.cli.shell import freerelay

COMMANDS = {
    "catalogue check": ("catalogue", "check"),
    "policy test": ("policy", "test"),
    "decision replay": ("decision", "replay", "--file"),
    "decide": ("decide",),
    "simulate": ("simulate",),
    "report": ("report",),
}
COUNT = "1 problem."
"""What `catalogue check` adds to the line."""


def refusal(*arguments: object, **options: object) -> str:
    """The one line with which a command ends, status 1 or 2."""
    run = freerelay(*arguments, **options)
    assert run.status in (1, 2), run
    assert run.stdout == ""
    (line,) = [line for line in run.stderr.splitlines() if line != COUNT]
    return line


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-16 18:15:46.680590,374,44\n")
    return path


MAKERS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(missing_ok=True),
    "folder": lambda path: path.mkdir(),
    "below a file": lambda path: path.write_text("x"),
    "empty": lambda path: path.write_bytes(b""),
    "blank": lambda path: path.write_bytes(b" \n\n"),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "control": lambda path: path.write_bytes(b"rules: [{name: a\x00b}]"),
    "no-date": lambda path: path.write_text("rules: [{name: 2026-13-45}]\n"),
    "list": lambda path: path.write_text("[1, 2]"),
    "deep": lambda path: path.write_text('{"a":' * 5000),
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_none_of_its_kind_is_refused_in_one_line(tmp_path, command, kind):
    path = tmp_path / "given"
    MAKERS[kind](path)
    line = refusal(*COMMANDS[command], path / "x" if kind == "below a file" else path)
    assert "given" in line
    assert "instance of" not in line


@pytest.mark.parametrize("kind", MAKERS)
def test_so_is_a_scenario(tmp_path, trace, kind):
    path = tmp_path / "given"
    MAKERS[kind](path)
    assert "given" in refusal("simulate", trace, "--scenario", path / "x" if kind == "below a file" else path)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_may_not_be_read_is_refused_in_one_line(tmp_path, monkeypatch, command):
    path = tmp_path / "secret"
    path.write_text("{}")
    deny(monkeypatch, path)
    assert "secret: cannot be read (Permission denied)" in refusal(*COMMANDS[command], path)


def deny(monkeypatch, path: Path) -> None:
    """Let the file be one that this account may not read, root's too."""
    opened, accessed = io.open, os.access

    def open_others(file, *arguments, **options):
        if file == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(file, *arguments, **options)

    monkeypatch.setattr(io, "open", open_others)
    monkeypatch.setattr(os, "access", lambda file, *rest: os.fspath(file) != str(path) and accessed(file, *rest))


@pytest.mark.parametrize("name", ["\udcff@example.com", "", "eve@example.com"])
@pytest.mark.parametrize("command", [("key", "list"), ("key", "create"), ("key", "revoke"), ("tenant", "budget")])
def test_a_name_that_nobody_has_is_refused_in_one_line(database, command, name):
    rest = {"revoke": ["fr_live_x"], "budget": ["5"]}.get(command[1], [])
    assert "no tenant with this address" in refusal(*command, name, *rest, DATABASE_URL=database)


def test_a_home_whose_name_is_no_text_is_refused_in_one_line(tmp_path):
    line = refusal("tenant", "add", "ann@example.com", home=tmp_path / "\udcff")
    assert "FREERELAY_HOME" in line
    assert list(tmp_path.iterdir()) == []


def test_a_parquet_file_whose_name_is_no_text_is_refused_in_one_line(tmp_path):
    assert ".parquet" in refusal("simulate", tmp_path / "\udcff.parquet")
    assert "no such file" in refusal("simulate", tmp_path / "none.parquet")


def test_an_empty_setting_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("FREERELAY_HOME", "")
    assert load_settings().home == Settings.model_fields["home"].default
