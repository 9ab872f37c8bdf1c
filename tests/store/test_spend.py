"""Budgets and spend: set by the operator, added up once for each decision, read by tenant, day and provider."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from freerelay_core.clock import id_at
from freerelay_core.errors import NotFound, UnprocessableRequest
from freerelay_core.store import DailySpend, QuotaUse, SpendOfMonth, apply_schema, new_key

pytestmark = [pytest.mark.anyio, pytest.mark.alters_schema]
every_store = pytest.mark.every_store

NOBODY = "6f1f8f5c-1111-4111-8111-111111111111"
TODAY = datetime.now(UTC).replace(hour=12)
HEDGED = (
    {"endpoint": "groq/a", "status": None, "error": "cancelled", "cost_usd": 0.25, "cost_estimated": True},
    {"endpoint": "openai/b", "status": 200, "error": None, "hedge_after_s": 1.0, "cost_usd": 0.5},
)


@pytest.fixture
def spent(make_decision):
    """Maker of decisions that cost something: of a worker, at a moment, at an endpoint."""

    def make(tenant, usd, *, worker="w1", at=TODAY, endpoint="groq/a", basis="measured", **changes):
        number = make.count = make.count + 1
        return make_decision(
            tenant.id,
            id=id_at(at, number),
            snapshot_id=f"{worker}-7",
            endpoint=endpoint,
            cost_usd=usd,
            basis=basis,
            **changes,
        )

    make.count = 0
    return make


@every_store
async def test_a_budget_is_set_and_taken_away_by_the_operator_and_audited(store, tenant):
    key = new_key("live")
    await store.create_key(tenant.id, name="x", prefix=key.prefix, key_hash=key.digest)
    assert tenant.budget_usd is None

    changed = await store.set_budget(tenant.id, 12.5, actor="operator")

    assert (changed.budget_usd, changed.settings_version) == (12.5, tenant.settings_version + 1)
    assert await store.tenant(tenant.id) == changed
    assert (await store.identify(key.digest)).tenant == changed
    assert await store.list_tenants() == [changed]
    assert (await store.set_budget(tenant.id, None, actor="operator")).budget_usd is None
    (second, first) = await store.settings_history(tenant.id)
    assert (first.field, first.old_value, first.new_value, first.actor) == ("budget_usd", None, "12.5", "operator")
    assert (second.old_value, second.new_value) == ("12.5", None)


@every_store
async def test_a_budget_that_cannot_be_is_refused(store, tenant):
    for wrong in (-0.01, 1e9 + 1):
        with pytest.raises(UnprocessableRequest, match="from 0 to 1,000,000,000 USD"):
            await store.set_budget(tenant.id, wrong, actor="operator")
    for nobody in (NOBODY, "x"):
        with pytest.raises(NotFound):
            await store.set_budget(nobody, 1.0, actor="operator")
    assert (await store.tenant(tenant.id)).budget_usd is None


@every_store
async def test_a_decision_that_is_sent_twice_has_cost_once(store, tenant, spent):
    first, second = spent(tenant, 0.5), spent(tenant, 0.25)
    await store.append_decisions([first])
    await store.append_decisions([first, second])
    await store.append_decisions([second, second, spent(tenant, None), spent(tenant, 0.0)])

    assert await store.daily_spend(tenant.id, since=TODAY.date()) == [
        DailySpend(tenant.id, TODAY.date(), "measured", 0.75)
    ]


@every_store
async def test_days_are_those_of_utc_and_kinds_of_spend_are_told_apart(store, tenant, spent):
    other = await store.create_tenant("bob@x", tier="free", allow_override=False)
    yesterday = TODAY - timedelta(days=1)
    late = yesterday.replace(hour=23, minute=59, second=59)
    await store.append_decisions(
        [
            spent(tenant, 1.0, at=late),
            spent(tenant, 2.0),
            spent(tenant, 4.0, basis="simulated"),
            spent(tenant, 8.0, basis="simulated", demo=True),
            spent(other, 16.0),
        ]
    )

    found = await store.daily_spend(tenant.id, since=yesterday.date())

    assert [(each.day, each.basis, each.cost_usd) for each in found] == [
        (yesterday.date(), "measured", 1.0),
        (TODAY.date(), "demo", 8.0),
        (TODAY.date(), "measured", 2.0),
        (TODAY.date(), "simulated", 4.0),
    ]
    everybody = await store.daily_spend(None, since=TODAY.date())
    assert {(each.tenant_id, each.cost_usd) for each in everybody} == {
        *((tenant.id, usd) for usd in (2.0, 4.0, 8.0)),
        (other.id, 16.0),
    }


@every_store
async def test_of_a_hedged_request_each_provider_is_paid_its_part(store, tenant, spent):
    await store.append_decisions([spent(tenant, 0.75, endpoint="openai/b", attempts=HEDGED), spent(tenant, 2.0)])

    elsewhere = await store.spend_elsewhere(day=TODAY.date(), worker="me")

    assert elsewhere.providers == {
        "groq": [SpendOfMonth("measured", 2.25, 2.25)],
        "openai": [SpendOfMonth("measured", 0.5, 0.5)],
    }


@every_store
async def test_what_counts_against_a_quota_is_what_was_answered(store, tenant, spent):
    other = await store.create_tenant("bob@x", tier="free", allow_override=False)
    until, hour = TODAY.replace(microsecond=0), timedelta(hours=1)  # ids hold milliseconds
    began = until - 2 * hour
    answered = {"endpoint": "groq/a", "status": 200, "error": None}
    refused = {"endpoint": "openai/b", "status": 500, "error": "status 500"}
    unreached = {"endpoint": "openai/b", "status": None, "error": "no connection"}
    tokens = {"input_tokens": 100, "output_tokens": 20}
    await store.append_decisions(
        [
            spent(tenant, 1.0, at=began, attempts=(refused, answered), **tokens),
            spent(other, 1.0, at=began + hour, attempts=(unreached, answered), **tokens),
            spent(tenant, None, at=began + hour, attempts=(answered,), input_tokens=None, output_tokens=None),
            spent(tenant, 1.0, at=began - hour, attempts=(answered,), **tokens),
            spent(tenant, 1.0, at=until, attempts=(answered,), **tokens),
            spent(tenant, 1.0, at=began, basis="simulated", demo=True, attempts=(answered,), **tokens),
        ]
    )

    used = await store.quota_used(["groq/a", "openai/b", "x/y"], since=began, until=until)

    assert used == {"groq/a": QuotaUse(3, 240), "openai/b": QuotaUse(1, 0)}
    assert await store.quota_used(["x/y"], since=began, until=until) == {}


@every_store
async def test_a_worker_reads_what_the_others_spent_this_month_and_today(store, tenant, spent):
    await store.set_budget(tenant.id, 10.0, actor="operator")
    other = await store.create_tenant("bob@x", tier="free", allow_override=False)
    day = datetime(2026, 3, 2, 12, tzinfo=UTC)
    await store.append_decisions(
        [
            spent(tenant, 1.0, worker="me", at=day),
            spent(tenant, 2.0, worker="w1", at=day),
            spent(tenant, 4.0, worker="w2-x", at=day - timedelta(days=1)),
            spent(tenant, 8.0, worker="w1", at=day - timedelta(days=2)),  # the month before
            spent(tenant, 16.0, worker="me", at=day, basis="simulated", demo=True),  # generated, not decided here
            spent(tenant, 32.0, worker="w1", at=day.replace(month=4)),  # a clock that is ahead
            spent(other, 64.0, worker="w1", at=day, endpoint="openai/b"),
        ]
    )

    elsewhere = await store.spend_elsewhere(day=day.date(), worker="me")

    assert (elsewhere.month, elsewhere.day) == (day.date().replace(day=1), day.date())
    assert elsewhere.tenants == {tenant.id: [SpendOfMonth("demo", 16.0), SpendOfMonth("measured", 6.0)]}
    assert elsewhere.providers["openai"] == [SpendOfMonth("measured", 64.0, 64.0)]
    by_basis = {sums.basis: sums for sums in elsewhere.providers["groq"]}
    assert by_basis["measured"] == SpendOfMonth("measured", 6.0, 2.0)


@every_store
async def test_generated_spend_goes_with_the_generated_decisions(store, tenant, spent):
    await store.append_decisions([spent(tenant, 1.0), spent(tenant, 2.0, basis="simulated", demo=True)])

    await store.remove_demo_decisions(tenant.id)

    assert [each.basis for each in await store.daily_spend(tenant.id, since=TODAY.date())] == ["measured"]


async def test_partitions_that_are_made_later_count_nothing_twice(store, tenant, spent, sql):
    await store.append_decisions([spent(tenant, 1.0, at=TODAY + timedelta(days=9))])
    sql.owner("select ensure_decision_partitions(12)")

    assert sql.value("select sum(cost_usd) from spend") == 1.0


async def test_a_log_older_than_the_sums_is_added_up_once(store, tenant, spent, sql, database):
    sql.owner("drop trigger decisions_after_insert on decisions")
    old = TODAY - timedelta(days=80)
    await store.append_decisions(
        [spent(tenant, 1.0), spent(tenant, 2.0, endpoint="openai/b"), spent(tenant, 4.0, at=old)]
    )
    assert sql.owner("select * from spend") == []

    await apply_schema(database)
    await apply_schema(database)

    assert sql.owner("select provider, cost_usd from spend order by 1") == [("groq", 1.0), ("openai", 2.0)]
    await store.append_decisions([spent(tenant, 8.0)])
    assert sql.value("select sum(cost_usd) from spend where provider = 'groq'") == 9.0


async def test_a_tenant_reads_its_own_budget_and_spend_and_writes_neither(store, tenant, spent, sql):
    other = await store.create_tenant("bob@x", tier="free", allow_override=False)
    await store.append_decisions([spent(tenant, 1.0), spent(other, 2.0)])
    await store.set_budget(tenant.id, 5.0, actor="operator")

    assert sql.as_role("authenticated", "select budget_usd from public.users", sub=tenant.id) == [(5.0,)]
    assert sql.as_role("authenticated", "select sum(cost_usd) from public.spend", sub=tenant.id) == [(1.0,)]
    for statement in (
        "update public.users set budget_usd = 1000",
        "update public.spend set cost_usd = 0",
        "delete from public.spend",
        "select public.set_budget(id, 'x', 1000) from public.users",
        "select public.daily_spend(null, '2026-01-01')",
        "select public.spend_elsewhere('2026-01-01', '2026-01-01', '')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            sql.as_role("authenticated", statement, sub=tenant.id)
    for statement in ("update public.spend set cost_usd = 0", "delete from public.spend", "truncate public.spend"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            sql.as_role("service_role", statement)


async def test_functions_of_the_release_before_are_replaced(database, sql):
    sql.owner("drop function auth_context(text)")
    sql.owner(
        "create function auth_context(p_key_hash text) returns table (key_id uuid, email text) language sql as "
        "'select null::uuid, null::text'"
    )

    await apply_schema(database)

    assert sql.owner("select budget_usd from auth_context('x')") == []
