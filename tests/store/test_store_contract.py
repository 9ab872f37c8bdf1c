"""The store's promises about tenants, keys, settings and sessions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from freerelay_core.clock import SystemClock, new_id
from freerelay_core.errors import Conflict, NotFound, UnprocessableRequest
from freerelay_core.preference import RoutingPreference
from freerelay_core.store import new_key

pytestmark = [pytest.mark.anyio, pytest.mark.every_store, pytest.mark.alters_schema]

TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
async def tenant(store):
    return await store.create_tenant("ann@x", tier="silver", allow_override=True)


@pytest.fixture
async def key(store, tenant):
    """(secret and digest, what the store shows of it)"""
    made = new_key("live")
    return made, await store.create_key(tenant.id, name="laptop", prefix=made.prefix, key_hash=made.digest)


# -- tenants and keys


async def test_a_new_tenant_has_chosen_nothing(store, tenant):
    assert tenant.routing_preference is None
    assert (tenant.tier, tenant.allow_override, tenant.settings_version) == ("silver", True, 1)
    assert await store.tenant(tenant.id) == tenant
    assert await store.tenant_by_email("ann@x") == tenant
    assert await store.tenant_by_email("nobody@x") is None


async def test_an_address_is_taken_once(store, tenant):
    with pytest.raises(Conflict, match="ann@x"):
        await store.create_tenant("ann@x", tier="free", allow_override=False)


async def test_an_unknown_tier_is_refused_with_the_known_ones(store):
    with pytest.raises(UnprocessableRequest, match="free, bronze, silver, gold"):
        await store.create_tenant("bob@x", tier="platinum", allow_override=False)


async def test_a_key_identifies_its_tenant(store, tenant, key):
    made, shown = key

    identity = await store.identify(made.digest)

    assert identity.tenant == tenant
    assert (identity.role, identity.key_id, identity.expires_at) == ("tenant", shown.id, None)
    assert await store.identify(new_key("live").digest) is None


async def test_listed_keys_show_neither_secret_nor_digest(store, tenant, key):
    made, shown = key

    assert await store.list_keys(tenant.id) == [shown]
    assert made.secret not in repr(shown)
    assert made.digest not in repr(shown)


async def test_a_revoked_key_identifies_nobody_and_stays_listed(store, tenant, key):
    made, shown = key

    revoked = await store.revoke_key(tenant.id, shown.id)
    again = await store.revoke_key(tenant.id, shown.id)

    assert revoked.revoked_at is not None
    assert again == revoked
    assert await store.identify(made.digest) is None
    assert await store.list_keys(tenant.id) == [revoked]


async def test_an_expired_key_identifies_nobody(store, key, sql):
    made, _ = key
    sql.owner("update api_keys set expires_at = now() + interval '1 hour'")
    assert (await store.identify(made.digest)).expires_at > datetime.now(UTC)

    sql.owner("update api_keys set expires_at = now()")

    assert await store.identify(made.digest) is None


async def test_a_key_needs_a_tenant_and_a_digest_of_its_own(store, tenant, key):
    with pytest.raises(NotFound):
        await store.create_key(new_id(SystemClock()), name="x", prefix="fr_live_", key_hash="h")
    with pytest.raises(Conflict):
        await store.create_key(tenant.id, name="x", prefix="fr_live_", key_hash=key[0].digest)


async def test_the_last_use_of_a_key_never_goes_back(store, tenant, key):
    later, earlier = datetime(2026, 5, 2, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)

    await store.touch_keys({key[1].id: later})
    await store.touch_keys({key[1].id: earlier, new_id(SystemClock()): earlier})
    await store.touch_keys({})

    assert (await store.list_keys(tenant.id))[0].last_used_at == later


# -- settings


async def test_a_saved_preference_is_in_force_versioned_and_audited(store, tenant):
    saved = await store.set_routing_preference(tenant.id, RoutingPreference.COST_OPTIMIZED, actor="key fr_live_abcd")

    assert saved.routing_preference is RoutingPreference.COST_OPTIMIZED
    assert saved.settings_version == tenant.settings_version + 1
    assert saved.updated_at > tenant.updated_at
    assert await store.tenant(tenant.id) == saved
    (change,) = await store.settings_history(tenant.id)
    assert (change.tenant_id, change.field, change.old_value, change.new_value, change.actor) == (
        tenant.id,
        "routing_preference",
        None,
        "cost-optimized",
        "key fr_live_abcd",
    )
    assert abs(change.at - saved.updated_at) < timedelta(seconds=5)


async def test_saving_the_same_again_is_no_change(store, tenant):
    first = await store.set_routing_preference(tenant.id, RoutingPreference.BALANCED, actor="x")
    second = await store.set_routing_preference(tenant.id, RoutingPreference.BALANCED, actor="x")

    assert second == first
    assert len(await store.settings_history(tenant.id)) == 1


async def test_history_is_newest_first_and_limited(store, tenant):
    for preference in RoutingPreference:
        await store.set_routing_preference(tenant.id, preference, actor="x")

    history = await store.settings_history(tenant.id, limit=2)

    assert [change.new_value for change in history] == ["performance-first", "balanced"]


async def test_a_write_on_an_outdated_version_is_a_conflict_and_changes_nothing(store, tenant):
    first = await store.set_routing_preference(tenant.id, RoutingPreference.BALANCED, actor="x", expected_version=1)

    with pytest.raises(Conflict, match="version 2, not 1"):
        await store.set_routing_preference(
            tenant.id, RoutingPreference.COST_OPTIMIZED, actor="x", expected_version=tenant.settings_version
        )

    assert await store.tenant(tenant.id) == first


async def test_of_simultaneous_writes_on_one_version_exactly_one_wins(store, tenant):
    async def write(preference):
        return await store.set_routing_preference(tenant.id, preference, actor="x", expected_version=1)

    results = await asyncio.gather(*(write(p) for p in [*RoutingPreference] * 4), return_exceptions=True)

    assert sum(not isinstance(result, Exception) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 11
    assert (await store.tenant(tenant.id)).settings_version == 2


async def test_a_write_for_nobody_is_not_found_with_and_without_a_version(store):
    for version in (None, 1):
        with pytest.raises(NotFound):
            await store.set_routing_preference(
                new_id(SystemClock()), RoutingPreference.BALANCED, actor="x", expected_version=version
            )


async def test_a_preference_from_another_release_reads_as_none_chosen(store, tenant, key, sql):
    sql.owner("alter table users drop constraint users_routing_preference_check")
    sql.owner("update users set routing_preference = 'from-the-future'")

    assert (await store.tenant(tenant.id)).routing_preference is None
    assert (await store.identify(key[0].digest)).tenant.routing_preference is None


# -- dashboard sessions


async def test_a_session_belongs_to_the_tenant_and_key_that_opened_it(store, tenant, key):
    await store.create_session("s", role="tenant", tenant_id=tenant.id, key_id=key[1].id, expires_at=TOMORROW)

    identity = await store.session("s")

    assert (identity.role, identity.tenant, identity.key_id) == ("tenant", tenant, key[1].id)
    assert identity.expires_at == TOMORROW
    assert await store.session("other") is None


async def test_an_operator_session_belongs_to_no_tenant(store):
    await store.create_session("s", role="operator", tenant_id=None, key_id=None, expires_at=TOMORROW)

    identity = await store.session("s")

    assert identity.is_operator
    assert (identity.tenant, identity.key_id) == (None, None)


async def test_revoking_a_key_ends_its_sessions_only(store, tenant, key, sql):
    other = new_key("live")
    shown = await store.create_key(tenant.id, name="other", prefix=other.prefix, key_hash=other.digest)
    await store.create_session("mine", role="tenant", tenant_id=tenant.id, key_id=key[1].id, expires_at=TOMORROW)
    await store.create_session("other", role="tenant", tenant_id=tenant.id, key_id=shown.id, expires_at=TOMORROW)

    await store.revoke_key(tenant.id, key[1].id)

    assert await store.session("mine") is None
    assert await store.session("other") is not None
    assert sql.value("select count(*) from dashboard_sessions") == 1


async def test_a_session_opened_with_a_key_that_ended_meanwhile_is_none(store, tenant, key, sql):
    await store.revoke_key(tenant.id, key[1].id)
    await store.create_session("s", role="tenant", tenant_id=tenant.id, key_id=key[1].id, expires_at=TOMORROW)

    assert await store.session("s") is None


async def test_a_session_ends_with_its_keys_expiry(store, tenant, key, sql):
    await store.create_session("s", role="tenant", tenant_id=tenant.id, key_id=key[1].id, expires_at=TOMORROW)
    sql.owner("update api_keys set expires_at = now() + interval '1 hour'")
    assert (await store.session("s")).expires_at < TOMORROW

    sql.owner("update api_keys set expires_at = now()")

    assert await store.session("s") is None


async def test_a_session_that_expired_or_was_ended_is_none(store, tenant):
    now = datetime.now(UTC)
    await store.create_session("over", role="tenant", tenant_id=tenant.id, key_id=None, expires_at=now)
    await store.create_session("ended", role="tenant", tenant_id=tenant.id, key_id=None, expires_at=TOMORROW)

    await store.end_session("ended")
    await store.end_session("ended")

    assert await store.session("over") is None
    assert await store.session("ended") is None


async def test_expired_sessions_are_swept_when_a_new_one_begins(store, tenant, sql):
    await store.create_session("over", role="tenant", tenant_id=tenant.id, key_id=None, expires_at=datetime.now(UTC))

    await store.create_session("new", role="tenant", tenant_id=tenant.id, key_id=None, expires_at=TOMORROW)

    assert sql.owner("select session_hash from dashboard_sessions") == [("new",)]
