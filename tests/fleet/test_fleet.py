"""What the fleet learns from outcomes, on a clock that the tests move."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import builders
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freerelay_core.catalogue import Limits
from freerelay_core.decision import decide
from freerelay_core.fleet import Fleet, RateLedger
from freerelay_core.snapshot import AVAILABLE, BREAKER_OPEN, COOLING_DOWN


class MovedClock:
    """Time passes only by `move`."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self):
        return builders.NOON + timedelta(seconds=self.seconds - 1000.0)

    def monotonic(self):
        return self.seconds

    async def sleep(self, _):
        raise AssertionError("nothing here waits")

    def move(self, seconds):
        self.seconds += seconds


@pytest.fixture
def clock():
    return MovedClock()


def fleet_of(clock, *names, **options):
    base = builders.snapshot(*(builders.endpoint(name) for name in sorted(names)))
    options.setdefault("prices_on", lambda _: base.prices)
    return Fleet(base, clock, worker="w", epoch_s=0.1, **options)


@pytest.fixture
def fleet(clock):
    return fleet_of(clock, "a/one", "b/one", "c/one")


def availability(fleet):
    return fleet.snapshot().availability.tolist()


def fail(fleet, endpoint, times=5):
    for _ in range(times):
        fleet.record(endpoint, ok=False)


def test_a_snapshot_serves_for_its_epoch_and_is_renewed_only_when_something_changed(fleet, clock):
    first = fleet.snapshot()
    assert first.id == "w-1"
    clock.move(10)
    assert fleet.snapshot() is first
    fleet.record(0, ok=True)
    clock.move(0.05)
    assert fleet.snapshot() is first
    clock.move(0.1)
    assert fleet.snapshot().id == "w-2"


def test_failures_lower_the_expected_success_of_that_endpoint_alone(fleet, clock):
    before = fleet.snapshot().success
    fail(fleet, 0, times=3)
    clock.move(1)
    after = fleet.snapshot().success
    assert after[0] < before[0]
    assert after[1:].tolist() == before[1:].tolist()


def test_many_outcomes_outweigh_the_prior_and_old_ones_fade(fleet, clock):
    for _ in range(1000):
        fleet.record(0, ok=True)
    clock.move(1)
    assert fleet.snapshot().success[0] > 0.99
    for index in range(1000):
        fleet.record(0, ok=index % 2 == 0)
    clock.move(1)
    assert fleet.snapshot().success[0] == pytest.approx(0.5, abs=0.1)


def test_five_failures_in_a_row_open_the_breaker_at_once(fleet):
    fleet.snapshot()
    fail(fleet, 0, times=4)
    fleet.record(0, ok=True)
    fail(fleet, 0, times=4)
    assert availability(fleet) == [AVAILABLE] * 3
    fleet.record(0, ok=False)
    assert availability(fleet) == [BREAKER_OPEN, AVAILABLE, AVAILABLE]
    assert not fleet.admit(0)


def test_after_its_time_one_probe_is_admitted_and_success_closes_the_breaker(fleet, clock):
    fail(fleet, 0)
    clock.move(6.1)
    assert availability(fleet)[0] == AVAILABLE
    assert fleet.admit(0)
    assert not fleet.admit(0)
    assert availability(fleet)[0] == BREAKER_OPEN
    fleet.record(0, ok=True)
    assert availability(fleet)[0] == AVAILABLE
    assert fleet.admit(0)
    assert fleet.admit(0)


def test_a_probe_that_is_not_sent_after_all_leaves_its_place_to_the_next_request(fleet, clock):
    fail(fleet, 0)
    clock.move(7.0)
    fleet.withdraw(0, fleet.admit(0))
    assert availability(fleet)[0] == AVAILABLE
    assert fleet.admit(0)
    assert fleet.admit(0) is None


def test_a_request_that_is_not_sent_after_all_takes_no_quota(clock):
    limited = builders.endpoint("a/one", limits=Limits(rpm=1))
    fleet = fleet_of(clock, "a/one", ledger=RateLedger.of([limited]))
    fleet.withdraw(0, fleet.admit(0))
    assert fleet.admit(0)
    assert fleet.admit(0) is None


def test_a_failed_probe_keeps_it_open_about_twice_as_long_up_to_a_limit(fleet, clock):
    fail(fleet, 0)
    open_s = 5.0
    for _ in range(8):
        clock.move(0.8 * open_s - 0.2)
        assert availability(fleet)[0] == BREAKER_OPEN
        clock.move(0.4 * open_s + 0.3)
        assert fleet.admit(0)
        fleet.record(0, ok=False)
        open_s = min(2 * open_s, 300.0)
    assert open_s == 300.0


def test_health_tells_the_state_of_each_breaker_and_cool_down(fleet, clock):
    fail(fleet, 0)
    fleet.record(1, ok=False, rate_limited=True, retry_after_s=7.0)
    broken, limited, well = fleet.health()
    assert (broken.endpoint, broken.breaker.state, broken.breaker.failures) == ("a/one", "open", 5)
    assert 4.0 <= broken.breaker.retry_s <= 6.0
    assert (limited.breaker.state, limited.cooling_s) == ("closed", pytest.approx(7.0))
    assert well.breaker.retry_s == well.cooling_s == 0.0
    assert broken.success < well.success
    clock.move(6.1)
    assert fleet.health()[0].breaker.state == "half-open"


def test_a_probe_whose_outcome_never_comes_blocks_for_no_longer_than_before(fleet, clock):
    fail(fleet, 0)
    clock.move(6.1)
    assert fleet.admit(0)
    clock.move(6.1)
    assert fleet.admit(0)


def test_late_failures_of_requests_already_under_way_do_not_prolong_it(fleet, clock):
    fail(fleet, 0, times=20)
    clock.move(6.1)
    assert availability(fleet)[0] == AVAILABLE


def test_a_rate_limit_cools_down_for_the_time_stated_and_is_no_failure(fleet, clock):
    before = fleet.snapshot().success[0]
    for _ in range(10):
        fleet.record(0, ok=False, rate_limited=True, retry_after_s=7.0)
    assert availability(fleet) == [COOLING_DOWN, AVAILABLE, AVAILABLE]
    assert fleet.retry_after_s([0, 1]) == pytest.approx(7.0)
    clock.move(7.2)
    assert availability(fleet)[0] == AVAILABLE
    assert fleet.retry_after_s([0, 1]) is None
    assert fleet.snapshot().success[0] == before


def test_of_two_waits_the_last_one_stated_counts_and_one_that_is_not_stated_shortens_none(fleet):
    for stated, waits_s in ((60.0, 60.0), (None, 60.0), (2.0, 2.0), (None, 5.0), (1e9, 3600.0)):
        fleet.record(0, ok=False, rate_limited=True, retry_after_s=stated)
        assert fleet.retry_after_s([0]) == pytest.approx(waits_s)


def test_efforts_of_one_model_share_breaker_and_cool_down_but_not_success(clock):
    fleet = fleet_of(clock, "a/m@high", "a/m@low", "b/m")
    fail(fleet, 0)
    assert availability(fleet) == [BREAKER_OPEN, BREAKER_OPEN, AVAILABLE]
    success = fleet.snapshot().success
    assert success[0] < success[1]


def test_when_every_breaker_is_open_all_are_tried_again(fleet):
    for endpoint in range(3):
        fail(fleet, endpoint)
    assert availability(fleet) == [AVAILABLE] * 3
    assert fleet.admit(1)
    fleet.record(1, ok=True)
    assert availability(fleet) == [BREAKER_OPEN, AVAILABLE, BREAKER_OPEN]


def test_a_new_day_brings_its_prices(clock):
    asked = []
    base = builders.snapshot(builders.endpoint("a/one"))
    new = replace(base.prices, rates=base.prices.rates * 2)

    def prices_on(day):
        asked.append(day.date())
        return new

    fleet = Fleet(base, clock, worker="w", epoch_s=0.1, prices_on=prices_on)
    clock.move(60)
    assert fleet.snapshot().prices is base.prices
    clock.move(24 * 3600)
    assert fleet.snapshot().prices is new
    assert asked == [builders.NOON.date() + timedelta(days=1)]


events = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["ok", "failed", "limited", "admit"]), st.floats(0, 20)), max_size=120
)


@given(events)
def test_whatever_happens_something_live_is_ranked_and_success_stays_a_share(happened):
    clock = MovedClock()
    fleet = fleet_of(clock, "a/m@high", "a/m@low", "b/m", "c/m")
    for endpoint, what, seconds in happened:
        clock.move(seconds)
        if what == "admit":
            fleet.admit(endpoint)
        else:
            fleet.record(endpoint, ok=what == "ok", rate_limited=what == "limited", retry_after_s=seconds)
        snapshot = fleet.snapshot()
        assert np.all((snapshot.success > 0) & (snapshot.success <= 1))
        states = snapshot.availability.tolist()
        assert AVAILABLE in states or COOLING_DOWN in states


def answer(fleet, clock, first_token_s, times, tokens_per_s=80.0):
    for _ in range(times):
        clock.move(1)
        fleet.record_times(0, first_token_s=first_token_s, tokens_per_s=tokens_per_s)
    clock.move(1)
    return fleet.snapshot().behaviour.first_token_median[0]


def test_measured_times_replace_the_catalogue_s_and_a_slow_down_is_noticed_within_twenty_answers(fleet, clock):
    prior = fleet.snapshot().behaviour.first_token_median[0]
    assert answer(fleet, clock, 2 * prior, 1) < 1.4 * prior
    assert answer(fleet, clock, 2 * prior, 50) == pytest.approx(2 * prior, rel=0.15)
    assert fleet.snapshot().speed_kinds[0] == 0
    assert answer(fleet, clock, 20 * prior, 20) > 6 * prior
    others = fleet.snapshot().behaviour.first_token_median[1:]
    assert others.tolist() == pytest.approx([prior, prior])


def test_one_that_was_slow_and_is_not_asked_any_more_is_expected_as_the_catalogue_has_it_within_half_an_hour(
    fleet, clock
):
    before = fleet.snapshot()
    prior = before.behaviour.first_token_median[0]
    assert answer(fleet, clock, 10 * prior, 30) > 5 * prior
    clock.move(1800)
    after = fleet.snapshot()
    assert after.behaviour.first_token_median[0] < 1.3 * prior
    assert after.speed_kinds[0] == before.speed_kinds[0]
    clock.move(3600)
    settled = fleet.snapshot()
    clock.move(3600)
    assert fleet.snapshot() is settled


def test_the_cheaper_one_that_failed_for_two_minutes_and_is_unused_since_is_first_again_within_half_an_hour(clock):
    base = builders.snapshot(builders.endpoint("a/one", usd=(0.5, 0.05, 2.0)), builders.endpoint("b/one"))
    fleet = Fleet(base, clock, worker="w", epoch_s=0.1, prices_on=lambda _: base.prices)

    def first():
        return decide(fleet.snapshot(), builders.request(), decision_id="d").order[0]

    assert first() == 0
    for _ in range(120):
        clock.move(1)
        if fleet.admit(0):
            fleet.record(0, ok=False)
        fleet.record(1, ok=True)
    assert first() == 1
    healthy_at = clock.seconds
    while first() == 1:
        clock.move(10)
        assert fleet.admit(1)
        fleet.record(1, ok=True)
        assert clock.seconds < healthy_at + 1800
    assert fleet.admit(0)
    fleet.record(0, ok=True)
    assert first() == 0


@settings(max_examples=20)
@given(
    st.floats(0.2, 20), st.floats(0.2, 20), st.lists(st.integers(0, 2000), min_size=60, max_size=60), st.floats(0.1, 5)
)
def test_from_whole_answers_alone_durations_are_soon_expected_as_they_are(slower, weaker, tokens, prior):
    clock = MovedClock()
    base = builders.snapshot(builders.endpoint("a/one", first_token_s=prior, tokens_per_s=80.0))
    fleet = Fleet(base, clock, worker="w", epoch_s=0.1, prices_on=lambda _: base.prices)

    def expected(count):
        behaviour = fleet.snapshot().behaviour
        first, speed = behaviour.first_token_median[0], behaviour.speed_median[0]
        return first, speed, first + count / speed

    def distance():
        typical = sorted(tokens)[len(tokens) // 2]
        return abs(np.log((slower * prior + typical * weaker / 80.0) / expected(typical)[2]))

    before = distance()
    for count in tokens:
        clock.move(1)
        first, speed, whole = expected(count)
        ratio = (slower * prior + count * weaker / 80.0) / whole
        fleet.record_duration(0, first_token_s=first * ratio, tokens_per_s=speed / ratio, tokens=count)
    clock.move(1)
    assert distance() <= max(0.5 * before, 0.3)
    assert fleet.health()[0].first_token_count == fleet.health()[0].speed_count == 0


def test_health_tells_the_measured_times_of_the_window(fleet, clock):
    answer(fleet, clock, 0.5, 19)
    answer(fleet, clock, 4.0, 2)
    health = fleet.health()[0]
    assert (health.first_token_count, health.speed_count) == (21, 21)
    assert health.first_token_p50_s == pytest.approx(0.5, rel=0.01)
    assert health.first_token_p95_s == pytest.approx(4.0, rel=0.01)
    assert health.speed_p50 == pytest.approx(80.0, rel=0.01)
    clock.move(901)
    assert fleet.health()[0].first_token_p50_s is None


def test_for_what_nothing_else_can_serve_one_a_second_passes_an_open_breaker_and_its_success_closes_it(fleet, clock):
    fail(fleet, 0)
    assert not fleet.admit(0)
    assert fleet.admit(0, despite_breaker=True)
    assert not fleet.admit(0, despite_breaker=True)
    fleet.record(0, ok=False)
    clock.move(1.0)
    assert fleet.admit(0, despite_breaker=True)
    fleet.record(0, ok=True)
    assert availability(fleet) == [AVAILABLE] * 3


def test_failures_of_such_requests_do_not_prolong_the_wait(fleet, clock):
    fail(fleet, 0)
    for _ in range(5):
        assert fleet.admit(0, despite_breaker=True)
        fleet.record(0, ok=False)
        clock.move(1.0)
    clock.move(1.1)
    assert fleet.admit(0)


def test_workers_whose_breakers_opened_together_probe_at_different_times(clock):
    base = builders.snapshot(builders.endpoint("a/one"), builders.endpoint("b/one"))
    waits = set()
    for worker in ("w1", "w2", "w3"):
        fleet = Fleet(base, clock, worker=worker, epoch_s=0.1, prices_on=lambda _: base.prices)
        fail(fleet, 0)
        waits.add(fleet.health()[0].breaker.retry_s)
    assert len(waits) == 3
