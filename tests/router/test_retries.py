"""The retry budget: what it allows, and what it never does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.clock import SystemClock
from freerelay_core.router.retries import MOST_SAVED, RETRIES_A_REQUEST, RETRIES_A_SECOND, RetryBudget


class Still(SystemClock):
    seconds = 0.0

    def monotonic(self):
        return self.seconds


@given(requests=st.integers(0, 2000), seconds=st.floats(0, 60))
def test_an_outage_adds_at_most_a_fifth_of_the_requests_and_a_few_a_second_to_what_was_saved(requests, seconds):
    clock = Still()
    budget = RetryBudget(clock)
    granted = sum(budget.spend() for _ in range(300))
    assert granted == MOST_SAVED
    clock.seconds = seconds
    for _ in range(requests):
        budget.earn()
        granted += budget.spend() + budget.spend()
    assert granted <= MOST_SAVED + RETRIES_A_REQUEST * requests + RETRIES_A_SECOND * seconds + 1e-6


def test_few_requests_are_not_left_without_a_second_chance():
    clock = Still()
    budget = RetryBudget(clock)
    while budget.spend():
        pass
    clock.seconds = 1.0
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]
