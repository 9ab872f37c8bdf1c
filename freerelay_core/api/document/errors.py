"""Errors in the OpenAPI document: one schema, and what each status means."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from freerelay_core.api.document.headers import DECISION_HEADERS, RATE_HEADERS, headers

__all__ = ["AUTHENTICATED", "BODY", "ERROR_SCHEMA", "HEAD", "error_answers"]

HEAD = (400, 415, 431)
"""What the head of any request may bring."""
AUTHENTICATED = (401, 429, 503)
"""What a route may bring that looks the key up in the database."""
BODY = (408, 413, 422)
"""What a route may bring that reads a body; what is no JSON is 400."""

_NAME = {"type": "string"}
_NAME_OR_NULL = {"type": ["string", "null"]}
ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Every error, in OpenAI's shape.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code", "param"],
            "properties": {
                "message": _NAME | {"description": "What is wrong, and what to do."},
                "type": _NAME,
                "code": _NAME_OR_NULL | {"description": "Stable, for programs; a provider's own may be missing."},
                "param": _NAME_OR_NULL | {"description": "The field that is meant."},
            },
        }
    },
    "examples": [
        {
            "error": {
                "message": "messages must be a non-empty list.",
                "type": "invalid_request_error",
                "code": "invalid_value",
                "param": "messages",
            }
        }
    ],
}

_MEANING = {
    400: "Not understood (no sound JSON object, an ambiguous length), or no endpoint is able to serve it as it is.",
    401: "No key, or none that is valid. Unknown, revoked and expired keys answer alike.",
    403: "The key is known and may not do this.",
    404: "There is nothing with this name for this caller.",
    408: "The body stopped arriving.",
    409: "It changed meanwhile, or was done already.",
    413: "The body is larger than 4 MiB.",
    415: "The body is compressed.",
    422: "A field has a value that is not allowed.",
    429: "A limit is reached (wait for `retry-after`), or the tenant's budget does not last (`insufficient_quota`).",
    431: "More than 100 headers, or 16 KiB of them.",
    502: "Every attempt at a provider failed.",
    503: "Not now: the database is away, no endpoint is left or all fail, or the server is full, starting or stopping.",
    504: "No provider answered in time.",
}
_OWN_HEADERS: dict[int, tuple[str, ...]] = {
    401: ("www-authenticate",),
    429: ("retry-after", "x-should-retry", *RATE_HEADERS),
    502: ("x-should-retry",),
    503: ("retry-after",),
    504: ("x-should-retry",),
}


def error_answers(*statuses: int, decided: bool = False) -> dict[str, Any]:
    """The answers of these statuses; `decided` where a decision may have been made before."""
    more = (*DECISION_HEADERS, "x-should-retry") if decided else ()
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}. {_MEANING[status]}",
            "headers": headers(*dict.fromkeys((*_OWN_HEADERS.get(status, ()), *more))),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status in sorted(set(statuses))
    }
