"""The one place that reads time: UTC now, a monotonic counter, and sleep; and ids ordered by time.

A `Clock` is passed in wherever time matters, so that a simulator can run the same code on a virtual one.
"""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "id_at", "id_time", "new_id"]


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

    monotonic = staticmethod(time.monotonic)  # asked some twenty times a request: without a call of our own

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def new_id(clock: Clock) -> str:
    """A new id, of now. It is unlikely to be met twice; nobody is trusted for knowing it."""
    return id_at(clock.now(), random.getrandbits(74))


def id_at(at: datetime, chance: int) -> str:
    """A UUID in the layout of version 7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, then 74 of `chance`.

    `created_at` of a row is derived from its id (`id_time`), so ids sort by time and `(created_at, id)` is unique.
    """
    milliseconds = int(at.timestamp() * 1000)
    tail = f"{0x8 << 60 | chance & (1 << 62) - 1:016x}"
    head = f"{milliseconds:012x}"
    return f"{head[:8]}-{head[8:]}-7{chance >> 62:03x}-{tail[:4]}-{tail[4:]}"


def id_time(identifier: str) -> datetime:
    """The creation time (UTC, millisecond resolution) inside an id made by `id_at`."""
    return datetime.fromtimestamp(int(identifier[:8] + identifier[9:13], 16) / 1000, UTC)
