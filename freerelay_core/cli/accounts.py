"""How commands that change accounts reach the database: one elsewhere, or this install's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from freerelay_core.clock import SystemClock
from freerelay_core.composition.accounts import Accounts
from freerelay_core.composition.stores import store_elsewhere
from freerelay_core.config import load_settings
from freerelay_core.store import PostgresStore, Store
from freerelay_core.store.embedded import acquire_database

__all__ = ["with_accounts"]

T = TypeVar("T")


def with_accounts(work: Callable[[Accounts], Awaitable[T]]) -> T:
    """The result of `work` on the accounts of this deployment.

    Where the data lies in the home, a running server's database is joined, and otherwise it is started for as long as
    this takes. Running servers hear of every change from it.
    """
    return asyncio.run(_on_the_store(work))


async def _on_the_store(work: Callable[[Accounts], Awaitable[T]]) -> T:
    settings, clock = load_settings(), SystemClock()
    store = store_elsewhere(settings, clock)
    if store is not None:
        return await _work(store, clock, work)
    with acquire_database(settings.home) as lease:
        return await _work(PostgresStore(lease.dsn, clock=clock), clock, work)


async def _work(store: Store, clock: SystemClock, work: Callable[[Accounts], Awaitable[T]]) -> T:
    try:
        await store.open()
        return await work(Accounts(store, clock))
    finally:
        await store.close()
