"""The demo week: plausible, marked as demo data, repeatable from its log, and quick."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from freerelay_core.catalogue import compile_prices, load_catalogue
from freerelay_core.clock import id_time
from freerelay_core.composition import Application
from freerelay_core.composition.beside import DEMO_EMAIL
from freerelay_core.composition.demo_week import DAYS, REQUESTS, demo_week
from freerelay_core.config import load_settings
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


@asynccontextmanager
async def started(database: str, home: Path, *, week: bool = True) -> AsyncIterator[Application]:
    settings = load_settings(home=home, database_url=database, operator_key="k" * 40, demo=True, demo_week=week)
    application = await Application.start(settings, environment={})
    try:
        yield application
    finally:
        await application.stop()


async def demo_decisions(application: Application) -> int:
    tenant = await application.store.tenant_by_email(DEMO_EMAIL)
    now = application.clock.now()
    return (await application.store.traffic(tenant.id, since=now - timedelta(days=DAYS + 1), until=now)).demo


@pytest.mark.anyio
async def test_the_first_start_fills_the_week_beside_requests_and_once_removed_it_stays_away(database, tmp_path):
    async with started(database, tmp_path) as application:
        async with asyncio.timeout(20):
            while await demo_decisions(application) < REQUESTS:
                assert application.ready
                await asyncio.sleep(0.05)
        tenant = await application.store.tenant_by_email(DEMO_EMAIL)
        assert await application.store.remove_demo_decisions(tenant.id) == REQUESTS
    async with started(database, tmp_path) as application:
        await asyncio.sleep(1)
        assert await demo_decisions(application) == 0


@pytest.mark.anyio
async def test_a_start_may_be_told_to_make_no_demo_week(database, tmp_path):
    async with started(database, tmp_path, week=False) as application:
        await asyncio.sleep(1)
        assert await demo_decisions(application) == 0
