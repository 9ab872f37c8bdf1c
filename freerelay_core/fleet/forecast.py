"""What a tenant will have spent by the end of the month, from what it spent on each day so far.

A Bayesian bootstrap (Rubin 1981): each of many imagined futures weighs the known whole days at random, newer ones more,
and draws every day to come from them, of the same weekday where two such days are known. So the interval holds both how
days differ and how little a few of them tell. The dice are fixed: the same days give the same forecast everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

__all__ = ["DAYS_BACK", "Forecast", "forecast", "next_month"]

DAYS_BACK = 28
"""Whole days looked at: four of each weekday."""
FEWEST_DAYS = 3
"""With fewer whole days nothing is said."""
HALF_LIFE_DAYS = 14.0
"""A day this old weighs half as much as yesterday; assumed."""
INTERVAL = (0.1, 0.9)
_FUTURES = 1000


@dataclass(frozen=True, slots=True)
class Forecast:
    """Spend at the end of the month, USD; eight futures of ten lie from `low_usd` to `high_usd`."""

    expected_usd: float
    low_usd: float
    high_usd: float
    runs_out: date | None
    """The day by which half of the futures have used the budget up; None where it lasts, or there is none."""
    days: int
    """Whole days that this rests on."""


def next_month(at: datetime) -> datetime:
    """The first moment of the next month."""
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def forecast(daily_usd: Mapping[date, float], now: datetime, budget_usd: float | None = None) -> Forecast | None:
    """The forecast for the month of `now`; a day that is missing after the first cost nothing.

    None where fewer than three whole days are known.
    """
    today, end = now.date(), next_month(now).date()
    first = min(
        (day for day, usd in daily_usd.items() if usd > 0 and day >= today - timedelta(days=DAYS_BACK)), default=today
    )
    known = [first + timedelta(days=n) for n in range((today - first).days)]
    if len(known) < FEWEST_DAYS:
        return None
    spent = sum(usd for day, usd in daily_usd.items() if day.replace(day=1) == today.replace(day=1))
    to_come = [today + timedelta(days=n) for n in range((end - today).days)]
    drawn = _drawn(known, np.array([daily_usd.get(day, 0.0) for day in known]), to_come, today)
    elapsed = (now - now.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds() / 86_400
    drawn[:, 0] *= 1.0 - elapsed
    course = spent + np.cumsum(drawn, axis=1)
    low, high = np.quantile(course[:, -1], INTERVAL)
    return Forecast(
        float(course[:, -1].mean()), float(low), float(high), _run_out(course, to_come, budget_usd, spent), len(known)
    )


def _drawn(known: list[date], usd: np.ndarray, to_come: list[date], today: date) -> np.ndarray:
    """What each day to come costs in each future, shape (futures, days)."""
    dice = np.random.Generator(np.random.PCG64(0))
    recency = 0.5 ** (np.array([(today - day).days for day in known]) / HALF_LIFE_DAYS)
    weights = dice.exponential(size=(_FUTURES, len(known))) * recency
    weekdays = np.array([day.weekday() for day in known])
    drawn = np.empty((_FUTURES, len(to_come)))
    for column, day in enumerate(to_come):
        same = weekdays == day.weekday()
        share = np.cumsum(weights * same if same.sum() >= 2 else weights, axis=1)
        chosen = (share < dice.random((_FUTURES, 1)) * share[:, -1:]).sum(axis=1)
        drawn[:, column] = usd[chosen]
    return drawn


def _run_out(course: np.ndarray, to_come: list[date], budget_usd: float | None, spent: float) -> date | None:
    if budget_usd is None:
        return None
    if spent >= budget_usd:
        return to_come[0]
    over = (course >= budget_usd).mean(axis=0) >= 0.5
    return to_come[int(over.argmax())] if over.any() else None
