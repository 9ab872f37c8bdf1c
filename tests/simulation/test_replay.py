"""A simulated trace: the same ranking as live, the same luck for the same choice, sums that add up."""

from __future__ import annotations

import builders
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freerelay_core.behaviour import keyed_normals, keyed_uniforms
from freerelay_core.decision import AUTO, decide
from freerelay_core.policy import NO_POLICY, load_policy, read_policy
from freerelay_core.preference import RoutingPreference
from freerelay_core.simulation import Cancelled, simulate, standard_workload, tenant_workload, trace_of
from freerelay_core.simulation.replay import CHUNK
from freerelay_core.store import RecordedRequest, Tenant

ENDPOINTS = [
    builders.endpoint("a/cheap", usd=(0.1, 0.01, 0.4), tokens_per_s=40.0, ability=1150.0),
    builders.endpoint("b/quick", usd=(2.0, 0.2, 8.0), tokens_per_s=900.0, ability=1250.0),
    builders.endpoint("c/able", usd=(5.0, 0.5, 25.0), tokens_per_s=80.0, ability=1500.0),
]


@settings(max_examples=25)
@given(st.lists(builders.profiles, min_size=1, max_size=30))
def test_every_winner_is_the_one_that_routing_would_choose(profiles):
    snapshot = builders.snapshot(*ENDPOINTS)
    simulation = simulate(trace_of(profiles, origin="t"), snapshot)
    for preference, result in simulation.results.items():
        rows = [decide(snapshot, p, decision_id="d", tenant_preference=preference).row(0) for p in profiles]
        assert [snapshot.endpoint_ids[e] for e in result.winners] == [row.endpoint for row in rows]
        assert result.cost_usd == pytest.approx(sum(row.cost_usd for row in rows))
        assert result.quality == pytest.approx(np.mean([row.quality for row in rows]))
        assert sum(result.share.values()) == pytest.approx(1)


def test_a_simulation_is_repeatable_and_its_luck_follows_the_choice():
    snapshot = builders.snapshot(*ENDPOINTS)
    trace = standard_workload(3 * CHUNK + 7)
    first, again = simulate(trace, snapshot, seed=5), simulate(trace, snapshot, seed=5)
    assert first.as_dict() == again.as_dict()
    a, b = first.results[RoutingPreference.BALANCED], first.results[RoutingPreference.COST_OPTIMIZED]
    alike = a.winners == b.winners
    assert alike.any()
    assert not alike.all()
    assert np.array_equal(a.durations_s[alike], b.durations_s[alike])
    assert first.changed(RoutingPreference.BALANCED, RoutingPreference.COST_OPTIMIZED) == (~alike).sum()
    other = simulate(trace, snapshot, seed=6).results[RoutingPreference.BALANCED]
    assert other.latency_p50_s != a.latency_p50_s


def test_progress_reaches_the_end_and_a_cancelled_run_stops_within_a_chunk():
    snapshot = builders.snapshot(*ENDPOINTS)
    trace = standard_workload(2 * CHUNK + 1)
    seen = []
    simulate(trace, snapshot, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(CHUNK, len(trace)), (2 * CHUNK, len(trace)), (len(trace), len(trace))]
    seen.clear()
    with pytest.raises(Cancelled):
        simulate(trace, snapshot, progress=lambda done, _: seen.append(done), cancelled=lambda: len(seen) == 1)
    assert seen == [CHUNK]


def test_requests_that_nobody_can_serve_are_counted_apart():
    snapshot = builders.snapshot(*ENDPOINTS)
    profiles = [builders.request(), builders.request(needs=frozenset({"vision"}))]
    result = simulate(trace_of(profiles, origin="t"), snapshot).results[RoutingPreference.BALANCED]
    assert result.unserved == 1
    assert sum(result.share.values()) == pytest.approx(1)
    none = simulate(trace_of(profiles[1:], origin="t"), snapshot).results[RoutingPreference.BALANCED]
    assert (none.unserved, none.cost_usd, none.share) == (1, 0, {})


def test_a_rule_that_names_a_preference_decides_for_its_requests(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text("rules: [{name: long, when: 'input_tokens > 1000', routing_preference: cost-optimized}]")
    snapshot = builders.snapshot(*ENDPOINTS)
    policy = load_policy(path, snapshot.endpoint_ids)
    trace = standard_workload(300)
    with_rule = simulate(trace, snapshot, policy=policy).results
    without = simulate(trace, snapshot).results
    long = trace.profiles.input_tokens > 1000
    for preference in RoutingPreference:
        cheap = without[RoutingPreference.COST_OPTIMIZED].winners
        assert np.array_equal(with_rule[preference].winners[long], cheap[long])
        assert np.array_equal(with_rule[preference].winners[~long], without[preference].winners[~long])


def test_a_rule_that_reads_the_preference_is_asked_under_each():
    snapshot = builders.snapshot(*ENDPOINTS)
    winner = simulate(standard_workload(50), snapshot).results[RoutingPreference.BALANCED].winners[0]
    rule = {"name": "r", "when": 'preference == "balanced"', "exclude": [snapshot.endpoint_ids[winner]]}
    policy = read_policy({"rules": [rule]}, snapshot.endpoint_ids, source="test")
    ruled, free = (simulate(standard_workload(50), snapshot, policy=p).results for p in (policy, NO_POLICY))
    for preference in RoutingPreference:
        same = np.array_equal(ruled[preference].winners, free[preference].winners)
        assert same is (preference is not RoutingPreference.BALANCED)
    assert winner not in ruled[RoutingPreference.BALANCED].winners


def test_keyed_draws_depend_on_their_own_key_alone_and_look_normal():
    requests = np.arange(20_000, dtype=np.uint64)
    endpoint = np.zeros(20_000, dtype=np.uint64)
    uniforms = keyed_uniforms(1, requests, endpoint, 0)
    assert np.array_equal(uniforms[:, 7:9], keyed_uniforms(1, requests[7:9], endpoint[7:9], 0))
    for other in (
        keyed_uniforms(2, requests, endpoint, 0),
        keyed_uniforms(1, requests, endpoint + np.uint64(1), 0),
        keyed_uniforms(1, requests, endpoint, 1),
    ):
        assert abs(np.corrcoef(uniforms[0], other[0])[0, 1]) < 0.03
    normals = keyed_normals(uniforms)
    assert np.abs(normals.mean(axis=1)).max() < 0.03
    assert np.abs(normals.std(axis=1) - 1).max() < 0.03
    assert abs(np.corrcoef(normals)[0, 1]) < 0.03


def test_few_requests_of_ones_own_give_way_to_the_standard_workload():
    tenant = Tenant("1", "one@example.org", "gold", None, True, 1, builders.NOON)
    own = [RecordedRequest("1", builders.NOON, builders.request().as_dict(), AUTO, None, demo=False)] * 100
    assert tenant_workload(own, tenant, days=7).trace.origin == "100 recorded requests of the last 7 days"
    assert "standard workload" in tenant_workload(own[:99], tenant, days=7).trace.origin
    assert standard_workload().sha256 == standard_workload().sha256
