"""What the schema grants: to nobody more than it says, whatever the project's default privileges."""

# ruff: noqa: S608 -- the statements are this file's own

from __future__ import annotations

import psycopg
import pytest

from freerelay_core.store import apply_schema
from freerelay_core.store.decision_rows import decisions_as_rows, rows_as_json
from tests.store.helpers import Sql, run

pytestmark = [pytest.mark.anyio, pytest.mark.alters_schema]

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

    for_the_router = {
        *("schema_version", "auth_context", "find_tenant", "list_tenants", "update_tenant", "set_routing_preference"),
        *("touch_api_keys", "open_dashboard_session", "dashboard_session", "end_dashboard_session", "changes_since"),
        *("append_decisions", "remove_demo_decisions", "list_decisions", "list_recorded_requests"),
        *("list_decision_lines", "decision_traffic", "list_traffic_by_tenant"),
        *("set_budget", "daily_spend", "spend_elsewhere", "publish_snapshot", "ensure_decision_partitions"),
        *("quota_used", "drop_old_decisions", "add_lessons", "list_lessons", "add_feedback"),
        *("recall_answer", "remember_answer", "forget_answers", "set_routing_preference_once", "add_feedback_once"),
    }
    assert set(executable) == {(name, "service_role") for name in for_the_router} | {
        ("decision_traffic", "authenticated")
    }


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


CALLS = [
    "schema_version()",
    "auth_context('k')",
    "find_tenant('a@x')",
    "list_tenants()",
    "update_tenant(gen_random_uuid(), 'operator', 'gold', true)",
    "set_routing_preference(gen_random_uuid(), 'balanced', 'x')",
    """touch_api_keys('[{"id": "00000000-0000-0000-0000-000000000000", "at": "now"}]')""",
    "open_dashboard_session('s', 'operator', null, null, now() + interval '1 hour')",
    "dashboard_session('s')",
    "end_dashboard_session('s')",
    "changes_since('0')",
    "append_decisions('[]', '[]')",
    """add_lessons('[{"kind": "k", "scope": "", "endpoint": "e", "simulated": true, "outcomes": 1, "decay": 1,
                     "weight": 1, "total": 1, "expected": 0}]')""",
    "list_lessons()",
    "add_feedback(gen_random_uuid(), gen_random_uuid(), 0.5)",
    "recall_answer(gen_random_uuid(), 'k', 'r')",
    "remember_answer(gen_random_uuid(), 'k', 'r', 'answer')",
    "forget_answers()",
    "set_routing_preference_once(gen_random_uuid(), 'balanced', 'x', null, 'k', 'r', 'answer')",
    "add_feedback_once(gen_random_uuid(), gen_random_uuid(), 0.5, 'k', 'r', 'answer')",
    "remove_demo_decisions(gen_random_uuid())",
    "list_decisions(null, now(), null, null, 1)",
    "list_recorded_requests(null, now(), null, null, 1)",
    "list_decision_lines(null, now(), null, null, null, null, null, 1)",
    "decision_traffic(now(), now())",
    "list_traffic_by_tenant(now(), now())",
    "publish_snapshot('w', 'w-1', now(), 'x')",
    "ensure_decision_partitions(4)",
    "drop_old_decisions(30)",
    "set_budget(gen_random_uuid(), 'operator', 50)",
    "daily_spend(null, '2026-01-01')",
    "spend_elsewhere('2026-01-01', '2026-01-01', 'w')",
    "quota_used('{a/b}', now(), now())",
]


async def test_every_function_works_for_the_router_in_either_world_and_for_nobody_else(either_world):
    for call in CALLS:
        either_world.as_role("service_role", f"select * from public.{call}")
        for role in ("anon", "authenticated"):
            if (call.partition("(")[0], role) != ("decision_traffic", "authenticated"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    either_world.as_role(role, f"select * from public.{call}")
    called = {call.partition("(")[0] for call in CALLS}
    triggers = "prorettype <> 'trigger'::regtype"
    assert called == {
        name
        for (name,) in either_world.owner(
            f"select proname from pg_proc where pronamespace = 'public'::regnamespace and {triggers}"
        )
    }


async def test_scenarios_and_changes_are_the_routers_in_either_world(either_world):
    sql = either_world
    sql.as_role("service_role", "insert into public.scenarios (name, body) values ('outage', '{}')")
    sql.as_role("service_role", "update public.scenarios set body = '[]'")
    assert sql.as_role("service_role", "select name from public.scenarios") == [("outage",)]
    assert sql.as_role("service_role", "delete from public.scenarios") == 1
    assert sql.as_role("service_role", "select count(*) from public.changes") == [(0,)]
    for role, statement in (
        ("service_role", "insert into public.changes (key_hash) values ('x')"),
        ("service_role", "delete from public.changes"),
        ("service_role", "delete from public.decisions"),
        ("authenticated", "select * from public.changes"),
        ("authenticated", "select * from public.scenarios"),
        ("authenticated", "select * from public.remembered_answers"),
        ("authenticated", "insert into public.remembered_answers values (gen_random_uuid(), 'k', 'r', 'a')"),
        ("anon", "select * from public.scenarios"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            sql.as_role(role, statement)


async def test_the_tenants_own_sums_are_its_own_in_either_world(either_world, make_decision):
    sql = either_world
    sql.owner("insert into users (email) values ('ann@x'), ('bob@x')")
    ann, bob = (row[0] for row in sql.owner("select id from users order by email"))
    made = [make_decision(str(ann)), make_decision(str(ann)), make_decision(str(bob))]
    shared, records = rows_as_json(decisions_as_rows(made))
    sql.as_role("service_role", "select public.append_decisions(%s, %s)", shared, records)

    sums = "select requests from public.decision_traffic('-infinity', 'infinity')"

    assert sql.as_role("authenticated", sums, sub=ann) == [(2,)]
    assert sql.as_role("authenticated", sums, sub=bob) == [(1,)]
    assert sql.as_role("service_role", sums) == [(3,)]
