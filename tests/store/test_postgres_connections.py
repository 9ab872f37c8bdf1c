"""The PostgreSQL store's own connections: nothing of a caller stays on one, and none is lost."""

from __future__ import annotations

import asyncio

import pytest

from freerelay_core.clock import SystemClock
from freerelay_core.errors import ConfigurationError
from freerelay_core.store import PostgresStore

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
