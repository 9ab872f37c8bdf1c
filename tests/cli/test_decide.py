"""`freerelay decide` and `freerelay simulate`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folders import database_folder
from serving import Serving, serving

from tests.cli import shell
from tests.cli.shell import freerelay, in_a_process, refused

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
AZURE = Path(__file__).parents[3] / "shared/data/azure-llm-2023/AzureLLMInferenceTrace_conv.csv"

REQUEST = {"model": "freerelay/auto", "messages": [{"role": "user", "content": "Write a function that sorts a list."}]}
TRACE = """TIMESTAMP,ContextTokens,GeneratedTokens
2026-11-16 18:15:46.680590,374,44
2026-11-16 18:15:50.994194,396,109
2026-11-16 23:59:59,8000,2000
"""


def printed(*arguments: object, **options: str) -> dict:
    """The JSON that a command prints."""
    return json.loads(shell.printed(*arguments, "--json", **options))


@pytest.fixture(scope="module")
def unmeasured() -> Iterator[Serving]:
    """A FreeRelay that has sent no request to anybody: its figures are the catalogue's."""
    with database_folder() as folder, serving(folder / "home") as it:
        yield it


def test_a_scenario_is_compared_with_the_present(tmp_path):
    example = EXAMPLES / "scenario-outage.yaml"
    trace = tmp_path / "trace.csv"
    trace.write_text(TRACE)
    shown = printed("simulate", trace, "--scenario", example, "--preference", "performance-first")
    assert {"baseline", "scenario", "difference"} <= set(shown)
    alone = printed("simulate", trace)
    assert shown["baseline"] == alone["preferences"]["performance-first"]
    run = freerelay("simulate", trace, "--scenario", example)
    assert run.status == 0, run.stderr
    assert "First choices that change" in run.stdout


def test_amounts_below_a_cent_keep_two_digits(tmp_path):
    trace, scenario = tmp_path / "trace.csv", tmp_path / "twice.yaml"
    trace.write_text(TRACE)
    scenario.write_text("name: Twice\nchanges: [{traffic: {times: 2}}]")
    drawn = shell.printed("simulate", trace, "--scenario", scenario)
    told = printed("simulate", trace, "--scenario", scenario)
    more = told["scenario"]["cost_usd"] - told["baseline"]["cost_usd"]
    assert 0 < more < 0.005
    (figure,) = re.findall(r"Cost in all: (\S+) USD", drawn)
    assert figure.startswith("+0.00")
    assert float(figure) == pytest.approx(more, rel=0.05)
    cheap = REQUEST | {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    shown = shell.printed("decide", "-", "--preference", "cost-optimized", stdin=json.dumps(cheap))
    assert " 0.00 " not in shown


def test_a_scenario_that_cannot_be_meant_is_refused_in_one_line(tmp_path):
    trace, scenario = tmp_path / "trace.csv", tmp_path / "wrong.yaml"
    trace.write_text(TRACE)
    scenario.write_text("changes: [{withdraw: {endpoints: 7}}]")
    said = refused("simulate", trace, "--scenario", scenario)
    assert "wrong.yaml:1: change 1: withdraw.endpoints: must be a text" in said


def test_a_scenario_that_does_not_fit_the_fleet_is_refused_with_its_line_and_what_to_write(tmp_path):
    trace, scenario = tmp_path / "trace.csv", tmp_path / "wrong.yaml"
    trace.write_text(TRACE)
    scenario.write_text("name: Gone\nchanges:\n- traffic: {times: 2}\n- withdraw:\n    endpoints: groqq/*\n")
    assert refused("simulate", trace, "--scenario", scenario).strip() == (
        "freerelay: wrong.yaml:5: change 2: withdraw.endpoints: "
        "'groqq/*' matches no endpoint of the catalogue; did you mean 'groq/*'?"
    )


@pytest.fixture
def request_file(tmp_path):
    path = tmp_path / "request.json"
    path.write_text(json.dumps(REQUEST))
    return path


@pytest.fixture
def trace_file(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    return path


# -- decide


def test_decide_ranks_as_the_endpoint_does_on_the_same_figures(unmeasured, request_file):
    key = unmeasured.exports["OPENAI_API_KEY"]
    httpx.post(
        f"{unmeasured.url}/v1/tenant/settings",
        headers={"Authorization": f"Bearer {key}"},
        json={"routing_preference": "cost-optimized"},
    ).raise_for_status()
    answer = httpx.post(f"{unmeasured.url}/v1/router/decide", headers={"Authorization": f"Bearer {key}"}, json=REQUEST)
    live = answer.raise_for_status().json()
    mine = printed("decide", request_file, "--preference", "cost-optimized")
    assert set(mine) == set(live)
    assert [row["endpoint"] for row in mine["ranking"]] == [row["endpoint"] for row in live["ranking"]]
    assert mine["exponents"] == live["exponents"]
    assert mine["dry_run"] is True


def test_decide_reads_standard_input_and_draws_a_table(request_file):
    run = freerelay("decide", "-", stdin=request_file.read_text())
    assert run.status == 0
    winner = printed("decide", request_file)["ranking"][0]["endpoint"]
    assert winner in run.stdout


def test_decide_says_what_would_change_the_winner(request_file):
    told = printed("decide", request_file)
    run = freerelay("decide", request_file, "--sensitivity")
    first, second = (row["endpoint"] for row in told["ranking"][:2])
    assert told["sensitivity"]["winner"]["endpoint"] == first
    assert f"If the price of {first} " in run.stdout
    assert f"{second} wins." in run.stdout


def test_another_preference_ranks_another_endpoint_first(request_file):
    winners = {
        printed("decide", request_file, "--preference", name)["ranking"][0]["endpoint"]
        for name in ("cost-optimized", "performance-first")
    }
    assert len(winners) == 2


def test_by_the_live_snapshot_decide_prints_what_the_endpoint_says(unmeasured, request_file):
    headers = {
        "Authorization": f"Bearer {unmeasured.exports['OPENAI_API_KEY']}",
        "X-FreeRelay-Preference": "performance-first",
    }
    answer = httpx.post(f"{unmeasured.url}/v1/router/decide", headers=headers, json=REQUEST).json()
    command = printed(
        "decide", request_file, "--preference", "performance-first", "--snapshot", "live",
        FREERELAY_HOME=str(unmeasured.home),
    )  # fmt: skip
    assert set(command) == set(answer)
    assert command["snapshot"]["id"] == answer["snapshot"]["id"]
    assert command["ranking"] == answer["ranking"]
    assert command["excluded"] == answer["excluded"]


def test_a_live_snapshot_that_nobody_published_is_said_to_be_missing_and_where(request_file, home, database):
    printed("tenant", "add", "ann@example.com", FREERELAY_HOME=str(home))
    line = refused("decide", request_file, "--snapshot", "live", FREERELAY_HOME=str(home))
    for word in ("No server has published a snapshot", str(home), "FREERELAY_HOME", "freerelay serve"):
        assert word in line
    elsewhere = refused("decide", request_file, "--snapshot", "live", DATABASE_URL=database)
    assert "DATABASE_URL" in elsewhere
    assert "password" not in elsewhere


@pytest.mark.parametrize("name", ["decide", "simulate", "report"])
def test_a_live_snapshot_makes_no_database_where_there_is_none(request_file, trace_file, home, name):
    asked = request_file if name == "decide" else trace_file
    line = refused(name, asked, "--snapshot", "live", FREERELAY_HOME=str(home))
    for word in ("no database", str(home), "FREERELAY_HOME", "freerelay serve"):
        assert word in line
    assert not home.exists()


def test_a_model_that_is_named_is_the_only_one_ranked():
    pinned = json.dumps(REQUEST | {"model": "groq/llama-3.3-70b"})
    assert [row["endpoint"] for row in printed("decide", "-", stdin=pinned)["ranking"]] == ["groq/llama-3.3-70b"]
    line = refused("decide", "-", stdin=json.dumps(REQUEST | {"model": "groq/llama-3.3"}))
    for words in ("'groq/llama-3.3'", "Did you mean groq/llama-3.3-70b", "freerelay/auto", "freerelay catalogue list"):
        assert words in line


def test_the_operators_rules_hold_for_decide_too(request_file, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{name: no groq, when: 'true', exclude: ['groq/*']}]")
    decision = printed("decide", request_file, FREERELAY_RULES=str(rules))
    assert decision["rules"] == ["no groq"]
    assert not any(row["provider"] == "groq" for row in decision["ranking"])


@pytest.mark.parametrize(
    ("body", "named"),
    [("[1", "not JSON"), ("[]", "JSON object"), ('{"messages": NaN}', "not JSON"), ("{}", "messages")],
)
def test_a_body_that_is_no_request_is_refused_in_one_line(body, named):
    assert named in refused("decide", "-", stdin=body)


def test_an_unknown_preference_is_refused_naming_the_three(request_file):
    run = freerelay("decide", request_file, "--preference", "cheapest")
    assert run.status != 0
    for name in ("cost-optimized", "balanced", "performance-first"):
        assert name in run.stderr


def test_a_file_that_is_not_there_is_named():
    assert "absent.json" in refused("decide", "absent.json")
    assert "absent.csv" in refused("simulate", "absent.csv")


# -- simulate

TAKEN_AS = "chat, easy, interactive, text"


@pytest.mark.parametrize("options", [(), ("--scenario", EXAMPLES / "scenario-outage.yaml")])
def test_simulate_says_what_the_requests_of_a_trace_are_taken_for(trace_file, options):
    assert printed("simulate", trace_file, *options)["trace"]["read_as"] == TAKEN_AS
    assert f"Every request taken as {TAKEN_AS}" in shell.printed("simulate", trace_file, *options)


def test_simulate_sums_up_a_trace_under_all_three_preferences(trace_file):
    result = printed("simulate", trace_file)
    assert (result["requests"], result["input_tokens"], result["output_tokens"]) == (3, 8770, 2153)
    assert list(result["preferences"]) == ["cost-optimized", "balanced", "performance-first"]
    for summary in result["preferences"].values():
        assert summary["cost_usd_per_1000"] == pytest.approx(summary["cost_usd"] / 3 * 1000)
        assert sum(summary["share"].values()) == pytest.approx(1)
        assert 0 < summary["latency_s"]["p50"] <= summary["latency_s"]["p95"]
        assert 0 < summary["quality"] < 1


def test_simulate_prints_the_same_for_the_same_seed(trace_file):
    unseeded, seeded = printed("simulate", trace_file), printed("simulate", trace_file, "--seed", 0)
    assert unseeded["preferences"] == seeded["preferences"]
    assert unseeded["preferences"] != printed("simulate", trace_file, "--seed", 1)["preferences"]


def test_simulate_draws_a_table(trace_file):
    run = freerelay("simulate", trace_file)
    assert run.status == 0
    assert "performance-first" in run.stdout


def test_simulate_ranks_a_parquet_file_alike_in_one_process_and_in_two(tmp_path):
    path = tmp_path / "trace.parquet"
    times = pa.array(range(900), pa.timestamp("s"))
    columns = {"timestamp": times, "input_tokens": [500] * 900, "output_tokens": list(range(900))}
    pq.write_table(pa.table(columns), path, row_group_size=200)
    alone = printed("simulate", path)
    assert alone["requests"] == 900
    two = in_a_process("simulate", path, "--processes", 2, "--json")  # workers import the main module of their parent
    assert json.loads(two.stdout)["preferences"] == alone["preferences"]
    run = freerelay("simulate", path)
    assert "900 requests" in run.stdout
    assert f"Every request taken as {TAKEN_AS}" in run.stdout
    assert alone["trace"]["read_as"] == TAKEN_AS
    assert "is ranked without scenario" in refused("simulate", path, "--scenario", EXAMPLES / "scenario-outage.yaml")


def test_a_trace_without_the_needed_columns_is_refused_naming_them(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("TIMESTAMP,words\n2026-11-16 18:15:46,3\n")
    line = refused("simulate", path)
    assert "ContextTokens" in line
    assert "GeneratedTokens" in line


@pytest.mark.shared
@pytest.mark.skipif(not AZURE.exists(), reason="the data beside the project is absent")
def test_simulate_reads_a_public_trace():
    result = printed("simulate", AZURE)
    assert (result["requests"], result["input_tokens"]) == (19_366, 22_361_870)
