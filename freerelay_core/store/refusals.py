"""What either store answers when something is not there, not allowed, or not as the caller last saw it."""

from __future__ import annotations

import uuid
from typing import TypeVar

from freerelay_core.errors import Conflict, FreeRelayError, NotFound, UnprocessableRequest
from freerelay_core.store.values import LARGEST_BUDGET_USD, TIERS

__all__ = [
    "address_taken",
    "bad_budget",
    "checked_id",
    "found",
    "graded_already",
    "key_known",
    "not_found",
    "once_refusals",
    "settings_changed",
    "unknown_tier",
]

T = TypeVar("T")


def not_found() -> NotFound:
    """The answer for what does not exist and for what is another tenant's."""
    return NotFound("There is no such thing, or it is not yours.")


def found(row: T | None) -> T:
    """The row, or `NotFound`."""
    if row is None:
        raise not_found()
    return row


def checked_id(identifier: str) -> str:
    """The id, or `NotFound`: what is no id names nothing."""
    try:
        return str(uuid.UUID(identifier))
    except ValueError:
        raise not_found() from None


def unknown_tier() -> UnprocessableRequest:
    return UnprocessableRequest(f"tier must be one of {', '.join(TIERS)}.", param="tier")


def bad_budget() -> UnprocessableRequest:
    return UnprocessableRequest(
        f"budget_usd must be from 0 to {LARGEST_BUDGET_USD:,.0f} USD a month, or null for no budget.",
        param="budget_usd",
    )


def address_taken(email: str) -> Conflict:
    return Conflict(f"A tenant with the address {email!r} exists.", param="email")


def key_known() -> Conflict:
    return Conflict("This key is already stored.")


def graded_already() -> Conflict:
    return Conflict("This decision has its grade already; a decision is graded once.", code="graded_already")


def once_refusals() -> dict[str, FreeRelayError]:
    """What a write with an idempotency key may be answered, by the SQLSTATE of the schema's functions."""
    return {
        "PT422": UnprocessableRequest(
            "This Idempotency-Key was sent with another request in the last 24 hours. A new request needs a new key.",
            code="idempotency_key_reused",
            param="Idempotency-Key",
        ),
        "PT425": Conflict(
            "A request with this Idempotency-Key is being answered. Send it again in a moment.",
            code="idempotency_key_in_use",
            param="Idempotency-Key",
        ),
    }


def settings_changed(present: int | str, expected: int | None) -> Conflict:
    """The answer to a write on an outdated version of the settings."""
    return Conflict(
        f"The settings changed meanwhile: they are at version {present}, not {expected}. Read them again, then save.",
        code="settings_changed",
        param="settings_version",
    )
