"""How long a provider is waited for, where the operator says otherwise than the router's own limits."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["USUAL_WAITS", "Waits"]


@dataclass(frozen=True, slots=True)
class Waits:
    """Limits in s; None: the usual one."""

    connect_s: float | None = None
    """To open a connection."""
    first_token_s: float | None = None
    """To the first content of a stream, or for an answer in one piece; more where the expected duration asks for it."""
    idle_s: float | None = None
    """Between two chunks of a stream."""
    total_s: float | None = None
    """For one attempt; never beyond what is left to the request."""


USUAL_WAITS = Waits()
