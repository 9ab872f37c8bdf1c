"""The forecast of a month's spend, tried on months whose end is known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np

from freerelay_core.fleet.forecast import forecast

NOON = datetime(2026, 11, 16, 12, tzinfo=UTC)


def days(first, amounts):
    return {first + timedelta(days=n): float(usd) for n, usd in enumerate(amounts)}


def test_a_steady_spender_goes_on_as_before():
    told = forecast(days(date(2026, 10, 20), [1.0] * 27) | {NOON.date(): 0.5}, NOON)
    assert (round(told.expected_usd, 6), told.low_usd, told.high_usd, told.days) == (30.0, 30.0, 30.0, 27)


def test_it_says_when_a_budget_runs_out_and_that_another_lasts():
    daily = days(date(2026, 11, 1), [1.0] * 15) | {NOON.date(): 0.5}
    assert forecast(daily, NOON, 20.0).runs_out == date(2026, 11, 20)
    assert forecast(daily, NOON, 31.0).runs_out is None
    assert forecast(daily, NOON, 10.0).runs_out == NOON.date(), "it is used up already"


def test_with_two_whole_days_nothing_is_said():
    assert forecast(days(date(2026, 11, 14), [1.0, 1.0]), NOON) is None
    assert forecast({}, NOON) is None


def test_the_same_days_give_the_same_forecast():
    daily = days(date(2026, 11, 1), range(15))
    assert forecast(daily, NOON, 200.0) == forecast(daily, NOON, 200.0)


def test_of_months_with_a_weekly_rhythm_most_end_within_the_interval_and_nearer_than_by_the_plain_mean():
    dice = np.random.default_rng(1)
    inside, errors, plain = 0, [], []
    for _ in range(60):
        weekly = np.array([1.0, 1.1, 1.0, 1.0, 0.8, 0.1, 0.1]) * dice.uniform(1, 9)
        first = date(2026, 10, 19)
        daily = {
            first + timedelta(days=n): float(weekly[(first + timedelta(days=n)).weekday()] * dice.gamma(6, 1 / 6))
            for n in range(43)
        }
        known = {day: usd for day, usd in daily.items() if day < NOON.date()}
        end = sum(usd for day, usd in daily.items() if day.month == 11)
        told = forecast(known, NOON.replace(hour=0))
        spent = sum(usd for day, usd in known.items() if day.month == 11)
        inside += told.low_usd <= end <= told.high_usd
        errors.append(abs(told.expected_usd - end))
        plain.append(abs(spent / 15 * 30 - end))
    assert inside / 60 >= 0.65
    assert np.mean(errors) < np.mean(plain)
