"""The one place that reads time: UTC now, a monotonic counter, and sleep; and ids ordered by time.

A `Clock` is passed in wherever time matters, so that a simulator can run the same code on a virtual one.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "id_time", "new_id"]


class Clock(Protocol):
    """Source of time."""

    def now(self) -> datetime:
        """Present time, UTC, timezone-aware."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of this clock's time."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def new_id(clock: Clock) -> str:
    """A new UUID in the layout of version 7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, then random.

    `created_at` of a row is derived from its id (`id_time`), so ids sort by time and `(created_at, id)` is unique.
    """
    milliseconds = int(clock.now().timestamp() * 1000)
    value = (milliseconds << 80) | secrets.randbits(80)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return str(uuid.UUID(int=value))


def id_time(identifier: str) -> datetime:
    """The creation time (UTC, millisecond resolution) inside an id made by `new_id`."""
    return datetime.fromtimestamp((uuid.UUID(identifier).int >> 80) / 1000, UTC)
