"""What known keys, new keys and other workers notice of a database that is slow, stalled, or asked by all at once."""

from __future__ import annotations

import asyncio

import pytest

from freerelay_core.clock import SystemClock
from freerelay_core.errors import AuthenticationFailed, StoreUnavailable
from freerelay_core.preference import RoutingPreference
from freerelay_core.store import KnownIdentities, PostgresStore, key_digest, new_key
from tests.store.helpers import until
from tests.store.line import line_to_database

pytestmark = pytest.mark.anyio

FEW = 4
"""Fewer than there are connections: nobody waits for another's."""


class Counted:
    """A real store whose questions about keys are counted."""

    def __init__(self, store):
        self._store = store
        self.asked = []

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def identify(self, key_hash):
        self.asked.append(key_hash)
        return await self._store.identify(key_hash)


@pytest.fixture
async def line(database):
    async with line_to_database(database) as opened:
        yield opened


@pytest.fixture
async def far(line):
    """A store at the other end of the line, with a connection, as a start leaves it."""
    opened = PostgresStore(line.address, clock=SystemClock())
    await opened.open()
    await opened.ping()
    yield opened
    await opened.close()


@pytest.fixture
def tenants(sql):
    """Five hundred tenants with a key each: the tenant's id by the key's secret."""
    keys = [new_key("live") for _ in range(500)]
    rows = sql.owner(
        "with made as (insert into users (email) select n || '@x' from generate_series(1, 500) n returning id, email), "
        "keyed as (insert into api_keys (user_id, name, prefix, key_hash) select id, 'a', 'fr_live_', "
        "(%s::text[])[split_part(email, '@', 1)::int] from made returning user_id, key_hash) select * from keyed",
        [key.digest for key in keys],
    )
    by_digest = {key_hash: str(user_id) for user_id, key_hash in rows}
    return {key.secret: by_digest[key.digest] for key in keys}


async def refused(known, secret):
    try:
        await known.identify(secret)
    except AuthenticationFailed:
        return True
    return False


async def test_a_cold_start_on_a_slow_database_asks_once_for_each_key_and_fails_nobody(line, far, tenants):
    counted = Counted(far)
    known = KnownIdentities(counted, SystemClock())
    line.delay_s = 0.025  # 50 ms there and back

    async def call(number, secret):
        await asyncio.sleep(number * 0.002)
        return (await known.identify(secret)).tenant.id

    crowd = [secret for secret in tenants for _ in range(2)]
    answers = await asyncio.gather(*(call(number, secret) for number, secret in enumerate(crowd)))

    assert answers == [tenants[secret] for secret in crowd]
    assert sorted(counted.asked) == sorted(map(key_digest, tenants))


async def test_a_stalled_database_is_not_noticed_by_known_keys_and_unavailable_to_new_ones(line, far, tenants, clock):
    known = KnownIdentities(far, clock)
    secrets = list(tenants)[:20]
    for secret in secrets:
        await known.identify(secret)
    line.hold()
    clock.advance(25)
    await known.identify(secrets[0])  # asks ahead, in vain
    await until(lambda: known._store_away)

    for passed_s in (1, 5, 170):
        clock.advance(passed_s)
        for secret in secrets:
            answer = asyncio.ensure_future(known.identify(secret))
            await asyncio.sleep(0)
            assert answer.done()  # without waiting for anything
            assert answer.result().tenant.id == tenants[secret]

    loop = asyncio.get_running_loop()
    started = loop.time()
    results = await asyncio.gather(*(known.identify(new_key("live").secret) for _ in range(50)), return_exceptions=True)
    assert {type(result) for result in results} == {StoreUnavailable}
    assert loop.time() - started < 10  # far above what it takes, 1 s: a guard against waiting in turn
    line.mend()


async def test_a_storm_of_callers_who_leave_mixes_up_nobody_and_keeps_no_connection(line, far, tenants):
    known = KnownIdentities(far, SystemClock())
    line.delay_s = 0.001
    for turn in range(2):
        known.reconnected()  # all is asked again
        calls = [asyncio.ensure_future(known.identify(secret)) for secret in tenants]
        for number, call in enumerate(calls):
            if number % 20 == 0:
                await asyncio.sleep(0)
            if number % 2 == turn:
                call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for secret, answer in zip(tenants, answers, strict=True):
            assert isinstance(answer, asyncio.CancelledError) or answer.tenant.id == tenants[secret]

    wanted = list(tenants.values())[:40]
    for start in range(0, 40, FEW):
        together = await asyncio.gather(*(far.tenant(tenant_id) for tenant_id in wanted[start : start + FEW]))
        assert [tenant.id for tenant in together] == wanted[start : start + FEW]
    await until(lambda: far._connections._pool.get_stats()["pool_available"] > 0)
    stats = far._connections._pool.get_stats()
    assert stats["pool_available"] == stats["pool_size"]


async def test_another_worker_sees_a_change_and_a_revocation_when_it_hears_of_them(store, tenants, database):
    other = PostgresStore(database, clock=SystemClock())
    await other.open()
    known = KnownIdentities(other, SystemClock())
    secret, tenant_id = next(iter(tenants.items()))
    listening = asyncio.create_task(other.listen(known))
    await known.identify(secret)
    generation = known._generation
    await until(lambda: known._generation > generation or generation > 0)

    await store.set_routing_preference(tenant_id, RoutingPreference.COST_OPTIMIZED, actor="x")
    async with asyncio.timeout(10):
        while (await known.identify(secret)).tenant.routing_preference is None:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert (await known.identify(secret)).tenant.routing_preference is RoutingPreference.COST_OPTIMIZED
    (key,) = await store.list_keys(tenant_id)
    await store.revoke_key(tenant_id, key.id)
    async with asyncio.timeout(10):
        while not await refused(known, secret):  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await other.close()
