"""Accounts of tenants and providers: nothing is lost, counted twice, or carried into another month."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import builders
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.fleet import Budgets, Fleet
from freerelay_core.snapshot import AVAILABLE, PROVIDER_BUDGET_GONE
from freerelay_core.store import SpendElsewhere, SpendOfMonth, Tenant

ANN = Tenant("ann", "ann@x", "free", None, False, 1, builders.NOON, 10.0)


class MovedClock:
    """Time passes only by `move`."""

    def __init__(self):
        self.at = builders.NOON

    def now(self):
        return self.at

    def monotonic(self):
        return (self.at - builders.NOON).total_seconds()

    def move(self, **span):
        self.at += timedelta(**span)


@pytest.fixture
def clock():
    return MovedClock()


def budgets_of(clock, *, real=frozenset({"a", "b"}), provider_usd=None, publish=lambda _: None):
    base = builders.snapshot(builders.endpoint("a/m"), builders.endpoint("b/m"), real=real)
    providers = builders.catalogue(builders.endpoint("a/m"), builders.endpoint("b/m")).providers
    providers = {"a": replace(providers["a"], budget_usd_per_month=provider_usd), "b": providers["b"]}
    return Budgets(base, providers, clock, worker="w", publish=publish)


def record(clock, usd, *, endpoint="a/m", basis="measured"):
    return builders.logged_decision(clock, "ann", endpoint=endpoint, cost_usd=usd, basis=basis)


def elsewhere(clock, *, ann=0.0, a=0.0):
    day = clock.now().date()
    sums = [SpendOfMonth("measured", a, a), SpendOfMonth("simulated", 99.0, 99.0)]
    tenants = {"ann": [SpendOfMonth("measured", ann), SpendOfMonth("demo", 99.0)]}
    return SpendElsewhere(day.replace(day=1), day, tenants, {"a": sums})


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.booleans()), max_size=20))
def test_what_is_spent_is_what_was_booked_and_what_is_held(requests):
    clock = MovedClock()
    budgets = budgets_of(clock)
    booked = held = 0.0
    for expected, actual, ends in requests:
        hold = budgets.hold(ANN, 0, expected)
        if ends:
            budgets.booked(record(clock, actual), hold)
            booked += actual
        else:
            held += expected
        assert budgets.spent_usd("ann") == pytest.approx(booked + held)
        assert 0 <= budgets.of(ANN).left_usd <= 10.0
        assert 0 <= budgets.of(ANN).share <= 1.0


def test_requests_under_way_count_so_that_many_at_once_do_not_overshoot(clock):
    budgets = budgets_of(clock)
    holds = [budgets.hold(ANN, 0, 4.0) for _ in range(2)]
    assert budgets.of(ANN).left_usd == 2.0
    for hold in holds:
        budgets.booked(record(clock, 1.0), hold)
    assert budgets.of(ANN).left_usd == 8.0


def test_what_other_workers_spent_counts_and_is_replaced_by_what_they_say_next(clock):
    budgets = budgets_of(clock)
    budgets.booked(record(clock, 1.0), None)
    budgets.adopt(elsewhere(clock, ann=3.0))
    assert budgets.spent_usd("ann") == 4.0
    budgets.adopt(elsewhere(clock, ann=5.0))
    assert budgets.spent_usd("ann") == 6.0


def test_a_new_month_begins_with_nothing_spent(clock):
    budgets = budgets_of(clock)
    hold, late = budgets.hold(ANN, 0, 9.0), record(clock, 9.0)
    old = elsewhere(clock, ann=1.0)
    budgets.adopt(old)
    clock.move(days=10)
    assert budgets.of(ANN).left_usd == 10.0
    budgets.booked(late, hold)
    budgets.adopt(old)
    assert budgets.of(ANN).left_usd == 10.0, "what belongs to the month before stays there"


def test_simulated_cost_counts_only_where_nothing_is_real(clock):
    real, demo = budgets_of(clock), budgets_of(clock, real=frozenset())
    for budgets in (real, demo):
        budgets.booked(record(clock, 1.0, basis="simulated"), None)
    assert (real.spent_usd("ann"), demo.spent_usd("ann")) == (0.0, 1.0)


def test_without_any_budget_nothing_is_held(clock):
    assert budgets_of(clock).hold(replace(ANN, budget_usd=None), 0, 1.0) is None


def test_a_provider_whose_budget_is_gone_is_excluded_until_the_next_month(clock):
    base = builders.snapshot(
        builders.endpoint("a/free", usd=(0.0, 0.0, 0.0)), builders.endpoint("a/m"), builders.endpoint("b/m"),
        real=frozenset({"a", "b"}),
    )  # fmt: skip
    fleet = Fleet(base, clock, worker="w", epoch_s=0.1, prices_on=lambda _: base.prices)
    budgets = budgets_of(clock, provider_usd=10.0, publish=fleet.limit_spending)
    budgets.adopt(elsewhere(clock, a=9.0))
    assert fleet.snapshot().headroom.tolist() == [1.0, pytest.approx(0.1), 1.0]
    hold = budgets.hold(replace(ANN, budget_usd=None), 0, 1.0)
    assert fleet.snapshot().availability.tolist() == [AVAILABLE, PROVIDER_BUDGET_GONE, AVAILABLE]
    budgets.booked(record(clock, 1.5), hold)
    assert fleet.snapshot().availability[1] == PROVIDER_BUDGET_GONE
    clock.move(days=10)
    budgets.adopt(elsewhere(clock))
    assert fleet.snapshot().availability[1] == AVAILABLE
