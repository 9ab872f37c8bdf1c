"""Trying out what nobody has asked of late: how often, whom, and what the decision says of it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import builders
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.clock import id_at
from freerelay_core.decision import decide
from freerelay_core.decision.exploration import CLOSE, SETTLED, chance_of, unsettled
from freerelay_core.fleet import Fleet
from freerelay_core.snapshot import BREAKER_OPEN, Snapshot

BEST, CLOSE_BY, ALSO_CLOSE, FAR = "a/best", "b/close", "c/close", "d/far"
SHARE = 0.1


class MovedClock:
    """Stands still until it is moved."""

    seconds = 0.0

    def now(self):
        return builders.NOON

    def monotonic(self):
        return self.seconds

    async def sleep(self, seconds):
        self.seconds += seconds


def endpoints():
    prices = {BEST: 1.0, CLOSE_BY: 1.3, ALSO_CLOSE: 1.35, FAR: 40.0}
    return [builders.endpoint(name, usd=(usd, usd, usd)) for name, usd in prices.items()]


REAL = frozenset("abcd")


def decided(snapshot: Snapshot, chance: float = 0.5, **options):
    """The decision whose id stands for `chance`."""
    identifier = id_at(builders.NOON, int(chance * 2**48))
    return decide(snapshot, builders.request(), decision_id=identifier, **{"explore": SHARE} | options)


def first(decision):
    return decision.snapshot.endpoint_ids[decision.plan[0]]


def seen(snapshot: Snapshot, **outcomes: float) -> Snapshot:
    """The snapshot with so many recent outcomes of each provider's endpoint."""
    counts = np.array([outcomes.get(provider, 0.0) for provider in snapshot.providers])
    return replace(snapshot, outcomes=counts)


def test_the_share_is_divided_equally_among_what_is_close_and_seldom_asked():
    snapshot = builders.snapshot(*endpoints(), real=REAL)
    firsts = Counter(first(decided(snapshot, chance=(n + 0.5) / 1000)) for n in range(1000))

    assert firsts == {BEST: 900, CLOSE_BY: 50, ALSO_CLOSE: 50}


def test_the_ranking_stays_and_the_best_is_tried_next():
    snapshot = builders.snapshot(*endpoints(), real=REAL)
    decision, plain = decided(snapshot, chance=0.0), decided(snapshot, explore=0.0)

    assert decision.explores
    assert decision.order == plain.order
    assert decision.reason == plain.reason
    assert [decision.snapshot.endpoint_ids[e] for e in decision.plan] == [CLOSE_BY, BEST, ALSO_CLOSE, FAR]


def test_the_propensity_is_that_of_what_was_tried_first():
    snapshot = builders.snapshot(*endpoints(), real=REAL)

    assert decided(snapshot, chance=0.0).propensity == SHARE / 2
    assert decided(snapshot, chance=0.99).propensity == 1 - SHARE
    assert decided(snapshot, chance=0.125, explore=0.125).propensity == 0.875  # a chance in [0, share) explores
    assert decided(snapshot, explore=0.0).propensity == 1


@given(st.floats(0, 1, exclude_max=True), st.lists(st.floats(0, 10), min_size=4, max_size=4), st.floats(0, 0.2))
def test_propensities_of_all_that_may_come_first_add_up_to_one(chance, outcomes, share):
    snapshot = seen(builders.snapshot(*endpoints(), real=REAL), **dict(zip("abcd", outcomes, strict=True)))
    propensities = {}
    for each in (chance, *(n / 400 * max(share, 1e-9) for n in range(400)), 0.999):
        decision = decided(snapshot, chance=each, explore=share)
        assert propensities.setdefault(first(decision), decision.propensity) == decision.propensity

    assert math.isclose(sum(propensities.values()), 1.0, abs_tol=1e-12)


def test_who_was_asked_of_late_is_not_explored():
    snapshot = seen(builders.snapshot(*endpoints(), real=REAL), b=SETTLED)

    assert {first(decided(snapshot, chance=n / 100)) for n in range(100)} == {BEST, ALSO_CLOSE}
    assert decided(seen(snapshot, b=SETTLED, c=SETTLED), chance=0.0).propensity == 1


def test_what_would_cost_more_than_a_fifth_of_the_utility_is_not_explored():
    snapshot = builders.snapshot(*endpoints(), real=REAL)
    decision = decided(snapshot)
    utilities = dict(zip(decision.snapshot.endpoint_ids, np.exp(decision.log_utilities), strict=True))

    assert utilities[FAR] < CLOSE * utilities[BEST] < utilities[ALSO_CLOSE]
    assert FAR not in {first(decided(snapshot, chance=n / 1000)) for n in range(100)}


def test_exactly_that_share_of_the_winners_utility_is_close():
    snapshot = builders.snapshot(*endpoints(), real=REAL)
    utilities = np.array([0.0, math.log(CLOSE), np.nextafter(math.log(CLOSE), -1.0), -9.0])

    assert unsettled((0, 1, 2, 3), utilities, snapshot) == (1,)


@pytest.mark.parametrize(
    ("snapshot", "options"),
    [
        (builders.snapshot(*endpoints(), real=REAL), {"only": "nobody"}),
        (replace(builders.snapshot(*endpoints(), real=REAL), availability=np.full(4, BREAKER_OPEN, dtype=np.int8)), {}),
    ],
    ids=["nothing is left", "all that is left is failing"],
)
def test_nothing_is_explored_where(snapshot, options):
    decision = decided(snapshot, chance=0.0, **options)

    assert decision.plan == decision.order
    assert decision.propensity == 1


def test_who_asks_for_no_exploration_gets_none():
    snapshot = builders.snapshot(*endpoints(), real=REAL)
    decision = decide(snapshot, builders.request(), decision_id=id_at(builders.NOON, 0))

    assert not decision.explores
    assert decision.propensity == 1


def test_a_simulated_endpoint_has_nothing_to_teach():
    snapshot = builders.snapshot(*endpoints(), real=frozenset("ab"))

    assert {first(decided(snapshot, chance=n / 100)) for n in range(100)} == {BEST, CLOSE_BY}


@pytest.mark.parametrize("options", [{"only": BEST}, {"explore": 0.0}])
def test_a_named_endpoint_is_not_exchanged_and_no_share_explores_nothing(options):
    snapshot = builders.snapshot(*endpoints(), real=REAL)

    assert first(decided(snapshot, chance=0.0, **options)) == BEST


def test_chances_of_new_ids_are_even():
    chances = [chance_of(id_at(builders.NOON, (n * 0x9E3779B97F4A7C15) % 2**74)) for n in range(4000)]

    assert np.histogram(chances, bins=10, range=(0, 1))[0].min() > 300
    assert all(0 <= chance < 1 for chance in chances)


# -- over time: one worker at 2 requests/s, a share of 10 %


def run(fleet, clock, answers, seconds):
    """Requests over so many seconds; how often each endpoint was tried first. `answers` says who answers."""
    generator = np.random.default_rng(7)
    firsts = Counter()
    for _ in range(2 * seconds):
        clock.seconds += 0.5
        decision = decided(fleet.snapshot(), chance=generator.random())
        for index in decision.plan:
            if fleet.admit(index) is None:
                continue
            name = decision.snapshot.endpoint_ids[index]
            firsts[name] += 1
            fleet.record(index, ok=answers(name))
            if answers(name):
                break
    return firsts


def fleet_of(clock):
    base = builders.snapshot(*endpoints(), real=REAL)
    return Fleet(base, clock, worker="w", epoch_s=0.1, prices_on=lambda _: base.prices)


def test_a_fresh_endpoint_is_neither_starved_nor_flooded():
    clock = MovedClock()
    firsts = run(fleet_of(clock), clock, lambda _: True, seconds=3600)

    # Five outcomes of which half fade in ten minutes lose 5 ln 2 in 600 s: 21 an hour, after the first five.
    for name in (CLOSE_BY, ALSO_CLOSE):
        assert 15 <= firsts[name] <= 45
    assert firsts[FAR] == 0


def test_an_endpoint_that_has_recovered_is_found_again():
    clock = MovedClock()
    fleet = fleet_of(clock)
    broken = run(fleet, clock, lambda name: name != BEST, seconds=600)
    recovered = run(fleet, clock, lambda _: True, seconds=3600)

    assert broken[BEST] < 0.1 * broken.total()
    assert recovered[BEST] > 0.5 * recovered.total()
