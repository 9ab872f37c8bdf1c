"""A little more than the stated change puts the named endpoint first; a little less, either way, changes nothing."""

from __future__ import annotations

from dataclasses import asdict, replace

import builders
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from freerelay_core.behaviour import PREFILL_TOKENS_PER_S
from freerelay_core.decision import decide
from freerelay_core.policy import read_policy
from freerelay_core.preference import EXPONENTS, FACTORS, RoutingPreference
from freerelay_core.profile import Depth, LatencyClass
from freerelay_core.scoring import Budget, Sensitivity, reference_cost_usd, sensitivity
from freerelay_core.scoring.sensitivity import ExponentTurn, FigureTurn

A_LITTLE = 1e-3
"""Share of a change by which a test goes beyond it, or stays short of it."""
CLEAR = 1e-8
"""Difference in ln U that no rounding and no tie-break hides."""

pytestmark = pytest.mark.filterwarnings("error")  # numpy complains of nothing: what has no answer is None, quietly

preferences = st.sampled_from(RoutingPreference)


def decided(snapshot, profile, exponents):
    return decide(snapshot, profile, decision_id="d", exponents=exponents)


def lead(decision, a, b):
    """How far a is above b, in ln U."""
    of = dict(zip(decision.snapshot.endpoint_ids, decision.log_utilities, strict=True))
    return of[a] - of[b]


def requires_the_change(decision, winner, beyond, short):
    """`beyond` the change the new winner leads (or ties within rounding with the one that does), `short` of it not."""
    old = decision.endpoints[0]
    if abs(lead(short, old, winner)) > CLEAR:
        assert short.endpoints[0] == old
    if abs(lead(beyond, winner, old)) > CLEAR:
        assert beyond.endpoints[0] != old
        assert lead(beyond, winner, beyond.endpoints[0]) > -10 * A_LITTLE
        assert lead(beyond, winner, old) > 0


@given(builders.endpoints(2, 6), builders.profiles, preferences)
def test_an_exponent_turns_the_winner_where_it_is_said_to(endpoints, profile, preference):
    snapshot, exponents = builders.snapshot(*endpoints), EXPONENTS[preference]
    decision = decided(snapshot, profile, exponents)
    assume(lead(decision, *decision.endpoints[:2]) > 1e-4)

    def at(factor, exponent):
        return decided(snapshot, profile, {**exponents, factor: exponent})

    for turn in decision.sensitivity.exponents:
        assert turn.exponent == exponents[turn.factor]
        if turn.turns_at is None:
            winners = {at(turn.factor, e).endpoints[0] for e in (1e-6, 0.1, 0.7, 1.3, 2.5, 5.0, 20.0)}
            assert winners == {decision.endpoints[0]}
            continue
        change = turn.turns_at - turn.exponent
        beyond = at(turn.factor, max(turn.exponent + change * (1 + A_LITTLE), 0.0))
        requires_the_change(decision, turn.winner, beyond, at(turn.factor, turn.exponent + change * (1 - A_LITTLE)))
        mirrored = turn.exponent - change * (1 - A_LITTLE)
        if mirrored > 0:
            assert at(turn.factor, mirrored).endpoints[0] == decision.endpoints[0]


def priced(snapshot, endpoint, times):
    rates = snapshot.prices.rates.copy()
    rates[..., endpoint] *= times
    return replace(snapshot, prices=replace(snapshot.prices, rates=rates))


def timed(snapshot, endpoint, times, decision):
    """The endpoint's whole time, prefill included, times this."""
    prefill = decision.profile.input_tokens / PREFILL_TOKENS_PER_S
    behaviour = snapshot.behaviour
    own = (
        behaviour.first_token_p95[endpoint]
        + decision.evaluation.decoded_tokens[endpoint] / behaviour.speed_median[endpoint]
    )
    own_times = (times * (own + prefill) - prefill) / own
    first, speed = behaviour.first_token_median.copy(), behaviour.speed_median.copy()
    first[endpoint] *= own_times
    speed[endpoint] /= own_times
    return replace(snapshot, behaviour=replace(behaviour, first_token_median=first, speed_median=speed))


def abler(snapshot, endpoint, elo):
    abilities = snapshot.abilities.copy()
    abilities[:, endpoint] += elo
    return replace(snapshot, abilities=abilities)


@given(builders.endpoints(2, 6), builders.profiles, preferences)
def test_a_price_a_time_and_an_ability_turn_the_winner_where_they_are_said_to(endpoints, profile, preference):
    profile = profile._replace(cached_tokens=min(profile.cached_tokens, profile.input_tokens))
    snapshot, exponents = builders.snapshot(*endpoints), EXPONENTS[preference]
    decision = decided(snapshot, profile, exponents)
    assume(lead(decision, *decision.endpoints[:2]) > 1e-4)
    said = decision.sensitivity
    assert [turn.endpoint for turn in (said.winner, *said.challengers)] == list(decision.endpoints)
    assert said.winner.winner == decision.endpoints[1]
    for turn in (said.winner, *said.challengers):
        index = snapshot.endpoint_ids.index(turn.endpoint)
        if turn.price_times is not None:
            assert (turn.price_times > 1) is (turn is said.winner)
            assert turn.cost_usd == pytest.approx(decision.evaluation.cost_usd[index] * turn.price_times)
            prices = (max(times, 0.0) for times in _around(turn.price_times, 1.0))
            both = (decided(priced(snapshot, index, times), profile, exponents) for times in prices)
            requires_the_change(decision, turn.winner, *both)
        if turn.time_times is not None and turn.time_times < 1e6:
            assert (turn.time_times > 1) is (turn is said.winner)
            times = _around(turn.time_times, 1.0)
            prefill = profile.input_tokens / PREFILL_TOKENS_PER_S
            own = decision.latencies_s[0][index]
            if times[0] * own > 2 * prefill:  # else no speed of its own makes the endpoint that fast
                both = (decided(timed(snapshot, index, t, decision), profile, exponents) for t in times)
                requires_the_change(decision, turn.winner, *both)
        if turn.ability_elo is not None:
            assert (turn.ability_elo < 0) is (turn is said.winner)
            both = (decided(abler(snapshot, index, e), profile, exponents) for e in _around(turn.ability_elo, 0.0))
            requires_the_change(decision, turn.winner, *both)


def _around(value, present):
    """A little beyond the change from the present value, and a little short of it."""
    return present + (value - present) * (1 + A_LITTLE), present + (value - present) * (1 - A_LITTLE)


room = st.floats(1.01, 3.0) | st.floats(3.0, 1e4)  # of a narrow one mostly nobody is left beside the winner


@given(builders.endpoints(2, 4, cheapest=0.01), builders.profiles, preferences, room, room)
def test_a_winner_loses_where_it_outgrows_what_a_rule_or_a_budget_allows(endpoints, profile, preference, usd, seconds):
    profile = profile._replace(input_tokens=0, cached_tokens=0)  # all of the time is the endpoint's own
    snapshot, exponents = builders.snapshot(*endpoints), EXPONENTS[preference]
    free = decided(snapshot, profile, exponents)
    assume(lead(free, *free.endpoints[:2]) > 1e-4)
    first = free.row(0)
    limits = {"max_latency_s": first.latency_p95_s * seconds, "max_cost_usd": first.cost_usd * usd * 1.5}
    policy = read_policy({"rules": [{"name": "limits", **limits}]}, snapshot.endpoint_ids, source="test")
    budget = Budget(first.cost_usd * usd, 1.0, np.ones(len(snapshot), dtype=np.bool_))

    def limited(changed):
        return decide(changed, profile, decision_id="d", exponents=exponents, policy=policy, budget=budget)

    decision = limited(snapshot)
    assert decision.endpoints[0] == first.endpoint
    assume(len(decision.endpoints) > 1)
    turn, index = decision.sensitivity.winner, snapshot.endpoint_ids.index(first.endpoint)
    assert 1 < turn.price_times <= usd * (1 + 1e-9)
    assert turn.cost_usd == pytest.approx(first.cost_usd * turn.price_times)
    assert 1 < turn.time_times <= seconds * (1 + 1e-9)
    for times, changed in (
        (turn.price_times, lambda times: priced(snapshot, index, times)),
        (turn.time_times, lambda times: timed(snapshot, index, times, decision)),
    ):
        beyond, short = (limited(changed(each)) for each in _around(times, 1.0))
        assert beyond.endpoints[0] == decision.endpoints[1] or abs(lead(beyond, *decision.endpoints[:2])) < CLEAR
        assert short.endpoints[0] == first.endpoint or abs(lead(short, *decision.endpoints[:2])) < CLEAR


def test_a_limit_that_nothing_met_is_in_no_winner_s_way():
    endpoints = [builders.endpoint("a/x"), builders.endpoint("b/y", usd=(2, 2, 8))]
    snapshot, profile = builders.snapshot(*endpoints), builders.request()
    rules = {"rules": [{"name": "dropped", "max_cost_usd": 1e-9, "max_latency_s": 1e-9}]}
    policy = read_policy(rules, snapshot.endpoint_ids, source="test")
    dropped = decide(snapshot, profile, decision_id="d", policy=policy)
    assert len(dropped.dropped) == 2
    assert dropped.sensitivity == decide(snapshot, profile, decision_id="d").sensitivity


LIMITED = builders.snapshot(builders.endpoint("a/x"), builders.endpoint("b/y", ability=1200.0))


def limited_by(*rules, budget=None):
    stated = [{"name": f"r{place}", "continue": True, **rule} for place, rule in enumerate(rules)]
    policy = read_policy({"rules": stated}, LIMITED.endpoint_ids, source="test")
    decision = decide(LIMITED, builders.request(), decision_id="d", policy=policy, budget=budget)
    assert decision.endpoints == ("a/x", "b/y")
    return decision


def test_of_several_limits_the_narrowest_is_the_winner_s():
    free = limited_by()
    usd, seconds = free.row(0).cost_usd, free.row(0).latency_p95_s
    wide, narrow = ({"max_cost_usd": usd * times, "max_latency_s": seconds * times} for times in (9.0, 8.0))
    for rules in ((wide, narrow), (narrow, wide)):
        turn = limited_by(*rules).sensitivity.winner
        assert turn.time_times == pytest.approx(min(free.sensitivity.winner.time_times, 8.0))
        assert turn.price_times == pytest.approx(min(free.sensitivity.winner.price_times, 8.0))
    closer = {"max_cost_usd": usd * 1.5, "max_latency_s": seconds * 1.2}
    for rules in ((narrow, closer), (closer, narrow)):
        turn = limited_by(*rules).sensitivity.winner
        assert (turn.time_times, turn.price_times) == (pytest.approx(1.2), pytest.approx(1.5))


def test_a_budget_that_a_winner_does_not_count_against_does_not_limit_it():
    left = limited_by().row(1).cost_usd * 1.5
    counted, spared = (Budget(left, 1.0, np.array(counts)) for counts in ([True, True], [False, False]))
    assert limited_by(budget=counted).sensitivity.winner.price_times == pytest.approx(1.5)
    assert limited_by(budget=spared).sensitivity.winner == limited_by().sensitivity.winner


@given(builders.endpoints(2, 4), builders.profiles, preferences)
def test_where_no_price_or_ability_of_its_own_is_said_to_help_the_best_one_does_not(endpoints, profile, preference):
    snapshot, exponents = builders.snapshot(*endpoints), EXPONENTS[preference]
    decision = decided(snapshot, profile, exponents)
    for turn in decision.sensitivity.challengers:
        index = snapshot.endpoint_ids.index(turn.endpoint)
        best = {
            "price_times": priced(snapshot, index, 1e-12),
            "ability_elo": abler(snapshot, index, 1e5),
        }
        for figure, changed_snapshot in best.items():
            if getattr(turn, figure) is None:
                changed = decided(changed_snapshot, profile, exponents)
                assert lead(changed, decision.endpoints[0], turn.endpoint) > -CLEAR


def test_a_free_winner_is_told_from_which_cost_on_it_loses():
    free, paid = builders.endpoint("a/free", usd=(0, 0, 0)), builders.endpoint("b/paid", usd=(1, 0.1, 4))
    profile = builders.request(depth=Depth.HARD)
    decision = decide(builders.snapshot(free, paid), profile, decision_id="d")
    turn = decision.sensitivity.winner
    assert turn.price_times is None
    assert turn.cost_usd == pytest.approx(decision.row(1).cost_usd)
    assert "were not free but cost" in turn.sentences()[0]
    (challenger,) = decision.sensitivity.challengers
    assert challenger.price_times is None  # nothing is cheaper than free
    all_free = [free, builders.endpoint("b/free", usd=(0, 0, 0), ability=1200.0)]
    slower = decide(builders.snapshot(*all_free), profile, decision_id="d").sensitivity
    assert slower.winner.cost_usd > 0


def test_in_a_batch_no_time_matters():
    fast, slow = builders.endpoint("a/fast"), builders.endpoint("b/slow", tokens_per_s=1.0, usd=(2, 2, 2))
    profile = builders.request(latency_class=LatencyClass.BATCH)
    said = decide(builders.snapshot(fast, slow), profile, decision_id="d").sensitivity
    assert [turn.time_times for turn in (said.winner, *said.challengers)] == [None, None]
    assert next(turn for turn in said.exponents if turn.factor == "latency").turns_at is None


def test_with_no_other_endpoint_there_is_nothing_to_say():
    decision = decide(builders.snapshot(builders.endpoint()), builders.request(), decision_id="d")
    assert decision.sensitivity is None
    assert decision.as_dict(builders.NOON)["sensitivity"] is None


def test_the_reference_cost_is_the_one_that_halves_the_factor():
    at_reference = builders.endpoint(usd=(1.75, 0.175, 8.75))
    profile = builders.request(input_tokens=5000, cached_tokens=3000, output_tokens=700)
    snapshot = builders.snapshot(at_reference)
    row = decide(snapshot, profile, decision_id="d").row(0)
    assert row.factors["cost"][0] == pytest.approx(0.5)
    assert reference_cost_usd(snapshot, profile) == pytest.approx(row.cost_usd)


def test_the_sentences_name_the_change_and_who_wins():
    cheap, able = builders.endpoint("a/cheap", usd=(1, 1, 4)), builders.endpoint("b/able", usd=(9, 9, 36), ability=1320)
    profile = builders.request(depth=Depth.HARD)
    decision = decide(builders.snapshot(cheap, able), profile, decision_id="d")
    said = decision.sensitivity.sentences()
    assert decision.endpoints == ("a/cheap", "b/able")
    turn = next(turn for turn in decision.sensitivity.exponents if turn.factor == "cost")
    assert f"If the exponent of cost falls below {turn.turns_at:.2f}, b/able wins" in said
    assert f"If a/cheap were {-decision.sensitivity.winner.ability_elo:.0f} Elo less able, b/able wins" in said
    assert any(text.startswith("If the price of a/cheap rises ") and text.endswith("b/able wins") for text in said)
    assert said[-1].startswith("No exponent of policy, safety, schema, ")
    shown = decision.sensitivity.as_dict()
    assert set(shown) == {"exponents", "winner", "challengers"}
    assert [turn["factor"] for turn in shown["exponents"]] == list(FACTORS)
    for turn, stated in zip(decision.sensitivity.exponents, shown["exponents"], strict=True):
        assert stated == asdict(turn)
    assert shown["winner"] == asdict(decision.sensitivity.winner)
    assert shown["challengers"] == [asdict(turn) for turn in decision.sensitivity.challengers]


@pytest.mark.parametrize(
    ("turns_at", "said"),
    [
        (0.618, "If the exponent of cost falls below 0.62, b wins"),
        (1.5, "If the exponent of cost rises above 1.50, b wins"),
        (1.0004, "If the exponent of cost rises above 1.000400, b wins"),
        (np.nextafter(1.0, 2.0), "If the exponent of cost rises at all, b wins"),
        (np.nextafter(1.0, 0.0), "If the exponent of cost falls at all, b wins"),
        (None, "No exponent of cost changes the winner"),
    ],
)
def test_an_exponent_in_words(turns_at, said):
    assert ExponentTurn("cost", 1.0, turns_at, None if turns_at is None else "b").sentence() == said


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"price_times": 1.312}, "If the price of a rises by 31 %, b wins"),
        ({"price_times": 0.95}, "If the price of a falls by 5 %, b wins"),
        ({"price_times": 1.00042}, "If the price of a rises by 0.042 %, b wins"),
        ({"price_times": 1.994}, "If the price of a rises by 99 %, b wins"),
        ({"price_times": 2.0}, "If the price of a rises to 2.0 times, b wins"),
        ({"price_times": 1234.56}, "If the price of a rises to 1,234.6 times, b wins"),
        ({"price_times": 1.0}, "If the price of a rises at all, b wins"),
        ({"cost_usd": 0.0000123}, "If a were not free but cost 0.012 USD per 1,000 such requests, b wins"),
        ({"cost_usd": 1.5}, "If a were not free but cost 1,500 USD per 1,000 such requests, b wins"),
        ({"time_times": 1.2}, "If the time that a takes rises by 20 %, b wins"),
        ({"ability_elo": -123.4}, "If a were 123 Elo less able, b wins"),
        ({"ability_elo": -10.4}, "If a were 10 Elo less able, b wins"),
        ({"ability_elo": -9.94}, "If a were 9.9 Elo less able, b wins"),
        ({"ability_elo": 0.0}, "If a were any less able, b wins"),
        ({}, "No change of the price, the time or the ability of a alone changes the winner"),
    ],
)
def test_a_figure_in_words(figures, said):
    none = dict.fromkeys(("price_times", "cost_usd", "time_times", "ability_elo"))
    assert FigureTurn("a", "b", **none | figures).sentences() == [said]


def test_what_a_challenger_must_gain_in_words():
    for elo, said in ((0.5, "If b were 0.5 Elo more able, b wins"), (0.0, "If b were any more able, b wins")):
        assert FigureTurn("b", "b", None, None, None, elo).sentences() == [said]
    assert FigureTurn("b", "b", 1.0, None, 0.9, None).sentences() == [
        "If the price of b falls at all, b wins",
        "If the time that b takes falls by 10 %, b wins",
    ]


@pytest.mark.parametrize("dear_is_able", [True, False])
def test_of_two_that_are_level_the_way_is_said_in_which_an_exponent_must_move(dear_is_able):
    logs = np.zeros((len(FACTORS), 2))
    cost, quality = FACTORS.index("cost"), FACTORS.index("quality")
    logs[cost], logs[quality] = (-0.5, -0.25), (-0.25, -0.5)
    if not dear_is_able:
        logs = logs[:, ::-1].copy()
    said = sensitivity(["a", "b"], logs, np.ones(len(FACTORS)), 1.0)
    turns = {turn.factor: turn for turn in said.exponents}
    for factor, rises in (("cost", dear_is_able), ("quality", not dear_is_able)):
        assert turns[factor].sentence() == f"If the exponent of {factor} {'rises' if rises else 'falls'} at all, b wins"


def test_where_every_exponent_can_turn_the_winner_none_is_said_not_to():
    turn = ExponentTurn("cost", 1.0, 2.0, "b")
    figures = FigureTurn("a", "b", None, None, None, -1.0)
    assert Sensitivity((turn,), figures, ()).sentences() == ["If a were 1 Elo less able, b wins", turn.sentence()]


def test_among_twins_any_change_of_a_figure_decides_and_no_exponent_does():
    twins = [builders.endpoint("a/twin"), builders.endpoint("b/twin")]
    said = decide(builders.snapshot(*twins), builders.request(), decision_id="d").sensitivity
    assert all(turn.turns_at is None for turn in said.exponents)
    assert said.winner.price_times == said.winner.time_times == 1
    assert said.winner.ability_elo == 0
    assert "If the price of a/twin rises at all, b/twin wins" in said.winner.sentences()
    assert np.isfinite(said.challengers[0].price_times)


def test_a_difference_below_any_number_turns_nothing():
    logs = np.zeros((len(FACTORS), 2))
    logs[FACTORS.index("cost"), 1], logs[FACTORS.index("quality"), 1] = -0.5, -1e-310
    said = sensitivity(["a", "b"], logs, np.ones(len(FACTORS)), 1.0)
    turns = {turn.factor: turn.turns_at for turn in said.exponents}
    assert turns["quality"] is None


def test_the_ability_that_turns_the_winner_leaves_aside_what_the_limit_cuts_off():
    thinks = builders.endpoint("a/thinks", ability=1300.0, thinking_tokens=300 * np.pi / 2)
    snapshot = builders.snapshot(thinks, builders.endpoint("b/y", ability=1280.0))
    request = builders.request(output_tokens=200, answer_limit=600, depth=Depth.STANDARD)
    quality_alone = dict.fromkeys(FACTORS, 0.0) | {"quality": 1.0}
    said = decided(snapshot, request, quality_alone).sensitivity
    assert (said.winner.endpoint, said.winner.winner) == ("b/y", "a/thinks")
    for endpoint, elo in ((1, said.winner.ability_elo), (0, said.challengers[0].ability_elo)):
        assert decided(abler(snapshot, endpoint, elo * 1.01), request, quality_alone).endpoints[0] == "a/thinks"
        assert decided(abler(snapshot, endpoint, elo * 0.99), request, quality_alone).endpoints[0] == "b/y"
