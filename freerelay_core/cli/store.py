"""How a command reaches the database: one elsewhere, or this install's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from freerelay_core.clock import Clock
from freerelay_core.composition.stores import store_elsewhere
from freerelay_core.config import Settings
from freerelay_core.store import PostgresStore, Store
from freerelay_core.store.embedded import acquire_database

__all__ = ["with_store"]

T = TypeVar("T")


def with_store(settings: Settings, clock: Clock, work: Callable[[Store], Awaitable[T]]) -> T:
    """The result of `work` on the store that the settings name, open for as long as it takes.

    Where the data lies in the home, a running server's database is joined, and otherwise it is started meanwhile.
    """
    return asyncio.run(_on_the_store(settings, clock, work))


async def _on_the_store(settings: Settings, clock: Clock, work: Callable[[Store], Awaitable[T]]) -> T:
    store = store_elsewhere(settings, clock)
    if store is not None:
        return await _opened(store, work)
    with acquire_database(settings.home) as lease:
        return await _opened(PostgresStore(lease.dsn, clock=clock), work)


async def _opened(store: Store, work: Callable[[Store], Awaitable[T]]) -> T:
    try:
        await store.open()
        return await work(store)
    finally:
        await store.close()
