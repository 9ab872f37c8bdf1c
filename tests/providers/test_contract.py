"""Whether an answer keeps its output contract."""

from __future__ import annotations

import json

import pytest

from freerelay_core.providers import keeps_contract

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


def wanted(schema):
    return {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}


@pytest.mark.parametrize(
    ("response_format", "text", "kept"),
    [
        ({"type": "json_object"}, '{"a": 1}', True),
        ({"type": "json_object"}, "[1]", False),
        ({"type": "json_object"}, "Sure! {}", False),
        (wanted(SCHEMA), '{"n": 3}', True),
        (wanted(SCHEMA), '{"n": "3"}', False),
        (wanted(SCHEMA), '{"n": 3, "m": 4}', False),
        (wanted(SCHEMA), "```json\n{}\n```", False),
        (wanted({"$ref": "#/$defs/x", "$defs": {"x": {"type": "integer"}}}), "3", True),
        (wanted({"$ref": "#/$defs/x", "$defs": {"x": {"type": "integer"}}}), '"3"', False),
        ({"type": "text"}, "hello", None),
        (None, "hello", None),
        ({"type": "json_object"}, "", None),
        (wanted(None), "{}", None),
        (wanted({"type": 7}), "{}", None),
        (wanted({"$ref": "#/nowhere"}), "{}", None),
        (wanted({"patternProperties": {".*": {}}}), "{}", None),
    ],
)
def test_an_answer_is_held_against_what_was_asked_for(response_format, text, kept):
    assert keeps_contract(response_format, text) is kept


def test_a_reference_to_elsewhere_is_not_followed(monkeypatch):
    import urllib.request

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("went to the network"))
    assert keeps_contract(wanted({"$ref": "http://127.0.0.1:9/schema.json"}), "{}") is None


def test_a_regular_expression_of_the_client_is_not_run():
    assert keeps_contract(wanted({"type": "string", "pattern": "^(a+)+$"}), json.dumps("a" * 60 + "b")) is True


def test_a_schema_that_goes_on_for_ever_is_not_followed_for_ever():
    endless = {"$ref": "#"}
    assert keeps_contract(wanted(endless), "{}") is None
