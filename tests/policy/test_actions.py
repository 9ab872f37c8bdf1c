"""What each action does: to a live decision, and to the same request in a batch."""

from __future__ import annotations

from dataclasses import fields, replace

import builders
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.decision import choose, decide, evaluate_batch
from freerelay_core.errors import NoEndpointLeft
from freerelay_core.fleet.lessons import Lessons
from freerelay_core.policy import Conditions, Directive, batch_directives, conditions_of, read_policy
from freerelay_core.preference import EXPONENTS, RoutingPreference, exponent_array
from freerelay_core.profile import OutputContract, ProfileBatch
from freerelay_core.snapshot import BREAKER_OPEN, WITHDRAWN

CHEAP = builders.endpoint("cheap/small", usd=(0.01, 0.01, 0.01), ability=1000.0, tokens_per_s=10.0)
DEAR = builders.endpoint("dear/large", usd=(100.0, 100.0, 100.0), ability=1500.0, tokens_per_s=500.0)
PLAIN = builders.endpoint("plain/text", capabilities=frozenset({"streaming"}))
UNPRICED = builders.endpoint("free/unknown", usd=None)
SNAPSHOT = builders.snapshot(CHEAP, DEAR, PLAIN)
REQUEST = builders.request()


def policy(*rules, snapshot=SNAPSHOT):
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(rules, start=1)]
    return read_policy({"rules": named}, snapshot.endpoint_ids, source="test")


def decided(*rules, profile=REQUEST, snapshot=SNAPSHOT, **options):
    """The decision on a request, alone; the batch of it must agree to the last bit."""
    rules = policy(*rules, snapshot=snapshot)
    decision = decide(snapshot, profile, decision_id="d", policy=rules, **options)
    batch = ProfileBatch.of([profile, builders.request(input_tokens=7), profile])
    directives, index = batch_directives(rules, batch, conditions=conditions_of(snapshot))
    evaluation = evaluate_batch(snapshot, batch, directives, index)
    if not options:
        assert np.array_equal(evaluation.excluded[0], decision.evaluation.excluded)
        assert builders.row_of(evaluation, 0).tobytes() == decision.evaluation.of_one.tobytes()
        winner = choose(evaluation, exponent_array(EXPONENTS[decision.preference.value])).endpoint[0]
        assert winner == (decision.order[0] if decision.order else -1)
    return decision


def reasons(decision):
    return {row.endpoint: row.reason for row in decision.excluded}


def details(decision):
    return {row.endpoint: row.detail for row in decision.excluded}


def test_require_excludes_whatever_matches_no_pattern():
    decision = decided({"require": ["dear/*", "plain/*"]})
    assert reasons(decision) == {"cheap/small": "outside_required"}
    assert details(decision) == {"cheap/small": "is not among what rule r1 requires"}
    assert decision.dropped == ()


def test_max_cost_excludes_what_this_request_is_expected_to_cost_more_at():
    bound = {"max_cost_usd": 0.01}
    decision = decided(bound)
    assert reasons(decision) == {"dear/large": "over_max_cost"}
    assert details(decision) == {"dear/large": "costs more than rule r1 allows (0.01 USD)"}
    assert all(row.cost_usd <= 0.01 for row in decision.ranking)
    assert reasons(decided(bound, profile=builders.request(input_tokens=10, output_tokens=10))) == {}


def test_an_unknown_price_is_within_no_bound():
    snapshot = builders.snapshot(CHEAP, UNPRICED)
    without_price = {**EXPONENTS[RoutingPreference.BALANCED], "cost": 0.0}
    assert "free/unknown" in decided({"prefer": ["cheap/*"]}, snapshot=snapshot, exponents=without_price).endpoints
    bound = decided({"max_cost_usd": 1.0}, snapshot=snapshot, exponents=without_price)
    assert reasons(bound) == {"free/unknown": "over_max_cost"}


def test_max_latency_excludes_what_is_expected_to_take_longer_at_its_slow_end():
    decision = decided({"max_latency_s": 5})
    assert reasons(decision) == {"cheap/small": "over_max_latency"}
    assert details(decision) == {"cheap/small": "may take longer than rule r1 allows (5 s)"}
    assert all(row.latency_p95_s <= 5 for row in decision.ranking)


@pytest.mark.parametrize(
    ("action", "value"), [("require", ["dear/*"]), ("max_cost_usd", 1e-9), ("max_latency_s", 1e-3)]
)
def test_what_would_leave_nothing_is_dropped_and_said_or_refused_naming_the_rule(action, value):
    away = {"exclude": ["dear/*"], "continue": True}
    dropped = decided(away, {action: value})
    assert set(dropped.endpoints) == {"cheap/small", "plain/text"}
    assert [(r.rule, r.action) for r in dropped.dropped] == [("r2", action)]
    shown = dropped.as_dict(builders.NOON)["actions"][-1]
    assert (shown["rule"], shown["action"], shown["fallback"], shown["dropped"]) == ("r2", action, "any", True)
    refused = decided(away, {action: value, "fallback": "none"})
    assert refused.order == ()
    with pytest.raises(NoEndpointLeft, match="rule r2"):
        refused.require_endpoint()


def test_one_requirement_is_dropped_and_the_others_of_the_rule_stay():
    decision = decided({"require": ["cheap/*", "plain/*"], "max_cost_usd": 1e-9, "max_latency_s": 5})
    assert decision.endpoints == ("plain/text",)
    assert [r.action for r in decision.dropped] == ["max_cost_usd"]


def test_a_requirement_that_may_be_dropped_gives_way_to_one_that_may_not():
    decision = decided({"require": ["dear/*"], "continue": True}, {"max_cost_usd": 0.01, "fallback": "none"})
    assert set(decision.endpoints) == {"cheap/small", "plain/text"}
    assert [r.rule for r in decision.dropped] == ["r1"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"max_cost_usd": 1.0}, {"max_cost_usd": 0.01}),  # the first would let it in
        ({"max_cost_usd": 1e-9}, {"max_cost_usd": 0.01, "fallback": "none"}),  # the first was dropped
        ({"max_cost_usd": 0.01}, {"require": ["cheap/*", "plain/*"]}),  # another action weighs more
    ],
)
def test_of_several_requirements_the_one_that_excluded_an_endpoint_is_named(first, second):
    assert "rule r2 " in details(decided({**first, "continue": True}, second))["dear/large"]


def test_with_nothing_left_anyway_a_requirement_that_may_be_dropped_is():
    decision = decided({"exclude": ["cheap/*", "dear/*", "plain/*"], "continue": True}, {"max_cost_usd": 1.0})
    assert decision.order == ()
    assert [r.action for r in decision.dropped] == ["max_cost_usd"]


def test_requirements_of_several_rules_add_up():
    decision = decided({"require": ["dear/*", "plain/*"], "continue": True}, {"require": ["cheap/*", "plain/*"]})
    assert decision.endpoints == ("plain/text",)


def test_a_named_model_that_a_rule_does_not_require_is_served_only_where_the_rule_may_be_dropped():
    rule = {"require": ["dear/*"]}
    assert decided(rule, only="cheap/small").endpoints == ("cheap/small",)
    assert decided({**rule, "fallback": "none"}, only="cheap/small").order == ()


def test_prefer_orders_what_is_allowed_and_overrides_no_exclusion():
    assert decided({"prefer": ["dear/*"], "policy_weight": 1000}).endpoints[0] == "dear/large"
    fenced = decided({"prefer": ["dear/*"], "policy_weight": 1000, "max_cost_usd": 0.01})
    assert "dear/large" not in fenced.endpoints


def test_the_weight_is_that_of_the_rule_whose_preference_is_heard():
    decision = decided({"prefer": ["plain/*"], "continue": True}, {"prefer": ["dear/*"], "policy_weight": 1000})
    assert decision.directive.prefer == ("plain/*",)
    values = {row.endpoint: row.factors["policy"][0] for row in decision.ranking}
    assert values["plain/text"] == 1
    assert values["dear/large"] == pytest.approx(0.5)


def test_enforced_json_excludes_who_cannot_and_raises_the_contract():
    decision = decided({"enforce_mode": "json"})
    assert reasons(decision) == {"plain/text": "no_json_mode"}
    assert decision.profile.contract is OutputContract.JSON
    assert decision.profile.reasons["contract"] == "raised from text by rule r1"
    assert decision.ranking[0].factors["schema"][0] == 1  # structured output keeps JSON


def test_enforced_json_is_never_dropped_however_little_is_left():
    decision = decided({"enforce_mode": "json"}, snapshot=builders.snapshot(PLAIN))
    assert decision.order == ()
    assert reasons(decision) == {"plain/text": "no_json_mode"}


def test_exactly_what_a_rule_allows_is_allowed():
    dear = next(row for row in decided({"set_temperature": 1}).ranking if row.endpoint == "dear/large")
    slow = next(row for row in decided({"set_temperature": 1}).ranking if row.endpoint == "cheap/small")
    for action, most in (("max_cost_usd", dear.cost_usd), ("max_latency_s", slow.latency_p95_s)):
        assert reasons(decided({action: most})) == {}
        assert reasons(decided({action: float(np.nextafter(most, 0.0))})) != {}


@pytest.mark.parametrize(
    ("mode", "stated", "enforced"),
    [
        ("json", OutputContract.SCHEMA, OutputContract.SCHEMA),
        ("json", OutputContract.STRICT, OutputContract.STRICT),
        ("strict", OutputContract.TEXT, OutputContract.JSON),
        ("strict", OutputContract.SCHEMA, OutputContract.STRICT),
    ],
)
def test_a_contract_is_never_lowered_and_strict_needs_a_schema(mode, stated, enforced):
    decision = decided({"enforce_mode": mode}, profile=builders.request(contract=stated))
    assert decision.profile.contract is enforced
    assert ("contract" in decision.profile.reasons) is (enforced is not stated)


def test_json_is_enforced_only_for_the_requests_of_a_batch_that_meet_the_rule():
    decision = decided({"when": "input_tokens > 100", "enforce_mode": "json"})  # one beside it has fewer
    assert decision.profile.contract is OutputContract.JSON


def test_a_strict_schema_goes_only_to_who_can_keep_it():
    capable = {"streaming", "json_mode"}
    snapshot = builders.snapshot(CHEAP, builders.endpoint("loose/m", capabilities=frozenset(capable)))
    asked = builders.request(contract=OutputContract.SCHEMA)
    assert reasons(decided({"enforce_mode": "json"}, profile=asked, snapshot=snapshot)) == {}
    strict = decided({"enforce_mode": "strict"}, profile=asked, snapshot=snapshot)
    assert reasons(strict) == {"loose/m": "no_structured_output"}


def test_every_action_stands_in_the_decision_with_its_rule():
    decision = decided(
        {"set_temperature": 0, "enforce_mode": "json", "continue": True},
        {"prefer": ["dear/*"], "policy_weight": 3, "exclude": ["plain/*"], "continue": True},
        {"routing_preference": "cost-optimized", "require_hedging": True, "set_temperature": 1},
    )
    rows = decision.as_dict(builders.NOON)["actions"]
    assert [row["rule"] for row in rows] == ["r1", "r1", "r2", "r2", "r2", "r3", "r3"]
    assert {(row["rule"], row["action"]): row["value"] for row in rows} == {
        ("r1", "set_temperature"): 0,
        ("r1", "enforce_mode"): "json",
        ("r2", "prefer"): ["dear/*"],
        ("r2", "policy_weight"): 3,
        ("r2", "exclude"): ["plain/*"],
        ("r3", "routing_preference"): "cost-optimized",
        ("r3", "require_hedging"): True,
    }
    assert str(decision.preference) == "cost-optimized; level=rule; rule=r3"


def test_what_no_rule_asks_for_stays_as_it_is():
    directive = decided({"exclude": ["plain/*"]}).directive
    stated = {field.name for field in fields(Directive) if getattr(directive, field.name)}
    assert stated == {"rules", "exclusions"}


def test_an_exclusion_names_the_rule_that_made_it_and_no_other_that_fired():
    decision = decided({"set_temperature": 1, "continue": True}, {"exclude": ["plain/*"]})
    assert details(decision) == {"plain/text": "excluded by rule r2"}


# -- conditions of the world


def test_a_condition_reads_the_health_of_the_fleet_and_the_day_of_the_snapshot():
    rules = ({"when": "healthy_share < 0.7", "exclude": ["plain/*"]}, {"when": "weekday == 2", "exclude": ["dear/*"]})
    assert reasons(decided(*rules)) == {"dear/large": "excluded_by_rule"}  # a Tuesday
    failing = replace(SNAPSHOT, availability=np.array([BREAKER_OPEN, 0, 0], dtype=np.int8))
    assert conditions_of(failing) == Conditions(healthy_share=2 / 3, failing_providers=("cheap",), weekday=2)
    assert reasons(decided(*rules, snapshot=failing))["plain/text"] == "excluded_by_rule"


def test_a_provider_fails_when_every_breaker_of_its_endpoints_in_service_is_open():
    rule = {"when": '"one" in failing_providers', "exclude": ["two/*"]}
    snapshot = builders.snapshot(*(builders.endpoint(name) for name in ("one/a", "one/b", "three/a", "two/a")))
    half, failing = (
        replace(snapshot, availability=np.array([BREAKER_OPEN, other, WITHDRAWN, 0], dtype=np.int8))
        for other in (0, BREAKER_OPEN)
    )
    assert conditions_of(half).failing_providers == ()
    assert "two/a" not in reasons(decided(rule, snapshot=half))
    assert conditions_of(failing).failing_providers == ("one",)
    everybody = replace(snapshot, availability=np.full(4, BREAKER_OPEN, dtype=np.int8))
    assert conditions_of(everybody).failing_providers == ("one", "three", "two")
    assert reasons(decided(rule, snapshot=failing))["two/a"] == "excluded_by_rule"


def test_a_condition_reads_how_often_answers_keep_their_contract():
    rule = {"when": "contract == 'json' && schema_success < 0.9", "routing_preference": "performance-first"}
    json = builders.request(contract=OutputContract.JSON)
    assert decided(rule, profile=json).preference.level == "default"
    lessons = Lessons(SNAPSHOT)
    for kept in (1.0, 0.0):
        lessons.record("schema", "json", 0, kept)
    strained = replace(SNAPSHOT, learned=lessons.learned())
    assert conditions_of(strained).schema_success == pytest.approx(0.5, abs=0.01)
    assert decided(rule, snapshot=strained, profile=json).preference.rule == "r1"


def test_endpoints_out_of_service_say_nothing_of_health():
    snapshot = builders.snapshot(CHEAP, DEAR, real=frozenset({"cheap"}))
    failing = replace(snapshot, availability=np.array([BREAKER_OPEN, 0], dtype=np.int8))
    assert conditions_of(failing).healthy_share == 0
    nothing_left = replace(snapshot, availability=np.full(2, WITHDRAWN, dtype=np.int8))
    assert conditions_of(nothing_left).healthy_share == 1


def test_a_condition_reads_the_tenants_own_preference_which_is_balanced_where_it_never_chose():
    rule = {"when": 'preference == "cost-optimized"', "exclude": ["dear/*"]}
    assert reasons(decided(rule, tenant_preference=RoutingPreference.COST_OPTIMIZED)) != {}
    assert reasons(decided(rule, request_preference=RoutingPreference.COST_OPTIMIZED)) == {}
    assert reasons(decided({**rule, "when": 'preference == "balanced"'})) != {}


# -- in general


requirements = st.fixed_dictionaries(
    {},
    optional={
        "require": st.lists(st.sampled_from(["p0/*", "p1/*", "p2/*"]), min_size=1, unique=True),
        "max_cost_usd": st.floats(1e-6, 1.0),
        "max_latency_s": st.floats(0.01, 100.0),
        "exclude": st.lists(st.sampled_from(["p0/*", "p1/*"]), min_size=1, unique=True),
        "prefer": st.lists(st.sampled_from(["p0/*", "p1/*", "p2/*"]), min_size=1, unique=True),
    },
).filter(bool)


@given(builders.endpoints(minimum=3), st.lists(requirements, min_size=1, max_size=3), builders.profiles)
def test_what_may_be_dropped_never_costs_a_request_its_last_endpoint(endpoints, rules, profile):
    snapshot = builders.snapshot(*endpoints)
    rules = [{**rule, "continue": True} for rule in rules]
    decision = decided(*rules, profile=profile, snapshot=snapshot)
    excluded_only = [{"exclude": rule["exclude"], "continue": True} for rule in rules if "exclude" in rule]
    without = decided(*excluded_only, profile=profile, snapshot=snapshot)
    assert bool(decision.order) == bool(without.order)
    assert set(decision.endpoints) <= set(without.endpoints)
    kept = [r for r in decision.directive.requirements if r not in decision.dropped]
    for row in decision.ranking:
        for r in kept:
            assert r.max_cost_usd is None or row.cost_usd <= r.max_cost_usd
            assert r.max_latency_s is None or row.latency_p95_s <= r.max_latency_s
            assert r.patterns is None or f"{row.provider}/*" in r.patterns
    assert len(decision.excluded) == len(snapshot) - len(decision.order)


def test_a_batch_knows_whose_requests_they_are():
    conditions = {"tenant": "tenant == 't7'", "tier": "tier == 'gold'", "preference": "preference == 'cost-optimized'"}
    for name, when in conditions.items():
        rules = policy({"when": when, "exclude": ["plain/*"]})
        who = {"tenant": "t7", "tier": "gold", "preference": RoutingPreference.COST_OPTIMIZED}
        for asked, fires in ((who, True), (who | {name: None}, False)):
            (directive,), _ = batch_directives(rules, ProfileBatch.of([REQUEST, REQUEST]), **asked)
            assert bool(directive.rules) is fires


def test_what_a_rule_demands_stands_in_the_decision_with_its_value():
    decision = decided({"require": ["cheap/*", "dear/*"], "max_cost_usd": 0.5, "max_latency_s": 90.0})
    assert {row["action"]: row["value"] for row in decision.directive.actions()} == {
        "require": ["cheap/*", "dear/*"],
        "max_cost_usd": 0.5,
        "max_latency_s": 90.0,
    }
