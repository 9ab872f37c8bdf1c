"""Live requests that share a ranking: each gets what it would have got alone."""

from __future__ import annotations

from dataclasses import replace

import builders
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.decision import Alike, decide
from freerelay_core.policy import NO_POLICY, read_policy
from freerelay_core.preference import RoutingPreference

SNAPSHOT = builders.snapshot(
    *(
        builders.endpoint(f"p{n}/m", ability=1200 + 40 * n, usd=(n, n / 10, 4 * n), thinking_tokens=100 * (n % 3))
        for n in range(6)
    )
)
POLICIES = [
    NO_POLICY,
    *(
        read_policy({"rules": [{"name": "r", "when": when, "prefer": ["p1/*"]}]}, SNAPSHOT.endpoint_ids, source="test")
        for when in ('tier == "gold"', 'tenant == "t1"', "input_tokens > 100", 'preference == "balanced"')
    ),
]
FIXED = {"live": True, "budget": None, "explore": 0.1}

asked = st.fixed_dictionaries(
    {
        "profile": st.sampled_from(
            [
                builders.request(),
                builders.request(input_tokens=50),
                builders.request(answer_limit=20),
                builders.request(reasons={"family": "stated by the caller", "depth": "usual"}),
                builders.request(needs=frozenset({"tools"})),
            ]
        ),
        "policy": st.sampled_from(POLICIES),
        "tenant_preference": st.none() | st.sampled_from(RoutingPreference),
        "request_preference": st.none() | st.sampled_from(RoutingPreference),
        "tenant_id": st.sampled_from(["t1", "t2"]),
        "tier": st.sampled_from(["gold", "free"]),
        "only": st.sampled_from([None, "p2/m"]),
    }
)


@given(st.lists(asked, min_size=1, max_size=30), st.integers(0, 2**32))
def test_every_request_gets_the_decision_that_it_would_have_got_alone(requests, seed):
    alike = Alike()
    for number, request in enumerate(requests):
        decision_id = f"01a20f74-94c2-7351-8caf-{(seed + number):012x}"
        ranks = request | FIXED | {"decision_id": decision_id, "cached_share": None}
        profile = ranks.pop("profile")
        shared, alone = alike.decide(SNAPSHOT, profile, **ranks), decide(SNAPSHOT, profile, **ranks)
        assert shared.id == decision_id
        assert shared.as_dict(now=builders.NOON) == alone.as_dict(now=builders.NOON)
        assert (shared.plan, shared.propensity) == (alone.plan, alone.propensity)
        assert shared.log_utilities.tobytes() == alone.log_utilities.tobytes()


def ranked(alike, snapshot=SNAPSHOT, policy=NO_POLICY, **how):
    usual = {
        "tenant_preference": None, "request_preference": None, "tenant_id": "t1", "tier": "gold", "only": None,
        "cached_share": None,
    }  # fmt: skip
    return alike.decide(
        snapshot, builders.request(input_tokens=2_000), decision_id="d", policy=policy, **(usual | FIXED | how)
    )


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
    assert ranked(alike, tenant_id="t2", cached_share=cached / 9).evaluation.cost_usd[5] > mine.evaluation.cost_usd[5]
    assert ranked(alike, cached_share=cached).evaluation is mine.evaluation
