"""Fixtures that many tests share: a real PostgreSQL, a fresh database in it, and a store on that.

Imports of the project stand inside the fixtures: a test that needs no database loads none of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from folders import database_folder
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from freerelay_core.store import Store
    from freerelay_core.store.embedded import DatabaseLease

_numbers = count(1)

# Whoever runs the tests may have pasted what `freerelay serve` prints into this shell.
for _name in [name for name in os.environ if name.startswith("FREERELAY_")]:
    del os.environ[_name]

# A busy machine is no failure: no example is timed, and the same examples are tried everywhere.
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=60)
# `make mutation` runs the tests thousands of times: the first failure is enough, however large its example.
settings.register_profile("mutation", deadline=None, derandomize=True, max_examples=30, phases=[Phase.generate])
settings.load_profile("suite")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """An empty folder that every account can pass through, with a path short enough for a socket."""
    with database_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseLease]:
    """One embedded PostgreSQL for all tests of this process. To stop one, start your own in `short_folder`."""
    from freerelay_core.store.embedded import acquire_database

    with database_folder() as folder, acquire_database(folder / "home", require_ownership=True) as lease:
        _keep_small(lease.dsn)
        yield lease


def _keep_small(dsn: str) -> None:
    """Its folder may lie in memory, where a gigabyte of write-ahead log is too much; and no disk need be waited for."""
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("alter system set max_wal_size = '128MB'")
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"alter system set {setting} = off".encode())
        connection.execute("select pg_reload_conf()")


@pytest.fixture(scope="session")
def databases(postgres: DatabaseLease) -> Databases:
    """Maker of databases on the shared server."""
    return Databases(postgres.dsn)


@pytest.fixture(scope="session")
def migrated_template(databases: Databases) -> str:
    """Name of a database that has the schema and that nobody connects to."""
    from freerelay_core.store import apply_schema

    name = f"template_{next(_numbers)}"
    asyncio.run(apply_schema(databases.create(name)))
    return name


@pytest.fixture(scope="session")
def emptied_database(databases: Databases, migrated_template: str) -> str:
    """Connection string of the database that tests empty and hand on: making one takes the kernel ten times as long."""
    return databases.create("emptied", template=migrated_template)


@pytest.fixture
def database(request: pytest.FixtureRequest, databases: Databases, migrated_template: str) -> Iterator[str]:
    """Connection string (as the owner) of a database that has the schema and no rows; a new one for a test that is
    marked `alters_schema`.
    """
    if request.node.get_closest_marker("alters_schema") is None:
        dsn: str = request.getfixturevalue("emptied_database")
        yield dsn
        databases.empty(dsn)
        return
    name = f"test_{next(_numbers)}"
    yield databases.create(name, template=migrated_template)
    databases.drop(name)


@pytest.fixture
def store_kind() -> str:
    """Which store `store` is; tests of what every store promises run with each (`tests/store/conftest.py`)."""
    return "postgresql"


@pytest.fixture
async def store(database: str, store_kind: str, anyio_backend: str) -> AsyncIterator[Store]:
    """An open store on a fresh database. The test must be async."""
    async with open_store(store_kind, database) as opened:
        yield opened


@asynccontextmanager
async def open_store(kind: str, database: str) -> AsyncIterator[Store]:
    """A store that speaks PostgreSQL with the database, or HTTP with a stand-in for Supabase on that database."""
    from freerelay_core.clock import SystemClock

    async with AsyncExitStack() as running:
        opened: Store
        if kind == "supabase":
            from freerelay_core.store.supabase import SupabaseStore
            from tests.store.postgrest import SECRET_KEY, postgrest

            project = await running.enter_async_context(postgrest(database))
            opened = SupabaseStore(project.url, SECRET_KEY, clock=SystemClock())
        else:
            from freerelay_core.store import PostgresStore

            opened = PostgresStore(database, clock=SystemClock())
        running.push_async_callback(opened.close)
        await opened.open()
        yield opened


class Databases:
    """Makes and drops databases beside the one at `dsn`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def create(self, name: str, *, template: str = "template1") -> str:
        """A new copy of `template`; returns its connection string."""
        from psycopg.conninfo import make_conninfo

        self._run(f'create database "{name}" template "{template}"')
        return make_conninfo(self._dsn, dbname=name)

    def drop(self, name: str) -> None:
        """Remove it, whoever is still connected."""
        self._run(f'drop database if exists "{name}" with (force)')

    def empty(self, dsn: str) -> None:
        """Delete every row of this database, whoever is still connected."""
        import psycopg
        from psycopg.sql import SQL, Identifier

        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
            tables = connection.execute(
                "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') "
                "and not relispartition"
            )
            for (name,) in tables.fetchall():
                connection.execute(SQL("delete from public.{}").format(Identifier(name)))

    def _run(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(statement.encode())
