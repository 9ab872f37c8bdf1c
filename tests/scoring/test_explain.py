"""The words and numbers that say why one endpoint stands above another."""

from __future__ import annotations

import builders
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.decision import decide, replay
from freerelay_core.policy import read_policy
from freerelay_core.preference import EXPONENTS, FACTORS, RoutingPreference
from freerelay_core.profile import OutputContract
from freerelay_core.scoring import Comparison, comparison_words


def words_of(by_factor, cost=(1.0, 1.0), latency=(1.0, 1.0), quality=(0.9, 0.9), whole=(1.0, 1.0), rules=()):
    """The words for these contributions; a factor that is not named contributes nothing."""
    contributions = dict.fromkeys(FACTORS, 0.0) | by_factor
    comparison = Comparison(sum(contributions.values()), contributions)
    return comparison_words(comparison, cost_usd=cost, latency_s=latency, quality=quality, whole=whole, rules=rules)


@pytest.mark.parametrize(
    ("by_factor", "figures", "said"),
    [
        (
            {"cost": 0.5, "latency": -0.1},
            {"cost": (1.0, 2.3), "latency": (1.4, 1.0)},
            ": 2.3 times cheaper, same quality, 0.4 s slower",
        ),
        (
            {"cost": -0.2, "latency": 0.3, "quality": 0.4},
            {"cost": (2.3, 1.0), "latency": (1.0, 1.4), "quality": (0.9, 0.88)},
            ": 2 of 100 answers better, 0.4 s faster, 2.3 times dearer",
        ),
        (
            {"cost": 0.06, "latency": -0.02, "quality": -0.02},
            {"cost": (0.8, 1.0), "latency": (1.4, 1.0), "quality": (0.88, 0.9)},
            ", about equal overall: 20 % cheaper, 0.4 s slower, 2 of 100 answers worse",
        ),
        (
            {"quality": 0.9},
            {"quality": (0.8, 0.3), "whole": (1.0, 0.95)},
            ": 50 of 100 answers better, fewer cut off by the token limit, same cost, same speed",
        ),
        (
            {"quality": -0.9, "cost": 2.0},
            {"quality": (0.3, 0.8), "whole": (0.4, 1.0), "cost": (1.0, 9.0)},
            ": 9.0 times cheaper, same speed, 50 of 100 answers worse, more cut off by the token limit",
        ),
        (
            {"quality": 0.9},
            {"quality": (0.8, 0.3), "whole": (0.4, 1.0)},
            ": 50 of 100 answers better, same cost, same speed",
        ),
        ({"cost": 0.2}, {"cost": (0.0, 1.0)}, ": free, same speed, same quality"),
        ({"cost": -0.2}, {"cost": (1.0, 0.0)}, ": same speed, same quality, paid instead of free"),
        ({"success": 0.2}, {"cost": (None, 1.0)}, ": answers more reliably, cost unknown, same speed, same quality"),
        ({"latency": 0.2}, {"cost": (0.0, None)}, ": slightly faster, cost of the other unknown, same quality"),
        (
            {},
            {"cost": (None, None)},
            ", about equal overall: cost of both unknown, same speed, same quality; their names decide",
        ),
        ({"cost": -0.2}, {"cost": (1.25, 1.0)}, ": same speed, same quality, 25 % dearer"),
        ({"policy": 0.7}, {"rules": ("a", "b")}, ": preferred by rule a, b, same cost, same speed, same quality"),
        ({"success": 0.3}, {}, ": answers more reliably, same cost, same speed, same quality"),
        ({"schema": 0.2}, {}, ": keeps the required JSON better, same cost, same speed, same quality"),
        ({"headroom": 0.2}, {}, ": has more quota left, same cost, same speed, same quality"),
        ({"safety": 0.2}, {}, ": cleared for confidential content, same cost, same speed, same quality"),
        (
            {"cost": 0.9, "policy": -0.7, "success": -0.01},
            {"cost": (1.0, 3.0), "rules": ("a",)},
            ": 3.0 times cheaper, same speed, same quality, not preferred by rule a",
        ),
        (
            {"latency": 0.2, "success": -0.1},
            {"latency": (1.4, 1.0)},
            ": 0.4 s slower as a rule but faster at its slowest, same cost, same quality, answers less reliably",
        ),
        (
            {"latency": -0.2, "cost": 0.4},
            {"latency": (1.0, 1.4), "cost": (1.0, 2.0)},
            ": 2.0 times cheaper, same quality, 0.4 s faster as a rule but slower at its slowest",
        ),
        (
            {"latency": -0.2, "cost": 0.4},
            {"latency": (1.0, 1.02), "cost": (1.518, 3.0), "quality": (0.9, 0.3)},
            ": 49 % cheaper, 60 of 100 answers better, same speed",
        ),
        ({"cost": -0.4}, {"cost": (5.7, 3.0)}, ": same speed, same quality, 90 % dearer"),
        ({"success": 0.0004}, {}, ", about equal overall: answers more reliably, same cost, same speed, same quality"),
        (
            {"quality": 0.002},
            {"quality": (0.902, 0.9)},
            ", about equal overall: slightly better answers, same cost, same speed",
        ),
        ({"cost": 0.01}, {"cost": (1.0, 1.02)}, ", about equal overall: slightly cheaper, same speed, same quality"),
        ({}, {}, ", about equal overall: same cost, same speed, same quality; their names decide"),
        ({}, {"cost": (1.0, 2.0)}, ", about equal overall: 2.0 times cheaper, same speed, same quality"),
    ],
)
def test_a_difference_is_put_into_words_that_name_what_decided(by_factor, figures, said):
    assert words_of(by_factor, **figures) == said


@given(builders.endpoints(2), builders.profiles, st.sampled_from(RoutingPreference))
def test_the_reason_always_says_something_for_the_winner(endpoints, profile, preference):
    decision = decide(builders.snapshot(*endpoints), profile, decision_id="d", tenant_preference=preference)
    comparison, words = decision.compare(0, 1)
    first = words.split(": ", 1)[1].split(", ")[0]
    if max(comparison.by_factor.values()) > 0:
        assert not first.startswith(("same", "paid"))
        assert not first.endswith(("dearer", "worse", "slower", "at its slowest")) or "faster at" in first
    assert decision.reason == f"{decision.endpoints[0]} over {decision.endpoints[1]}{words}"
    assert ("about equal" in words) is decision.row(1).about_equal


def test_where_cost_does_not_count_an_endpoint_without_a_price_is_not_called_free():
    unknown = builders.endpoint("a/unknown", price=None, ability=1400.0)
    priced = builders.endpoint("b/priced", ability=1300.0)
    exponents = {**EXPONENTS[RoutingPreference.BALANCED], "cost": 0.0}
    decision = decide(builders.snapshot(unknown, priced), builders.request(), decision_id="d", exponents=exponents)
    assert decision.endpoints == ("a/unknown", "b/priced")
    assert ", cost unknown" in decision.reason
    assert "free" not in decision.reason
    assert ": cost of the other unknown, " in decision.compare(1, 0)[1]


def test_a_rule_that_decides_is_named():
    cheap, dear = builders.endpoint("a/cheap"), builders.endpoint("b/twin")
    rules = read_policy({"rules": [{"name": "home", "prefer": ["b/*"]}]}, ["a/cheap", "b/twin"], source="test")
    reason = decide(builders.snapshot(cheap, dear), builders.request(), decision_id="d", policy=rules).reason
    assert reason == "b/twin over a/cheap: preferred by rule home, same cost, same speed, same quality"


def test_the_better_schema_support_is_named_where_it_decides():
    strict = builders.endpoint("b/strict")
    loose = builders.endpoint("a/loose", capabilities=frozenset({"json_mode"}))
    profile = builders.request(contract=OutputContract.SCHEMA)
    reason = decide(builders.snapshot(strict, loose), profile, decision_id="d").reason
    assert reason == "b/strict over a/loose: keeps the required JSON better, same cost, same speed, same quality"


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
