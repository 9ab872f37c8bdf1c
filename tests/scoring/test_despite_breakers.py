"""Requests that nothing but failing endpoints can serve: these are ranked in spite of their breakers."""

from __future__ import annotations

from dataclasses import replace

import builders
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.decision import choose, decide, evaluate_batch, replay
from freerelay_core.policy import NO_DIRECTIVE
from freerelay_core.preference import FACTORS, PREFERENCE_EXPONENTS, RoutingPreference
from freerelay_core.profile import ProfileBatch
from freerelay_core.snapshot import AVAILABLE, BREAKER_OPEN, COOLING_DOWN, QUOTA_GONE

SIGHTED = frozenset({"vision", "tools", "json_mode", "structured_output"})


def with_states(snapshot, *states):
    return replace(snapshot, availability=np.array(states, dtype=np.int8))


def decided(snapshot, **request):
    return decide(snapshot, builders.request(**request), decision_id="d")


def reasons(decision):
    return {row.endpoint: row.reason for row in decision.excluded}


ONE_SEES = builders.snapshot(
    builders.endpoint("a/blind"), builders.endpoint("b/sees", capabilities=SIGHTED), builders.endpoint("c/blind")
)


def test_the_only_one_that_can_is_tried_though_it_is_failing():
    decision = decided(with_states(ONE_SEES, AVAILABLE, BREAKER_OPEN, BREAKER_OPEN), needs=frozenset({"vision"}))
    assert decision.despite_breakers
    assert decision.endpoints == ("b/sees",)
    assert reasons(decision) == {"a/blind": "no_vision", "c/blind": "no_vision"}
    assert decision.reason.startswith("every able endpoint is failing; trying the likeliest: b/sees")


def test_while_a_healthy_one_is_able_failing_ones_are_left_alone():
    decision = decided(with_states(ONE_SEES, AVAILABLE, BREAKER_OPEN, BREAKER_OPEN))
    assert not decision.despite_breakers
    assert decision.endpoints == ("a/blind",)
    assert decision.reason == "a/blind is the only endpoint that can serve this request"


def test_one_that_could_not_serve_it_anyway_stays_out_with_its_breaker_for_a_reason():
    blind = with_states(builders.snapshot(builders.endpoint("a/blind")), BREAKER_OPEN)
    decision = decided(blind, needs=frozenset({"vision"}))
    assert decision.endpoints == ()
    assert reasons(decision) == {"a/blind": "breaker_open"}


def test_cooling_down_and_used_up_quota_are_respected():
    three = builders.snapshot(*(builders.endpoint(name) for name in ("a/x", "b/y", "c/z")))
    decision = decided(with_states(three, COOLING_DOWN, BREAKER_OPEN, QUOTA_GONE))
    assert decision.endpoints == ("b/y",)
    assert reasons(decision) == {"a/x": "cooling_down", "c/z": "quota_gone"}


states = st.sampled_from([AVAILABLE, BREAKER_OPEN, BREAKER_OPEN, BREAKER_OPEN, COOLING_DOWN])


some_see = builders.profiles | st.just(builders.request(needs=frozenset({"vision"})))


@given(st.lists(states, min_size=3, max_size=3), st.lists(some_see, min_size=1, max_size=8))
def test_a_batch_chooses_what_single_requests_choose_and_excludes_the_same_with_the_same_bits(states, profiles):
    snapshot = with_states(ONE_SEES, *states)
    index = np.zeros(len(profiles), dtype=np.intp)
    batch = evaluate_batch(snapshot, ProfileBatch.of(profiles), [NO_DIRECTIVE], index)
    chosen = choose(batch, PREFERENCE_EXPONENTS[RoutingPreference.BALANCED]).endpoint
    for row, profile in enumerate(profiles):
        one = decide(snapshot, profile, decision_id="d")
        assert (one.order or (-1,))[0] == chosen[row]
        assert one.evaluation.excluded.tobytes() == batch.excluded[row].tobytes()
        assert one.evaluation.cost_usd.tobytes() == batch.cost_usd[row].tobytes()


def test_such_a_decision_repeats_from_its_log():
    three = builders.snapshot(*(builders.endpoint(n, usd=(u, u, u)) for n, u in (("a/x", 3), ("b/y", 1), ("c/z", 2))))
    decision = decided(with_states(three, BREAKER_OPEN, BREAKER_OPEN, BREAKER_OPEN))
    assert decision.endpoints == ("b/y", "c/z", "a/x")
    logs = decision.evaluation.of_one.take(decision.order, axis=1)
    log_factors = dict(zip(FACTORS, logs.tolist(), strict=True))
    cost_usd = decision.evaluation.cost_usd.take(decision.order).tolist()
    repeated = replay(decision.endpoints, log_factors, decision.exponents, cost_usd)
    assert repeated == [(three.endpoint_ids[e], float(decision.log_utilities[e])) for e in decision.order]
