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
        (wanted({"type": "objekt"}), "{}", None),
        (wanted({"properties": {"a": {"type": ["strin"]}}}), '{"a": 1}', None),
        (wanted({"$ref": "#/nowhere"}), "{}", None),
        (wanted({"patternProperties": {".*": {}}}), "{}", None),
        (wanted({"multipleOf": 0}), "3", None),
        (wanted({"multipleOf": 0.5}), "3", True),
        (wanted({"$defs": {"x": {"$anchor": "x"}}, "$ref": "#x"}), "3", None),
        (wanted({"enum": [1, "a", {"b": [2]}]}), '{"b": [2]}', True),
        (wanted({"enum": [1, "a", {"b": [2]}]}), '{"b": [3]}', False),
        (wanted({"uniqueItems": True}), '[{"a": 1}, {"a": 2}]', True),
        (wanted({"uniqueItems": True}), '[{"a": 1}, {"a": 1}]', False),
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


def doubled(levels):
    """A schema of some lines that holds 2^levels references, followed one by one."""
    steps = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": steps | {f"d{levels}": {"type": "object"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        (doubled(16), {}),
        ({"items": {"enum": list(range(5000))}}, [4999] * 1000),
        ({"uniqueItems": True}, [{"a": n} for n in range(1500)]),
        ({"items": {"allOf": [{"type": "integer"}] * 1000}}, [1] * 100),
        ({"items": {"allOf": [{}] * 1000}}, [1] * 100),
        ({"items": {}}, [1] * 80_000),
        ({"additionalProperties": {}}, {str(n): 1 for n in range(20_000)}),
        ({"anyOf": [{"const": [0] * 5000 + [n]} for n in range(1, 100)]}, [0] * 5001),
        ({"allOf": [{"unevaluatedProperties": False, "properties": {"a": {}}}] * 1000}, {"a": 1}),
        ({"$id": "https://a/b", "allOf": [{"$id": "c", "$ref": "#/$defs/x", "$defs": {"x": {}}}] * 1000}, 1),
    ],
    ids=["references", "enum", "unique", "all_of", "nothing", "items", "members", "const", "unevaluated", "ids"],
)
def test_what_takes_long_to_hold_against_an_answer_is_not(schema, answer):
    """Each of these took 60 ms to 3 s, or would with some more of the same, and everybody waited."""
    assert keeps_contract(wanted(schema), json.dumps(answer)) is None


def test_a_long_answer_of_the_usual_kind_is_checked():
    row = {"type": "object", "properties": {name: {"type": "integer"} for name in "abcdefghij"}, "required": ["a"]}
    rows = [dict.fromkeys("abcdefghij", 1)] * 250
    assert keeps_contract(wanted({"type": "array", "items": row}), json.dumps(rows)) is True
    assert keeps_contract(wanted({"type": "array", "items": row}), json.dumps([*rows, {}])) is False
