"""`freerelay catalogue`: once as a shell runs it, for the rest in this process, which is quicker."""

from __future__ import annotations

import json
import sys
from typing import Any, NamedTuple

import pytest

from freerelay_core.catalogue import load_catalogue
from freerelay_core.catalogue.describe import figures_of
from freerelay_core.cli import main
from tests.cli.shell import in_a_process


class Run(NamedTuple):
    status: int
    stdout: str
    stderr: str


@pytest.fixture
def freerelay(monkeypatch, capsys):
    """Runs a command as `main` does, without the settings of this process."""

    def run(*arguments: object, **settings: str) -> Run:
        for name in ("FREERELAY_CATALOGUE", "DATABASE_URL", "SUPABASE_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in ({"COLUMNS": "100"} | settings).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["freerelay", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        status, said = (
            (1, f"{ended.value.code}\n") if isinstance(ended.value.code, str) else (ended.value.code or 0, "")
        )
        shown = capsys.readouterr()
        return Run(status, shown.out, shown.err + said)

    return run


@pytest.fixture
def printed(freerelay):
    """The JSON that a command prints."""

    def run(*arguments: object) -> Any:
        it = freerelay(*arguments, "--json")
        assert it.status == 0, it.stderr
        return json.loads(it.stdout)

    return run


@pytest.fixture
def refused(freerelay):
    """The one line with which a command fails."""

    def run(*arguments: object) -> str:
        it = freerelay(*arguments)
        assert (it.status, it.stdout) == (1, "")
        (line,) = it.stderr.splitlines()
        return line

    return run


WRONG = """
endpoints:
  openai/gpt-4o-mini:
    context_tokens: none
    capabilities: [flying]
"""


@pytest.fixture
def wrong(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(WRONG, "utf-8")
    return path


def test_the_shipped_catalogue_passes_and_its_assumptions_are_counted(freerelay):
    run = freerelay("catalogue", "check")
    assert (run.status, run.stderr) == (0, "")
    assert run.stdout.startswith(f"No problems: {len(load_catalogue().endpoints)} endpoints of ")
    assert "openai/gpt-6.1-sol@xhigh: 12 of 12 figures are assumptions" in run.stdout


def test_every_problem_of_a_file_is_printed_with_its_line_and_the_status_is_1(wrong):
    run = in_a_process("catalogue", "check", wrong)
    assert (run.status, run.stdout) == (1, "")
    first, *_, last = run.stderr.splitlines()
    assert first.startswith(f"{wrong}:4: endpoints.openai/gpt-4o-mini.context_tokens: ")
    assert last == "1 problem."


def test_an_endpoint_that_does_not_list_streaming_is_a_warning_and_the_status_stays_0(freerelay, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("endpoints: {groq/llama-3.3-70b: {capabilities: [tools]}}", "utf-8")
    run = freerelay("catalogue", "check", path)
    assert (run.status, run.stderr) == (0, "")
    assert "\nYour endpoints that do not stream:\n  groq/llama-3.3-70b: gets no request" in run.stdout


def test_the_file_of_the_settings_is_checked_where_none_is_named(freerelay, wrong):
    assert freerelay("catalogue", "check", FREERELAY_CATALOGUE=str(wrong)).status == 1
    missing = freerelay("catalogue", "check", wrong.with_name("none.yaml"))
    assert missing.status == 1
    assert "none.yaml: cannot be read" in missing.stderr


def test_list_shows_prices_limits_and_kinds_and_can_be_narrowed_to_a_provider(freerelay, printed, refused):
    rows = printed("catalogue", "list")
    assert [row["endpoint"] for row in rows] == [e.id for e in load_catalogue().endpoints]
    (row,) = (row for row in rows if row["endpoint"] == "groq-free/llama-3.3-70b")
    assert row["usd_per_million"] == {"input": 0, "cached": 0, "output": 0}
    assert row["limits"] == {"rpm": 30, "tpm": 12000, "rpd": 1000, "tpd": 100000}
    assert sum(row["kinds"].values()) == 12
    narrowed = printed("catalogue", "list", "--provider", "groq")
    assert {row["provider"] for row in narrowed} == {"groq"}
    table = freerelay("catalogue", "list", "--provider", "groq-free").stdout
    assert "groq-free/llama-3.3-70b" in table
    assert "openai/" not in table
    said = " ".join(table.split())
    assert "measured (m), published (p), prior (a: assumed)" in said
    assert "Routing takes a prior at the slow or low end of its interval" in said
    assert "known are anthropic" in refused("catalogue", "list", "--provider", "nobody")


def test_show_prints_every_field_with_kind_source_and_date(freerelay, printed):
    name = "openai/gpt-6-luna@xhigh"
    shown = printed("catalogue", "show", name)
    assert (shown["endpoint"], shown["effort"], shown["quota_group"]) == (name, "xhigh", "openai/gpt-6-luna")
    fields = {row["field"]: row for row in shown["fields"]}
    expected = {field for field, _, _ in figures_of(load_catalogue().endpoint(name))}
    expected |= {"price.input", "price.cached", "price.output", "context_tokens", "max_output_tokens", "capabilities"}
    expected |= {"wire.output_limit", "wire.stream_usage"}
    assert set(fields) == expected
    assert all(row["source"] and row["kind"] for row in fields.values())
    code = fields["ability.code"]
    assert (code["kind"], code["via"], code["unit"]) == ("prior", "openai/gpt-5.6-luna@xhigh", "Elo")
    assert code["low"] < code["value"] < code["high"]
    assert fields["price.input"]["value"] > 0
    table = freerelay("catalogue", "show", name).stdout
    assert "ability.code" in table
    assert "prior" in table


def test_on_80_columns_nothing_that_show_prints_is_cut_or_broken(freerelay, printed):
    for name in ("openai/gpt-5.6-luna@xhigh", "groq-free/gpt-oss-120b"):
        table = freerelay("catalogue", "show", name, COLUMNS="80").stdout
        assert "…" not in table
        words = set(table.split())
        for row in printed("catalogue", "show", name)["fields"]:
            value = row["value"] if isinstance(row["value"], str) else f"{row['value']:,.10g}"
            bounds = () if row["low"] is None else (f"{row['low']:,.6g}", f"{row['high']:,.6g}")
            assert {row["field"], row["kind"], row["date"], *value.split(), *row["unit"].split(), *bounds} <= words


def test_on_80_columns_nothing_that_list_and_check_print_is_cut(freerelay, printed):
    table = freerelay("catalogue", "list", COLUMNS="80").stdout
    assert "…" not in table
    folded = "".join(line[:29].strip() for line in table.splitlines())
    for row in printed("catalogue", "list"):
        assert row["endpoint"] in folded, "a long name goes on in the next line"
        assert "/".join(f"{row['abilities'][name]:.0f}" for name in ("chat", "code", "agent")) in table
    wide, narrow = (freerelay("catalogue", "check", COLUMNS=width).stdout for width in ("200", "80"))
    assert wide == narrow


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("groq/llama-3.3-70", "groq/llama-3.3-70b"),
        ("gpt-4o-mini", "openai/gpt-4o-mini"),
        ("gpt-5.6", "openai/gpt-5.6-luna@none"),
        ("openai/gpt-6-luna@hihg", "openai/gpt-6-luna@xhigh"),
    ],
)
def test_an_unknown_endpoint_is_refused_in_one_line_with_near_names_and_the_command_that_lists_all(
    refused, name, meant
):
    line = refused("catalogue", "show", name)
    said, _, rest = line.partition("Did you mean ")
    assert said == f"freerelay: No endpoint is called {name!r}. "
    near, _, advice = rest.partition("? ")
    assert meant in near.replace(" or ", ", ").split(", ")
    assert advice == "`freerelay catalogue list` names all."


def test_where_no_name_is_near_none_is_guessed(refused):
    line = refused("catalogue", "show", "xyz")
    assert line == "freerelay: No endpoint is called 'xyz'. `freerelay catalogue list` names all."


def test_what_goes_into_a_pipe_keeps_whole_names():
    """`freerelay catalogue list | grep NAME` finds NAME: only a terminal has a width to keep to."""
    listed = in_a_process("catalogue", "list", COLUMNS="").stdout
    for endpoint in load_catalogue().endpoints:
        assert endpoint.id in listed
