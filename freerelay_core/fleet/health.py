"""How an endpoint is doing, for people and for metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["BreakerHealth", "EndpointHealth"]


@dataclass(frozen=True, slots=True)
class BreakerHealth:
    """The breaker of an endpoint's provider and model."""

    state: Literal["closed", "open", "half-open"]
    retry_s: float
    """Until one request is tried again; 0 while closed."""
    failures: int
    """In a row, up to now."""


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """One endpoint at one instant. Times in s; None where the window holds no outcome."""

    endpoint: str
    breaker: BreakerHealth
    cooling_s: float
    """Until its provider's rate limit is over; 0 when it is not waiting."""
    success: float
    """Expected share of answered requests."""
    first_token_count: int
    """Measured times to the first token in the window of about 15 minutes."""
    first_token_p50_s: float | None
    first_token_p95_s: float | None
    speed_count: int
    speed_p50: float | None
    """Tokens a second."""
