"""Every public operation in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from freerelay_core.api.document.chat import ROUTING_PARAMETERS
from freerelay_core.api.document.errors import AUTHENTICATED, BODY, HEAD, error_answers
from freerelay_core.api.document.headers import DECISION_HEADERS, RATE_HEADERS, headers
from freerelay_core.api.idempotency import IDEMPOTENCY_KEY, KEY_PATTERN, REPLAYED

__all__ = ["PATHS"]

Object = dict[str, Any]


def _content(shape: str, content_type: str = "application/json") -> Object:
    return {content_type: {"schema": {"$ref": f"#/components/schemas/{shape}"}}}


def _answer(words: str, content: Object, *more: str) -> Object:
    return {"description": words, "headers": headers(*more), "content": content}


def _operation(name: str, summary: str, answer: Object, errors: Object, **more: Any) -> Object:
    """An operation that needs a key; `more` may say otherwise, and hold its parameters."""
    operation = {"operationId": name, "summary": summary, "security": [{"bearer": []}]}
    return operation | more | {"responses": {"200": answer} | errors}


def _takes(shape: str) -> Object:
    return {"required": True, "content": _content(shape)}


def _in_path(name: str, words: str) -> Object:
    return {"name": name, "in": "path", "required": True, "description": words, "schema": {"type": "string"}}


_ONCE = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "description": "Names this change: sent again with its key within 24 hours, it is answered as at first, and not "
    "made again. With another body that is 422 (`idempotency_key_reused`).",
    "schema": {"type": "string", "pattern": KEY_PATTERN},
}
_KEYED = (*HEAD, *AUTHENTICATED)
_DECISION_ID = [_in_path("decision_id", "As in the header `x-freerelay-decision-id`.")]
_CHAT_CONTENT = _content("ChatCompletion") | _content("ChatStream", "text/event-stream")

PATHS: Object = {
    "/v1/chat/completions": {
        "post": _operation(
            "createChatCompletion",
            "OpenAI's chat completions, routed",
            _answer("An answer, or with `stream` its events.", _CHAT_CONTENT, *DECISION_HEADERS, *RATE_HEADERS),
            error_answers(*_KEYED, *BODY, 403, 404, 502, 504, decided=True),
            description="A provider that refuses the request answers with its own status between 400 and 499.",
            parameters=ROUTING_PARAMETERS,
            requestBody=_takes("ChatRequest"),
        )
    },
    "/v1/models": {
        "get": _operation(
            "listModels",
            "What `model` may name",
            _answer("All of them.", _content("ModelList")),
            error_answers(*_KEYED),
        )
    },
    "/v1/models/{model_id}": {
        "get": _operation(
            "readModel",
            "One of the models",
            _answer("The model.", _content("Model")),
            error_answers(*_KEYED, 404),
            parameters=[_in_path("model_id", "Its slashes may stand as they are.")],
        )
    },
    "/v1/tenant/settings": {
        "get": _operation(
            "readSettings",
            "The tenant's routing preference, and what decides",
            _answer("The settings.", _content("Settings")),
            error_answers(*_KEYED, 403),
        ),
        "post": _operation(
            "writeSettings",
            "Save the routing preference, null for the default; the next request follows it",
            _answer("The settings as they are now.", _content("Settings"), REPLAYED),
            error_answers(*_KEYED, *BODY, 403, 404, 409),
            parameters=[_ONCE],
            requestBody=_takes("SettingsChange"),
        ),
    },
    "/v1/router/decide": {
        "post": _operation(
            "decide",
            "The ranking of a chat request: nobody is called, nothing is stored",
            _answer("The ranking.", _content("Ranking")),
            error_answers(*_KEYED, *BODY, 403, 404),
            parameters=ROUTING_PARAMETERS,
            requestBody=_takes("RoutedRequest"),
        )
    },
    "/v1/router/state": {
        "get": _operation(
            "readState",
            "What the router of this worker knows; for the operator",
            _answer("The state.", _content("RouterState")),
            error_answers(*_KEYED, 403),
        )
    },
    "/v1/decisions/{decision_id}": {
        "get": _operation(
            "readDecision",
            "A decision on a request of this tenant, with its outcome",
            _answer("The decision.", _content("LoggedDecision")),
            error_answers(*_KEYED, 404),
            parameters=_DECISION_ID,
        )
    },
    "/v1/decisions/{decision_id}/feedback": {
        "post": _operation(
            "gradeDecision",
            "Grade an answer, once; routing learns from it",
            _answer("The grade is kept.", _content("GradedDecision"), REPLAYED),
            error_answers(*_KEYED, *BODY, 403, 404, 409),
            parameters=[*_DECISION_ID, _ONCE],
            requestBody=_takes("Feedback"),
        )
    },
    "/metrics": {
        "get": _operation(
            "readMetrics",
            "The metrics of this worker, in Prometheus' text format",
            _answer("The metrics.", {"text/plain": {"schema": {"type": "string"}}}),
            error_answers(*_KEYED, 403),
            description="For the operator's key or the metrics key; for everybody where the operator opened them.",
        )
    },
    "/healthz": {
        "get": _operation(
            "readHealth",
            "The process answers",
            _answer("It lives.", _content("Status")),
            error_answers(*HEAD),
            security=[],
        )
    },
    "/readyz": {
        "get": _operation(
            "readReadiness",
            "Requests are welcome",
            _answer("They are.", _content("Status")),
            error_answers(*HEAD, 503),
            security=[],
        )
    },
    "/openapi.json": {
        "get": _operation(
            "readDocument",
            "This document",
            _answer("The document.", {"application/json": {"schema": {"type": "object"}}}),
            error_answers(*HEAD),
            security=[],
        )
    },
}
