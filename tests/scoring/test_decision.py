"""A decision as it is shown, and the choice of a batch, which must be the decision of each of its requests."""

from __future__ import annotations

from dataclasses import replace

import builders
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.decision import choose, decide, directives_of, evaluate_batch, replay, utility_of
from freerelay_core.errors import NobodyAble, NoEndpointLeft
from freerelay_core.policy import NO_DIRECTIVE, batch_directives, read_policy
from freerelay_core.preference import EXPONENTS, FACTORS, PREFERENCE_EXPONENTS, RoutingPreference
from freerelay_core.profile import Depth, LatencyClass, ProfileBatch
from freerelay_core.scoring import Excluded, evaluate
from freerelay_core.scoring.kinds import tables_of
from freerelay_core.snapshot import AVAILABLE, COOLING_DOWN

AWKWARD = [
    builders.request(needs=frozenset({"vision"})),
    builders.request(input_tokens=200_000),  # beyond every context
    builders.request(output_tokens=17_000),  # beyond every limit on output
    builders.request(input_tokens=128_000 - 200),  # just within
    builders.request(output_tokens=16_000),
]


@given(
    builders.endpoints(1, 5),
    st.lists(
        st.tuples(builders.profiles | st.sampled_from(AWKWARD), st.sampled_from(RoutingPreference)),
        min_size=1,
        max_size=8,
    ),
)
def test_the_choice_of_a_batch_is_the_decision_of_each_request(endpoints, asked):
    snapshot = builders.snapshot(*endpoints)
    exponents = np.array([PREFERENCE_EXPONENTS[preference] for _, preference in asked])
    evaluation = evaluate(snapshot, ProfileBatch.of([profile for profile, _ in asked]))
    choice = choose(evaluation, exponents)
    utility = utility_of(evaluation, exponents, choice.endpoint)
    for request, (profile, preference) in enumerate(asked):
        decision = decide(snapshot, profile, decision_id="d", tenant_preference=preference)
        found = {
            "endpoint": choice.endpoint[request],
            "cost": choice.cost_usd[request],
            "quality": choice.quality[request],
            "decoded": choice.decoded_tokens[request],
            "utility": utility[request],
        }
        if not decision.order:
            assert found == {"endpoint": -1, "cost": 0, "quality": 0, "decoded": 0, "utility": 0}
            continue
        first, alone = decision.order[0], decision.evaluation
        assert found == {
            "endpoint": first,
            "cost": alone.cost_usd[first],
            "quality": pytest.approx(decision.row(0).quality),
            "decoded": alone.decoded_tokens[first],
            "utility": decision.log_utilities[first],
        }


def test_the_rules_of_a_batch_are_those_of_each_request():
    ids = ("a/one", "b/two", "c/three")
    snapshot = builders.snapshot(*(builders.endpoint(name) for name in ids))
    rules = [
        {"name": "long", "when": "input_tokens > 1000", "prefer": ["b/*"], "policy_weight": 3.0},
        {"name": "gone", "when": "output_tokens > 1000", "exclude": ["a/*"]},
    ]
    policy = read_policy({"rules": rules}, ids, source="test")
    profiles = [
        builders.request(),
        builders.request(input_tokens=2000),
        builders.request(output_tokens=2000),
        builders.request(input_tokens=9),
    ]
    for some in (profiles, profiles[:2], profiles[1:2], profiles[2:3], profiles[:1]):
        batch = ProfileBatch.of(some)
        directives, index = batch_directives(policy, batch, tenant="t", tier="gold")
        evaluation = evaluate(snapshot, batch, directives_of(directives, index, snapshot))
        for request, profile in enumerate(some):
            alone = decide(snapshot, profile, decision_id="d", policy=policy, tenant_id="t", tier="gold")
            assert builders.row_of(evaluation, request).tolist() == alone.evaluation.of_one.tolist()
            assert evaluation.excluded[request].tolist() == alone.evaluation.excluded.tolist()


def test_a_rule_may_read_who_asks():
    ids = ("a/one", "b/two")
    snapshot = builders.snapshot(*(builders.endpoint(name) for name in ids))
    policy = read_policy({"rules": [{"name": "r", "when": 'tenant == "t7"', "prefer": ["b/*"]}]}, ids, source="test")
    for tenant, first in (("t7", "b/two"), ("t8", "a/one"), (None, "a/one")):
        decision = decide(snapshot, builders.request(), decision_id="d", policy=policy, tenant_id=tenant)
        assert decision.endpoints[0] == first


def test_an_unpriced_endpoint_is_ranked_only_where_price_does_not_count():
    snapshot = builders.snapshot(builders.endpoint("a/priced"), builders.endpoint("b/unpriced", usd=None))
    assert decide(snapshot, builders.request(), decision_id="d").endpoints == ("a/priced",)
    nothing_for_cost = {**EXPONENTS[RoutingPreference.BALANCED], "cost": 0.0}
    assert len(decide(snapshot, builders.request(), decision_id="d", exponents=nothing_for_cost).endpoints) == 2


def test_a_decision_is_shown_whole():
    snapshot = builders.snapshot(
        builders.endpoint("a/one@high"), builders.endpoint("b/two", usd=(9, 9, 9)), builders.endpoint("c/x", usd=None)
    )
    decision = decide(snapshot, builders.request(), decision_id="d-1")
    shown, first = decision.as_dict(builders.NOON), decision.row(0)
    assert shown.pop("ranking")[0] == {
        "endpoint": "a/one@high",
        "provider": "a",
        "model": "one",
        "score": 100.0,
        "utility": first.utility,
        "log_utility": float(decision.log_utilities[0]),
        "cost_usd": (500 * 1.0 + 200 * 4.0) / 1e6,
        "latency_s": {"p50": first.latency_p50_s, "p95": first.latency_p95_s},
        "quality": first.factors["quality"][0],
        "graded": 0.0,
        "basis": "published",
        "simulated": True,
        "about_equal": True,
        "factors": {
            name: {"value": value, "exponent": exponent, "contribution": contribution}
            for name, (value, exponent, contribution) in first.factors.items()
        },
    }
    assert first.latency_p50_s < first.latency_p95_s
    assert shown.pop("sensitivity") == decision.sensitivity.as_dict()
    assert shown == {
        "decision_id": "d-1",
        "snapshot": {"id": snapshot.id, "age_s": 0.0},
        "preference": {"value": "balanced", "level": "default", "rule": None},
        "profile": builders.request().as_dict(),
        "rules": [],
        "actions": [],
        "exponents": EXPONENTS[RoutingPreference.BALANCED],
        "reason": decision.reason,
        "excluded": [{"endpoint": "c/x", "reason": "unpriced", "detail": "has no known price"}],
    }


def test_the_reason_speaks_of_the_median_time():
    fast, slow = builders.endpoint("a/fast"), builders.endpoint("b/slow", tokens_per_s=20.0)
    first, second = (decision := decide(builders.snapshot(fast, slow), builders.request(), decision_id="d")).ranking
    assert f"{second.latency_p50_s - first.latency_p50_s:.1f} s faster" in decision.reason


def test_with_nothing_left_the_commonest_reason_comes_first():
    unable = [builders.endpoint(f"a/{n}", context_tokens=9) for n in range(3)]
    decision = decide(
        builders.snapshot(builders.endpoint("0/z", usd=None), *unable), builders.request(), decision_id="d"
    )
    with pytest.raises(NobodyAble, match=r"request: 3 x the request is longer.*; 1 x has no known price") as caught:
        decision.require_endpoint()
    assert (caught.value.code, caught.value.retry_after_s) == ("context_length_exceeded", None)
    assert decision.as_dict(builders.NOON)["reason"] is None


def test_with_nothing_but_the_operator_s_doing_in_the_way_the_request_is_not_blamed():
    decision = decide(
        builders.snapshot(builders.endpoint("a/x", usd=None), builders.endpoint("b/y", usd=None)),
        builders.request(),
        decision_id="d",
    )
    with pytest.raises(NoEndpointLeft, match="2 x has no known price"):
        decision.require_endpoint()


def test_what_is_too_long_for_every_endpoint_in_either_way_is_too_long():
    small = builders.endpoint("a/small", context_tokens=9)
    brief = builders.endpoint("b/brief", max_output_tokens=9)
    with pytest.raises(NobodyAble) as caught:
        decide(builders.snapshot(small, brief), builders.request(), decision_id="d").require_endpoint()
    assert caught.value.code == "context_length_exceeded"


def test_the_reason_of_a_named_endpoint_is_that_it_was_named():
    snapshot = builders.snapshot(builders.endpoint("a/x"), builders.endpoint("b/y"))
    named = decide(snapshot, builders.request(), decision_id="d", only="b/y")
    assert named.reason == "b/y is the endpoint that the request names"


def test_with_one_endpoint_left_nothing_is_wrong():
    decide(builders.snapshot(builders.endpoint()), builders.request(), decision_id="d").require_endpoint()


def test_an_ability_that_nobody_has_is_the_sender_s_to_do_without():
    blind = builders.snapshot(builders.endpoint("a/a", capabilities={"streaming"}))
    with pytest.raises(NobodyAble, match="a/a cannot serve this request: cannot read pictures") as caught:
        decide(blind, builders.request(needs=frozenset({"vision"})), decision_id="d").require_endpoint()
    assert (caught.value.status, caught.value.code) == (400, "no_able_endpoint")


def test_where_waiting_may_help_one_endpoint_the_request_may_be_tried_again():
    unable, failing = builders.endpoint("a/a", context_tokens=9), builders.endpoint("b/b")
    states = np.array([AVAILABLE, COOLING_DOWN], dtype=np.int8)
    snapshot = replace(builders.snapshot(unable, failing), availability=states)
    with pytest.raises(NoEndpointLeft) as caught:
        decide(snapshot, builders.request(), decision_id="d").require_endpoint()
    assert caught.value.retry_after_s == 5.0


def test_an_exclusion_by_rules_names_the_first():
    ids = ("a/one", "b/two")
    rules = [{"name": "x", "exclude": ["a/*"], "continue": True}, {"name": "y", "exclude": ["a/*"]}]
    snapshot = builders.snapshot(*(builders.endpoint(name) for name in ids))
    policy = read_policy({"rules": rules}, ids, source="test")
    (excluded,) = decide(snapshot, builders.request(), decision_id="d", policy=policy).excluded
    assert excluded.detail == "excluded by rule x"


def test_a_replayed_tie_goes_to_the_cheaper_and_then_to_the_smaller_id_however_it_was_logged():
    logs = dict.fromkeys(FACTORS, (-1, -1, -1))
    ranked = replay(["c", "a", "b"], logs, EXPONENTS[RoutingPreference.BALANCED], [1, 2, 1])
    assert [name for name, _ in ranked] == ["b", "c", "a"]


@pytest.mark.parametrize("many", [False, True])
def test_a_request_that_just_fits_is_served_and_one_token_more_is_not(many):
    """Beside an endpoint that holds less, so that limits are looked at."""
    small = builders.endpoint("a/small", context_tokens=1_000, max_output_tokens=100)
    large = builders.endpoint("b/large", context_tokens=2_000, max_output_tokens=500)
    snapshot = builders.snapshot(small, large)

    def excluded(input_tokens, output_tokens):
        asked = builders.request(input_tokens=input_tokens, output_tokens=output_tokens)
        if not many:
            return [row.endpoint for row in decide(snapshot, asked, decision_id="d").excluded]
        codes = evaluate(snapshot, ProfileBatch.of([builders.request(input_tokens=1, output_tokens=1), asked])).excluded
        assert not codes[0].any()
        return [snapshot.endpoint_ids[e] for e in np.flatnonzero(codes[1])]

    assert excluded(950, 50) == []
    assert excluded(951, 50) == excluded(1_950, 50) == ["a/small"]
    assert excluded(1_951, 50) == ["a/small", "b/large"]
    assert excluded(1, 100) == []
    assert excluded(1, 101) == excluded(1, 500) == ["a/small"]
    assert excluded(1, 501) == ["a/small", "b/large"]


@pytest.mark.parametrize("many", [False, True])
def test_a_request_beyond_what_a_quota_holds_in_a_minute_or_day_is_excluded_unless_something_else_speaks(many):
    three = builders.snapshot(
        builders.endpoint("a/tight"), builders.endpoint("b/wide"), builders.endpoint("c/small", context_tokens=500)
    )
    snapshot = replace(three, max_request_tokens=np.array([1_000.0, 2_000.0, 1_000.0]))

    def reasons(input_tokens, output_tokens):
        asked = builders.request(input_tokens=input_tokens, output_tokens=output_tokens)
        if many:
            codes = evaluate(snapshot, ProfileBatch.of([builders.request(input_tokens=1), asked])).excluded[1]
        else:
            codes = decide(snapshot, asked, decision_id="d").evaluation.excluded
        return {snapshot.endpoint_ids[e]: Excluded(codes[e]).reason for e in np.flatnonzero(codes)}

    assert reasons(300, 100) == {}
    assert reasons(500, 500) == {"c/small": "context_too_small"}
    assert reasons(500, 501) == {"c/small": "context_too_small", "a/tight": "over_token_limit"}


FLEET = builders.snapshot(
    builders.endpoint("real/priced"),
    builders.endpoint("real/unpriced", usd=None),
    builders.endpoint("sim/priced"),
    builders.endpoint("sim/unpriced", usd=None),
    real=frozenset({"real"}),
)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("price_matters", [False, True])
def test_what_is_closed_to_every_request_depends_on_who_asks_and_on_whether_price_counts(live, price_matters):
    """Alone and in a batch."""
    closed = {
        "real/priced": "cooling_down",
        "real/unpriced": "unpriced" if price_matters else None,
        "sim/priced": "simulated" if live else None,
        "sim/unpriced": "simulated" if live else "unpriced" if price_matters else None,
    }
    snapshot = replace(FLEET, availability=np.array([COOLING_DOWN, 0, 0, 0], dtype=np.int8))
    exponents = EXPONENTS[RoutingPreference.BALANCED] | ({} if price_matters else {"cost": 0.0})
    decision = decide(snapshot, builders.request(), decision_id="d", live=live, exponents=exponents)
    assert {row.endpoint: row.reason for row in decision.excluded} == {e: r for e, r in closed.items() if r}
    batch = ProfileBatch.of([builders.request()] * 2)
    codes = evaluate(snapshot, batch, live=live, price_matters=price_matters).excluded
    assert codes.tolist() == [decision.evaluation.excluded.tolist()] * 2


def test_a_dry_run_sees_simulated_endpoints_and_no_unpriced_ones_unless_it_says_otherwise():
    batch, index = ProfileBatch.of([builders.request()] * 2), np.zeros(2, dtype=np.intp)
    for codes in (evaluate(FLEET, batch).excluded, evaluate_batch(FLEET, batch, [NO_DIRECTIVE], index).excluded):
        assert (codes != Excluded.NO).tolist() == [[False, True, False, True]] * 2


@given(builders.endpoints(1, 4), builders.profiles | st.sampled_from(AWKWARD), st.lists(st.integers(0, 23), max_size=4))
def test_requests_that_are_alike_but_for_their_hour_are_decided_as_if_stated_one_by_one(endpoints, profile, hours):
    """Also where there are none."""
    snapshot = builders.snapshot(*endpoints)
    count = len(hours)
    alike = ProfileBatch.uniform(
        profile,
        input_tokens=np.full(count, float(profile.input_tokens)),
        output_tokens=np.full(count, float(profile.output_tokens)),
        hour_utc=np.array(hours, dtype=np.intp),
    )
    together = evaluate(snapshot, alike)
    assert together.excluded.shape == together.cost_usd.shape == (count, len(endpoints))
    for row, hour in enumerate(hours):
        alone = evaluate(snapshot, profile._replace(hour_utc=hour))
        assert builders.row_of(together, row).tobytes() == alone.of_one.tobytes()
        assert together.excluded[row].tolist() == alone.excluded.tolist()
    winners = choose(together, PREFERENCE_EXPONENTS[RoutingPreference.BALANCED]).endpoint
    assert winners.shape == (count,)


def test_the_factors_of_a_batch_are_not_those_of_one_request():
    batch = evaluate(FLEET, ProfileBatch.of([builders.request()]))
    with pytest.raises(TypeError, match="batch"):
        _ = batch.of_one


def test_ever_new_kinds_of_requests_are_not_all_kept_in_memory():
    snapshot = builders.snapshot(builders.endpoint())
    kinds = [
        builders.request(depth=depth, latency_class=latency_class, hour_utc=hour)
        for depth in Depth
        for latency_class in LatencyClass
        for hour in range(24)
    ]
    costs, kept = [], []
    for profile in kinds:
        costs.append(decide(snapshot, profile, decision_id="d").row(0).cost_usd)
        kept.append(len(tables_of(snapshot).kinds))
    assert max(kept) == 256 < len(kinds)
    assert costs == [decide(snapshot, profile, decision_id="d").row(0).cost_usd for profile in kinds]
