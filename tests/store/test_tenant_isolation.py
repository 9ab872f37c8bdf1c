"""What a tenant can reach: its own rows, its own preference, nothing else; through the store and with raw SQL."""

# ruff: noqa: S608 -- the statements are this file's own

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from freerelay_core.errors import NotFound
from freerelay_core.preference import RoutingPreference
from freerelay_core.store import IdempotencyKey, new_key

pytestmark = [pytest.mark.anyio, pytest.mark.alters_schema]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REFUSED = psycopg.errors.InsufficientPrivilege


@pytest.fixture
async def two(store, make_decision):
    """Two tenants, each with a key, a change of settings and a decision."""
    tenants = []
    for name in ("ann", "bob"):
        tenant = await store.create_tenant(f"{name}@x", tier="free", allow_override=False)
        key = new_key("live")
        await store.create_key(tenant.id, name=name, prefix=key.prefix, key_hash=key.digest)
        tenants.append(await store.set_routing_preference(tenant.id, RoutingPreference.BALANCED, actor=name))
        await store.append_decisions([make_decision(tenant.id)])
    return tenants


@pytest.mark.every_store
async def test_the_store_shows_each_tenant_its_own(store, two):
    ann, bob = two

    assert [key.name for key in await store.list_keys(ann.id)] == ["ann"]
    assert [change.actor for change in await store.settings_history(bob.id)] == ["bob"]
    assert {d.tenant_id for d in await store.recent_decisions(ann.id, since=EPOCH, limit=10)} == {ann.id}
    assert len(await store.recent_decisions(None, since=EPOCH, limit=10)) == 2


@pytest.mark.every_store
async def test_another_tenants_things_are_not_found(store, two):
    ann, bob = two
    (key,) = await store.list_keys(bob.id)
    (decision,) = await store.recent_decisions(bob.id, since=EPOCH, limit=10)

    with pytest.raises(NotFound):
        await store.revoke_key(ann.id, key.id)
    with pytest.raises(NotFound):
        await store.decision(ann.id, decision.id)
    assert (await store.list_keys(bob.id))[0].revoked_at is None
    assert await store.decision(None, decision.id) == decision


async def test_row_level_security_decides_even_where_a_query_asks_for_more(two, sql):
    ann, bob = two

    assert sql.as_role("authenticated", "select id::text from public.users", sub=ann.id) == [(ann.id,)]
    assert sql.as_role("authenticated", "select id from public.users where id = %s", bob.id, sub=ann.id) == []
    for table in ("api_keys", "settings_audit", "decisions"):
        seen = sql.as_role("authenticated", f"select user_id::text from public.{table}", sub=ann.id)
        assert seen == [(ann.id,)]


async def test_writing_another_tenants_preference_changes_nothing(two, sql):
    ann, bob = two

    changed = sql.as_role(
        "authenticated",
        "update public.users set routing_preference = 'cost-optimized' where id = %s",
        bob.id,
        sub=ann.id,
    )

    assert changed == 0
    assert sql.value("select routing_preference from users where id = %s", bob.id) == "balanced"


async def test_a_write_that_names_no_row_changes_the_tenants_own_only(two, sql):
    """Without a condition only the UPDATE policy stands between a tenant and everybody's rows."""
    changed = sql.as_role(
        "authenticated", "update public.users set routing_preference = 'cost-optimized'", sub=two[0].id
    )

    assert changed == 1
    assert sql.value("select routing_preference from users where id = %s", two[1].id) == "balanced"


@pytest.mark.parametrize(
    "assignment",
    [
        "tier = 'gold'",
        "allow_override = true",
        "routing_preference = 'cost-optimized', tier = 'gold'",
        "settings_version = 99",
        "email = 'z@x'",
        "id = gen_random_uuid()",
        "created_at = now()",
    ],
)
async def test_a_tenant_cannot_raise_itself(two, sql, assignment):
    before = sql.owner("select * from users order by email")

    with pytest.raises(REFUSED):
        sql.as_role("authenticated", f"update public.users set {assignment} where id = %s", two[0].id, sub=two[0].id)

    assert sql.owner("select * from users order by email") == before


@pytest.mark.parametrize(
    "statement",
    [
        "insert into public.users (email, tier) values ('new@x', 'gold')",
        "insert into public.users (id, email) values (auth.uid(), 'x') on conflict (id) do update set tier = 'gold'",
        "delete from public.users",
        "insert into public.api_keys (user_id, key_hash) values (auth.uid(), 'mine')",
        "update public.api_keys set revoked_at = null",
        "delete from public.api_keys",
        "select key_hash from public.api_keys",
        "select * from public.api_keys",
        "insert into public.settings_audit (user_id, field, actor, actor_role) values (auth.uid(), 'x', 'y', 'z')",
        "update public.settings_audit set actor = 'somebody else'",
        "delete from public.settings_audit",
        "delete from public.decisions",
        "insert into public.decisions (created_at, id) values (now(), gen_random_uuid())",
        "select * from public.dashboard_sessions",
        "select * from public.published_snapshots",
        "select * from public.auth_context('x')",
        "select public.ensure_decision_partitions()",
        "truncate public.users cascade",
        "alter table public.users disable row level security",
        "create table public.mine (id int)",
    ],
)
async def test_a_tenant_is_refused(two, sql, statement):
    with pytest.raises(REFUSED):
        sql.as_role("authenticated", statement, sub=two[0].id)


async def test_claims_without_a_tenant_see_nothing(two, sql):
    assert sql.as_role("authenticated", "select id from public.users") == []
    for sub in ("not-a-uuid", "' or 1=1 --"):
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            sql.as_role("authenticated", "select id from public.users", sub=sub)


@pytest.mark.parametrize("table", ["settings_audit", "decisions"])
async def test_the_router_cannot_rewrite_the_audit_or_the_log_either(sql, table):
    for statement in (
        f"delete from public.{table}",
        f"update public.{table} set user_id = gen_random_uuid()",
        f"truncate public.{table}",
    ):
        with pytest.raises(REFUSED):
            sql.as_role("service_role", statement)


@pytest.mark.every_store
@pytest.mark.parametrize("tenant_id", ["", "x", "' or true --", "00000000-0000-0000-0000-000000000000"])
async def test_an_id_that_names_nobody_is_not_found(store, two, tenant_id):
    with pytest.raises(NotFound):
        await store.tenant(tenant_id)
    with pytest.raises(NotFound):
        await store.set_routing_preference(tenant_id, RoutingPreference.BALANCED, actor="x")
    with pytest.raises(NotFound):
        await store.set_routing_preference_once(
            tenant_id, RoutingPreference.BALANCED, actor="x", key=IdempotencyKey("k", "r"), answer="{}"
        )
    with pytest.raises(NotFound):
        await store.revoke_key(two[0].id, tenant_id)
    with pytest.raises(NotFound):
        await store.decision(two[0].id, tenant_id)


async def test_nothing_of_one_callers_identity_is_left_on_the_connection(store, two):
    """The same server connections serve every tenant, as behind a transaction pooler."""
    ann, bob = two
    for tenant in (ann, bob, ann):
        assert await store.tenant(tenant.id) == tenant
        async with store._connections._pool.connection() as connection:
            row = await (
                await connection.execute(
                    "select current_user as who, current_setting('request.jwt.claims', true) as claims, "
                    "current_setting('freerelay.actor', true) as actor, current_setting('statement_timeout') as timeout"
                )
            ).fetchone()
        assert row["who"] == "postgres"
        assert (row["claims"] or "", row["actor"] or "", row["timeout"]) == ("", "", "0")


def test_no_sequence_of_statements_reaches_another_tenant(sql):
    """Random tenants try random writes on random rows; a model in memory says what may come of it."""
    tenants = [
        str(row[0]) for row in sql.owner("insert into users (email) select g from generate_series(1, 3) g returning id")
    ]
    untouched = dict.fromkeys(tenants, (None, "free"))
    names = [*RoutingPreference, "turbo", "", "BALANCED", "balanced "]

    class Tenants(RuleBasedStateMachine):
        @initialize()
        def start(self):
            sql.owner("update users set routing_preference = null, tier = 'free'")
            self.expected = dict(untouched)

        @rule(who=st.sampled_from(tenants), whose=st.sampled_from(tenants), name=st.sampled_from(names))
        def prefer(self, who, whose, name):
            statement = "update public.users set routing_preference = %s where id = %s"
            try:
                changed = sql.as_role("authenticated", statement, str(name), whose, sub=who)
            except psycopg.errors.CheckViolation:
                assert who == whose
                assert name not in set(RoutingPreference)
                return
            assert changed == (who == whose)
            if changed:
                self.expected[whose] = (str(name), self.expected[whose][1])

        @rule(who=st.sampled_from(tenants), whose=st.sampled_from(tenants))
        def promote(self, who, whose):
            with pytest.raises(REFUSED):
                sql.as_role("authenticated", "update public.users set tier = 'gold' where id = %s", whose, sub=who)

        @rule(whose=st.sampled_from(tenants), tier=st.sampled_from(["silver", "gold"]))
        def sell(self, whose, tier):
            sql.as_role("service_role", "update public.users set tier = %s where id = %s", tier, whose)
            self.expected[whose] = (self.expected[whose][0], tier)

        @rule(who=st.sampled_from(tenants))
        def look(self, who):
            assert sql.as_role("authenticated", "select id::text from public.users", sub=who) == [(who,)]

        @invariant()
        def only_the_owner_changed_a_row(self):
            if hasattr(self, "expected"):
                rows = sql.owner("select id::text, routing_preference, tier from users")
                assert {tenant: (preference, tier) for tenant, preference, tier in rows} == self.expected

    run_state_machine_as_test(
        Tenants,
        settings=settings(
            max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.every_store
async def test_a_decision_of_another_tenant_cannot_be_claimed_by_sending_its_id_again(store, two, make_decision):
    ann, bob = two
    (of_bob,) = await store.recent_decisions(bob.id, since=EPOCH, limit=1)

    await store.append_decisions([of_bob._replace(tenant_id=ann.id, model="forged")])

    assert await store.decision(bob.id, of_bob.id) == of_bob
