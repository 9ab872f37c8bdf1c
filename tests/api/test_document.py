"""The OpenAPI document: valid, complete, and true of what the routes answer."""

from __future__ import annotations

import re

import pytest
from api_server import BODY, OPERATOR_KEY, asked
from fastapi.openapi.models import OpenAPI
from jsonschema import Draft202012Validator

from freerelay_core.api.document import openapi_document
from freerelay_core.api.routes import routes

DOCUMENT = openapi_document()
OPERATIONS = [(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item]
FORMS = {("POST", "/session"), ("POST", "/session/end")}
"""The dashboard's own."""


def schema(shape: str) -> dict:
    """The component as a schema of its own."""
    return {"$ref": f"#/components/schemas/{shape}", "components": DOCUMENT["components"]}


def documented(method: str, path: str, answer) -> None:
    """Fail unless the document foresees this answer."""
    described = DOCUMENT["paths"][path][method.lower()]["responses"][str(answer.status_code)]
    content_type = answer.headers["content-type"].partition(";")[0]
    found = described["content"][content_type]["schema"]
    if content_type == "application/json":
        Draft202012Validator(found | {"components": DOCUMENT["components"]}).validate(answer.json())
    assert re.fullmatch("req_[0-9a-f]{24}", answer.headers["x-request-id"])
    ours = ("x-", "retry-after", "idempotent-")
    told = {name for name in answer.headers if name.startswith(ours)}
    assert told - set(described["headers"]) <= {"x-accel-buffering"}


def test_it_is_an_openapi_document_of_valid_schemas():
    OpenAPI.model_validate(DOCUMENT)
    for name, component in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(component)
        for example in component.get("examples", ()):
            Draft202012Validator(schema(name)).validate(example)


def test_every_reference_leads_somewhere():
    def references(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else ())
            node = list(node.values())
        if isinstance(node, list):
            for child in node:
                yield from references(child)

    for reference in references(DOCUMENT):
        _, components, kind, name = reference.split("/")
        assert name in DOCUMENT[components][kind]


def test_it_holds_every_route_there_is():
    served = {("POST", "/v1/chat/completions"), *_served(routes.routes)} - FORMS
    assert {(method, path.replace(":path}", "}")) for method, path in served if method != "HEAD"} == set(OPERATIONS)


def _served(found):
    for route in found:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _served(included.routes)
        else:
            yield from ((method, route.path) for method in route.methods)


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        ({"routing_preference": "balanced"}, True),
        ({"routing_preference": None}, True),
        ({"routing_preference": None, "settings_version": 3}, True),
        ({"routing_preference": "turbo"}, False),
        ({}, False),
    ],
)
def test_a_change_of_settings_may_say_null_and_nothing_else_besides_the_names(body, allowed):
    assert Draft202012Validator(schema("SettingsChange")).is_valid(body) is allowed


def test_the_server_hands_it_out(server):
    with server.http("") as client:
        assert client.get("/openapi.json").json() == DOCUMENT


@pytest.mark.parametrize("key", ["tenant", "operator", "none"])
def test_answers_and_errors_are_as_it_says(server, key):
    bodies = {
        "/v1/chat/completions": [BODY, BODY | {"stream": True}, BODY | {"model": "no/such"}, {"model": 1}, []],
        "/v1/router/decide": [BODY, {"messages": []}],
        "/v1/tenant/settings": [
            {"routing_preference": "balanced"},
            {"routing_preference": None},
            {"routing_preference": 1},
        ],
        "/v1/decisions/{decision_id}/feedback": [{"score": 0.5}, {"score": 0.5}, {"score": "x"}],
    }
    decision_id, _ = asked(server)
    with server.http({"tenant": server.key, "operator": OPERATOR_KEY, "none": ""}[key]) as client:
        for method, path in OPERATIONS:
            url = path.replace("{decision_id}", decision_id).replace("{model_id}", "freerelay/auto")
            for body in bodies[path] if method == "POST" else [None]:
                documented(method, path, client.request(method, url, json=body))
            documented(method, path, client.request(method, url, headers={"content-encoding": "gzip"}))
        for path in ("/v1/decisions/{decision_id}", "/v1/models/{model_id}"):
            documented("GET", path, client.get(re.sub("{.*}", "unknown", path)))


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("/v1/tenant/settings", {"routing_preference": "balanced"}, {"routing_preference": None}),
        ("/v1/decisions/{decision_id}/feedback", {"score": 0.5}, {"score": 0.75}),
    ],
)
def test_a_change_with_a_key_is_answered_as_it_says(server, path, body, other):
    decision_id, _ = asked(server)
    url, named = path.replace("{decision_id}", decision_id), {"Idempotency-Key": f"document-{decision_id}"}
    with server.http() as client:
        answers = [client.post(url, json=sent, headers=named) for sent in (body, body, other)]
        answers.append(client.post(url, json=body, headers={"Idempotency-Key": "two words"}))
    assert [answer.status_code for answer in answers] == [200, 200, 422, 422]
    for answer in answers:
        documented("POST", path, answer)


def test_the_document_takes_the_keys_that_the_server_takes():
    for path in ("/v1/tenant/settings", "/v1/decisions/{decision_id}/feedback"):
        parameters = DOCUMENT["paths"][path]["post"]["parameters"]
        (found,) = (each for each in parameters if each["name"] == "Idempotency-Key")
        assert not found.get("required")
        allowed = Draft202012Validator(found["schema"])
        assert all(allowed.is_valid(key) for key in ("a", "!~", '"8e03978e-40d5"', "x" * 255))
        assert not any(allowed.is_valid(key) for key in ("", "x" * 256, "two words", "é", "\t"))


def test_a_wrong_method_is_told_the_right_ones(server):
    with server.http() as client:
        for path, item in DOCUMENT["paths"].items():
            answer = client.request("TRACE", path)
            assert answer.status_code == 405
            assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == {method.upper() for method in item}
