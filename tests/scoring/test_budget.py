"""What a budget does to a ranking: it closes what it cannot pay, softens below a fifth, and leaves free ones alone."""

from __future__ import annotations

import builders
import numpy as np
import pytest
from builders import row_of

from freerelay_core.decision import decide
from freerelay_core.policy import read_policy
from freerelay_core.preference import EXPONENTS, RoutingPreference
from freerelay_core.profile import ProfileBatch
from freerelay_core.scoring import Budget, evaluate

FLEET = builders.snapshot(
    builders.endpoint("a/dear", usd=(50.0, 5.0, 200.0), ability=1500.0),
    builders.endpoint("b/cheap", usd=(0.1, 0.01, 0.4)),
    builders.endpoint("c/free", usd=(0.0, 0.0, 0.0), ability=1000.0),
)
ALL = np.ones(3, dtype=np.bool_)


def ranked(left_usd, share, **options):
    return decide(FLEET, builders.request(), decision_id="d", budget=Budget(left_usd, share, ALL), **options)


def test_with_nothing_left_only_free_endpoints_stay():
    decision = ranked(0.0, 0.0)
    assert decision.endpoints == ("c/free",)
    assert {row.reason for row in decision.excluded} == {"budget_gone"}


def test_an_endpoint_dearer_than_what_is_left_is_excluded():
    assert set(ranked(0.01, 0.5).endpoints) == {"b/cheap", "c/free"}


def test_an_endpoint_that_costs_exactly_what_is_left_is_within():
    (cheap,) = (row.cost_usd for row in ranked(1.0, 0.5).ranking if row.endpoint == "b/cheap")
    assert "b/cheap" in ranked(cheap, 0.5).endpoints
    assert "b/cheap" not in ranked(np.nextafter(cheap, 0.0), 0.5).endpoints


def test_an_unknown_price_is_within_no_budget_even_where_price_does_not_count():
    fleet = builders.snapshot(builders.endpoint("a/priced"), builders.endpoint("b/unpriced", usd=None))
    nothing_for_cost = {**EXPONENTS[RoutingPreference.BALANCED], "cost": 0.0}
    budget = Budget(100.0, 1.0, np.ones(2, dtype=np.bool_))
    decision = decide(fleet, builders.request(), decision_id="d", exponents=nothing_for_cost, budget=budget)
    assert [(row.endpoint, row.reason) for row in decision.excluded] == [("b/unpriced", "unpriced")]


def test_below_a_fifth_what_costs_something_loses_headroom():
    for share, value in ((0.1, 0.5), (0.2, 1.0), (0.9, 1.0)):
        headroom = {row.endpoint: row.factors["headroom"][0] for row in ranked(100.0, share).ranking}
        assert headroom == {"a/dear": pytest.approx(value), "b/cheap": pytest.approx(value), "c/free": 1.0}


def test_a_batch_has_the_same_bits_as_single_requests():
    requests = [builders.request(input_tokens=100 * n + 50) for n in range(1, 6)]
    left, share = np.array([[0.0], [0.001], [0.01], [1.0], [100.0]]), np.array([[0.0], [0.03], [0.11], [0.17], [1.0]])
    batch = evaluate(FLEET, ProfileBatch.of(requests), budget=Budget(left, share, ALL))
    for row, request in enumerate(requests):
        alone = evaluate(FLEET, request, budget=Budget(float(left[row, 0]), float(share[row, 0]), ALL))
        assert row_of(batch, row).tobytes() == alone.of_one.tobytes()
        assert batch.excluded[row].tolist() == alone.excluded.tolist()


def test_a_rule_on_the_budget_changes_the_route():
    rule = {"name": "save", "when": "budget_left < 0.5", "require": ["c/*"]}
    rules = read_policy({"rules": [rule]}, FLEET.endpoint_ids, source="test")
    assert ranked(100.0, 0.49, policy=rules).endpoints == ("c/free",)
    assert len(ranked(100.0, 0.5, policy=rules).endpoints) == 3
    assert len(decide(FLEET, builders.request(), decision_id="d", policy=rules).endpoints) == 3


def test_a_tenant_without_a_budget_has_all_of_it_left():
    rules = read_policy(
        {"rules": [{"name": "all", "when": "budget_left == 1.0", "require": ["c/*"]}]},
        FLEET.endpoint_ids,
        source="test",
    )
    assert decide(FLEET, builders.request(), decision_id="d", policy=rules).endpoints == ("c/free",)
