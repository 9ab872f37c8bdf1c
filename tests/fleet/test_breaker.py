"""The breaker alone: what opens it, how long, and what it never does."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from freerelay_core.fleet.breaker import Breakers


def spread(breakers, outcomes, *, now=1000.0, gap=0.5):
    """Record outcomes `gap` seconds apart; the time after the last, and whether the breaker is open."""
    for ok in outcomes:
        breakers.record(0, now, ok=ok)
        now += gap
    return now, breakers.tripped(0)


def opened(breakers, now=1000.0):
    for _ in range(5):
        breakers.record(0, now, ok=False)
    return breakers.retry_s(0, now)


def test_half_of_twenty_calls_within_the_window_opens_it():
    assert not spread(Breakers(1), [True, False] * 9 + [True])[1]
    assert spread(Breakers(1), [True, False] * 10)[1]


def test_less_than_half_never_opens_it():
    assert not spread(Breakers(1), [True, True, False] * 100)[1]


def test_calls_older_than_the_window_do_not_count():
    assert not spread(Breakers(1), [True, False] * 50, gap=2.0)[1]


def test_successes_of_requests_already_under_way_do_not_close_it():
    breakers = Breakers(1)
    opened(breakers)
    assert not breakers.record(0, 1001.0, ok=True)
    assert breakers.tripped(0)


def test_one_that_trips_again_soon_after_closing_waits_longer_and_one_that_stayed_well_does_not():
    for well_s, at_least, at_most in ((10.0, 8.0, 12.0), (61.0, 4.0, 6.0)):
        breakers = Breakers(1)
        opened(breakers)
        assert breakers.admit(0, 1007.0)
        assert breakers.record(0, 1007.0, ok=True)
        assert at_least <= opened(breakers, 1007.0 + well_s) <= at_most


def test_waits_differ_by_group_seed_and_trip_and_repeat_for_the_same_ones():
    def waits(seed):
        breakers = Breakers(2, seed=seed)
        return [opened(breakers), *(breakers._jitter[i] for i in (1, 64))]

    assert waits(3) == waits(3)
    assert len({*waits(3), *waits(4)}) == 6


def test_in_a_fleet_that_fails_altogether_a_forced_failure_prolongs_nothing_and_a_success_closes():
    breakers = Breakers(1)
    wait = opened(breakers)
    breakers.record(0, 1000.0, ok=False, forced=True)
    assert breakers.retry_s(0, 1000.0) == pytest.approx(wait)
    assert breakers.record(0, 1000.0, ok=True, forced=True)
    assert not breakers.tripped(0)


class BreakerStory(RuleBasedStateMachine):
    """Requests come, end well, badly or never, and time passes."""

    def __init__(self):
        super().__init__()
        self.breakers = Breakers(1)
        self.now = 1000.0
        self.probe_until = 0.0

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def ask(self):
        blocked, tripped = self.breakers.blocks(0, self.now), self.breakers.tripped(0)
        assert self.breakers.admit(0, self.now) is not blocked
        if tripped and not blocked:
            assert self.now >= self.probe_until
            assert not self.breakers.admit(0, self.now)
            self.probe_until = self.now + self.breakers.retry_s(0, self.now)

    @rule(ok=st.booleans(), times=st.integers(1, 6))
    def end(self, ok, times):
        for _ in range(times):
            if self.breakers.record(0, self.now, ok=ok):
                self.probe_until = 0.0

    @invariant()
    def waits_are_bounded(self):
        assert 0.0 <= self.breakers.retry_s(0, self.now) <= 360.0

    @invariant()
    def nobody_is_left_alone_for_ever(self):
        assert not self.breakers.blocks(0, self.now + 361.0)


BreakerStory.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestBreakerStory = BreakerStory.TestCase
