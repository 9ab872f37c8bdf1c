"""Known identities: what is asked, what is remembered, and for how long. The clock stands still unless moved."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freerelay_core.clock import SystemClock, new_id
from freerelay_core.errors import AuthenticationFailed
from freerelay_core.preference import RoutingPreference
from freerelay_core.store import ApiKey, KnownIdentities, PostgresStore, key_digest, new_key
from freerelay_core.store.keys import _checksum
from tests.store.helpers import until

pytestmark = pytest.mark.anyio


class Watched:
    """A real store whose questions about keys are counted, and can be held up on their way back."""

    def __init__(self, store):
        self._store = store
        self.asked = []
        self.answers_pass = asyncio.Event()
        self.answers_pass.set()
        self.answer_waits = asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def identify(self, key_hash):
        self.asked.append(key_hash)
        answer = await self._store.identify(key_hash)
        self.answer_waits.set()
        await self.answers_pass.wait()
        return answer


@pytest.fixture
async def watched(store):
    return Watched(store)


@pytest.fixture
async def known(watched, clock):
    return KnownIdentities(watched, clock, operator_digest=new_key("admin").digest)


@pytest.fixture
async def key(store, tenant):
    made = new_key("live")
    await store.create_key(tenant.id, name="a", prefix=made.prefix, key_hash=made.digest)
    return made


async def test_a_known_key_is_asked_for_once_in_thirty_seconds(known, watched, clock, tenant, key):
    assert (await known.identify(key.secret)).tenant == tenant
    clock.advance(29.9)
    assert (await known.identify(key.secret)).tenant == tenant
    assert len(watched.asked) == 1

    clock.advance(0.1)
    await known.identify(key.secret)

    assert len(watched.asked) == 2


async def test_an_old_answer_is_asked_for_beside_the_requests(known, watched, store, clock, tenant, key):
    await known.identify(key.secret)
    watched.answers_pass.clear()
    watched.answer_waits.clear()
    clock.advance(25)
    for _ in range(3):
        assert (await known.identify(key.secret)).tenant == tenant
    await watched.answer_waits.wait()
    assert len(watched.asked) == 2

    watched.answers_pass.set()
    await until(lambda: not known._lookups)
    clock.advance(20)
    await known.identify(key.secret)
    assert len(watched.asked) == 2


async def test_a_fresh_key_needs_no_turn_of_the_event_loop(known, key):
    identity = await known.identify(key.secret)
    tasks = asyncio.all_tasks()
    call = known.identify(key.secret)

    with pytest.raises(StopIteration) as answered:
        call.send(None)

    assert answered.value.value == identity
    assert asyncio.all_tasks() == tasks


async def test_a_crowd_with_one_new_key_asks_once(known, watched, tenant, key):
    identities = await asyncio.gather(*(known.identify(key.secret) for _ in range(100)))

    assert {identity.tenant.id for identity in identities} == {tenant.id}
    assert len(watched.asked) == 1


async def test_a_caller_who_leaves_does_not_take_the_answer_from_the_others(known, watched, tenant, key):
    watched.answers_pass.clear()
    callers = [asyncio.create_task(known.identify(key.secret)) for _ in range(3)]
    await watched.answer_waits.wait()

    callers[0].cancel()
    watched.answers_pass.set()
    results = await asyncio.gather(*callers, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1].tenant == results[2].tenant == tenant


async def test_every_refusal_reads_the_same(known, store, tenant, key, sql):
    revoked, expired = new_key("live"), new_key("live")
    info = await store.create_key(tenant.id, name="r", prefix=revoked.prefix, key_hash=revoked.digest)
    await store.revoke_key(tenant.id, info.id)
    await store.create_key(tenant.id, name="e", prefix=expired.prefix, key_hash=expired.digest)
    sql.owner("update api_keys set expires_at = now() where key_hash = %s", expired.digest)
    secrets = [revoked.secret, expired.secret, new_key("live").secret, new_key("admin").secret]

    answers = set()
    for secret in [*secrets, key.secret[:-1], "", "\ud800", "Bearer x", "fr_live_"]:
        with pytest.raises(AuthenticationFailed) as refused:
            await known.identify(secret)
        answers.add(str(refused.value.as_openai()))

    assert len(answers) == 1


async def test_a_malformed_key_never_reaches_the_database(known, watched, key):
    for secret in ("", "x", key.secret + "x", key.secret[:-1] + "!", "fr_live_" + "0" * 49):
        with pytest.raises(AuthenticationFailed):
            await known.identify(secret)

    assert watched.asked == []


async def test_an_unknown_key_is_asked_for_once_in_five_seconds(known, watched, clock):
    secret = new_key("live").secret
    for advance in (0, 4.9, 0.1):
        clock.advance(advance)
        with pytest.raises(AuthenticationFailed):
            await known.identify(secret)

    assert len(watched.asked) == 2


async def test_the_operator_is_known_by_digest_without_the_database(watched, clock):
    operator = new_key("admin")
    known = KnownIdentities(watched, clock, operator_digest=operator.digest)

    assert (await known.identify(operator.secret)).is_operator
    with pytest.raises(AuthenticationFailed):
        await known.identify(new_key("admin").secret)
    assert watched.asked == []


async def test_without_an_operator_key_nobody_is_operator(watched, clock):
    known = KnownIdentities(watched, clock)

    with pytest.raises(AuthenticationFailed):
        await known.identify(new_key("admin").secret)


async def test_an_own_write_is_in_force_at_once_for_every_key_of_the_tenant(known, watched, store, tenant, key):
    other = new_key("live")
    await store.create_key(tenant.id, name="b", prefix=other.prefix, key_hash=other.digest)
    for secret in (key.secret, other.secret):
        await known.identify(secret)

    saved = await store.set_routing_preference(tenant.id, RoutingPreference.COST_OPTIMIZED, actor="x")
    known.remember(saved)
    known.settings_changed(tenant.id, saved.settings_version)

    for secret in (key.secret, other.secret):
        assert (await known.identify(secret)).tenant == saved
    assert len(watched.asked) == 2


async def test_an_older_row_does_not_replace_a_newer_one(known, store, tenant, key):
    await known.identify(key.secret)
    saved = await store.set_routing_preference(tenant.id, RoutingPreference.COST_OPTIMIZED, actor="x")

    known.remember(saved)
    known.remember(tenant)

    assert (await known.identify(key.secret)).tenant == saved


async def test_another_workers_change_is_asked_for_before_the_next_use(known, watched, store, tenant, key):
    await known.identify(key.secret)
    saved = await store.set_routing_preference(tenant.id, RoutingPreference.COST_OPTIMIZED, actor="elsewhere")

    known.settings_changed(tenant.id, saved.settings_version)

    assert (await known.identify(key.secret)).tenant == saved
    assert len(watched.asked) == 2


async def test_a_change_of_another_tenant_asks_for_nothing(known, watched, key):
    await known.identify(key.secret)

    known.settings_changed(new_id(SystemClock()), 7)

    await known.identify(key.secret)
    assert len(watched.asked) == 1


async def test_an_answer_overtaken_by_an_own_write_does_not_undo_it(known, watched, store, tenant, key):
    await known.identify(key.secret)
    known.reconnected()
    watched.answers_pass.clear()
    watched.answer_waits.clear()
    slow = asyncio.create_task(known.identify(key.secret))
    await watched.answer_waits.wait()

    saved = await store.set_routing_preference(tenant.id, RoutingPreference.COST_OPTIMIZED, actor="x")
    known.remember(saved)
    watched.answers_pass.set()

    assert (await slow).tenant == saved
    assert (await known.identify(key.secret)).tenant == saved


async def test_an_answer_overtaken_by_a_change_is_not_handed_to_those_who_come_later(
    known, watched, store, tenant, key
):
    watched.answers_pass.clear()
    early = asyncio.create_task(known.identify(key.secret))
    await watched.answer_waits.wait()
    saved = await store.set_routing_preference(tenant.id, RoutingPreference.COST_OPTIMIZED, actor="elsewhere")
    known.settings_changed(tenant.id, saved.settings_version)

    late = asyncio.create_task(known.identify(key.secret))
    await asyncio.sleep(0)
    watched.answers_pass.set()

    assert (await early).tenant == tenant
    assert (await late).tenant == saved


async def test_a_revoked_key_is_refused_at_once_when_heard_of(known, store, tenant, key):
    identity = await known.identify(key.secret)
    await store.revoke_key(tenant.id, identity.key_id)

    known.key_changed(key.digest)

    with pytest.raises(AuthenticationFailed):
        await known.identify(key.secret)


async def test_a_revocation_nobody_heard_of_counts_after_thirty_seconds(known, clock, store, tenant, key):
    identity = await known.identify(key.secret)
    await store.revoke_key(tenant.id, identity.key_id)
    clock.advance(30)

    with pytest.raises(AuthenticationFailed):
        await known.identify(key.secret)


async def test_an_answer_overtaken_by_a_revocation_is_not_remembered(known, watched, store, tenant, key):
    watched.answers_pass.clear()
    early = asyncio.create_task(known.identify(key.secret))
    await watched.answer_waits.wait()
    (info,) = await store.list_keys(tenant.id)
    await store.revoke_key(tenant.id, info.id)
    known.key_changed(key.digest)
    watched.answers_pass.set()
    await early

    with pytest.raises(AuthenticationFailed):
        await known.identify(key.secret)


async def test_after_a_lost_connection_everything_is_asked_for_again(known, watched, key):
    await known.identify(key.secret)

    known.reconnected()
    await known.identify(key.secret)
    await known.identify(key.secret)

    assert len(watched.asked) == 2


async def test_a_key_ends_at_its_expiry_though_it_is_still_fresh(known, watched, clock, key, sql):
    sql.owner("update api_keys set expires_at = now() + interval '10 seconds'")
    await known.identify(key.secret)
    clock.advance(11)

    with pytest.raises(AuthenticationFailed):
        await known.identify(key.secret)


async def test_the_last_use_is_flushed_in_one_go(known, store, clock, tenant, key):
    await known.identify(key.secret)
    clock.advance(5)
    await known.identify(key.secret)

    await known.flush_last_used()
    await known.flush_last_used()

    assert (await store.list_keys(tenant.id))[0].last_used_at == clock.now()


async def test_what_is_remembered_is_bounded(watched, clock, store, tenant, monkeypatch):
    monkeypatch.setattr("freerelay_core.store.identities._MOST_KNOWN", 2)
    monkeypatch.setattr("freerelay_core.store.identities._MOST_UNKNOWN", 2)
    known = KnownIdentities(watched, clock)
    keys = [new_key("live") for _ in range(3)]
    for key in keys:
        await store.create_key(tenant.id, name="k", prefix=key.prefix, key_hash=key.digest)
    for key in (keys[0], keys[1], keys[0], keys[2]):
        await known.identify(key.secret)

    watched.asked.clear()
    for key in (keys[0], keys[2], keys[1]):
        await known.identify(key.secret)
    assert watched.asked == [keys[1].digest]

    strangers = [new_key("live").secret for _ in range(3)]
    watched.asked.clear()
    for secret in [*strangers, strangers[2], strangers[1], strangers[0]]:
        with pytest.raises(AuthenticationFailed):
            await known.identify(secret)
    assert len(watched.asked) == 4


def look_alike(key, shared):
    """Another whole key that begins with the same `shared` characters."""
    secret = key.secret
    while secret == key.secret:  # where all but the last character is shared, one in 62 would be the same
        body = key.secret[:shared] + new_key("live").secret[shared:-6]
        secret = body + _checksum(body)
    return ApiKey(secret, secret[:12], key_digest(secret))


def test_keys_that_share_a_beginning_are_never_confused(database):
    """The flaw of CVE-2026-35030 was a cache keyed by the first characters of a credential."""
    with asyncio.Runner() as runner:
        store = PostgresStore(database, clock=SystemClock())
        runner.run(store.open())
        known = KnownIdentities(store, SystemClock())
        tenants = [runner.run(store.create_tenant(f"{n}@x", tier="free", allow_override=False)) for n in range(2)]

        async def check(shared, second_is_known):
            one = new_key("live")
            other = look_alike(one, shared)
            await store.create_key(tenants[0].id, name="one", prefix=one.prefix, key_hash=one.digest)
            assert (await known.identify(one.secret)).tenant == tenants[0]
            if second_is_known:
                await store.create_key(tenants[1].id, name="other", prefix=other.prefix, key_hash=other.digest)
                assert (await known.identify(other.secret)).tenant == tenants[1]
            else:
                with pytest.raises(AuthenticationFailed):
                    await known.identify(other.secret)
            assert (await known.identify(one.secret)).tenant == tenants[0]

        @settings(max_examples=40, deadline=None)
        @given(shared=st.integers(8, 50), second_is_known=st.booleans())
        def keys_with_a_common_beginning(shared, second_is_known):
            runner.run(check(shared, second_is_known))

        keys_with_a_common_beginning()
        runner.run(store.close())
