"""The schema: on every age of database, in both worlds of grants, and never laxer than it says."""

# ruff: noqa: S608 -- the statements are this file's own

from __future__ import annotations

import asyncio
import re

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from freerelay_core.clock import SystemClock
from freerelay_core.errors import ConfigurationError, StoreUnavailable
from freerelay_core.preference import RoutingPreference
from freerelay_core.store import TIERS, PostgresStore, apply_schema, new_key
from freerelay_core.store.decision_rows import DECISION_COLUMNS
from freerelay_core.store.embedded import acquire_database
from tests.store.helpers import Sql, decision, run
from tests.store.line import line_to_database

pytestmark = [pytest.mark.anyio, pytest.mark.alters_schema]

ORIGIN_FIRST = """
    create table users (id uuid primary key default gen_random_uuid(), email text unique not null,
                        tier text not null default 'free', created_at timestamptz default now());
    create table api_keys (id uuid primary key default gen_random_uuid(), user_id uuid references users(id),
                           key_hash text unique not null, created_at timestamptz default now());
    insert into users (email, tier) values ('a@x', 'gold'), ('b@x', 'platinum');
    insert into api_keys (user_id, key_hash) select id, repeat('a', 64) from users where email = 'a@x';
"""
ORIGIN_LATER = """
    create table users (id uuid primary key default gen_random_uuid(), email text unique not null,
                        tier text not null default 'free', routing_preference text not null default 'balanced',
                        created_at timestamptz default now());
    create table api_keys (id uuid primary key default gen_random_uuid(),
                           user_id uuid not null references users(id) on delete cascade, key_hash text not null,
                           name text, scope varchar(20) not null, created_at timestamp default now());
    insert into users (email, routing_preference) values ('a@x', 'performance-first'), ('b@x', 'turbo'), ('c@x', '');
    insert into api_keys (user_id, key_hash, scope) select id, repeat('a', 64), 'all' from users where email = 'a@x';
    create policy open on users using (true) with check (true);
    create policy mine on api_keys for select using (user_id = user_id);
    alter table users add constraint their_list check (tier in ('free', 'platinum') or tier <> '');
"""
STRANGE = """
    create table users (id uuid default gen_random_uuid(), email varchar(80), tier varchar(10),
                        routing_preference varchar(30), created_at timestamp, allow_override boolean);
    create table api_keys (id uuid, user_id uuid, key_hash text, created_at timestamptz);
    insert into users (email, tier, routing_preference) values ('a@x', null, null), (null, 'free', 'balanced');
"""


def shape(sql):
    """Every column with its type, nullability and default; every constraint, index, policy and privilege."""
    columns = sql.owner(
        "select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(adbin, adrelid) "
        "from pg_attribute a join pg_class c on c.oid = a.attrelid and c.relnamespace = 'public'::regnamespace "
        "left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum "
        "where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p')"
    )
    policies = sql.owner("select tablename, policyname, roles::text, cmd, qual, with_check from pg_policies")
    privileges = sql.owner(
        "select table_name, column_name, grantee, privilege_type from information_schema.column_privileges "
        "where table_schema = 'public' and grantee in ('anon', 'authenticated', 'service_role')"
    )
    indexes = sql.owner("select tablename, indexdef from pg_indexes where schemaname = 'public'")
    return {"columns": set(columns), "policies": set(policies), "privileges": set(privileges), "indexes": set(indexes)}


async def test_applying_it_again_changes_nothing(database, sql):
    before = shape(sql)

    await apply_schema(database)
    await apply_schema(database)

    assert shape(sql) == before


async def test_eight_starts_at_once_on_an_empty_database_all_succeed(blank, database):
    await asyncio.gather(*(apply_schema(blank) for _ in range(8)))

    applied, fresh = Sql(blank), Sql(database)
    assert shape(applied) == shape(fresh)
    applied.close()
    fresh.close()


@pytest.mark.parametrize("origin", [ORIGIN_FIRST, ORIGIN_LATER, STRANGE], ids=["first", "later", "strange"])
async def test_an_upgraded_database_ends_in_the_shape_of_a_fresh_one(blank, sql, origin):
    run(blank, origin)

    await apply_schema(blank)
    await apply_schema(blank)

    upgraded, fresh = Sql(blank), shape(sql)
    found = shape(upgraded)
    extra = {row for row in found["columns"] if row[:2] == ("api_keys", "scope")}
    assert found["columns"] - extra == fresh["columns"]
    assert found["policies"] == fresh["policies"]
    assert {row for row in found["privileges"] if row[:2] != ("api_keys", "scope")} == fresh["privileges"]
    assert found["indexes"] >= fresh["indexes"]
    upgraded.close()


async def test_an_upgrade_keeps_rows_and_audits_what_it_repairs(blank):
    run(blank, ORIGIN_LATER)

    await apply_schema(blank)

    sql = Sql(blank)
    assert sql.owner("select email, tier, routing_preference, allow_override from users order by email") == [
        ("a@x", "free", "performance-first", False),
        ("b@x", "free", "balanced", False),
        ("c@x", "free", "balanced", False),
    ]
    assert sql.owner("select u.email, k.name, k.prefix, k.scope from api_keys k join users u on u.id = k.user_id") == [
        ("a@x", "default", "", "all")
    ]
    assert sql.owner(
        "select u.email, field, old_value, new_value, actor from settings_audit a join users u on u.id = a.user_id "
        "order by 1"
    ) == [
        ("b@x", "routing_preference", "turbo", "balanced", "schema upgrade"),
        ("c@x", "routing_preference", "", "balanced", "schema upgrade"),
    ]
    sql.close()


async def test_a_tier_that_is_not_ours_becomes_free_and_is_audited(blank):
    run(blank, ORIGIN_FIRST)

    await apply_schema(blank)

    sql = Sql(blank)
    assert sql.owner("select email, tier, routing_preference from users order by email") == [
        ("a@x", "gold", None),
        ("b@x", "free", None),
    ]
    assert sql.owner("select field, old_value, new_value from settings_audit") == [("tier", "platinum", "free")]
    assert sql.value("select id from auth_context(repeat('a', 64))") == sql.value(
        "select id from users where email = 'a@x'"
    )
    sql.close()


async def test_rows_without_values_are_filled(blank):
    run(blank, STRANGE)

    await apply_schema(blank)

    sql = Sql(blank)
    assert sql.owner(
        "select tier, routing_preference, allow_override, settings_version > 0 from users order by 2 nulls first"
    ) == [
        ("free", None, False, True),
        ("free", "balanced", False, True),
    ]
    assert sql.value("select count(*) from users where email like '%%@unknown.invalid' or email = 'a@x'") == 2
    sql.close()


async def test_a_column_of_an_older_installation_does_not_stop_new_keys(blank):
    run(blank, ORIGIN_LATER)
    await apply_schema(blank)

    sql = Sql(blank)
    sql.owner("insert into api_keys (user_id, key_hash) select id, 'new' from users limit 1")

    assert sql.value("select scope from api_keys where key_hash = 'new'") is None
    sql.close()


async def test_rows_that_cannot_be_repaired_are_named_and_nothing_is_changed(blank):
    run(blank, ORIGIN_FIRST + "insert into api_keys (key_hash) values ('orphan');")

    with pytest.raises(ConfigurationError, match=r"public\.api_keys\.user_id is null in 1 row"):
        await apply_schema(blank)

    sql = Sql(blank)
    assert sql.value("select count(*) from api_keys") == 2
    assert sql.value("select to_regclass('public.decisions')") is None
    sql.close()


async def test_the_check_is_renewed_when_its_list_is_outdated(database, sql):
    sql.owner(
        "alter table users drop constraint users_routing_preference_check, "
        "add constraint users_routing_preference_check check (routing_preference in ('balanced'))"
    )

    await apply_schema(database)

    sql.owner("insert into users (email, routing_preference) values ('a@x', 'cost-optimized')")


async def test_a_start_during_a_backup_takes_the_schema_as_it_is(database):
    with psycopg.connect(database) as backup:
        backup.execute("lock table users, decisions in access share mode")

        await apply_schema(database)


async def test_an_upgrade_during_a_backup_is_unavailable_and_succeeds_afterwards(blank, monkeypatch):
    monkeypatch.setattr("freerelay_core.store.migrate._PATIENCE_S", 1)
    run(blank, ORIGIN_FIRST)
    with psycopg.connect(blank, application_name="pg_dump") as backup:
        backup.execute("lock table users in access share mode")
        with pytest.raises(StoreUnavailable, match="in use") as refused:
            await apply_schema(blank)
        assert f"process {backup.info.backend_pid} (pg_dump, login postgres, for " in refused.value.message
        assert f"pg_terminate_backend({backup.info.backend_pid})" in refused.value.message

    await apply_schema(blank)


HOLD_SCHEMA = "select pg_advisory_lock(hashtext('freerelay.schema'))"


async def test_a_start_while_another_holds_the_lock_of_the_schema_is_unavailable_and_names_it(blank, monkeypatch):
    monkeypatch.setattr("freerelay_core.store.migrate._PATIENCE_S", 0)
    with psycopg.connect(blank, application_name="stuck", autocommit=True) as other:
        other.execute(HOLD_SCHEMA)
        with pytest.raises(StoreUnavailable, match="in use") as refused:
            await apply_schema(blank)
        assert f"process {other.info.backend_pid} (stuck, login postgres" in refused.value.message
        assert "password" not in refused.value.message

    await apply_schema(blank)


async def test_a_start_while_another_holds_the_lock_takes_the_schema_as_it_is(database):
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(HOLD_SCHEMA)

        await apply_schema(database)


async def test_who_holds_it_up_is_said_while_it_waits(blank, caplog):
    run(blank, ORIGIN_FIRST)
    with psycopg.connect(blank) as other:
        other.execute("lock table users in access share mode")
        waiting = asyncio.create_task(apply_schema(blank))
        while not caplog.records:
            assert not waiting.done()
            await asyncio.sleep(0.05)
        assert f"process {other.info.backend_pid} " in caplog.text
    await waiting


async def test_a_server_that_says_no_more_is_unavailable(database, monkeypatch):
    monkeypatch.setattr("freerelay_core.store.migrate._ANSWER_S", 0.2)
    async with line_to_database(database) as line:
        line.hold_at = b"pg_has_role"
        with pytest.raises(StoreUnavailable):
            await apply_schema(line.address)


async def test_applying_it_under_traffic_disturbs_nobody(database, store):
    """A rolling restart: new workers apply the schema while others serve."""
    stop = asyncio.Event()

    async def serve(number):
        tenant = await store.create_tenant(f"{number}@x", tier="free", allow_override=False)
        key = new_key("live")
        info = await store.create_key(tenant.id, name="k", prefix=key.prefix, key_hash=key.digest)
        preferences = [*RoutingPreference]
        while not stop.is_set():
            identity = await store.identify(key.digest)
            wish = preferences[identity.tenant.settings_version % 3]
            saved = await store.set_routing_preference(tenant.id, wish, actor="x")
            assert saved.settings_version == identity.tenant.settings_version + 1
            await store.touch_keys({info.id: saved.updated_at})
            await store.append_decisions([decision(tenant.id)])

    serving = [asyncio.create_task(serve(number)) for number in range(8)]
    for _ in range(5):
        await apply_schema(database)
    stop.set()

    await asyncio.gather(*serving)


async def test_what_supabase_supplies_is_left_alone(database, sql):
    own = "select '00000000-0000-0000-0000-00000000000a'::uuid"
    sql.owner(f"create or replace function auth.uid() returns uuid language sql stable as $$ {own} $$")

    await apply_schema(database)

    assert sql.value("select prosrc from pg_proc where oid = 'auth.uid()'::regprocedure").strip() == own


def allowed(sql, constraint):
    definition = sql.value("select pg_get_constraintdef(oid) from pg_constraint where conname = %s", constraint)
    return set(re.findall(r"'([^']+)'", definition))


async def test_the_checks_name_what_the_code_names(sql):
    assert allowed(sql, "users_routing_preference_check") == set(RoutingPreference)
    assert allowed(sql, "users_tier_check") == set(TIERS)


async def test_the_code_knows_every_column_of_the_decision_log(sql):
    types = dict(
        sql.owner(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = 'decisions'::regclass and attnum > 0 and not attisdropped"
        )
    )

    assert types == {**DECISION_COLUMNS, "created_at": "timestamp with time zone"}


# -- partitions --------------------------------------------------------------------------------------------------------


async def test_rows_that_came_before_their_partition_move_into_it(sql, make_decision, store):
    tenant = await store.create_tenant("a@x", tier="free", allow_override=False)
    today = sql.value("select 'decisions_' || to_char(now() at time zone 'UTC', 'YYYYMMDD')")
    await store.append_decisions([make_decision(tenant.id)])
    sql.owner(f"drop table {today}")
    record = make_decision(tenant.id)

    await store.append_decisions([record])
    assert sql.value("select tableoid::regclass::text from decisions") == "decisions_default"
    sql.owner("select ensure_decision_partitions()")

    assert sql.value("select tableoid::regclass::text from decisions") == today
    assert await store.decision(tenant.id, record.id) == record


# -- logins with less power --------------------------------------------------------------------------------------------


@pytest.fixture
def new_server(short_folder):
    """Connection string of an empty database on a server that never saw the schema, so without its roles."""
    with acquire_database(short_folder / "home") as lease:
        yield lease.dsn


def weak_login(dsn, rights=""):
    """Connection string of a new login that owns nothing."""
    run(dsn, f"create role weak login {rights} password 'weak'")
    return make_conninfo(dsn, user="weak", password="weak")


async def test_a_login_that_may_not_is_told_what_an_administrator_must_run(new_server):
    weak = weak_login(new_server)

    with pytest.raises(ConfigurationError, match="as superuser: ") as refused:
        await apply_schema(weak)
    run(new_server, str(refused.value).partition("as superuser: ")[2])
    await apply_schema(weak)
    await apply_schema(weak)

    store = PostgresStore(weak, clock=SystemClock())
    await store.open()
    tenant = await store.create_tenant("a@x", tier="free", allow_override=False)
    assert await store.tenant(tenant.id) == tenant
    await store.close()


async def test_a_login_that_may_create_roles_and_owns_the_database_needs_nobody(new_server):
    weak = weak_login(new_server, "createrole")
    run(new_server, "alter database freerelay owner to weak")

    store = PostgresStore(weak, clock=SystemClock())
    await store.open()
    tenant = await store.create_tenant("a@x", tier="free", allow_override=False)
    assert await store.tenant(tenant.id) == tenant
    await store.close()


async def test_tables_of_another_owner_are_a_configuration_error(new_server):
    weak = weak_login(new_server)
    await apply_schema(new_server)
    run(new_server, "grant anon, authenticated, service_role to weak; grant usage, create on schema public to weak")

    with pytest.raises(ConfigurationError, match="must belong to this login"):
        await apply_schema(weak)


async def test_a_server_that_is_away_is_told_apart_from_a_bad_configuration(tmp_path):
    with pytest.raises(StoreUnavailable):
        await apply_schema(f"host={tmp_path} dbname=x user=x password=secret")


async def test_an_unreadable_connection_string_is_not_repeated():
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as refused:
        await apply_schema("postgres//me:hidden@host/db")

    assert "hidden" not in str(refused.value)
