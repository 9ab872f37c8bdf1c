"""What a request takes from the quota of the endpoint it is sent to, and what is told to a client that finds none."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from math import ceil

from freerelay_core.decision import Decision
from freerelay_core.errors import RateLimited
from freerelay_core.fleet import Fleet, Reservation
from freerelay_core.providers import UpstreamAnswer, UpstreamRequest, Usage, exhausted, rate_limits

__all__ = ["have_to_wait", "hear", "settle"]


def settle(fleet: Fleet, reservation: Reservation, usage: Usage | None) -> None:
    """Count what the provider has counted; where it does not say, what was expected stands."""
    if usage is not None:
        fleet.settle(reservation, usage.input_tokens + usage.output_tokens)


def hear(
    fleet: Fleet, request: UpstreamRequest, reservation: Reservation, answer: UpstreamAnswer, now: datetime
) -> str | None:
    """Take in what the provider says of its limits; returns those of which nothing is left, in words."""
    statements = rate_limits(answer.headers, request.provider.id, now)
    fleet.hear(request.index, reservation, statements)
    return exhausted(statements) if statements else None


def have_to_wait(fleet: Fleet, decision: Decision, endpoints: Iterable[int]) -> RateLimited | None:
    """The error for a request that none of these endpoints may take now; None where none of them has to wait."""
    tokens = decision.evaluation.decoded_tokens * decision.profile.answers + decision.profile.input_tokens
    wait_s = fleet.retry_after_s(endpoints, tokens.tolist())
    if wait_s is None:
        return None
    return RateLimited(
        "Every endpoint that could serve this request has used up its quota or was asked to wait by its provider; the "
        f"first is free in {ceil(wait_s)} s. Try again then, or ask the operator for higher limits.",
        retry_after_s=wait_s,
    )
