"""The shape of each factor, and what excludes an endpoint."""

from __future__ import annotations

from dataclasses import replace

import builders
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.decision import decide
from freerelay_core.errors import NobodyAble
from freerelay_core.preference import FACTORS
from freerelay_core.profile import Depth, LatencyClass, OutputContract, ProfileBatch, TaskFamily
from freerelay_core.scoring import evaluate, reference
from freerelay_core.snapshot import BREAKER_OPEN, COOLING_DOWN, PROVIDER_BUDGET_GONE, QUOTA_GONE, WITHDRAWN


def factor(name, endpoint, **profile):
    row = decide(builders.snapshot(endpoint), builders.request(**profile), decision_id="d").row(0)
    return row.factors[name][0]


def excluded(endpoint, **profile):
    decision = decide(builders.snapshot(endpoint), builders.request(**profile), decision_id="d")
    assert (decision.order == ()) == bool(decision.excluded)
    return decision.excluded[0].reason if decision.excluded else None


def test_an_endpoint_as_able_as_the_request_is_hard_answers_half_of_the_requests_well():
    for depth in Depth:
        able = builders.endpoint(ability=float(reference.DIFFICULTY[depth]))
        assert factor("quality", able, depth=depth) == pytest.approx(0.5)


def test_a_hundred_elo_are_one_logit_of_quality():
    able = builders.endpoint(ability=float(reference.DIFFICULTY[Depth.HARD]) + 100)
    assert factor("quality", able, depth=Depth.HARD) == pytest.approx(1 / (1 + np.exp(-1)))


def test_the_family_decides_which_ability_counts():
    able = builders.endpoint()
    only_code = builders.endpoint(abilities={k: builders.figure(1500 if k == "code" else 1000) for k in able.abilities})
    assert factor("quality", only_code, family=TaskFamily.CODE) > factor("quality", only_code, family=TaskFamily.CHAT)


def test_an_endpoint_at_reference_prices_scores_one_half_on_cost():
    at_reference = builders.endpoint(usd=(1.75, 0.175, 8.75))
    assert factor("cost", at_reference, input_tokens=5000, cached_tokens=3000, output_tokens=700) == pytest.approx(0.5)


def test_free_is_best_on_cost_and_unpriced_is_not_free():
    assert factor("cost", builders.endpoint(usd=(0, 0, 0))) == 1
    assert excluded(builders.endpoint(usd=None)) == "unpriced"


def test_cached_input_is_charged_at_its_own_price():
    cached = builders.endpoint(usd=(10, 1, 0))
    decision = decide(
        builders.snapshot(cached), builders.request(input_tokens=1000, cached_tokens=900), decision_id="d"
    )
    assert decision.row(0).cost_usd == pytest.approx((100 * 10 + 900 * 1) / 1e6)


def test_thinking_is_paid_for_and_waited_for():
    thinker = builders.endpoint(thinking_tokens=1000.0)
    plain = builders.endpoint()
    for name in ("cost", "latency"):
        assert factor(name, thinker, depth=Depth.HARD) < factor(name, plain, depth=Depth.HARD)


def test_harder_questions_are_thought_about_longer():
    snapshot = builders.snapshot(builders.endpoint(thinking_tokens=1000.0))
    for depth, share in zip(Depth, reference.THINKING_MULTIPLIER, strict=True):
        decision = decide(snapshot, builders.request(output_tokens=200, depth=depth), decision_id="d")
        assert decision.evaluation.decoded_tokens.tolist() == [200 + 1000 * share]


def test_what_is_learned_of_every_family_and_endpoint_alike_counts():
    snapshot = builders.snapshot(builders.endpoint())
    learned = replace(
        snapshot.learned,
        input_ratio=np.full_like(snapshot.learned.input_ratio, 1.5),
        output_ratio=np.full_like(snapshot.learned.output_ratio, 2.0),
    )
    decision = decide(replace(snapshot, learned=learned), builders.request(), decision_id="d")
    assert decision.row(0).cost_usd == pytest.approx((1.5 * 500 * 1.0 + 2 * 200 * 4.0) / 1e6)


def test_one_checked_answer_moves_the_share_that_keeps_the_output_contract():
    snapshot = builders.snapshot(builders.endpoint(capabilities=frozenset({"json_mode"})))
    seen = np.ones_like(snapshot.learned.schema_seen)
    failed = replace(snapshot, learned=replace(snapshot.learned, schema_seen=seen))
    row = decide(failed, builders.request(contract=OutputContract.JSON), decision_id="d").row(0)
    prior = reference.SCHEMA_PRIOR_WEIGHT
    assert row.factors["schema"][0] == pytest.approx(0.85 * prior / (prior + 1))


def test_nobody_waits_for_a_batch():
    slow = builders.endpoint(tokens_per_s=1.0)
    assert factor("latency", slow, latency_class=LatencyClass.BATCH) == 1
    realtime, interactive, standard = (
        factor("latency", slow, latency_class=c)
        for c in (LatencyClass.REALTIME, LatencyClass.INTERACTIVE, LatencyClass.STANDARD)
    )
    assert realtime < interactive < standard


@pytest.mark.parametrize(
    ("capabilities", "value"),
    [((), 0.5), (("json_mode",), 0.85), (("json_mode", "structured_output"), 1.0)],
)
def test_the_output_contract_is_kept_as_far_as_the_endpoint_supports_it(capabilities, value):
    able = builders.endpoint(capabilities=frozenset(capabilities))
    assert factor("schema", able, contract=OutputContract.SCHEMA) == pytest.approx(value)
    assert factor("schema", able) == 1


def test_headroom_bites_only_below_a_fifth():
    snapshot = builders.snapshot(builders.endpoint())
    for left, value in ((1.0, 1.0), (0.2, 1.0), (0.1, 0.5)):
        with_less = snapshot.with_fleet(
            id="x-1",
            created_at=builders.NOON,
            success=snapshot.success,
            headroom=np.array([left]),
            availability=snapshot.availability,
        )
        row = decide(with_less, builders.request(), decision_id="d").row(0)
        assert row.factors["headroom"][0] == pytest.approx(value)


def test_a_locked_down_posture_penalises_endpoints_that_are_not_cleared():
    cleared = builders.endpoint(capabilities=frozenset({"confidential", "streaming"}))
    assert factor("safety", cleared, locked_down=True) == 1
    assert factor("safety", builders.endpoint(), locked_down=True) == reference.LOCKED_DOWN_PENALTY
    assert factor("safety", builders.endpoint()) == 1


@pytest.mark.parametrize(
    ("change", "profile", "reason"),
    [
        ({"context_tokens": 600}, {}, "context_too_small"),
        ({"max_output_tokens": 100}, {}, "output_limit_too_small"),
        ({"capabilities": frozenset({"json_mode"})}, {"contract": OutputContract.STRICT}, "no_structured_output"),
        ({"capabilities": frozenset()}, {"needs": frozenset({"tools"})}, "no_tools"),
        ({}, {"needs": frozenset({"vision"})}, "no_vision"),
        ({}, {"needs": frozenset({"logprobs"})}, "no_logprobs"),
        ({}, {"needs": frozenset({"choices"})}, "no_choices"),
        ({}, {"needs": frozenset({"logit_bias"})}, "no_logit_bias"),
        ({"capabilities": frozenset({"tools"})}, {"needs": frozenset({"streaming"})}, "no_streaming"),
        ({}, {"needs": frozenset({"confidential"})}, "not_confidential"),
        ({}, {}, None),
    ],
)
def test_a_hard_requirement_excludes_with_its_reason(change, profile, reason):
    assert excluded(builders.endpoint(**change), **profile) == reason


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (BREAKER_OPEN, "breaker_open"),
        (COOLING_DOWN, "cooling_down"),
        (QUOTA_GONE, "quota_gone"),
        (PROVIDER_BUDGET_GONE, "provider_budget_gone"),
        (WITHDRAWN, "withdrawn"),
    ],
)
def test_an_endpoint_that_the_fleet_closed_is_excluded_with_its_reason(state, reason):
    snapshot = builders.snapshot(builders.endpoint("a/x"), builders.endpoint("b/y"))
    closed = snapshot.with_fleet(
        id="x-1",
        created_at=builders.NOON,
        success=snapshot.success,
        headroom=snapshot.headroom,
        availability=np.array([state, 0], dtype=np.int8),
    )
    decision = decide(closed, builders.request(), decision_id="d")
    assert decision.endpoints == ("b/y",)
    assert [(e.endpoint, e.reason) for e in decision.excluded] == [("a/x", reason)]


def test_simulated_endpoints_serve_live_traffic_only_while_no_real_one_is_configured():
    both = (builders.endpoint("real/x"), builders.endpoint("sim/y"))
    with_real = builders.snapshot(*both, real=frozenset({"real"}))
    live = decide(with_real, builders.request(), decision_id="d", live=True)
    assert live.endpoints == ("real/x",)
    assert [e.reason for e in live.excluded] == ["simulated"]
    assert len(decide(with_real, builders.request(), decision_id="d").endpoints) == 2
    assert len(decide(builders.snapshot(*both), builders.request(), decision_id="d", live=True).endpoints) == 2


def test_a_decision_with_nothing_left_names_every_reason():
    decision = decide(
        builders.snapshot(builders.endpoint("a/x", context_tokens=10), builders.endpoint("b/y", usd=None)),
        builders.request(),
        decision_id="d",
    )
    with pytest.raises(NobodyAble, match=r"no known price.*longer than its context|longer.*no known price"):
        decision.require_endpoint()


def test_ties_go_to_the_cheaper_endpoint_then_to_the_smaller_id():
    twins = [builders.endpoint("b/twin"), builders.endpoint("a/twin")]
    assert decide(builders.snapshot(*twins), builders.request(), decision_id="d").endpoints == ("a/twin", "b/twin")


def test_a_prior_ability_enters_at_the_lower_end_of_its_interval_and_a_prior_speed_at_its_slow_end():
    unsure = builders.endpoint("a/unsure")
    prior = {k: f.__class__(1300, 1200, 1400, "prior", "test", "2026") for k, f in unsure.abilities.items()}
    slow = builders.figure(100).__class__(100, 50, 150, "prior", "test", "2026")
    snapshot = builders.snapshot(builders.endpoint("a/unsure", abilities=prior, tokens_per_s=slow))
    assert snapshot.abilities[:, 0].tolist() == [1200] * len(prior)
    assert snapshot.behaviour.speed_median[0] == 50
    assert decide(snapshot, builders.request(), decision_id="d").row(0).basis == "prior"


def test_assumed_thinking_enters_at_its_upper_end_and_is_named_where_there_is_any():
    figures = builders.figure(1000), builders.figure(1000).__class__(1000, 500, 1500, "prior", "test", "2026")
    known, assumed = (builders.endpoint(f"a/m{n}", thinking_tokens=figure) for n, figure in enumerate(figures))
    silent = builders.endpoint("a/none", thinking_tokens=builders.figure(0, "prior"))
    decision = decide(builders.snapshot(known, assumed, silent), builders.request(depth=Depth.HARD), decision_id="d")
    rows = {row.endpoint: row for row in decision.ranking}
    assert {name: row.basis for name, row in rows.items()} == {
        "a/m0": "published", "a/m1": "prior", "a/none": "published",
    }  # fmt: skip
    thinking_s = 1.5 * 500 / 100
    assert rows["a/m1"].latency_p50_s - rows["a/m0"].latency_p50_s == pytest.approx(thinking_s, rel=0.1)


@pytest.mark.parametrize(("ability", "speed"), [("prior", "published"), ("published", "prior")])
def test_figures_are_as_sure_as_the_less_sure_of_ability_and_speed(ability, speed):
    mixed = builders.endpoint(
        abilities={name: builders.figure(1300, ability) for name in builders.endpoint().abilities},
        tokens_per_s=builders.figure(100, speed),
    )
    assert decide(builders.snapshot(mixed), builders.request(), decision_id="d").row(0).basis == "prior"


def test_an_endpoint_beside_the_named_one_was_not_requested():
    both = builders.snapshot(builders.endpoint("a/x"), builders.endpoint("b/y"))
    decision = decide(both, builders.request(), decision_id="d", only="a/x")
    assert [(e.endpoint, e.reason) for e in decision.excluded] == [("b/y", "not_requested")]


def test_several_answers_are_paid_for_each_and_waited_for_once():
    thinking = builders.endpoint("a/thinks", usd=(1.0, 0.1, 4.0), thinking_tokens=1000)
    snapshot = builders.snapshot(thinking, builders.endpoint("b/y", usd=(2.0, 0.2, 1.0)))
    one, four = (
        evaluate(snapshot, builders.request(depth=Depth.HARD, input_tokens=500, answers=answers)) for answers in (1, 4)
    )
    prompt = 500 * np.array([1.0, 2.0]) / 1e6
    assert four.cost_usd - prompt == pytest.approx(4 * (one.cost_usd - prompt))
    assert four.decoded_tokens.tolist() == one.decoded_tokens.tolist()
    assert four.of_one[FACTORS.index("latency")].tolist() == one.of_one[FACTORS.index("latency")].tolist()
    at_reference = builders.snapshot(builders.endpoint(usd=(1.75, 0.175, 8.75)))
    assert np.exp(evaluate(at_reference, builders.request(answers=4)).of_one[FACTORS.index("cost")]) == pytest.approx(
        0.5
    )


def thinker_and_not(thinking=300.0):
    thinks = builders.endpoint("a/thinks", usd=(0.0, 0.0, 4.0), thinking_tokens=thinking, tokens_per_s=100)
    return builders.snapshot(thinks, builders.endpoint("b/y", usd=(0.0, 0.0, 4.0), tokens_per_s=100))


def test_a_limit_that_thinking_may_use_up_costs_quality():
    """Thinking takes 300 x 0.6 x pi / 2 tokens on average, 180 in the middle; 280 leave 180 beside half of 200."""
    snapshot = thinker_and_not(300 * np.pi / 2)
    request = builders.request(depth=Depth.STANDARD, output_tokens=200)
    free, tight = (evaluate(snapshot, request._replace(answer_limit=limit)) for limit in (None, 280))
    thinks, plain = np.exp(tight.log_quality - free.log_quality)
    assert thinks == pytest.approx(0.5)
    assert plain == 1.0
    ample = evaluate(snapshot, request._replace(answer_limit=100_000))
    assert ample.log_quality == pytest.approx(free.log_quality, abs=1e-5)
    assert ample.cost_usd.tolist() == free.cost_usd.tolist()


def test_an_answer_is_expected_no_longer_than_its_limit_however_long_it_is_said_to_be():
    snapshot = thinker_and_not()
    said, meant = (builders.request(output_tokens=tokens, answer_limit=100) for tokens in (20_000, 100))
    (one, other), many = (evaluate(snapshot, profile) for profile in (said, meant)), ProfileBatch.of([said, meant])
    assert one.excluded.tolist() == [0, 0], "both can write 16,000 tokens"
    assert one.of_one.tolist() == other.of_one.tolist()
    assert not evaluate(snapshot, many).excluded.any()


def test_no_more_is_decoded_or_paid_for_than_the_limit_allows():
    snapshot = thinker_and_not()
    request = builders.request(depth=Depth.STANDARD, output_tokens=200, answer_limit=280, input_tokens=0)
    limited, free = evaluate(snapshot, request), evaluate(snapshot, request._replace(answer_limit=None))
    assert free.decoded_tokens.tolist() == [380, 200]
    assert limited.decoded_tokens.tolist() == [280, 200]
    assert limited.cost_usd * 1e6 == pytest.approx([4 * 280, 4 * 200])
    reference = 8.75 * 280  # 200 and 200 of thinking, within the limit as well
    assert np.exp(limited.of_one[FACTORS.index("cost")]) == pytest.approx(1 / (1 + np.array([1120, 800]) / reference))
    seconds = 0.5 + np.array([2.8, 2.0])
    assert np.exp(limited.of_one[FACTORS.index("latency")]) == pytest.approx(
        1 / (1 + (seconds - 0.5 + snapshot.behaviour.first_token_p95) / (8 * (0.5 + 2.8)))
    )


@given(
    limit=st.integers(1, 30_000),
    output=st.integers(1, 5_000),
    thinking=st.floats(0, 20_000),
    depth=st.sampled_from(Depth),
)
def test_a_lower_limit_never_makes_more_answers_whole_and_never_costs_more(limit, output, thinking, depth):
    snapshot = thinker_and_not(thinking)
    low, high = (
        evaluate(snapshot, builders.request(depth=depth, output_tokens=min(output, cap), answer_limit=cap))
        for cap in (limit, 2 * limit)
    )
    assert (low.log_quality <= high.log_quality + 1e-12).all()
    assert (low.cost_usd <= high.cost_usd).all()
    assert np.isfinite(low.of_one).all()
    assert low.log_quality[1] == high.log_quality[1], "whoever does not think is as good under any limit"


def test_a_thinking_endpoint_does_not_win_a_request_that_it_would_think_away():
    thinks = builders.endpoint("a/thinks", ability=1500, thinking_tokens=2000)
    snapshot = builders.snapshot(thinks, builders.endpoint("b/y", ability=1300))
    request = builders.request(depth=Depth.HARD, output_tokens=150)
    assert decide(snapshot, request, decision_id="d").endpoints[0] == "a/thinks"
    limited = decide(snapshot, request._replace(answer_limit=150), decision_id="d")
    assert limited.endpoints == ("b/y", "a/thinks"), "ranked all the same: where nobody else is, it is asked"
    assert "fewer cut off by the token limit" in limited.reason


def test_several_answers_count_against_a_quota_of_a_minute():
    snapshot = replace(builders.snapshot(builders.endpoint()), max_request_tokens=np.array([1000.0]))
    assert decide(snapshot, builders.request(answers=2), decision_id="d").order == (0,)
    (excluded,) = decide(snapshot, builders.request(answers=3), decision_id="d").excluded
    assert excluded.reason == "over_token_limit"
