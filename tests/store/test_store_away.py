"""The database dies, stalls and comes back: known keys go on, nothing is invented, nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psycopg
import pytest
from folders import database_folder

from freerelay_core.clock import SystemClock
from freerelay_core.errors import AuthenticationFailed, StoreUnavailable
from freerelay_core.preference import RoutingPreference
from freerelay_core.store import DecisionLog, IdempotencyKey, KnownIdentities, PostgresStore, apply_schema, new_key
from freerelay_core.store.embedded import acquire_database
from tests.store.helpers import decision, until

pytestmark = [pytest.mark.anyio, pytest.mark.alters_schema]


class Server:
    """A PostgreSQL of our own that may be killed, stalled and started again."""

    def __init__(self, home):
        self._home = home
        self._lease = acquire_database(home, require_ownership=True)
        self.dsn = self._lease.dsn

    def processes(self):
        """The server's process and its children, as the system lists them."""
        leader = int((self._home / "postgres" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        return [leader, *map(int, children)]

    def signal(self, number):
        for process in self.processes():
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue

    def kill(self):
        self.signal(signal.SIGKILL)

    def start(self):
        self._lease.restart()

    def release(self):
        self._lease.release()


@pytest.fixture(scope="module")
def private_server():
    with database_folder() as folder:
        server = Server(folder / "home")
        asyncio.run(apply_schema(server.dsn))
        yield server
        server.release()


@pytest.fixture
def server(private_server):
    """A living server without rows, which the test may kill; it is started again afterwards."""
    with psycopg.connect(private_server.dsn) as connection:
        connection.execute(
            "truncate users, api_keys, dashboard_sessions, settings_audit, decisions, published_snapshots"
        )
    yield private_server
    private_server.start()


@pytest.fixture
async def store(server):
    opened = PostgresStore(server.dsn, clock=SystemClock())
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def key(store, tenant):
    made = new_key("live")
    await store.create_key(tenant.id, name="a", prefix=made.prefix, key_hash=made.digest)
    return made


async def until_it_answers(store, tenant):
    async with asyncio.timeout(20):
        while True:
            try:
                assert await store.tenant(tenant.id) == tenant
            except StoreUnavailable:
                continue
            return


async def until_known_as(tenant, known, key):
    async with asyncio.timeout(20):
        while (identity := await known.identify(key.secret)).tenant != tenant:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert identity.settings_age_s is None


async def test_every_operation_says_unavailable_and_none_says_not_found(server, store, tenant):
    server.kill()
    key = IdempotencyKey("k", "r")

    operations = (
        store.ping(),
        store.identify("x"),
        store.tenant(tenant.id),
        store.tenant_by_email("ann@x"),
        store.set_routing_preference(tenant.id, RoutingPreference.BALANCED, actor="x"),
        store.set_routing_preference_once(tenant.id, RoutingPreference.BALANCED, actor="x", key=key, answer="{}"),
        store.add_feedback_once(tenant.id, decision(tenant.id).id, 0.5, key=key, answer="{}"),
        store.session("x"),
        store.append_decisions([decision(tenant.id)]),
        store.decision(tenant.id, decision(tenant.id).id),
        store.latest_snapshot(),
    )
    for away in await asyncio.gather(*operations, return_exceptions=True):
        assert isinstance(away, StoreUnavailable)
        assert away.status == 503
        assert away.retry_after_s
        assert server.dsn not in str(away)


async def test_it_heals_by_itself_after_a_kill(server, store, tenant):
    await asyncio.gather(*(store.tenant(tenant.id) for _ in range(20)))  # several connections, all of which die
    server.kill()
    server.start()

    saved = await store.set_routing_preference(tenant.id, RoutingPreference.BALANCED, actor="x")

    results = await asyncio.gather(*(store.tenant(tenant.id) for _ in range(20)))
    assert results == [saved] * 20


async def test_it_heals_by_itself_after_it_was_noticed_to_be_away(server, store, tenant):
    server.kill()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await store.ping()
    server.start()

    await until_it_answers(store, tenant)


async def test_a_stalled_server_is_unavailable_not_waited_for(server, store, tenant, key):
    known = KnownIdentities(store, SystemClock())
    await known.identify(key.secret)
    server.signal(signal.SIGSTOP)
    try:
        async with asyncio.timeout(20):
            with pytest.raises(StoreUnavailable):
                await store.tenant(tenant.id)
            with pytest.raises(StoreUnavailable):
                await known.identify(new_key("live").secret)
        assert (await known.identify(key.secret)).tenant == tenant
    finally:
        server.signal(signal.SIGCONT)

    await until_it_answers(store, tenant)


async def test_known_keys_go_on_for_five_minutes_and_unknown_ones_are_unavailable(server, store, tenant, key, clock):
    known = KnownIdentities(store, clock)
    await known.identify(key.secret)
    stranger = new_key("live")
    server.kill()

    clock.advance(31)
    for _ in range(2):
        identity = await known.identify(key.secret)
        assert (identity.tenant, identity.settings_age_s) == (tenant, 31)
        with pytest.raises(StoreUnavailable):
            await known.identify(stranger.secret)
    clock.advance(300 - 31)
    assert (await known.identify(key.secret)).settings_age_s == 300

    clock.advance(0.1)
    with pytest.raises(StoreUnavailable):
        await known.identify(key.secret)


async def test_an_unavailable_answer_is_not_remembered(server, store, key, tenant, clock):
    known = KnownIdentities(store, clock)
    server.kill()
    with pytest.raises(StoreUnavailable):
        await known.identify(key.secret)

    server.start()

    assert (await known.identify(key.secret)).tenant == tenant


async def test_a_key_known_to_be_revoked_is_not_served_while_the_store_is_away(server, store, key, clock):
    known = KnownIdentities(store, clock)
    await known.identify(key.secret)
    known.key_changed(key.digest)
    server.kill()

    with pytest.raises(StoreUnavailable):
        await known.identify(key.secret)


async def test_a_key_revoked_while_its_caller_waits_for_the_absent_store_is_not_served(server, store, key, clock):
    known = KnownIdentities(store, clock)
    await known.identify(key.secret)
    clock.advance(31)
    server.kill()
    waiting = asyncio.create_task(known.identify(key.secret))
    await asyncio.sleep(0)

    known.key_changed(key.digest)

    with pytest.raises(StoreUnavailable):
        await waiting


async def test_a_refused_key_is_not_served_while_the_store_is_away(server, store, tenant, key, clock):
    known = KnownIdentities(store, clock)
    identity = await known.identify(key.secret)
    await store.revoke_key(tenant.id, identity.key_id)
    clock.advance(30)
    with pytest.raises(AuthenticationFailed):
        await known.identify(key.secret)
    server.kill()

    with pytest.raises(AuthenticationFailed):
        await known.identify(key.secret)
    clock.advance(6)
    with pytest.raises(StoreUnavailable):
        await known.identify(key.secret)


async def test_settings_known_to_have_changed_serve_their_last_value_while_the_store_is_away(
    server, store, tenant, key, clock
):
    known = KnownIdentities(store, clock)
    await known.identify(key.secret)
    known.settings_changed(tenant.id, 99)
    server.kill()

    assert (await known.identify(key.secret)).tenant == tenant


async def test_known_keys_follow_the_store_again_when_it_is_back(server, store, tenant, key, clock):
    known = KnownIdentities(store, clock)
    await known.identify(key.secret)
    server.kill()
    clock.advance(31)
    await known.identify(key.secret)
    server.start()
    saved = await store.set_routing_preference(tenant.id, RoutingPreference.COST_OPTIMIZED, actor="elsewhere")

    await until_known_as(saved, known, key)


async def test_last_uses_survive_the_stores_absence(server, store, tenant, key, clock):
    known = KnownIdentities(store, clock)
    await known.identify(key.secret)
    server.kill()
    with pytest.raises(StoreUnavailable):
        await known.flush_last_used()
    server.start()

    await known.flush_last_used()

    assert (await store.list_keys(tenant.id))[0].last_used_at == clock.now()


async def test_a_listener_hears_again_after_a_kill(server, store, tenant, key):
    known = KnownIdentities(store, SystemClock())
    listening = asyncio.create_task(store.listen(known))
    await known.identify(key.secret)
    server.kill()
    server.start()
    other = PostgresStore(server.dsn, clock=SystemClock())
    await other.open()

    saved = await other.set_routing_preference(tenant.id, RoutingPreference.COST_OPTIMIZED, actor="elsewhere")

    await until_known_as(saved, known, key)
    await other.close()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_no_acknowledged_write_is_lost_by_kills_under_load(server, store, tenant):
    acknowledged = [tenant]
    stop = asyncio.Event()

    async def write():
        preferences = [*RoutingPreference]
        while not stop.is_set():
            version = acknowledged[-1].settings_version
            try:
                acknowledged.append(await store.set_routing_preference(tenant.id, preferences[version % 3], actor="x"))
            except StoreUnavailable:
                await asyncio.sleep(0.01)

    writer = asyncio.create_task(write())
    for _ in range(3):
        written = len(acknowledged)
        await until(lambda written=written: len(acknowledged) >= written + 20)
        server.kill()
        await asyncio.to_thread(server.start)
    stop.set()
    await writer

    now = await store.tenant(tenant.id)
    assert now.settings_version >= acknowledged[-1].settings_version
    history = {change.new_value for change in await store.settings_history(tenant.id, limit=10_000)}
    assert history == set(RoutingPreference)
    assert len(await store.settings_history(tenant.id, limit=10_000)) == now.settings_version - 1


async def test_changes_repeated_with_their_keys_are_made_once_over_kills_under_load(server, store, tenant):
    answered, stop = [], asyncio.Event()

    async def write():
        preferences = [*RoutingPreference]
        while not stop.is_set():
            number = len(answered)  # each differs from the one before, so each is in the history
            key = IdempotencyKey.of(f"k{number}", tenant_id=tenant.id, use=["settings"], request=[number % 3])
            wish, answer = preferences[number % 3], '{"settings_version":"@settings_version"}'
            try:
                made = await store.set_routing_preference_once(tenant.id, wish, actor="x", key=key, answer=answer)
            except StoreUnavailable:
                await asyncio.sleep(0.01)
            else:
                answered.append(made.answer)

    writer = asyncio.create_task(write())
    for _ in range(3):
        written = len(answered)
        await until(lambda written=written: len(answered) >= written + 20)
        server.kill()
        await asyncio.to_thread(server.start)
    stop.set()
    await writer

    assert answered == [f'{{"settings_version":{version}}}' for version in range(2, len(answered) + 2)]
    with psycopg.connect(server.dsn) as connection:
        of_tenant = "select count(*) from remembered_answers where user_id = %s"
        remembered = connection.execute(of_tenant, [tenant.id]).fetchone()[0]
    # The last one may have been made and its answer lost: then nobody has asked again.
    assert (await store.tenant(tenant.id)).settings_version == 1 + remembered
    assert remembered - len(answered) in (0, 1)


async def test_the_decision_log_loses_and_doubles_nothing_over_kills(server, store, tenant):
    log = DecisionLog(store, SystemClock(), batch=20, interval_s=0.01)
    writer = asyncio.create_task(log.run())
    recorded = []
    for _ in range(3):
        for _ in range(100):
            made = decision(tenant.id)
            log.record(made.id, lambda made=made: made)
            recorded.append(made.id)
            await asyncio.sleep(0)
        await until(lambda: log.pending <= 60)
        server.kill()
        made = decision(tenant.id)
        log.record(made.id, lambda made=made: made)
        recorded.append(made.id)
        assert await log.find(tenant.id, made.id) == made
        await asyncio.to_thread(server.start)
    await until(lambda: not log.pending)
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)

    with psycopg.connect(server.dsn) as connection:
        rows = [str(row[0]) for row in connection.execute("select id from decisions").fetchall()]
    assert sorted(rows) == sorted(recorded)
    assert log.dropped == 0


async def test_a_log_closed_while_the_store_is_away_counts_what_it_loses(server, store, tenant, caplog):
    log = DecisionLog(store, SystemClock())
    server.kill()
    for _ in range(3):
        made = decision(tenant.id)
        log.record(made.id, lambda made=made: made)

    await log.close(limit_s=0.5)

    assert (log.pending, log.dropped) == (0, 3)
    assert "3 decisions are lost" in caplog.text
