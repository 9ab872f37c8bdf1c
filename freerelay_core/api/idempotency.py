"""The header by which a client may send a change again without making it twice."""

from __future__ import annotations

import re

from fastapi import Request, Response

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.store import Answered

__all__ = ["IDEMPOTENCY_KEY", "KEY_PATTERN", "REPLAYED", "answer_once", "idempotency_key"]

IDEMPOTENCY_KEY = "Idempotency-Key"
KEY_PATTERN = "^[!-~]{1,255}$"
"""Visible ASCII; what is in it is the client's own affair."""
REPLAYED = "idempotent-replayed"
"""Says of an answer that it was given before, and that nothing was written for this one."""

_KEY = re.compile(KEY_PATTERN)


async def idempotency_key(request: Request) -> str | None:
    """The key that the request brings; None where it brings none. Raises `UnprocessableRequest`."""
    values = request.headers.getlist(IDEMPOTENCY_KEY)
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise UnprocessableRequest(
            f"{IDEMPOTENCY_KEY} must be one header of 1 to 255 visible ASCII characters.", param=IDEMPOTENCY_KEY
        )
    return values[0]


def answer_once(answered: Answered) -> Response:
    """The answer as it is kept. Only what succeeded is."""
    headers = {REPLAYED: "true"} if answered.replayed else None
    return Response(answered.answer.encode(), headers=headers, media_type="application/json")
