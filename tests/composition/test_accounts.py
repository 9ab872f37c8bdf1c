"""Who may do what with tenants, keys and settings, on a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from freerelay_core.clock import SystemClock, new_id
from freerelay_core.composition.accounts import (
    LONGEST_LABEL,
    LONGEST_LIFETIME_DAYS,
    MOST_LIVE_KEYS,
    OPERATOR,
    Accounts,
    key_state,
)
from freerelay_core.errors import Conflict, NotFound, PermissionDenied, UnprocessableRequest
from freerelay_core.preference import RoutingPreference
from freerelay_core.store import Identity, KnownIdentities

pytestmark = pytest.mark.anyio

COST, BALANCED, PERFORMANCE = RoutingPreference
NO_ADDRESSES = [
    *("", "ann", "ann@", "@example.com", "ann@example", "a b@example.com", "ann@exa mple.com", "a@b@example.com"),
    *("ann@example..com", "<ann@example.com>", "ann\x00@example.com", "ann\ud800@example.com", "a" * 250 + "@x.com"),
]
NOT_MINE = "0198c0de-0000-7000-8000-000000000000"


@pytest.fixture
def accounts(store):
    return Accounts(store, SystemClock())


@pytest.fixture
async def ann(accounts):
    return await accounts.create_tenant(OPERATOR, "ann@example.com", tier="silver", allow_override=False)


@pytest.fixture
def as_ann(ann):
    return Identity(role="tenant", tenant=ann)


@pytest.fixture
async def bob(accounts):
    return await accounts.create_tenant(OPERATOR, "bob@example.com", tier="free", allow_override=True)


# -- tenants


@pytest.mark.parametrize("written", ["ann@example.com", " Ann@Example.com ", "ANN@EXAMPLE.COM"])
async def test_an_address_is_one_however_it_is_capitalised(accounts, ann, written):
    assert await accounts.tenant_by_email(OPERATOR, written) == ann
    with pytest.raises(Conflict, match="exists"):
        await accounts.create_tenant(OPERATOR, written, tier="free", allow_override=False)


async def test_an_address_that_others_wrote_with_capitals_is_found(accounts, store):
    written = await store.create_tenant("Eve@Example.com", tier="free", allow_override=False)
    assert await accounts.tenant_by_email(OPERATOR, "Eve@Example.com") == written


@pytest.mark.parametrize("address", NO_ADDRESSES)
async def test_what_is_no_address_is_refused_and_not_repeated(accounts, address):
    with pytest.raises(UnprocessableRequest) as refusal:
        await accounts.create_tenant(OPERATOR, address, tier="free", allow_override=False)
    assert refusal.value.param == "email"
    assert refusal.value.message == "This is no e-mail address: write it as name@example.com."


async def test_an_unknown_tier_is_refused(accounts, ann):
    with pytest.raises(UnprocessableRequest, match="free, bronze, silver, gold"):
        await accounts.create_tenant(OPERATOR, "eve@example.com", tier="platinum", allow_override=False)
    with pytest.raises(UnprocessableRequest, match="free, bronze, silver, gold"):
        await accounts.update_tenant(OPERATOR, ann.id, tier="Gold")


async def test_the_operators_change_is_audited_and_remembered_at_once(store, ann):
    remembered = []
    accounts = Accounts(store, SystemClock(), remember=remembered.append)
    changed = await accounts.update_tenant(OPERATOR, ann.id, tier="gold", allow_override=True)
    assert (changed.tier, changed.allow_override) == ("gold", True)
    assert remembered == [changed]
    history = {
        (change.field, change.old_value, change.new_value, change.actor)
        for change in await store.settings_history(ann.id)
    }
    assert history == {("tier", "silver", "gold", "operator"), ("allow_override", "false", "true", "operator")}


async def test_an_address_that_nobody_has_is_not_found(accounts):
    with pytest.raises(NotFound, match="freerelay tenant list"):
        await accounts.tenant_by_email(OPERATOR, "nobody@example.com")


# -- keys


async def test_a_new_key_identifies_its_tenant_at_once(accounts, store, ann, as_ann):
    made = await accounts.create_key(as_ann, ann.id, name="  my   laptop ")
    identity = await KnownIdentities(store, SystemClock()).identify(made.secret)
    assert identity.tenant == ann
    assert identity.key_id == made.info.id
    assert (made.info.name, made.info.expires_at) == ("my laptop", None)
    assert made.secret not in repr(made)


async def test_a_key_with_a_lifetime_ends_by_itself(accounts, store, ann, as_ann):
    made = await accounts.create_key(as_ann, ann.id, name="week", lifetime_days=7)
    assert abs(made.info.expires_at - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=1)
    assert (await KnownIdentities(store, SystemClock()).identify(made.secret)).expires_at == made.info.expires_at
    now = datetime.now(UTC)
    assert key_state(made.info, now) == "live"
    assert key_state(made.info, now + timedelta(days=8)) == "expired"


@pytest.mark.parametrize("days", [0, -1, LONGEST_LIFETIME_DAYS + 1, 10**12])
async def test_a_lifetime_that_cannot_be_is_refused(accounts, ann, as_ann, days):
    with pytest.raises(UnprocessableRequest, match="from 1 to 3650 days"):
        await accounts.create_key(as_ann, ann.id, name="x", lifetime_days=days)


@pytest.mark.parametrize("label", ["", " \t\n", "x" * (LONGEST_LABEL + 1), "a\x00b", "\ud800", "\u202eevil"])
async def test_a_label_that_cannot_be_shown_is_refused(accounts, ann, as_ann, label):
    made = await accounts.create_key(as_ann, ann.id, name="fine")
    with pytest.raises(UnprocessableRequest, match="printable"):
        await accounts.create_key(as_ann, ann.id, name=label)
    with pytest.raises(UnprocessableRequest, match="printable"):
        await accounts.rename_key(as_ann, ann.id, made.info.id, label)
    assert [key.name for key in await accounts.keys(as_ann, ann.id)] == ["fine"]


async def test_keys_that_work_are_limited_and_revoking_one_makes_room(accounts, ann, as_ann, bob):
    made = [await accounts.create_key(as_ann, ann.id, name="x") for _ in range(MOST_LIVE_KEYS)]
    with pytest.raises(Conflict, match="no more than 20"):
        await accounts.create_key(as_ann, ann.id, name="x")
    await accounts.create_key(OPERATOR, bob.id, name="another tenant has its own limit")
    await accounts.revoke_key(as_ann, ann.id, made[0].info.id)
    await accounts.create_key(as_ann, ann.id, name="x")


async def test_the_operator_makes_renames_and_revokes_keys_of_any_tenant(accounts, ann):
    made = await accounts.create_key(OPERATOR, ann.id, name="first")
    assert (await accounts.rename_key(OPERATOR, ann.id, made.info.id, "second")).name == "second"
    revoked = await accounts.revoke_key(OPERATOR, ann.id, made.info.id)
    assert await accounts.keys(OPERATOR, ann.id) == [revoked]
    assert key_state(revoked, datetime.now(UTC)) == "revoked"


async def test_a_key_for_a_tenant_that_does_not_exist_is_not_found(accounts):
    with pytest.raises(NotFound):
        await accounts.create_key(OPERATOR, new_id(SystemClock()), name="x")


# -- who may


async def test_a_tenant_touches_no_tenants(accounts, ann, as_ann, bob):
    for forbidden in (
        accounts.tenants(as_ann),
        accounts.tenant_by_email(as_ann, "ann@example.com"),
        accounts.create_tenant(as_ann, "eve@example.com", tier="gold", allow_override=True),
        accounts.update_tenant(as_ann, ann.id, tier="gold"),
        accounts.update_tenant(as_ann, bob.id, tier="gold"),
    ):
        with pytest.raises(PermissionDenied, match="Only the operator"):
            await forbidden
    assert await accounts.tenants(OPERATOR) == [ann, bob]


async def test_another_tenants_keys_and_those_of_nobody_are_refused_in_the_same_words(accounts, as_ann, bob):
    of_bob = (await accounts.create_key(OPERATOR, bob.id, name="bob's")).info
    refusals = set()
    for tenant_id in (bob.id, NOT_MINE, "", "not-an-id"):
        for forbidden in (
            accounts.keys(as_ann, tenant_id),
            accounts.create_key(as_ann, tenant_id, name="x"),
            accounts.rename_key(as_ann, tenant_id, of_bob.id, "mine"),
            accounts.revoke_key(as_ann, tenant_id, of_bob.id),
        ):
            with pytest.raises(PermissionDenied) as refusal:
                await forbidden
            refusals.add(refusal.value.message)
    assert len(refusals) == 1
    assert await accounts.keys(OPERATOR, bob.id) == [of_bob]


async def test_another_tenants_key_answers_as_one_that_does_not_exist(accounts, ann, as_ann, bob):
    of_bob = (await accounts.create_key(OPERATOR, bob.id, name="bob's")).info
    answers = set()
    for key_id in (of_bob.id, NOT_MINE, "not-an-id", ""):
        for forbidden in (
            accounts.rename_key(as_ann, ann.id, key_id, "mine"),
            accounts.revoke_key(as_ann, ann.id, key_id),
        ):
            with pytest.raises(NotFound) as answer:
                await forbidden
            answers.add(answer.value.message)
    assert len(answers) == 1
    assert await accounts.keys(OPERATOR, bob.id) == [of_bob]


# -- undo


async def test_undo_puts_back_what_was_chosen_before_and_undoing_that_repeats_it(accounts, store, ann, as_ann):
    await store.set_routing_preference(ann.id, COST, actor="x")
    changed = await store.set_routing_preference(ann.id, PERFORMANCE, actor="x")
    undone = await accounts.undo_preference(as_ann, actor="ann", expected_version=changed.settings_version)
    assert undone.routing_preference is COST
    again = await accounts.undo_preference(as_ann, actor="ann", expected_version=undone.settings_version)
    assert again.routing_preference is PERFORMANCE


async def test_undo_of_the_first_choice_is_never_having_chosen(accounts, store, ann, as_ann):
    changed = await store.set_routing_preference(ann.id, COST, actor="x")
    undone = await accounts.undo_preference(as_ann, actor="ann", expected_version=changed.settings_version)
    assert undone.routing_preference is None
    last = (await store.settings_history(ann.id))[0]
    assert (last.old_value, last.new_value, last.actor) == ("cost-optimized", None, "ann")


async def test_undo_passes_over_what_the_operator_changed_since(accounts, store, ann, as_ann):
    await store.set_routing_preference(ann.id, COST, actor="x")
    changed = await accounts.update_tenant(OPERATOR, ann.id, tier="gold")
    undone = await accounts.undo_preference(as_ann, actor="ann", expected_version=changed.settings_version)
    assert (undone.routing_preference, undone.tier) == (None, "gold")


async def test_undo_of_settings_that_changed_meanwhile_is_refused(accounts, store, ann, as_ann):
    seen = await store.set_routing_preference(ann.id, COST, actor="x")
    await store.set_routing_preference(ann.id, PERFORMANCE, actor="somebody else")
    with pytest.raises(Conflict):
        await accounts.undo_preference(as_ann, actor="ann", expected_version=seen.settings_version)
    assert (await store.tenant(ann.id)).routing_preference is PERFORMANCE


async def test_there_is_nothing_to_undo_before_the_first_choice(accounts, ann, as_ann):
    with pytest.raises(NotFound, match="could be undone"):
        await accounts.undo_preference(as_ann, actor="ann", expected_version=ann.settings_version)


async def test_the_operator_has_no_preference_to_undo(accounts):
    with pytest.raises(PermissionDenied):
        await accounts.undo_preference(OPERATOR, actor="x", expected_version=1)


async def test_undo_is_in_force_in_this_process_at_once(store, ann, as_ann):
    remembered = []
    accounts = Accounts(store, SystemClock(), remember=remembered.append)
    changed = await store.set_routing_preference(ann.id, COST, actor="x")
    assert remembered == []
    undone = await accounts.undo_preference(as_ann, actor="x", expected_version=changed.settings_version)
    assert remembered == [undone]
