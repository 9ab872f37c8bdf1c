"""Changes made by any worker, asked for once a second: over HTTP nobody is told."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from freerelay_core.clock import Clock
from freerelay_core.errors import StoreUnavailable
from freerelay_core.store.base import ChangeListener

__all__ = ["poll_changes"]

_EVERY_S = 1.0
_LONGEST_DELAY_S = 5.0

_log = logging.getLogger(__name__)


async def poll_changes(
    ask: Callable[[str | None], Awaitable[Mapping[str, Any]]], listener: ChangeListener, clock: Clock
) -> None:
    """Tell `listener` of every change until cancelled.

    `ask(cursor)` is the schema's `changes_since`. After an absence of the store the listener hears `reconnected`
    instead of what it missed, as at the beginning.
    """
    cursor: str | None = None
    told: frozenset[int] = frozenset()
    delay = _EVERY_S
    while True:
        try:
            answer = await ask(cursor)
        except StoreUnavailable as error:
            _log.info("not hearing changes, next attempt in about %.1f s: %s", delay, error)
            cursor = None
            # Jitter keeps the workers of one project from returning in step.
            await clock.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret
            delay = min(2 * delay, _LONGEST_DELAY_S)
            continue
        if cursor is None:
            listener.reconnected()
        changes = answer["changes"]
        _tell(listener, (change for change in changes if change["id"] not in told))
        cursor, told, delay = answer["cursor"], frozenset(change["id"] for change in changes), _EVERY_S
        await clock.sleep(_EVERY_S)


def _tell(listener: ChangeListener, changes: Iterable[Mapping[str, Any]]) -> None:
    for change in changes:
        if change["key_hash"] is not None:
            listener.key_changed(change["key_hash"])
        else:
            listener.settings_changed(change["user_id"], change["settings_version"])
