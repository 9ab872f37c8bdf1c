"""Lists and sums over the decision log, generated decisions, scenarios, and what only an operator may change."""

from __future__ import annotations

from datetime import timedelta

import pytest

from freerelay_core.clock import new_id
from freerelay_core.errors import NotFound, UnprocessableRequest
from freerelay_core.preference import EffectivePreference, RoutingPreference
from freerelay_core.store import DecisionFilter, Traffic

pytestmark = [pytest.mark.anyio, pytest.mark.every_store]

FAST = RoutingPreference.PERFORMANCE_FIRST
TWO_ATTEMPTS = ({"endpoint": "a/b", "error": "status 500"}, {"endpoint": "c/d"})


@pytest.fixture
async def tenant(store):
    return await store.create_tenant("a@example.org", tier="free", allow_override=False)


@pytest.fixture
async def other_tenant(store):
    return await store.create_tenant("b@example.org", tier="free", allow_override=False)


@pytest.fixture
async def logged(store, tenant, make_decision, clock):
    """Five decisions, an hour between each two, newest first."""
    records = []
    for number in range(5):
        changes = {"status": 502, "endpoint": None} if number == 1 else {"status": 200, "endpoint": f"p/{number}"}
        records.append(
            make_decision(
                tenant.id,
                id=new_id(clock),
                attempts=TWO_ATTEMPTS if number == 2 else TWO_ATTEMPTS[:1],
                demo=number == 4,
                cost_usd=0.25,
                duration_s=float(number),
                **changes,
            )
        )
        clock.advance(-3600)
    await store.append_decisions(records)
    return records


async def lines(store, tenant, records, *, limit=10, **where):
    found = await store.decision_lines(tenant.id, DecisionFilter(since=records[-1].created_at, **where), limit=limit)
    return [line.id for line in found]


async def test_a_list_is_newest_first_and_filtered(store, tenant, logged):
    ids = [record.id for record in logged]
    assert await lines(store, tenant, logged) == ids
    assert await lines(store, tenant, logged, limit=2) == ids[:2]
    assert await lines(store, tenant, logged, failed=True) == [ids[1]]
    assert await lines(store, tenant, logged, failed=False) == [ids[0], *ids[2:]]
    assert await lines(store, tenant, logged, failed_over=True) == [ids[2]]
    assert await lines(store, tenant, logged, endpoint="p/3") == [ids[3]]
    assert await lines(store, tenant, logged, family="coding") == ids
    assert await lines(store, tenant, logged, family="nothing") == []
    assert await lines(store, tenant, logged, until=logged[0].created_at) == ids[1:]


async def test_a_line_says_what_a_list_shows(store, tenant, logged):
    (line,) = await store.decision_lines(tenant.id, DecisionFilter(since=logged[0].created_at), limit=1)
    record = logged[0]
    assert (line.created_at, line.model, line.family, line.attempts) == (record.created_at, record.model, "coding", 1)
    assert (line.endpoint, line.cost_usd, line.duration_s, line.demo) == ("p/0", 0.25, 0.0, False)


async def test_traffic_sums_and_counts(store, tenant, logged):
    since, until = logged[-1].created_at, logged[0].created_at + timedelta(seconds=1)
    traffic = await store.traffic(tenant.id, since=since, until=until)
    assert (traffic.requests, traffic.demo, traffic.failed, traffic.failed_over, traffic.simulated) == (5, 1, 1, 1, 5)
    assert traffic.cost_usd == 1.25
    assert traffic.latency_p50_s == 2.5, "the median of the answered ones: 0, 2, 3 and 4 s"
    assert traffic.input_tokens == 5 * 812
    assert await store.traffic(None, since=since, until=until) == traffic
    assert await store.traffic_by_tenant(since=since, until=until) == {tenant.id: traffic}
    assert await store.traffic(tenant.id, since=until, until=until) == Traffic()


async def test_another_tenant_sees_none_of_it(store, tenant, other_tenant, logged):
    since, until = logged[-1].created_at, logged[0].created_at + timedelta(seconds=1)
    assert await store.traffic(other_tenant.id, since=since, until=until) == Traffic()
    assert await store.decision_lines(other_tenant.id, DecisionFilter(since=since), limit=10) == []
    assert await store.recorded_traffic(other_tenant.id, since=since, limit=10) == []
    assert await store.remove_demo_decisions(other_tenant.id) == 0


async def test_recorded_traffic_is_in_order_of_time_and_the_newest(store, tenant, logged):
    recorded = await store.recorded_traffic(tenant.id, since=logged[-1].created_at, limit=4)
    assert [request.created_at for request in recorded] == [record.created_at for record in logged[3::-1]]
    assert recorded[0].profile == logged[3].profile
    assert len(await store.recorded_traffic(None, since=logged[-1].created_at, limit=10)) == 5


async def test_recorded_traffic_says_what_a_request_asked_for_itself(store, tenant, make_decision, clock):
    wishes = [("freerelay/auto", "tenant"), ("a/b", "tenant"), ("freerelay/auto", "request"), ("a/b", "rule")]
    records = [
        make_decision(tenant.id, id=new_id(clock), model=model, preference=EffectivePreference(FAST, level))
        for model, level in wishes
    ]
    await store.append_decisions(records)
    recorded = await store.recorded_traffic(tenant.id, since=records[0].created_at - timedelta(days=1), limit=10)
    assert sorted((request.model, request.override or "") for request in recorded) == [
        ("a/b", ""),
        ("a/b", ""),
        ("freerelay/auto", ""),
        ("freerelay/auto", FAST),
    ]


async def test_only_generated_decisions_are_removed(store, tenant, logged):
    assert await store.remove_demo_decisions(tenant.id) == 1
    assert await store.remove_demo_decisions(tenant.id) == 0
    assert len(await store.recent_decisions(tenant.id, since=logged[-1].created_at, limit=10)) == 4


async def test_an_operator_changes_tier_and_override_and_it_is_audited(store, tenant):
    changed = await store.update_tenant(tenant.id, tier="silver", allow_override=True, actor="operator")
    assert (changed.tier, changed.allow_override) == ("silver", True)
    assert changed.settings_version == tenant.settings_version + 1
    assert (await store.update_tenant(tenant.id, actor="operator")).settings_version == changed.settings_version
    history = await store.settings_history(tenant.id)
    assert {(change.field, change.new_value, change.actor) for change in history[:2]} == {
        ("tier", "silver", "operator"),
        ("allow_override", "true", "operator"),
    }
    assert changed in await store.list_tenants()


async def test_unknown_tiers_and_tenants_are_refused(store, tenant):
    with pytest.raises(UnprocessableRequest, match="gold"):
        await store.update_tenant(tenant.id, tier="platinum", actor="operator")
    for identifier in ("6f1f8f5c-1111-4111-8111-111111111111", "x"):
        with pytest.raises(NotFound):
            await store.update_tenant(identifier, tier="gold", actor="operator")


async def test_a_key_is_renamed_by_its_own_tenant_only(store, tenant, other_tenant):
    key = await store.create_key(tenant.id, name="old", prefix="fr_live_abcd", key_hash="a" * 64)
    assert (await store.rename_key(tenant.id, key.id, "new")).name == "new"
    with pytest.raises(NotFound):
        await store.rename_key(other_tenant.id, key.id, "theirs")
    with pytest.raises(UnprocessableRequest):
        await store.rename_key(tenant.id, key.id, "nul \0")
    assert [key.name for key in await store.list_keys(tenant.id)] == ["new"]


async def test_scenarios_are_kept_by_name(store):
    first = await store.save_scenario("price rise", {"changes": [{"price": 2.0}]})
    second = await store.save_scenario("outage", {"changes": []})
    again = await store.save_scenario("price rise", {"changes": [{"price": 3.0}]})
    assert again.id == first.id
    assert await store.scenarios() == [second, again]
    assert await store.scenario(first.id) == again
    await store.delete_scenario(first.id)
    for missing in (first.id, "x"):
        with pytest.raises(NotFound):
            await store.scenario(missing)
        with pytest.raises(NotFound):
            await store.delete_scenario(missing)
    with pytest.raises(UnprocessableRequest):
        await store.save_scenario("nul \0", {})
