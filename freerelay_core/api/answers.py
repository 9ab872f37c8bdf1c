"""Answers as they go out: one shape for every error, `x-request-id` on everything."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.types import Send

from freerelay_core.errors import (
    AuthenticationFailed,
    BudgetExhausted,
    FreeRelayError,
    MethodNotAllowed,
    RequestTimedOut,
    UnsoundFraming,
)

__all__ = ["JSON", "Headers", "error_headers", "new_request_id", "rate_headers", "send_answer", "send_error"]

Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")


def new_request_id() -> str:
    """What a client can name when it asks about an answer; no secret."""
    return f"req_{random.getrandbits(96):024x}"


async def send_answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """A whole answer."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: FreeRelayError, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """The error in OpenAI's shape, with `headers` besides its own."""
    body: dict[str, Any] = error.as_openai()
    await send_answer(send, error.status, [JSON, *error_headers(error), *headers], orjson.dumps(body))


def error_headers(error: FreeRelayError) -> Headers:
    """What clients read beside the body."""
    headers: Headers = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
    if isinstance(error, AuthenticationFailed):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))  # RFC 9110, 15.5.6
    if error.rate is not None:
        headers += rate_headers(*error.rate)
    if isinstance(error, BudgetExhausted):
        headers.append((b"x-should-retry", b"false"))
    if isinstance(error, RequestTimedOut | UnsoundFraming):
        headers.append((b"connection", b"close"))  # what follows on this connection may be a part of the body
    return headers


def rate_headers(limit: int, remaining: int, reset_s: float) -> Headers:
    """A tenant's requests a minute, in the headers and the form of OpenAI's."""
    reset = f"{reset_s * 1000:.0f}ms" if reset_s < 1 else f"{reset_s:.3g}s"
    return [
        (b"x-ratelimit-limit-requests", b"%d" % limit),
        (b"x-ratelimit-remaining-requests", b"%d" % remaining),
        (b"x-ratelimit-reset-requests", reset.encode()),
    ]
