"""The demo week: plausible, marked as demo data, repeatable from its log, and quick."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from freerelay_core.catalogue import compile_prices, load_catalogue
from freerelay_core.clock import id_time
from freerelay_core.composition.demo_week import DAYS, REQUESTS, demo_week
from freerelay_core.decision import replay
from freerelay_core.fleet import Fleet
from freerelay_core.profile import RequestProfile
from freerelay_core.snapshot import catalogue_snapshot
from tests.store.helpers import ManualClock


@pytest.fixture(scope="module")
def week():
    clock = ManualClock()
    catalogue = load_catalogue()
    snapshot = catalogue_snapshot(catalogue, clock.now())
    prices = lambda day: compile_prices(catalogue.endpoints, day)  # noqa: E731
    fleet = Fleet(snapshot, clock, worker="w", epoch_s=1.0, prices_on=prices)
    return clock.now(), list(demo_week(snapshot, fleet, clock, "tenant"))


def test_every_decision_is_demo_data_of_the_last_seven_days_in_order(week):
    now, records = week
    assert len(records) == REQUESTS
    assert all(record.demo and record.outcome.basis == "simulated" for record in records)
    times = [record.created_at for record in records]
    assert times == sorted(times)
    assert now - timedelta(days=DAYS) <= times[0] <= times[-1] <= now
    assert all(id_time(record.id) == record.created_at for record in records)
    assert len({record.id for record in records}) == REQUESTS


def test_its_shape_is_that_of_a_working_week(week):
    _, records = week
    hours = Counter(record.created_at.hour for record in records)
    assert sum(hours[hour] for hour in range(8, 18)) > 2 * sum(hours[hour] for hour in range(8))
    weekend = sum(record.created_at.weekday() >= 5 for record in records)
    assert weekend < REQUESTS / 5
    assert len({record.profile["family"] for record in records}) >= 8
    assert any(len(record.outcome.attempts) > 1 for record in records)
    failed = [record for record in records if record.outcome.status >= 400]
    assert 0 < len(failed) < REQUESTS / 50
    assert len({record.outcome.endpoint for record in records}) >= 5


def test_each_repeats_from_its_log(week):
    _, records = week
    for record in records:
        ranking = record.ranking
        again = replay(ranking.endpoint, record.log_factors, record.exponents, ranking.cost_usd)
        assert [endpoint for endpoint, _ in again] == list(ranking.endpoint)
        assert RequestProfile.from_dict(record.profile).hour_utc == record.created_at.hour


def test_what_a_request_cost_is_its_tokens_at_list_prices(week):
    _, records = week
    snapshot = catalogue_snapshot(load_catalogue(), datetime.now(UTC))
    free = {e for e in snapshot.endpoint_ids if "-free/" in e}
    for record in records:
        if record.outcome.status >= 400:
            continue
        assert (record.outcome.cost_usd == 0) == (record.outcome.endpoint in free)
