"""How long decisions are kept: whole days go, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from freerelay_core.clock import SystemClock, id_at
from freerelay_core.store import PostgresStore
from freerelay_core.store.supabase import SupabaseStore
from tests.store.postgrest import SECRET_KEY, postgrest

pytestmark = [pytest.mark.anyio, pytest.mark.every_store, pytest.mark.alters_schema]

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
async def keeping_three_days(database, store_kind):
    if store_kind == "supabase":
        async with postgrest(database) as project:
            opened = SupabaseStore(project.url, SECRET_KEY, clock=SystemClock(), keep_decisions_days=3)
            yield opened
            await opened.close()
    else:
        opened = PostgresStore(database, clock=SystemClock(), keep_decisions_days=3)
        await opened.open()
        yield opened
        await opened.close()


def make_partition(sql, day):
    first, last = day.date(), (day + timedelta(days=1)).date()
    name = f"decisions_{first:%Y%m%d}"
    sql.owner(f"create table {name} partition of decisions for values from ('{first} 00:00Z') to ('{last} 00:00Z')")


async def test_days_older_than_what_is_kept_go_with_their_grades_and_nothing_else(
    store, keeping_three_days, make_decision, sql
):
    tenant = await store.create_tenant("ann@x", tier="free", allow_override=False)
    for age in (4, 3):
        make_partition(sql, MIDNIGHT - timedelta(days=age))
    sql.owner("create table decisions_19990101 (mine text)")
    ages = {
        name: timedelta(days=days) for name, days in {"last year": 365, "too old": 4, "kept": 3, "new": -0.1}.items()
    }
    moments = {name: MIDNIGHT - age for name, age in ages.items()}
    moments |= {"just too old": MIDNIGHT - timedelta(days=3, milliseconds=1)}
    ids = {name: id_at(moment, 7) for name, moment in moments.items()}
    await store.append_decisions([make_decision(tenant.id, id=one) for one in ids.values()])
    for one in ids.values():
        await store.add_feedback(tenant.id, one, 1.0)

    await keeping_three_days.append_decisions([make_decision(tenant.id, id=id_at(MIDNIGHT, 8))])

    kept = {ids["kept"], ids["new"]}
    assert {str(row[0]) for row in sql.owner("select id from decisions")} == kept | {id_at(MIDNIGHT, 8)}
    assert {str(row[0]) for row in sql.owner("select decision_id from feedback")} == kept
    partitions = {row[0] for row in sql.owner("select relname from pg_class where relname ~ '^decisions_[0-9]+$'")}
    assert f"decisions_{MIDNIGHT - timedelta(days=4):%Y%m%d}" not in partitions
    assert {f"decisions_{MIDNIGHT - timedelta(days=3):%Y%m%d}", "decisions_19990101"} <= partitions


async def test_without_a_limit_everything_is_kept(store, make_decision, sql):
    tenant = await store.create_tenant("ann@x", tier="free", allow_override=False)
    make_partition(sql, MIDNIGHT - timedelta(days=400))

    await store.append_decisions([make_decision(tenant.id, id=id_at(MIDNIGHT - timedelta(days=400), 7))])

    assert sql.value("select count(*) from decisions") == 1
