"""Windows of measured times: quantiles against exact ones, merging, and what is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.fleet.window import Windows, quantile

values = st.lists(st.floats(2e-4, 9e3), min_size=1, max_size=200)
shares = st.sampled_from([0.0, 0.5, 0.95, 0.99])


def window_of(numbers, now=1000.0):
    windows = Windows(2)
    for number in numbers:
        windows.record(1, now, number)
    return windows


@given(values, shares)
def test_a_quantile_is_within_one_percent_of_the_exact_one(numbers, share):
    exact = sorted(numbers)[min(int(share * len(numbers)), len(numbers) - 1)]
    assert quantile(window_of(numbers).counts(1, 1000.0), share) == pytest.approx(exact, rel=0.01)


@given(values, values)
def test_added_counters_are_those_of_all_values_together(first, second):
    merged = window_of(first).counts(1, 1000.0) + window_of(second).counts(1, 1000.0)
    assert merged.tolist() == window_of(first + second).counts(1, 1000.0).tolist()


@pytest.mark.parametrize("value", [0.0, 1e-9, 1e9])
def test_a_value_beyond_the_range_counts_at_its_end(value):
    counts = window_of([value]).counts(1, 1000.0)
    assert counts.sum() == counts[0 if value < 1 else -1] == 1


def test_nothing_counted_has_no_quantile_and_endpoints_are_apart():
    assert quantile(window_of([1.0]).counts(0, 1000.0), 0.5) is None


@given(st.floats(0, 1e6), st.floats(0, 719))
def test_what_is_at_most_twelve_minutes_old_counts(now, age):
    assert window_of([1.0], now).counts(1, now + age).sum() == 1


@given(st.floats(0, 1e6), st.floats(901, 1e5))
def test_what_is_older_than_a_quarter_of_an_hour_does_not(now, age):
    windows = window_of([1.0], now)
    windows.record(1, now + age, 2.0)
    assert windows.counts(1, now + age).sum() == 1
