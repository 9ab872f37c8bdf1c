"""What-ifs: the same ranking as live on both sides, the same luck, and who wins and loses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import builders
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freerelay_core.decision import AUTO, decide
from freerelay_core.errors import UnprocessableRequest
from freerelay_core.policy import NO_POLICY, read_policy
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import Depth, RequestProfile
from freerelay_core.simulation import (
    Cancelled,
    TracedTenant,
    Traffic,
    World,
    fall_despite_rise,
    read_scenario,
    recorded_traffic,
    simulate,
    standard_workload,
    trace_of,
    traffic_of_trace,
    what_if,
)
from freerelay_core.store import RecordedRequest, Tenant

ENDPOINTS = [
    builders.endpoint("a/cheap", usd=(0.1, 0.01, 0.4), tokens_per_s=40.0, ability=1150.0),
    builders.endpoint("b/quick", usd=(2.0, 0.2, 8.0), tokens_per_s=900.0, ability=1250.0),
    builders.endpoint("c/able", usd=(5.0, 0.5, 25.0), tokens_per_s=80.0, ability=1500.0),
]
WORLD = World(builders.snapshot(*ENDPOINTS), NO_POLICY)
TENANTS = (
    TracedTenant("1", "saver@example.org", "free", RoutingPreference.COST_OPTIMIZED),
    TracedTenant("2", "quick@example.org", "gold", RoutingPreference.PERFORMANCE_FIRST),
    TracedTenant("3", "nobody@example.org", None, None),
)


def scenario(*changes):
    return read_scenario({"name": "s", "changes": list(changes)})


def two_tenants(count=400):
    trace = standard_workload(count).profiles
    return Traffic(trace_of([trace.profile(r) for r in range(count)], origin="t"), TENANTS, np.arange(count) % 3)


@settings(max_examples=20)
@given(st.lists(builders.profiles, min_size=1, max_size=20), st.floats(0.1, 10))
def test_both_sides_choose_as_routing_would(profiles, times):
    traffic = Traffic(trace_of(profiles, origin="t"), TENANTS, np.arange(len(profiles)) % 3)
    changes = scenario({"price": {"endpoints": "a/*", "times": times}}, {"withdraw": {"endpoints": "c/*"}})
    result = what_if(traffic, WORLD, changes)
    for side, world in ((result.baseline, WORLD), (result.changed, WORLD.under(changes))):
        for row, profile in enumerate(profiles):
            tenant = TENANTS[row % 3]
            live = decide(world.snapshot, profile, decision_id="d", tenant_preference=tenant.preference)
            assert side.endpoint_ids[side.winners[row]] == live.endpoints[0]
            assert side.costs_usd[row] == live.row(0).cost_usd


def test_where_cost_does_not_count_an_endpoint_without_a_price_is_chosen_as_it_would_be():
    world = World(builders.snapshot(*ENDPOINTS, builders.endpoint("d/unpriced", usd=None, ability=1600.0)), NO_POLICY)
    careless = scenario({"exponents": {"values": {"cost": 0.0}, "tenant": "quick@example.org"}})
    traffic = two_tenants(30)
    result = what_if(traffic, world, careless)
    wish = world.under(careless).wish(*TENANTS[1].names)
    for row in range(len(traffic)):
        preference = TENANTS[row % 3].preference or RoutingPreference.BALANCED
        live = decide(
            world.snapshot,
            traffic.trace.profiles.profile(row),
            decision_id="d",
            tenant_preference=preference,
            exponents=wish.exponents_over(preference) if row % 3 == 1 else None,
        )
        assert result.changed.endpoint_ids[result.changed.winners[row]] == live.endpoints[0]
    unpriced = result.changed.endpoint_ids.index("d/unpriced")
    sent = np.flatnonzero(result.changed.winners == unpriced)
    assert set(sent % 3) == {1}
    assert result.unpriced == result.as_dict()["scenario"]["unpriced"] == len(sent), "their cost is unknown, not 0"
    assert what_if(traffic, world, scenario()).unpriced == 0


def test_nothing_changed_is_no_difference():
    result = what_if(two_tenants(), WORLD, scenario())
    assert result.first_choices_changed == 0
    assert result.interval("cost_usd") == result.interval("durations_s") == (0, 0, 0)
    assert {effect.verdict for effect in result.tenants} == {"same"}
    assert result.baseline.as_dict() == result.changed.as_dict()


def test_the_present_side_is_what_simulate_says():
    trace = standard_workload(500)
    result = what_if(traffic_of_trace(trace), WORLD, scenario(), seed=3)
    alone = simulate(trace, WORLD.snapshot, seed=3).results[RoutingPreference.BALANCED]
    assert result.baseline.as_dict() == alone.as_dict()


def test_requests_that_choose_alike_wait_alike():
    result = what_if(two_tenants(), WORLD, scenario({"price": {"endpoints": "a/*", "times": 20}}))
    alike = result.baseline.winners == result.changed.winners
    assert alike.any()
    assert not alike.all()
    assert np.array_equal(result.baseline.durations_s[alike], result.changed.durations_s[alike])


def test_growth_multiplies_the_cost_and_nothing_else():
    result = what_if(two_tenants(), WORLD, scenario({"traffic": {"times": 1.5}}))
    assert result.total_usd(result.changed) == pytest.approx(1.5 * result.total_usd(result.baseline))
    assert result.first_choices_changed == 0


def test_a_price_rise_hurts_whoever_saves_most():
    result = what_if(two_tenants(), WORLD, scenario({"price": {"endpoints": "a/*", "times": 8}}))
    assert result.tenants[0].tenant.label == "saver@example.org"
    assert result.tenants[0].verdict == "loses"
    harms = [effect.utility_change for effect in result.tenants]
    assert harms == sorted(harms)
    assert all(effect.utility_change <= 0 for effect in result.tenants)


def test_where_a_price_rise_makes_the_total_fall_the_move_that_saves_most_is_named():
    middle = builders.endpoint("d/middle", usd=(0.5, 0.05, 2.0), tokens_per_s=300.0, ability=1200.0)
    world = World(builders.snapshot(*ENDPOINTS[:2], middle), NO_POLICY)
    rises = [{"price": {"endpoints": name, "times": times}} for name, times in (("b/*", 1000), ("d/*", 1.5))]
    result = what_if(two_tenants(), world, scenario(*rises))
    before, after = result.baseline, result.changed
    assert result.total_usd(after) < result.total_usd(before)
    move = fall_despite_rise(result)
    names = before.endpoint_ids
    saved = before.costs_usd - after.costs_usd
    sums = {
        (old, new): saved[(before.winners == names.index(old)) & (after.winners == names.index(new))].clip(0).sum()
        for old in names
        for new in names
        if old != new
    }
    assert (move.old, move.new) == max(sums, key=sums.get)
    assert move.before.cost_usd - move.after.cost_usd == pytest.approx(sums[move.old, move.new])
    assert move.requests < move.moved == (saved > 0).sum()
    assert move.after.cost_usd_per_1000 < move.before.cost_usd_per_1000


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [{"price": {"endpoints": "a/*", "times": 1.01}}],
        [{"price": {"endpoints": "c/*", "times": 0.5}}],
        [{"preference": {"value": "cost-optimized"}}],
        [{"price": {"endpoints": "c/*", "times": 0.01}}, {"price": {"endpoints": "b/*", "times": 1.01}}],
        [{"price": {"endpoints": "c/*", "times": 5}}, {"traffic": {"times": 1000}}],
    ],
    ids=["nothing", "it rises", "no rise", "another reason", "cheaper prices", "more requests"],
)
def test_no_move_is_named_where_prices_do_not_rise_or_the_total_does_not_fall(changes):
    assert fall_despite_rise(what_if(two_tenants(), WORLD, scenario(*changes))) is None


def test_a_cheaper_price_never_harms_anybody():
    result = what_if(two_tenants(), WORLD, scenario({"price": {"endpoints": "*", "times": 0.5}}))
    assert {effect.verdict for effect in result.tenants} == {"wins"}


def test_a_preference_imposed_on_all_costs_utility_by_their_own_measure():
    result = what_if(two_tenants(), WORLD, scenario({"preference": {"value": "cost-optimized"}}))
    effects = {effect.tenant.label: effect for effect in result.tenants}
    assert effects["saver@example.org"].changed == 0
    assert effects["quick@example.org"].changed > 0
    assert all(effect.utility_change <= 1e-12 for effect in effects.values()), "each chose the best before"


def test_a_wish_may_be_for_one_tenant():
    change = {"preference": {"value": "cost-optimized", "tenant": "quick@example.org"}}
    result = what_if(two_tenants(), WORLD, scenario(change))
    assert [effect.tenant.label for effect in result.tenants if effect.changed] == ["quick@example.org"]


def test_new_rules_stand_above_preferences_and_see_the_tier():
    rule = {"name": "gold", "when": 'tier == "gold"', "exclude": ["b/*", "c/*"]}
    result = what_if(two_tenants(), WORLD, scenario({"rules": [rule]}))
    gold = np.arange(400) % 3 == 1
    assert (result.changed.winners[gold] == 0).all()
    assert (result.changed.winners[~gold] == result.baseline.winners[~gold]).all()
    present = World(WORLD.snapshot, read_policy({"rules": [rule]}, WORLD.snapshot.endpoint_ids, source="r"))
    removed = what_if(two_tenants(), present, scenario({"rules": []}))
    assert (removed.changed.winners == result.baseline.winners).all()


def test_rules_that_require_and_bound_are_rehearsed():
    one, none = 'tier == "gold"', {"fallback": "none"}
    rules = [
        {"name": "fence", "when": one, "require": ["b/*"], "continue": True},
        {"name": "ceiling", "when": one, "max_cost_usd": 1e-12, "continue": True},
        {"name": "json", "when": one, "enforce_mode": "json", "set_temperature": 0, "require_hedging": True},
        {"name": "nobody", "when": 'tier != "gold"', "max_latency_s": 1e-6, **none},
    ]
    result = what_if(two_tenants(), WORLD, scenario({"rules": rules}))
    gold = np.arange(400) % 3 == 1
    assert (result.changed.winners[gold] == WORLD.snapshot.providers.index("b")).all()
    assert (result.changed.winners[~gold] == -1).all()


def test_whoever_is_no_longer_served_is_harmed_most():
    result = what_if(
        two_tenants(),
        WORLD,
        scenario(
            {"withdraw": {"endpoints": "a/*"}},
            {"rules": [{"name": "r", "when": 'tier == "free"', "exclude": ["b/*", "c/*"]}]},
        ),
    )
    first = result.tenants[0]
    assert (first.tenant.label, first.verdict, first.unserved) == ("saver@example.org", "loses", (0, first.requests))
    assert result.as_dict()["difference"]["unserved"] == first.requests


def test_the_shape_of_the_json():
    shown = what_if(two_tenants(), WORLD, scenario({"price": {"endpoints": "a/*", "times": 8}})).as_dict()
    assert {"baseline", "scenario", "difference"} <= set(shown)
    difference = shown["difference"]
    low, high = difference["cost_usd_per_1000"]["interval_90"]
    assert low <= difference["cost_usd_per_1000"]["mean"] <= high
    per_1000 = shown["scenario"]["cost_usd_per_1000"] - shown["baseline"]["cost_usd_per_1000"]
    assert difference["cost_usd_per_1000"]["mean"] == pytest.approx(per_1000)
    assert sum(difference["share"].values()) == pytest.approx(0, abs=1e-12)
    assert difference["tenants"][0]["tenant"] == "saver@example.org"


def test_progress_reaches_the_end_and_a_cancelled_run_stops():
    seen = []
    what_if(two_tenants(), WORLD, scenario(), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (800, 800)
    with pytest.raises(Cancelled):
        what_if(two_tenants(), WORLD, scenario(), cancelled=lambda: True)


def recorded(tenant_id, model=AUTO, override=None, **changes):
    profile = builders.request(**changes).as_dict()
    return RecordedRequest(tenant_id, datetime(2026, 11, 24, tzinfo=UTC), profile, model, override, demo=False)


def tenants(preference):
    return {"1": Tenant("1", "one@example.org", "gold", preference, True, 1, builders.NOON)}


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([AUTO, "a/cheap", "b/quick", "gone/model"]), st.sampled_from([None, *RoutingPreference])
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([None, *RoutingPreference]),
    st.booleans(),
)
def test_a_request_keeps_the_preference_and_the_model_that_it_asked_for_on_both_sides(wishes, own, ruled):
    rule = {"name": "short", "when": "input_tokens < 300", "routing_preference": "cost-optimized"}
    policy = read_policy({"rules": [rule] if ruled else []}, WORLD.snapshot.endpoint_ids, source="r")
    changes = scenario(
        {"preference": {"value": "balanced"}},
        {"exponents": {"values": {"latency": 2.0}}},
        {"withdraw": {"endpoints": "a/*"}},
        {"price": {"endpoints": "b/*", "times": 3}},
    )
    requests = [
        recorded("1", model, override, input_tokens=100 + 90 * number, depth=Depth(number % 5))
        for number, (model, override) in enumerate(wishes)
    ]
    world = World(WORLD.snapshot, policy)
    result = what_if(recorded_traffic(requests, tenants(own), days=7), world, changes)
    imposed = RoutingPreference.BALANCED
    for side, ranked_in, tenant in ((result.baseline, world, own), (result.changed, world.under(changes), imposed)):
        for row, request in enumerate(requests):
            profile = RequestProfile.from_dict(request.profile)
            asked = {
                "policy": policy,
                "tenant_id": "1",
                "tier": "gold",
                "tenant_preference": tenant,
                "request_preference": request.override,
                "only": None if request.model == AUTO else request.model,
            }
            live = decide(ranked_in.snapshot, profile, decision_id="d", **asked)
            if side is result.changed:
                raised = ranked_in.wish("1").exponents_over(live.preference.value)
                live = decide(ranked_in.snapshot, profile, decision_id="d", exponents=raised, **asked)
            chosen = side.endpoint_ids[side.winners[row]] if side.winners[row] >= 0 else None
            assert chosen == (live.endpoints[0] if live.order else None)
            assert side.costs_usd[row] == (live.row(0).cost_usd if live.order else 0.0)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_preference_that_the_tenant_may_no_longer_ask_for_is_not_repeated(allowed):
    requests = [recorded(tenant, override=RoutingPreference.BALANCED) for tenant in ("1", "gone")]
    owners = {"1": replace(tenants(None)["1"], allow_override=allowed)}
    assert recorded_traffic(requests, owners, days=7).own.overriding.tolist() == [allowed, True]


def test_a_named_model_that_a_scenario_takes_away_leaves_its_requests_without_an_answer():
    requests = [recorded("1", "b/quick"), recorded("1", "b/quick"), recorded("1", "gone/model"), recorded("1")]
    traffic = recorded_traffic(requests, tenants(RoutingPreference.COST_OPTIMIZED), days=7)
    result = what_if(traffic, WORLD, scenario({"withdraw": {"endpoints": "b/*"}}))
    assert result.named_unserved == (1, 3)
    assert (result.baseline.unserved, result.changed.unserved) == (1, 3)
    assert (traffic.own.named.sum(), traffic.own.overriding.sum()) == (3, 0)
    assert what_if(two_tenants(), WORLD, scenario({"withdraw": {"endpoints": "*"}})).named_unserved == (0, 0)


def test_what_a_tenant_loses_is_told_by_what_its_requests_asked_for():
    requests = [recorded("1", override=RoutingPreference.COST_OPTIMIZED)]
    rule = {"name": "fast", "routing_preference": "performance-first"}
    traffic = recorded_traffic(requests, tenants(RoutingPreference.PERFORMANCE_FIRST), days=7)
    result = what_if(traffic, WORLD, scenario({"rules": [rule]}))
    assert result.first_choices_changed == 1
    assert result.tenants[0].verdict == "loses"


def test_recorded_requests_belong_to_their_tenants():
    tenant = Tenant("2", "two@example.org", "gold", RoutingPreference.BALANCED, False, 1, builders.NOON)
    odd = RecordedRequest("2", builders.NOON, {"family": "from another release"}, AUTO, None, demo=False)
    requests = [recorded("2", input_tokens=7), recorded("1"), odd, recorded("2")]
    traffic = recorded_traffic(requests, {"2": tenant}, days=7)
    assert [traffic.tenants[number].label for number in traffic.tenant] == ["two@example.org", "1", "two@example.org"]
    assert traffic.trace.profiles.input_tokens.tolist() == [7, 500, 500]
    assert traffic.unreadable == 1


def test_no_recorded_requests_say_what_to_do():
    with pytest.raises(UnprocessableRequest, match="Send some"):
        recorded_traffic([], {}, days=7)
