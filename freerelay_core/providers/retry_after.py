"""Reads how long a provider asks us to wait."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["retry_after_s"]


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds stated by `retry-after-ms` or `Retry-After` (a number or a date); None where neither can be read."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # a year, or a zone, of too many digits
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())


def _number(value: str | None) -> float | None:
    """The number, unless it is none, negative or beyond all sense."""
    if value is None or not value.strip().replace(".", "", 1).isdecimal() or len(value) > 12:
        return None
    return float(value)
