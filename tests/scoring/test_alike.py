"""Live requests that share a ranking: each gets what it would have got alone."""

from __future__ import annotations

from dataclasses import replace

import builders
import numpy as np
import pytest

from freerelay_core.clock import id_at
from freerelay_core.decision import Alike, decide
from freerelay_core.policy import NO_POLICY, read_policy
from freerelay_core.preference import RoutingPreference
from freerelay_core.scoring import Budget

SNAPSHOT = builders.snapshot(
    *(
        builders.endpoint(
            f"p{n}/m", ability=1200 + 10 * n, usd=(1 + n / 10, 0.1, 4 + n / 5), thinking_tokens=10 * (n % 3)
        )
        for n in range(6)
    ),
    real=frozenset(f"p{n}" for n in range(6)),
)
POLICIES = [
    NO_POLICY,
    *(
        read_policy({"rules": [{"name": "r", "when": when, "prefer": ["p1/*"]}]}, SNAPSHOT.endpoint_ids, source="test")
        for when in (
            'tier == "gold"',
            'tenant == "t1"',
            "input_tokens > 100",
            'preference == "balanced"',
            "budget_left < 0.5",
        )
    ),
]
FIXED = {"live": True, "explore": 0.5}

PROFILES = [
    builders.request(),
    builders.request(input_tokens=150),
    builders.request(answer_limit=20),
    builders.request(reasons={"family": "stated by the caller", "depth": "usual"}),
    builders.request(needs=frozenset({"tools"})),
    builders.request(stream=True),
    builders.request(hour_utc=3),
]
DEAREST = float(decide(SNAPSHOT, PROFILES[0], decision_id="d").evaluation.cost_usd.max())
"""0.00178 USD; the cheapest endpoint takes 0.0013."""
VALUES = {
    "profile": PROFILES,
    "tenant_preference": [None, *RoutingPreference],
    "request_preference": [None, *RoutingPreference],
    "tenant_id": ["t1", "t2"],
    "tier": ["gold", "free"],
    "only": [None, "p2/m"],
    "budget": [
        None,
        *(
            Budget(left_usd, share, np.ones(6, dtype=np.bool_))
            for left_usd, share in (
                (100.0, 1.0),
                (50.0, 0.5),
                (49.0, 0.49),
                (48.9, 0.489),
                (10.0, 0.2),
                (9.9, 0.199),
                (8.0, 0.19),
                (0.0018, 0.6),
                (DEAREST, 0.6),
                (0.00177, 0.6),
                (0.0015, 0.6),
                (0.001, 0.6),
                (0.0, 1.0),
                (0.0, 0.0),
            )
        ),
    ],
}
USUAL = {name: values[0] for name, values in VALUES.items()}


@pytest.mark.parametrize("policy", POLICIES, ids=["none", "tier", "tenant", "tokens", "preference", "budget"])
@pytest.mark.parametrize("name", VALUES)
def test_every_request_gets_the_decision_that_it_would_have_got_alone(name, policy):
    """Requests differ in one thing, and rules read who asks, for what, or neither."""
    alike = Alike()
    for number, value in enumerate(VALUES[name] * 2):
        decision_id = id_at(builders.NOON, number * 2**44)
        asked = {**USUAL, name: value, **FIXED, "policy": policy, "decision_id": decision_id, "cached_share": None}
        profile = asked.pop("profile")
        shared, alone = alike.decide(SNAPSHOT, profile, **asked), decide(SNAPSHOT, profile, **asked)
        assert shared.id == decision_id
        assert shared.as_dict(now=builders.NOON) == alone.as_dict(now=builders.NOON)
        assert (shared.plan, shared.propensity) == (alone.plan, alone.propensity)
        assert shared.log_utilities.tobytes() == alone.log_utilities.tobytes()


def test_each_request_draws_for_itself_whether_it_explores():
    alike = Alike()
    tried = {ranked(alike, decision_id=id_at(builders.NOON, n * 2**43)).plan[0] for n in range(32)}
    assert len(tried) > 1


def ranked(alike, snapshot=SNAPSHOT, policy=NO_POLICY, **how):
    usual = {
        "tenant_preference": None, "request_preference": None, "tenant_id": "t1", "tier": "gold", "only": None,
        "cached_share": None, "budget": None, "decision_id": "01a20f74-94c2-7351-8caf-000000000001",
    }  # fmt: skip
    return alike.decide(snapshot, builders.request(input_tokens=2_000), policy=policy, **(usual | FIXED | how))


def test_a_new_snapshot_and_new_rules_are_followed_at_once():
    alike = Alike()
    assert ranked(alike).evaluation is ranked(alike).evaluation
    failing = replace(SNAPSHOT, success=np.where(np.arange(6) == ranked(alike).order[0], 0.01, SNAPSHOT.success))
    assert ranked(alike, failing).order[0] != ranked(alike).order[0]
    rules = {"rules": [{"name": "r", "exclude": ["p5/*"]}]}
    assert 5 not in ranked(alike, policy=read_policy(rules, SNAPSHOT.endpoint_ids, source="test")).order
    assert 5 in ranked(alike).order


def test_what_a_tenant_s_cache_holds_is_its_own():
    alike, cached = Alike(), np.full(6, 0.9)
    mine = ranked(alike, cached_share=cached)
    other = ranked(alike, tenant_id="t2", cached_share=cached / 9)
    assert other.evaluation.cost_usd[5] > mine.evaluation.cost_usd[5]
    assert ranked(alike, cached_share=cached).evaluation is mine.evaluation


def test_whoever_has_plenty_of_a_budget_left_shares_and_knows_its_own():
    alike, counts = Alike(), np.ones(6, dtype=np.bool_)
    much, less, little = (Budget(usd, share, counts) for usd, share in ((90.0, 0.9), (30.0, 0.3), (10.0, 0.1)))
    first = ranked(alike, budget=much)
    assert first.sensitivity is not None
    second = ranked(alike, budget=less)
    assert second.evaluation is first.evaluation
    assert second.as_dict(now=builders.NOON) == ranked(Alike(), budget=less).as_dict(now=builders.NOON)
    assert ranked(alike, budget=little).evaluation is not first.evaluation
