"""What the schema grants: to nobody more than it says, whatever the project's default privileges."""

# ruff: noqa: S608 -- the statements are this file's own

from __future__ import annotations

import psycopg
import pytest

from freerelay_core.store import apply_schema
from tests.store.helpers import Sql, run

pytestmark = pytest.mark.anyio

OLD_SUPABASE_DEFAULTS = """
    alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
    alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
    alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
"""
SUPABASE_DEFAULTS_OF_2026 = "alter default privileges revoke execute on functions from public;"


@pytest.fixture(params=[OLD_SUPABASE_DEFAULTS, SUPABASE_DEFAULTS_OF_2026], ids=["old-grants", "no-grants"])
async def either_world(request, blank, database):
    """Raw SQL on a database with the schema, made under the default privileges of either kind of project."""
    # The fixture `database` has made the roles, which the default privileges name.
    run(blank, request.param)
    await apply_schema(blank)
    opened = Sql(blank)
    yield opened
    opened.close()


async def test_every_table_has_row_level_security(either_world):
    either_world.as_role("service_role", "select public.ensure_decision_partitions(6)")

    unprotected = either_world.owner(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') "
        "and not relrowsecurity"
    )

    assert unprotected == []
    assert either_world.value("select count(*) from pg_inherits where inhparent = 'decisions'::regclass") >= 8


async def test_anonymous_callers_may_do_nothing(either_world):
    granted = either_world.owner(
        "select relname, acl.privilege_type from pg_class, aclexplode(relacl) acl "
        "where relnamespace = 'public'::regnamespace and acl.grantee in (0, 'anon'::regrole) "
        "union all select relname, attname from pg_class join pg_attribute on attrelid = pg_class.oid, "
        "aclexplode(attacl) acl where relnamespace = 'public'::regnamespace and acl.grantee in (0, 'anon'::regrole)"
    )

    assert granted == []
    for (table,) in either_world.owner(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            either_world.as_role("anon", f"select 1 from public.{table}")


async def test_functions_are_for_the_router_only(either_world):
    executable = either_world.owner(
        "select proname, grantee::regrole::text from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) "
        "where pronamespace = 'public'::regnamespace and grantee <> proowner"
    )

    assert set(executable) == {("auth_context", "service_role"), ("ensure_decision_partitions", "service_role")}


async def test_every_function_fixes_its_search_path(either_world):
    assert (
        either_world.owner(
            "select proname from pg_proc where pronamespace = 'public'::regnamespace "
            """and not coalesce(proconfig @> array['search_path=""'], false)"""
        )
        == []
    )


async def test_partitions_are_closed_to_everybody_directly_also_those_made_later(either_world):
    either_world.as_role("service_role", "select public.ensure_decision_partitions(6)")
    for (partition,) in either_world.owner(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'decisions'::regclass"
    ):
        for role in ("anon", "authenticated", "service_role"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                either_world.as_role(role, f"select 1 from {partition}")


async def test_the_router_can_work_in_either_world(either_world):
    sql = either_world
    sql.as_role("service_role", "insert into public.users (email, tier, allow_override) values ('a@x', 'gold', true)")
    tenant = sql.value("select id from users")
    sql.as_role("service_role", "insert into public.api_keys (user_id, key_hash) values (%s, 'k')", tenant)

    assert sql.as_role("service_role", "select id from public.auth_context('k')") == [(tenant,)]
    assert sql.as_role("authenticated", "select id from public.users", sub=tenant) == [(tenant,)]
    assert sql.as_role("service_role", "select public.ensure_decision_partitions(5) > current_date")
