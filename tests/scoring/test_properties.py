"""What must hold for every catalogue and request."""

from __future__ import annotations

from dataclasses import replace

import builders
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from freerelay_core.catalogue import FixedPrice, load_catalogue
from freerelay_core.decision import choose, decide, evaluate_batch
from freerelay_core.policy import NO_DIRECTIVE, NO_POLICY
from freerelay_core.preference import EXPONENTS, FACTORS, PREFERENCE_EXPONENTS, RoutingPreference, exponent_array
from freerelay_core.profile import LatencyClass, ProfileBatch
from freerelay_core.scoring import evaluate, log_utility, order
from freerelay_core.simulation import World, read_scenario, read_trace, standard_workload
from freerelay_core.snapshot import catalogue_snapshot

preferences = st.sampled_from(RoutingPreference)


def ranked(endpoints, profile, preference):
    return decide(builders.snapshot(*endpoints), profile, decision_id="d", tenant_preference=preference)


@given(builders.endpoints(2), builders.profiles, preferences, st.randoms())
def test_the_order_of_the_catalogue_never_matters(endpoints, profile, preference, random):
    before = ranked(endpoints, profile, preference)
    random.shuffle(endpoints)
    assert ranked(endpoints, profile, preference).endpoints == before.endpoints


@given(builders.endpoints(2), builders.profiles, preferences, st.data())
def test_names_decide_ties_only(endpoints, profile, preference, data):
    before = ranked(endpoints, profile, preference)
    assume(np.diff(np.sort(before.log_utilities)).min() > 1e-6)
    names = data.draw(st.permutations([e.id for e in endpoints]))
    renamed = {e.id: name for e, name in zip(endpoints, names, strict=True)}
    after = ranked([replace(e, id=renamed[e.id]) for e in endpoints], profile, preference)
    assert list(after.endpoints) == [renamed[name] for name in before.endpoints]


@given(builders.endpoints(3), builders.profiles, preferences)
def test_removing_an_endpoint_never_reorders_the_others(endpoints, profile, preference):
    before = ranked(endpoints, profile, preference).endpoints
    for removed in endpoints:
        after = ranked([e for e in endpoints if e is not removed], profile, preference).endpoints
        assert list(after) == [name for name in before if name != removed.id]


@given(builders.endpoints(1), builders.endpoints(1), builders.profiles, preferences)
def test_adding_endpoints_never_reorders_the_others(endpoints, added, profile, preference):
    before = ranked(endpoints, profile, preference).endpoints
    joined = [replace(e, id=f"new/{number}", provider="new") for number, e in enumerate(added)]
    after = ranked([*endpoints, *joined], profile, preference).endpoints
    assert tuple(name for name in after if not name.startswith("new/")) == before


@given(
    arrays(np.float64, (len(FACTORS), 6), elements=st.floats(-20, 0)),
    st.integers(0, 5),
    st.sampled_from(FACTORS),
    st.floats(0, 20),
    preferences,
)
def test_raising_one_factor_never_lowers_the_rank(log_factors, endpoint, factor, by, preference):
    def rank(logs):
        summed = log_utility(logs, PREFERENCE_EXPONENTS[preference])
        return order(summed, np.ones(6), np.zeros(6, dtype=np.int8)).tolist().index(endpoint)

    raised = log_factors.copy()
    raised[FACTORS.index(factor), endpoint] = min(raised[FACTORS.index(factor), endpoint] + by, 0.0)
    assert rank(raised) <= rank(log_factors)


@given(builders.endpoints(2), builders.profiles, preferences, st.integers(0, 2), st.floats(0, 0.999), st.data())
def test_a_cheaper_price_never_worsens_the_rank(endpoints, profile, preference, part, times, data):
    place = data.draw(st.integers(0, len(endpoints) - 1))
    old = endpoints[place]
    usd = [old.price.input, old.price.cached, old.price.output]
    usd[part] *= times
    before = ranked(endpoints, profile, preference).endpoints.index(old.id)
    endpoints[place] = replace(old, price=FixedPrice(*usd))
    assert ranked(endpoints, profile, preference).endpoints.index(old.id) <= before


@given(builders.endpoints(2), builders.profiles, preferences, st.data())
def test_bettering_one_figure_never_lowers_the_endpoint(endpoints, profile, preference, data):
    chosen = data.draw(st.integers(0, len(endpoints) - 1))
    old = endpoints[chosen]
    better = data.draw(
        st.sampled_from(
            [
                replace(old, price=FixedPrice(old.price.input / 2, old.price.cached / 2, old.price.output / 2)),
                replace(old, tokens_per_s=builders.figure(old.tokens_per_s.value * 2)),
                replace(old, first_token_s=builders.figure(old.first_token_s.value / 2)),
                replace(old, thinking_tokens=builders.figure(old.thinking_tokens.value / 2)),
                replace(old, abilities={k: builders.figure(f.value + 50) for k, f in old.abilities.items()}),
            ]
        )
    )
    before = ranked(endpoints, profile, preference).endpoints.index(old.id)
    endpoints[chosen] = better
    assert ranked(endpoints, profile, preference).endpoints.index(old.id) <= before


@given(builders.endpoints(1), builders.profiles, preferences)
def test_contributions_sum_to_the_log_utility_and_every_factor_is_in_its_range(endpoints, profile, preference):
    for row in ranked(endpoints, profile, preference).ranking:
        contributions = [contribution for _, _, contribution in row.factors.values()]
        assert sum(contributions) == pytest.approx(np.log(row.utility), abs=1e-9)
        for value, exponent, contribution in row.factors.values():
            assert 0 < value <= 1
            assert contribution == pytest.approx(exponent * np.log(value), abs=1e-12)


@given(builders.endpoints(2), builders.profiles, preferences)
def test_the_difference_of_two_endpoints_sums_to_their_gap(endpoints, profile, preference):
    decision = ranked(endpoints, profile, preference)
    for other in range(1, len(decision.order)):
        comparison, _ = decision.compare(0, other)
        gap = decision.log_utilities[decision.order[0]] - decision.log_utilities[decision.order[other]]
        assert sum(comparison.by_factor.values()) == pytest.approx(gap, abs=1e-12)
        assert comparison.gap == pytest.approx(gap, abs=1e-12)


@given(
    builders.endpoints(1, 20), st.lists(builders.profiles, min_size=1, max_size=40), st.integers(1, 40), st.booleans()
)
def test_a_request_gets_the_same_bits_alone_and_in_any_batch(endpoints, profiles, chunk, set_apart):
    snapshot = builders.snapshot(*endpoints)
    if set_apart:
        nothing = snapshot.learned.success_shift
        shift = np.linspace(-2, 2, nothing.size).reshape(nothing.shape)
        snapshot = replace(snapshot, learned=replace(snapshot.learned, success_shift=shift))
    batch = ProfileBatch.of(profiles)
    for preference in RoutingPreference:
        exponents = exponent_array(EXPONENTS[preference])
        together = log_utility(evaluate(snapshot, batch).log_factors, exponents)
        chunks = [
            log_utility(evaluate(snapshot, batch[start : start + chunk]).log_factors, exponents)
            for start in range(0, len(profiles), chunk)
        ]
        assert np.concatenate(chunks).tobytes() == together.tobytes()
        for row, profile in enumerate(profiles):
            alone = decide(snapshot, profile, decision_id="d", tenant_preference=preference)
            assert alone.log_utilities.tobytes() == together[row].tobytes()
            winner = choose(evaluate(snapshot, batch), exponents).endpoint[row]
            assert snapshot.endpoint_ids[winner] == alone.endpoints[0]


@given(
    builders.endpoints(1, 6),
    st.lists(builders.profiles, min_size=1, max_size=10),
    st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=10, max_size=10),
    st.data(),
)
def test_where_cost_does_not_count_a_batch_too_may_choose_what_has_no_price(endpoints, profiles, weights, data):
    unpriced = data.draw(st.sets(st.sampled_from([e.id for e in endpoints]), min_size=1))
    snapshot = builders.snapshot(*(replace(e, price=None) if e.id in unpriced else e for e in endpoints))
    exponents = [EXPONENTS[RoutingPreference.BALANCED] | {"cost": weight} for weight in weights[: len(profiles)]]
    rows = np.array([exponent_array(each) for each in exponents])
    evaluation = evaluate_batch(
        snapshot,
        ProfileBatch.of(profiles),
        [NO_DIRECTIVE],
        np.zeros(len(profiles), dtype=np.intp),
        price_matters=rows[:, FACTORS.index("cost")] > 0,
    )
    winners = choose(evaluation, rows).endpoint
    for row, profile in enumerate(profiles):
        alone = decide(snapshot, profile, decision_id="d", exponents=exponents[row])
        assert evaluation.excluded[row].tolist() == alone.evaluation.excluded.tolist()
        assert winners[row] == (alone.order[0] if alone.order else -1)


@given(builders.endpoints(1, 1), builders.profiles, st.floats(1.1, 20))
def test_cost_optimized_never_picks_the_dearer_of_equals(endpoints, profile, times):
    cheap = replace(endpoints[0], id="z/cheap", price=FixedPrice(1, 0.5, 2))
    dear = replace(cheap, id="a/dear", price=FixedPrice(times, 0.5 * times, 2 * times))
    for preference in RoutingPreference:
        assert ranked([cheap, dear], profile, preference).endpoints[0] == cheap.id


@given(builders.endpoints(2, 2), builders.profiles)
def test_a_preference_for_cost_never_buys_dearer_than_balanced_when_only_cost_and_quality_differ(endpoints, profile):
    one, other = (
        replace(
            e, first_token_s=builders.figure(0.5), tokens_per_s=builders.figure(100), thinking_tokens=builders.figure(0)
        )
        for e in endpoints
    )
    cost = {p: ranked([one, other], profile, p).row(0).cost_usd for p in RoutingPreference}
    assert cost["cost-optimized"] <= cost["balanced"] <= cost["performance-first"]


@given(builders.endpoints(2, 2), builders.profiles)
def test_a_preference_for_performance_never_waits_longer_when_only_cost_and_time_differ(endpoints, profile):
    profile = profile._replace(latency_class=LatencyClass.INTERACTIVE)
    one, other = (replace(e, abilities={k: builders.figure(1300) for k in e.abilities}) for e in endpoints)
    factor = {p: ranked([one, other], profile, p).row(0).factors["latency"][0] for p in RoutingPreference}
    assert factor["cost-optimized"] <= factor["balanced"] <= factor["performance-first"]


@given(builders.endpoints(2, 2), builders.profiles)
def test_a_preference_for_performance_never_picks_the_worse_answer_when_only_cost_and_quality_differ(
    endpoints, profile
):
    alike = {
        "first_token_s": builders.figure(0.5),
        "tokens_per_s": builders.figure(100),
        "thinking_tokens": builders.figure(0),
    }
    pair = [replace(e, **alike) for e in endpoints]
    quality = {p: ranked(pair, profile, p).row(0).quality for p in RoutingPreference}
    assert quality["cost-optimized"] <= quality["balanced"] <= quality["performance-first"]


@given(builders.profiles, st.floats(1.5, 20))
def test_the_preference_changes_the_score_when_only_latency_differs(profile, times):
    profile = profile._replace(latency_class=LatencyClass.INTERACTIVE)
    fast = builders.endpoint("a/fast")
    slow = replace(fast, id="b/slow", tokens_per_s=builders.figure(100 / times))
    score = {p: ranked([fast, slow], profile, p).row(1).score for p in RoutingPreference}
    assert score["cost-optimized"] > score["balanced"] > score["performance-first"]
    assert ranked([fast, slow], profile, RoutingPreference.COST_OPTIMIZED).endpoints[0] == fast.id


@given(builders.endpoints(1), builders.profiles)
def test_without_rules_the_policy_factor_is_one_for_all(endpoints, profile):
    for row in ranked(endpoints, profile, RoutingPreference.BALANCED).ranking:
        assert row.factors["policy"][0] == 1


@pytest.mark.parametrize("count", [1, 2, 20])
@pytest.mark.parametrize("chunk", [1, 7, 64, 200])
def test_catalogues_and_chunks_of_any_size_give_the_same_bits(count, chunk):
    shipped = load_catalogue()
    snapshot = catalogue_snapshot(replace(shipped, endpoints=shipped.endpoints[:count]), builders.NOON)
    trace = standard_workload(200).profiles
    for exponents in PREFERENCE_EXPONENTS.values():
        together = log_utility(evaluate(snapshot, trace).log_factors, exponents)
        assert together.shape == (200, count)
        chunks = [
            log_utility(evaluate(snapshot, trace[start : start + chunk]).log_factors, exponents)
            for start in range(0, 200, chunk)
        ]
        assert np.concatenate(chunks).tobytes() == together.tobytes()


@given(st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(0, 50)), st.integers(0, 100_000), st.integers(1, 8_000))
def test_prices_a_million_tokens_at_the_borders_are_paid_by_the_token(usd, input_tokens, output_tokens):
    text = f"TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-24T12:00:00Z,{input_tokens},{output_tokens}\n"
    profile = read_trace(text.encode(), origin="t.csv").profiles.profile(0)
    by_file = builders.snapshot(builders.endpoint("a/m", usd=usd))
    change = {"price": {"endpoints": "a/*", "usd": dict(zip(("input", "cached", "output"), usd, strict=True))}}
    other = World(builders.snapshot(builders.endpoint("a/m", usd=(1, 1, 1))), NO_POLICY)
    by_scenario = other.under(read_scenario({"changes": [change]})).snapshot
    rows = [decide(snapshot, profile, decision_id="d").row(0) for snapshot in (by_file, by_scenario)]
    assert rows[0].cost_usd == rows[1].cost_usd
    assert rows[0].log_utility == rows[1].log_utility
    assert rows[0].cost_usd == pytest.approx((usd[0] * input_tokens + usd[2] * output_tokens) / 1e6)


def test_seconds_of_the_catalogue_are_seconds_of_the_answer(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text(
        "endpoints: {openai/gpt-4o-mini: {first_token_s: {value: 0.25, source: assumed, kind: measured},"
        " tokens_per_s: {value: 40, source: assumed, kind: measured},"
        " thinking_tokens: {value: 0, source: assumed}}}"
    )
    snapshot = catalogue_snapshot(load_catalogue(own), builders.NOON)
    profile = builders.request(input_tokens=0, output_tokens=400)
    row = decide(snapshot, profile, decision_id="d", only="openai/gpt-4o-mini").row(0)
    assert row.latency_p50_s == pytest.approx(0.25 + 400 / 40, rel=0.03)


@pytest.mark.parametrize("time", ["2026-11-24T12:00:00Z", "2026-11-24 12:00:00.0000001", "2026-11-24T14:00:00+02:00"])
def test_however_a_trace_writes_its_times_the_same_prices_apply(time):
    text = f"TIMESTAMP,ContextTokens,GeneratedTokens\n{time},100,10\n"
    assert read_trace(text.encode(), origin="t.csv").profiles.hour_utc.tolist() == [12]


def test_the_shipped_catalogue_gives_the_same_bits_alone_and_in_a_batch():
    snapshot = catalogue_snapshot(load_catalogue(), builders.NOON)
    trace = standard_workload(200).profiles
    for exponents in PREFERENCE_EXPONENTS.values():
        together = log_utility(evaluate(snapshot, trace).log_factors, exponents)
        for row in range(len(trace)):
            alone = log_utility(evaluate(snapshot, trace[row : row + 1]).log_factors, exponents)
            assert alone.tobytes() == together[row].tobytes()


def test_every_preference_has_an_exponent_for_every_factor():
    for preference in RoutingPreference:
        assert tuple(EXPONENTS[preference]) == FACTORS
