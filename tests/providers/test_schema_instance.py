"""Instances of JSON schemas, judged by an independent validator."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freerelay_core.providers.schema_instance import schema_instance

NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
    },
    "required": ["value", "next", "children"],
    "additionalProperties": False,
}

SCHEMAS = [
    {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name"]},
    {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
    {"type": "array", "items": {"enum": ["x", "y", "z"]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 4, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}], "items": False},
    {"type": ["null", "string"], "minLength": 30, "maxLength": 31},
    {"type": "string", "maxLength": 0},
    {"type": "integer", "minimum": 3, "multipleOf": 7},
    {"type": "integer", "maximum": -3},
    {"type": "integer", "exclusiveMinimum": 9},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5},
    {"type": "number", "exclusiveMaximum": -0.5},
    {"const": {"a": [1]}},
    {"enum": [None, 1]},
    {"oneOf": [{"type": "integer"}, {"type": "string"}]},
    {"allOf": [{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}, {"required": ["b"]}]},
    {"type": "object", "additionalProperties": {"type": "boolean"}, "minProperties": 2},
    {"properties": {"deep": {"properties": {"deeper": {"type": "boolean"}}, "required": ["deeper"]}}},
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:50])
def test_an_instance_is_valid_against_its_schema(schema):
    jsonschema.validate(schema_instance(schema), schema)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{3}-\d{2,4}$",
        r"^\S+@\S+\.(com|org)$",
        r"[^a-z0-9]\w+",
        r"^(\d)x\1$",
        r"^\+?[1-9]\d{1,14}$",
        r"^(?:[01]\d|2[0-3]):[0-5]\d$",
        r"^[^\d\s]$",
        r"^$",
        r"(a+)+$",
    ],
)
def test_a_string_matches_its_pattern(pattern):
    schema = {"type": "string", "pattern": pattern}
    jsonschema.validate(schema_instance(schema), schema)


@pytest.mark.parametrize("format_", ["date", "date-time", "email", "ipv4", "ipv6", "uuid", "uri", "hostname"])
def test_a_string_has_its_format(format_):
    schema = {"type": "string", "format": format_}
    checker = jsonschema.FormatChecker()
    jsonschema.validate(schema_instance(schema), schema, format_checker=checker)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "string", "pattern": "a{1000000}b{1000000}"},
        {"type": "string", "pattern": "(" * 400},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 50},
        {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]},
        {"type": "integer", "multipleOf": 1e-300},
        {"type": "integer", "minimum": 1e300},
    ],
    ids=lambda schema: json.dumps(schema)[:50],
)
def test_an_absurd_schema_costs_little(schema):
    assert len(json.dumps(schema_instance(schema))) < 200_000


KEYWORDS = ["type", "properties", "items", "enum", "const", "anyOf", "allOf", "oneOf", "$ref", "required", "pattern",
            "format", "minItems", "maxItems", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
            "multipleOf", "minLength", "maxLength", "prefixItems", "additionalProperties", "minProperties",
            "uniqueItems", "$defs"]  # fmt: skip
TYPES = ["object", "array", "string", "integer", "number", "boolean", "null", "#", "#/$defs/a", "x"]
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
schemas = st.recursive(
    leaves | st.sampled_from(TYPES) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=6),
    max_leaves=25,
)


@settings(max_examples=400, deadline=None)
@given(schemas)
def test_no_schema_whatever_makes_it_fail(schema):
    json.dumps(schema_instance(schema), allow_nan=False)
