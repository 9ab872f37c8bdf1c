"""Changes made by any worker, heard through LISTEN on a connection of its own."""

from __future__ import annotations

import logging
import random

import psycopg
from psycopg.rows import dict_row

from freerelay_core.clock import Clock
from freerelay_core.store.base import ChangeListener
from freerelay_core.store.connection import CONNECT_PARAMETERS, Connection, deadline

__all__ = ["deliver_changes"]

_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 5.0
_PROBE_EVERY_S = 15.0
"""A silent connection is asked this often whether it still lives."""
_ASK_LIMIT_S = 2.0

_log = logging.getLogger(__name__)


async def deliver_changes(dsn: str, listener: ChangeListener, clock: Clock) -> None:
    """Tell `listener` of every change until cancelled.

    A lost connection is made anew, after 0.1 s to 5 s with jitter; each time the listener hears `reconnected`, as
    changes may have been missed. Behind a transaction pooler nothing ever arrives; callers keep a short memory, too.
    """
    delay = _FIRST_DELAY_S
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                dsn, autocommit=True, row_factory=dict_row, **CONNECT_PARAMETERS
            ) as connection:
                with deadline(connection, _ASK_LIMIT_S):
                    await connection.execute("listen freerelay_settings")
                    await connection.execute("listen freerelay_keys")
                listener.reconnected()
                delay = _FIRST_DELAY_S
                await _relay(connection, listener)
        except (psycopg.Error, OSError) as error:
            _log.info("not hearing changes, next attempt in about %.1f s: %s", delay, error)
        # Jitter keeps the workers of one database from returning in step.
        await clock.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret
        delay = min(2 * delay, _LONGEST_DELAY_S)


async def _relay(connection: Connection, listener: ChangeListener) -> None:
    while True:
        async for notice in connection.notifies(timeout=_PROBE_EVERY_S):
            if notice.channel == "freerelay_keys":
                listener.key_changed(notice.payload)
                continue
            tenant_id, _, version = notice.payload.partition(":")
            if version.isdecimal():
                listener.settings_changed(tenant_id, int(version))
        with deadline(connection, _ASK_LIMIT_S):
            await connection.execute("select 1")
