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
        for when in ('tier == "gold"', 'tenant == "t1"', "input_tokens > 100", 'preference == "balanced"')
    ),
]
FIXED = {"live": True, "budget": None, "explore": 0.5}

PROFILES = [
    builders.request(),
    builders.request(input_tokens=150),
    builders.request(answer_limit=20),
    builders.request(reasons={"family": "stated by the caller", "depth": "usual"}),
    builders.request(needs=frozenset({"tools"})),
    builders.request(stream=True),
    builders.request(hour_utc=3),
]
VALUES = {
    "profile": PROFILES,
    "tenant_preference": [None, *RoutingPreference],
    "request_preference": [None, *RoutingPreference],
    "tenant_id": ["t1", "t2"],
    "tier": ["gold", "free"],
    "only": [None, "p2/m"],
}
USUAL = {name: values[0] for name, values in VALUES.items()}


@pytest.mark.parametrize("policy", POLICIES, ids=["none", "tier", "tenant", "tokens", "preference"])
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
        "cached_share": None, "decision_id": "01a20f74-94c2-7351-8caf-000000000001",
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
