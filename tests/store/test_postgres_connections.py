"""The PostgreSQL store's own connections: nothing of a caller stays on one, and none is lost."""

from __future__ import annotations

import asyncio
import logging

import pytest

from freerelay_core.clock import SystemClock
from freerelay_core.errors import ConfigurationError
from freerelay_core.store import PostgresStore, connection
from tests.store.helpers import until
from tests.store.line import line_to_database

pytestmark = [pytest.mark.anyio, pytest.mark.alters_schema]


@pytest.mark.parametrize("dsn", ["postgres//me:hidden@host/db", "postgresql://me:half@hidden@host/db"])
async def test_an_unreadable_connection_string_is_not_repeated(dsn):
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as refused:
        PostgresStore(dsn, clock=SystemClock())

    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("host", ["@abstract", "/folder/of@ann", ""])
async def test_an_at_sign_may_stand_in_the_name_of_a_socket(host):
    PostgresStore(f"host='{host}' user=me password=half@hidden", clock=SystemClock())


async def test_callers_that_leave_take_no_connection_with_them(store):
    tenant = await store.create_tenant("ann@x", tier="silver", allow_override=True)
    for _ in range(10):
        callers = [asyncio.create_task(store.tenant(tenant.id)) for _ in range(50)]
        await asyncio.sleep(0)
        await store.ping()
        for caller in callers[::2]:
            caller.cancel()
        results = await asyncio.gather(*callers, return_exceptions=True)
        assert all(result == tenant for result in results[1::2])

    pool = store._connections._pool
    assert pool.get_stats()["pool_size"] == pool.get_stats()["pool_available"]


async def test_a_database_that_is_away_is_tried_as_long_as_somebody_waits(database, monkeypatch):
    monkeypatch.setattr(connection, "_WAIT_S", 30.0)
    async with line_to_database(database) as line:
        connections = connection.Connections(line.address)
        await connections.open()
        line.cut()
        waiting = asyncio.create_task(connections.one(connection.SERVICE, "select 1 as one", limit_s=30.0))
        tried = line.taken
        await until(lambda: line.taken > tried + 10)
        line.mend()

        assert await waiting == {"one": 1}
        await connections.close()


async def test_the_pools_lines_about_an_absence_are_few(caplog):
    pool = logging.getLogger("psycopg.pool")
    for attempt in range(3):
        pool.warning("one kind of line: %d", attempt)
    pool.warning("another: %d", 0)

    assert [record.getMessage() for record in caplog.records] == ["one kind of line: 0", "another: 0"]
