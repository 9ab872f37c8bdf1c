"""The headers of answers in the OpenAPI document."""

from __future__ import annotations

from typing import Any

__all__ = ["DECISION_HEADERS", "HEADERS", "RATE_HEADERS", "headers"]

DECISION_HEADERS = (
    "x-freerelay-decision-id", "x-freerelay-preference", "x-freerelay-endpoint", "x-freerelay-reason",
    "x-freerelay-attempts", "x-freerelay-settings-age",
)  # fmt: skip
"""Of whatever was answered after a decision."""
RATE_HEADERS = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")
"""Where the tenant's requests a minute are limited."""

_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_ALL: dict[str, tuple[str, dict[str, Any]]] = {
    "idempotent-replayed": (
        "`true`: the change was made by an earlier request with this `Idempotency-Key`, which was answered like this.",
        {"type": "string", "enum": ["true"]},
    ),
    "x-request-id": ("Names this request in the logs.", {"type": "string", "pattern": "^req_[0-9a-f]{24}$"}),
    "retry-after": ("Seconds to wait before trying again.", {"type": "integer", "minimum": 1}),
    "x-should-retry": ("`false`: trying again at once is pointless.", {"type": "string", "enum": ["false"]}),
    "www-authenticate": ("`Bearer`.", _TEXT),
    "x-freerelay-decision-id": ("The decision behind this answer, for `/v1/decisions/{decision_id}`.", _TEXT),
    "x-freerelay-preference": ("The preference in force and the level that named it.", _TEXT),
    "x-freerelay-endpoint": ("Who answered.", _TEXT),
    "x-freerelay-reason": ("Why, in one line.", _TEXT),
    "x-freerelay-attempts": ("How many endpoints were asked, where it was more than one.", _COUNT),
    "x-freerelay-settings-age": ("Age of the settings in seconds, while the database is away.", _COUNT),
    "x-ratelimit-limit-requests": ("The tenant's requests a minute.", _COUNT),
    "x-ratelimit-remaining-requests": ("How many of them are left.", _COUNT),
    "x-ratelimit-reset-requests": ("When all of them are there again, as in `12.5s`.", _TEXT),
}

HEADERS: dict[str, Any] = {name: {"description": words, "schema": schema} for name, (words, schema) in _ALL.items()}
"""The components by name. None is required but `x-request-id`."""
HEADERS["x-request-id"]["required"] = True


def headers(*names: str) -> dict[str, Any]:
    """The headers of an answer, `x-request-id` among them."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("x-request-id", *names)}
