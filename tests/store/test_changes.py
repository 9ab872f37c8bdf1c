"""Changes by any worker, heard by every other."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from freerelay_core.clock import SystemClock
from freerelay_core.preference import RoutingPreference
from freerelay_core.store import PostgresStore, changes, new_key
from tests.store.helpers import until
from tests.store.line import line_to_database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def tenant(store):
    return await store.create_tenant("ann@x", tier="silver", allow_override=True)


@pytest.fixture
async def key(store, tenant):
    """(secret and digest, what the store shows of it)"""
    made = new_key("live")
    return made, await store.create_key(tenant.id, name="laptop", prefix=made.prefix, key_hash=made.digest)


class Heard:
    """A listener that hands on what it hears."""

    def __init__(self):
        self.events = asyncio.Queue()

    def settings_changed(self, tenant_id, settings_version):
        self.events.put_nowait(("settings", tenant_id, settings_version))

    def key_changed(self, key_hash):
        self.events.put_nowait(("key", key_hash))

    def reconnected(self):
        self.events.put_nowait(("reconnected",))

    async def next(self):
        async with asyncio.timeout(20):
            return await self.events.get()


@pytest.fixture
async def heard(store):
    listener = Heard()
    task = asyncio.create_task(store.listen(listener))
    assert await listener.next() == ("reconnected",)
    yield listener
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.every_store
async def test_a_listener_hears_of_settings_and_keys(store, tenant, key, heard, sql):
    await store.set_routing_preference(tenant.id, RoutingPreference.BALANCED, actor="x")
    assert await heard.next() == ("settings", tenant.id, 2)
    sql.owner("update users set tier = 'gold'")
    assert await heard.next() == ("settings", tenant.id, 3)
    await store.touch_keys({key[1].id: datetime.now(UTC)})
    await store.revoke_key(tenant.id, key[1].id)
    assert await heard.next() == ("key", key[0].digest)


@pytest.mark.every_store
async def test_a_listener_hears_of_an_expiry_and_of_a_deletion(store, tenant, key, heard, sql):
    sql.owner("update api_keys set expires_at = now()")
    assert await heard.next() == ("key", key[0].digest)
    sql.owner("delete from users")
    assert await heard.next() == ("key", key[0].digest)


async def test_a_listener_that_lost_its_connection_is_told_and_hears_again(store, tenant, heard, sql):
    sql.owner("select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%%'")
    assert await heard.next() == ("reconnected",)

    await store.set_routing_preference(tenant.id, RoutingPreference.BALANCED, actor="x")

    assert await heard.next() == ("settings", tenant.id, 2)


async def test_a_database_that_stalls_when_asked_to_tell_is_asked_on_another_connection(database, monkeypatch):
    monkeypatch.setattr(changes, "_ASK_LIMIT_S", 0.2)
    listener = Heard()
    async with line_to_database(database) as line:
        line.hold_at = b"listen freerelay_settings"
        listening = asyncio.create_task(PostgresStore(line.address, clock=SystemClock()).listen(listener))
        await until(lambda: line.taken > 1)
        line.hold_at = None
        line.mend()
        assert await listener.next() == ("reconnected",)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_rubbish_on_the_channel_is_passed_over(store, tenant, heard, sql):
    for payload in ("", "x", ":", "x:y", f"{tenant.id}:-1"):
        sql.owner("select pg_notify('freerelay_settings', %s)", payload)
    await store.set_routing_preference(tenant.id, RoutingPreference.BALANCED, actor="x")

    assert await heard.next() == ("settings", tenant.id, 2)
