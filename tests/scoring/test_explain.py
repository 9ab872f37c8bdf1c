"""The words and numbers that say why one endpoint stands above another."""

from __future__ import annotations

import builders
import numpy as np
import pytest
from hypothesis import given

from freerelay_core.decision import decide, replay
from freerelay_core.preference import EXPONENTS, FACTORS, RoutingPreference
from freerelay_core.scoring import comparison_sentence


@pytest.mark.parametrize(
    ("cost", "latency", "quality", "sentence"),
    [
        ((1.0, 2.3), (1.4, 1.0), (0.9, 0.9), "2.3 times cheaper, 0.4 s slower, same quality"),
        ((2.3, 1.0), (1.0, 1.4), (0.9, 0.88), "2.3 times dearer, 0.4 s faster, 2 of 100 answers better"),
        ((0.8, 1.0), (1.0, 1.0), (0.88, 0.9), "20 % cheaper, same speed, 2 of 100 answers worse"),
        ((1.25, 1.0), (1.0, 1.0), (0.9, 0.9), "25 % dearer, same speed, same quality"),
        ((0.0, 1.0), (1.0, 1.0), (0.9, 0.9), "free, same speed, same quality"),
        ((0.0, 0.0), (1.0, 1.0), (0.9, 0.9), "same cost, same speed, same quality"),
        ((1.0, 0.0), (1.0, 1.0), (0.9, 0.9), "paid instead of free, same speed, same quality"),
    ],
)
def test_a_difference_is_put_into_words(cost, latency, quality, sentence):
    assert comparison_sentence(cost_usd=cost, latency_s=latency, quality=quality) == sentence


def test_the_winner_scores_100_and_near_equals_are_named_so():
    near = [builders.endpoint("a/one"), builders.endpoint("b/two", ability=1301.0)]
    far = builders.endpoint("c/three", ability=900.0)
    first, second, third = decide(builders.snapshot(*near, far), builders.request(), decision_id="d").ranking
    assert first.score == 100
    assert second.about_equal
    assert not third.about_equal
    assert third.score == pytest.approx(100 * third.utility / first.utility)


def test_the_reason_names_the_winner_and_the_runner_up():
    cheap, dear = builders.endpoint("a/cheap", usd=(1, 1, 1)), builders.endpoint("b/dear", usd=(9, 9, 9))
    reason = decide(builders.snapshot(cheap, dear), builders.request(), decision_id="d").reason
    assert reason == "a/cheap over b/dear: 9.0 times cheaper, same speed, same quality"


def test_the_only_endpoint_is_said_to_be_the_only_one():
    assert "only endpoint" in decide(builders.snapshot(builders.endpoint()), builders.request(), decision_id="d").reason


@given(builders.endpoints(1), builders.profiles)
def test_a_decision_repeats_from_its_log_to_the_last_bit(endpoints, profile):
    for preference in RoutingPreference:
        decision = decide(builders.snapshot(*endpoints), profile, decision_id="d", tenant_preference=preference)
        logs = decision.evaluation.log_factors[:, decision.order].tolist()
        again = replay(
            decision.endpoints,
            dict(zip(FACTORS, logs, strict=True)),
            EXPONENTS[preference],
            [row.cost_usd for row in decision.ranking],
        )
        assert again == [
            (name, decision.log_utilities[e]) for name, e in zip(decision.endpoints, decision.order, strict=True)
        ]


def relative_to_the_pool(cost, latency):
    """How two open-source routers score: cost and latency over the largest of the candidates at hand."""
    cost, latency = np.array(cost), np.array(latency)
    return (1 - cost / cost.max()) + (1 - latency / latency.max())


def test_a_dear_slow_candidate_reorders_others_where_scores_are_relative_to_the_pool_but_not_here():
    cost, latency = [1.0, 2.0], [3.0, 2.2]
    assert relative_to_the_pool(cost, latency).argmax() == 0
    assert relative_to_the_pool([*cost, 100.0], [*latency, 3.0])[:2].argmax() == 1

    one = builders.endpoint("a/one", usd=(1, 1, 10), tokens_per_s=70.0)
    two = builders.endpoint("b/two", usd=(1, 1, 20), tokens_per_s=100.0)
    dear_and_slow = builders.endpoint("c/three", usd=(1000, 1000, 1000), tokens_per_s=1.0)
    for preference in RoutingPreference:
        alone = decide(builders.snapshot(one, two), builders.request(), decision_id="d", tenant_preference=preference)
        joined = decide(
            builders.snapshot(one, two, dear_and_slow),
            builders.request(),
            decision_id="d",
            tenant_preference=preference,
        )
        assert joined.endpoints[:2] == alone.endpoints
