"""How a command reaches the database: one elsewhere, or this install's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from freerelay_core.clock import Clock
from freerelay_core.composition.stores import store_elsewhere
from freerelay_core.config import Settings
from freerelay_core.errors import ConfigurationError
from freerelay_core.store import PostgresStore, Store
from freerelay_core.store.embedded import acquire_database, has_database

__all__ = ["place_of_store", "with_store"]

T = TypeVar("T")


def place_of_store(settings: Settings) -> str:
    """Where the store lies, with the setting that says so: no address, which may hold a password."""
    if settings.local:
        return f"in {settings.home.absolute()} (FREERELAY_HOME)"
    return f"at {'SUPABASE_URL' if settings.database_url is None else 'DATABASE_URL'}"


def with_store(
    settings: Settings, clock: Clock, work: Callable[[Store], Awaitable[T]], *, may_create: bool = False
) -> T:
    """The result of `work` on the store that the settings name, open for as long as it takes.

    Where the data lies in the home, a running server's database is joined, and otherwise it is started meanwhile. One
    is created only where it `may_create`, which is said on standard error; else raises `ConfigurationError`.
    """
    if settings.local and not has_database(settings.home):
        if not may_create:
            raise ConfigurationError(
                f"There is no database {place_of_store(settings)}: set FREERELAY_HOME to the home of the FreeRelay "
                "that is meant (.freerelay where it was started), or start one with `freerelay serve`.",
                param="FREERELAY_HOME",
            )
        return asyncio.run(_on_the_store(settings, clock, work, is_new=True))
    return asyncio.run(_on_the_store(settings, clock, work))


async def _on_the_store(
    settings: Settings, clock: Clock, work: Callable[[Store], Awaitable[T]], *, is_new: bool = False
) -> T:
    store = store_elsewhere(settings, clock)
    if store is not None:
        return await _opened(store, work)
    with acquire_database(settings.home) as lease:
        if is_new:
            typer.echo(f"A new database was made {place_of_store(settings)}.", err=True)
        return await _opened(PostgresStore(lease.dsn, clock=clock), work)


async def _opened(store: Store, work: Callable[[Store], Awaitable[T]]) -> T:
    try:
        await store.open()
        return await work(store)
    finally:
        await store.close()
