"""What is noted of a request at the door: its line in the access log, and that it was refused."""

from __future__ import annotations

import time

from starlette.types import Scope

from freerelay_core.composition import current
from freerelay_core.errors import FreeRelayError, Unavailable
from freerelay_core.logs import ACCESS, Trail

__all__ = ["count_rejected", "log_access"]

_LONGEST_PATH = 200
_NO_ANSWER = 499
"""In the place of a status where the client left before there was one."""


def log_access(scope: Scope, trail: Trail, status: int) -> None:
    """Write the line of a request that has been answered; without its query, which may hold what nobody should read."""
    fields = {
        "method": scope["method"][:20],
        "path": scope["path"][:_LONGEST_PATH],
        "status": status or _NO_ANSWER,
        "duration_s": round(time.monotonic() - trail.arrived, 6),
    }
    ACCESS.info("request", extra={"fields": fields})


def count_rejected(error: FreeRelayError) -> None:
    """Count a chat request that was refused before a decision."""
    try:
        current().tally.reject(error.code)
    except Unavailable:
        return  # there is no application, and nobody to ask for its counts
