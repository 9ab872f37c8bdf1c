"""NaN, infinite and negative figures are refused at every border with the field named: none reaches the scoring."""

from __future__ import annotations

import json

import pytest

from freerelay_core.api.border import parse_object
from freerelay_core.catalogue import ABILITIES, load_catalogue
from freerelay_core.errors import ConfigurationError, InvalidRequest, UnprocessableRequest
from freerelay_core.profile import profile_request
from freerelay_core.simulation import read_scenario, read_trace

WRONG = [".nan", ".inf", "-.inf", "-1", "many"]
"""As YAML writes them; `many` is no number at all."""
OTHER_ABILITIES = ", ".join(f"{name}: 1300" for name in ABILITIES if name != "chat")


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("price", "price: {{input: {0}, output: 1}}"),
        ("price", "price: {{input: 1, cached: {0}, output: 1}}"),
        ("price", "price: {{input: 1, output: {0}}}"),
        ("context_tokens", "context_tokens: {0}"),
        ("max_output_tokens", "max_output_tokens: {0}"),
        ("first_token_s.value", "first_token_s: {{value: {0}, source: assumed}}"),
        ("first_token_s.high", "first_token_s: {{value: 1, high: {0}, source: assumed}}"),
        ("first_token_s.low", "first_token_s: {{value: 1, low: {0}, source: assumed}}"),
        ("tokens_per_s.value", "tokens_per_s: {{value: {0}, source: assumed}}"),
        ("tokens_per_s.low", "tokens_per_s: {{value: 1, low: {0}, source: assumed}}"),
        ("thinking_tokens.value", "thinking_tokens: {{value: {0}, source: assumed}}"),
        ("ability.values.chat", "ability: {{preference: assumed, tests: assumed, values: {{chat: {0}, MORE}}}}"),
        (
            "ability.values.chat",
            "ability: {{preference: assumed, tests: assumed, values: {{chat: {{value: {0}, source: assumed}}, MORE}}}}",
        ),
    ],
)
def test_a_catalogue_file(tmp_path, field, change, value):
    path = tmp_path / "catalogue.yaml"
    stated = change.format(value).replace("MORE", OTHER_ABILITIES)
    path.write_text(f"endpoints: {{openai/gpt-4o-mini: {{{stated}}}}}", "utf-8")
    with pytest.raises(ConfigurationError, match=rf"catalogue\.yaml:1: endpoints\.openai/gpt-4o-mini\..*{field}"):
        load_catalogue(path)


@pytest.mark.parametrize("value", WRONG)
def test_the_interval_of_a_source_in_a_catalogue_file(tmp_path, value):
    path = tmp_path / "catalogue.yaml"
    path.write_text(f"sources: {{s: {{title: t, date: '2026', kind: prior, elo_interval: {value}}}}}", "utf-8")
    with pytest.raises(ConfigurationError, match=r"sources\.s\.elo_interval"):
        load_catalogue(path)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "many"])
@pytest.mark.parametrize(("field", "row"), [("ContextTokens", "{0},5"), ("GeneratedTokens", "5,{0}")])
def test_a_trace(field, row, value):
    text = (
        f"TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-24 12:00:00,1,1\n2026-11-24 12:00:01,{row.format(value)}\n"
    )
    with pytest.raises(UnprocessableRequest, match=f"line 3: {field} must be a number"):
        read_trace(text.encode(), origin="t.csv")


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("price.times", "price: {{endpoints: '*', times: {0}}}"),
        ("price.usd.input", "price: {{endpoints: '*', usd: {{input: {0}, output: 1}}}}"),
        ("price.usd.cached", "price: {{endpoints: '*', usd: {{input: 1, cached: {0}, output: 1}}}}"),
        ("price.usd.output", "price: {{endpoints: '*', usd: {{input: 1, output: {0}}}}}"),
        ("exponents", "exponents: {{values: {{cost: {0}}}}}"),
        ("traffic.times", "traffic: {{times: {0}}}"),
    ],
)
def test_a_scenario(field, change, value):
    with pytest.raises(UnprocessableRequest, match=rf"change 1: {field}"):
        read_scenario(f"changes: [{{{change.format(value)}}}]")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_request_body_with_what_json_does_not_have(value):
    with pytest.raises(InvalidRequest, match="not valid JSON"):
        parse_object(f'{{"max_tokens": {value}}}'.encode())


@pytest.mark.parametrize("value", ["-1", "0", "1.5", '"many"', "true"])
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_request_body(field, value):
    body = json.loads(f'{{"messages": [{{"role": "user", "content": "x"}}], "{field}": {value}}}')
    with pytest.raises(UnprocessableRequest, match=f"^{field} must be a whole number"):
        profile_request(body)
