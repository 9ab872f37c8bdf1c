"""The first moments after a start: each key is asked for once, and nothing that changed meanwhile is missed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from freerelay_core.composition import Application, beside
from freerelay_core.config import load_settings
from freerelay_core.store import KnownIdentities, PostgresStore, new_key
from tests.store.helpers import until
from tests.store.line import line_to_database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def key(store):
    tenant = await store.create_tenant("ann@x", tier="silver", allow_override=False)
    made = new_key("live")
    await store.create_key(tenant.id, name="laptop", prefix=made.prefix, key_hash=made.digest)
    return made


@pytest.fixture
def asked(monkeypatch):
    """The keys that any store of this process is asked for."""
    keys, identify = [], PostgresStore.identify

    async def watched(self, key_hash):
        keys.append(key_hash)
        return await identify(self, key_hash)

    monkeypatch.setattr(PostgresStore, "identify", watched)
    return keys


@pytest.fixture
def told(monkeypatch):
    """An entry for each time that identities were told that changes are heard of from now on."""
    times, reconnected = [], KnownIdentities.reconnected

    def watched(self):
        times.append(self)
        reconnected(self)

    monkeypatch.setattr(KnownIdentities, "reconnected", watched)
    return times


@asynccontextmanager
async def started(database, home):
    settings = load_settings(home=home, database_url=database, operator_key="k" * 40)
    application = await Application.start(settings, environment={})
    try:
        yield application
    finally:
        await application.stop()


async def test_a_key_used_right_after_the_start_is_asked_for_once(database, tmp_path, key, asked, told):
    async with line_to_database(database) as line:
        line.delay_s = 0.025
        async with started(line.address, tmp_path) as application:
            await application.identities.identify(key.secret)
            await until(lambda: told)
            await application.identities.identify(key.secret)

    assert asked == [key.digest]


async def test_a_start_that_cannot_hear_of_changes_is_ready_and_asks_again_once_it_can(
    database, tmp_path, store, key, asked, told, monkeypatch
):
    can_hear, listen = asyncio.Event(), PostgresStore.listen

    async def late(self, listener):
        await can_hear.wait()
        await listen(self, listener)

    monkeypatch.setattr(PostgresStore, "listen", late)
    monkeypatch.setattr(beside, "_FOLLOW_LIMIT_S", 0.05)
    async with started(database, tmp_path) as application:
        assert application.ready
        before = await application.identities.identify(key.secret)
        await store.update_tenant(before.tenant.id, actor="x", tier="gold")
        can_hear.set()
        await until(lambda: told)
        after = await application.identities.identify(key.secret)

    assert (before.tenant.tier, after.tenant.tier) == ("silver", "gold")
    assert asked == [key.digest] * 2
