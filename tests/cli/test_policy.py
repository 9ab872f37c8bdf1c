"""`freerelay policy`, as its entry point runs it."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import jsonschema
import pytest
import yaml

from freerelay_core.cli import main
from freerelay_core.profile import NEEDS

EXAMPLE = Path(__file__).parents[2] / "docs/examples/rules.yaml"


@pytest.fixture
def freerelay(monkeypatch):
    """Run a command in this process: its status, standard output and standard error."""
    monkeypatch.delenv("FREERELAY_RULES", raising=False)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["freerelay", *map(str, arguments)])
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
        printed = []
        for stream in (out, err):
            stream.flush()
            printed.append(stream.buffer.getvalue().decode())
        return ended.value.code or 0, *printed

    return run


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "rules.yaml"

    def write(text):
        path.write_text(text, "utf-8")
        return path

    return write


NIGHT = """
rules:
  - {name: night, when: 'hour < 6', routing_preference: cost-optimized}
  - {name: late, when: 'hour < 8', exclude: ['groq/*']}
examples:
  - name: at three
    profile: {family: chat}
    hour: 3
    expect: %s
"""


def test_the_shipped_example_holds_and_fits_its_schema(freerelay):
    status, out, _ = freerelay("policy", "test", EXAMPLE)
    assert (status, out.splitlines()[-1]) == (0, "7 rules, 7 examples, 0 failed")
    status, out, _ = freerelay("policy", "schema")
    assert status == 0
    schema, content = json.loads(out), yaml.safe_load(EXAMPLE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(content, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"rules": [{"name": "a", "hedge": True}]}, schema)


def test_a_test_prints_which_rules_fired_and_the_values_that_they_read(freerelay, rules):
    status, out, _ = freerelay("policy", "test", rules(NIGHT % "{rules: [night]}"))
    assert status == 0
    assert "night: fires; hour < 6   [hour = 3]" in out
    assert "late: holds, but an earlier rule decides" in out
    assert "cost-optimized; level=rule; rule=night" in out


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        ("{rules: [late]}", "rules ['late'], got ['night']"),
        ("{preference: balanced}", "preference balanced, got cost-optimized"),
        ("{level: tenant}", "level tenant, got rule"),
        ("{endpoint: 'anthropic/*'}", "endpoint anthropic/*, got "),
        ("{prefer: ['groq/*']}", "prefer groq/*, got []"),
        ("{excluded: ['groq/*']}", "excluded groq/*, but groq/"),
        ("{dropped: [require]}", "dropped ['require'], got []"),
        ("{refused: true}", "refused True, got False"),
    ],
)
def test_an_expectation_that_fails_is_said_and_ends_with_status_1(freerelay, rules, expect, problem):
    status, out, _ = freerelay("policy", "test", rules(NIGHT % expect))
    assert status == 1
    assert f"expected {problem}" in out
    status, out, _ = freerelay("policy", "test", rules(NIGHT % expect), "--json")
    (trial,) = json.loads(out)
    assert status == 1
    assert trial["passed"] is False
    assert trial["problems"][0].startswith(problem)


def test_an_example_with_a_chat_body_is_decided_as_the_endpoint_would(freerelay, rules):
    text = """
rules: [{name: code, when: 'task == "code" && depth == 4 && tier == "gold"', require: ['openai/*']}]
examples:
  - name: stated
    request: {model: freerelay/auto, messages: [{role: user, content: Hi}], routing: {task: code, depth: expert}}
    tenant: {tier: gold}
    expect: {rules: [code], endpoint: 'openai/*', excluded: ['groq/*'], dropped: []}
"""
    assert freerelay("policy", "test", rules(text))[0] == 0


def test_an_example_may_need_whatever_a_request_may_need(freerelay, rules):
    needs = f"needs: [{', '.join(NEEDS)}]"
    status, out, _ = freerelay("policy", "test", rules(NIGHT.replace("family: chat", needs) % "{}"))
    assert status == 0, out


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("rules:\n  - name: a\n    exclude: ['x/*']\n", "3: rule 'a': exclude.0: 'x/*' matches no endpoint"),
        (NIGHT % "{rules: [noon]}", "9: example 'at three': expect.rules.0: there is no rule 'noon'"),
        (NIGHT.replace("family: chat", "family: poetry") % "{}", "7: example 'at three': profile: the profile cannot"),
        (NIGHT.replace("profile: {family: chat}", "") % "{}", "6: example 'at three': state either request"),
        *(
            (
                NIGHT.replace("family: chat", stated) % "{}",
                f"7: example 'at three': profile: the profile cannot be meant: {why}",
            )
            for stated, why in (
                ("input_tokens: -5", "input_tokens must be a whole number from 0 to 1,000,000,000"),
                ("output_tokens: .nan", "output_tokens must be a whole number from 0 to 1,000,000,000"),
                ("cached_tokens: many", "cached_tokens must be a whole number from 0 to 1,000,000,000"),
                ("answers: 0", "answers must be a whole number from 1 to 1,000,000,000"),
                ("answers: true", "answers must be a whole number from 1 to 1,000,000,000"),
                ("answers: 1.5", "answers must be a whole number from 1 to 1,000,000,000"),
                ("needs: [toolz]", "needs may name tools, "),
                ("needs: tools", "needs must be a list"),
                ("locked_down: 3", "locked_down must be true or false"),
                ("stream: 'yes'", "stream must be true or false"),
            )
        ),
    ],
)
def test_a_wrong_file_ends_with_status_2_naming_the_line(freerelay, rules, text, line):
    path = rules(text)
    status, out, err = freerelay("policy", "test", path)
    assert (status, out) == (2, "")
    assert err.startswith(f"freerelay: {path}:{line}")


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ("model: nobody/x", "No endpoint is called 'nobody/x'"),
        ("routing: {preference: cheapest}", "routing.preference must be one of"),
        ("routing: {speed: high}", "routing has a field that is not known"),
        ("routing: {task: poetry}", "task"),
        ("model: 7", "model must be the name of a model"),
    ],
)
def test_an_example_whose_request_cannot_be_meant_makes_a_wrong_file(freerelay, rules, request_, why):
    body = f"request: {{messages: [{{role: user, content: Hi}}], {request_}}}"
    path = rules(NIGHT.replace("profile: {family: chat}", body) % "{}")
    status, out, err = freerelay("policy", "test", path)
    assert (status, out) == (2, "")
    assert err.startswith(f"freerelay: {path}: example 'at three': request: ")
    assert why in err
