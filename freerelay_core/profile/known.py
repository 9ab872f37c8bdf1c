"""Profiles of bodies that came before: retries, evaluations, agents that poll and monitors send the same bytes again.

A body is known by its digest, so that no text of a prompt is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freerelay_core.profile.reading import profile_request
from freerelay_core.profile.values import RequestProfile

__all__ = ["KnownProfiles"]

MOST = 1024
"""Profiles that are kept, each of about 1 kB."""


class KnownProfiles:
    """`profile_request`, which reads a body that comes again once. For one thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, int, str | None, str | None], RequestProfile] = {}

    def profile(
        self, body: Mapping[str, Any], digest: bytes, *, hour_utc: int, task: str | None, depth: str | None
    ) -> RequestProfile:
        """As `profile_request` for the body that has this digest."""
        key = (digest, hour_utc, task, depth)
        known = self._known.get(key)
        if known is None:
            known = profile_request(body, hour_utc=hour_utc, task=task, depth=depth)
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = known
        return known
