"""The decision log's table and the published snapshots: what goes in comes out, to the last bit, once."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest

from freerelay_core.clock import id_time, new_id
from freerelay_core.errors import NotFound, UnprocessableRequest
from freerelay_core.preference import DEFAULT_PREFERENCE, FACTORS
from freerelay_core.store import LoggedRanking, PublishedSnapshot, SharedColumns
from freerelay_core.store.decision_rows import DecisionRow, decision_as_row

pytestmark = [pytest.mark.anyio, pytest.mark.every_store]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
async def tenant(store):
    return await store.create_tenant("ann@x", tier="silver", allow_override=True)


# -- decisions


async def test_a_decision_comes_back_to_the_last_bit(store, tenant, make_decision):
    record = make_decision(tenant.id)

    await store.append_decisions([record])

    assert await store.decision(tenant.id, record.id) == record
    assert await store.decision(None, record.id.upper()) == record
    assert await store.recent_decisions(tenant.id, since=EPOCH, limit=10) == [record]


async def test_a_factor_that_sets_no_endpoint_apart_is_kept_as_a_name_and_comes_back_in_its_place(
    store, tenant, make_decision, sql
):
    logs = {"schema": (0.0,), "safety": (-0.0,), "quality": (0.0,)}
    usual = make_decision(tenant.id).log_factors
    record = make_decision(tenant.id, log_factors={**usual, **logs})

    await store.append_decisions([record])

    read = await store.decision(tenant.id, record.id)
    assert list(map(repr, read.log_factors.items())) == list(map(repr, record.log_factors.items()))
    assert sql.value("select ranking -> 'same' from decisions") == ["schema", "quality"]
    assert sql.value("select length(figures) from decisions") == 8 * (len(FACTORS) - 2 + 4)


async def test_a_decision_that_an_earlier_release_stored_with_every_factor_is_read(store, tenant, make_decision, sql):
    record = make_decision(tenant.id)
    await store.append_decisions([record])
    sql.owner("update decisions set ranking = ranking - 'same'")

    assert await store.decision(tenant.id, record.id) == record


async def test_decisions_that_share_their_ranking_and_others_are_written_together(store, tenant, make_decision, sql):
    shared, another = SharedColumns(), SharedColumns()
    dear = {"ranking": LoggedRanking(("x/y",), (7.0,), (1.0,), (2.0,), (-1.0,)), "model": "x/y", "rules": ()}
    records = [
        make_decision(tenant.id, shared=shared),
        make_decision(tenant.id, shared=another, **dear),
        make_decision(tenant.id, shared=shared, status=502, endpoint=None, explored=True),
        make_decision(tenant.id, demo=True),
        make_decision(tenant.id, shared=another, **dear | {"request_id": "req-2"}),
    ]
    waiting = decision_as_row(make_decision(tenant.id))
    rows = [*map(decision_as_row, records), DecisionRow(waiting.id, waiting.tenant_id, waiting.json)]

    await store.append_decision_rows(rows)
    await store.append_decision_rows(rows)

    assert sql.value("select count(*) from decisions") == 6
    for record in [*records, waiting.record()]:
        assert await store.decision(tenant.id, record.id) == record._replace(shared=None)
    assert (rows[0].tail, rows[1].tail) == (rows[2].tail, rows[4].tail)


async def test_a_failed_request_without_figures_comes_back_as_such(store, tenant, make_decision):
    record = make_decision(
        tenant.id,
        endpoint=None,
        status=502,
        attempts=(),
        first_token_s=None,
        input_tokens=None,
        cost_usd=None,
        rules=(),
    )

    await store.append_decisions([record])

    assert await store.decision(tenant.id, record.id) == record


async def test_a_batch_sent_twice_is_written_once(store, tenant, make_decision, sql):
    batch = [make_decision(tenant.id) for _ in range(500)]

    await store.append_decisions(batch[:300])
    await store.append_decisions(batch)
    await store.append_decisions([])

    assert sql.value("select count(*) from decisions") == 500


async def test_recent_decisions_are_the_newest_since_a_moment(store, tenant, make_decision, clock):
    records = []
    for _ in range(4):
        records.append(make_decision(tenant.id, id=new_id(clock)))
        clock.advance(-3600)
    await store.append_decisions(records)

    found = await store.recent_decisions(tenant.id, since=records[2].created_at, limit=2)

    assert found == records[:2]
    assert await store.recent_decisions(tenant.id, since=records[1].created_at, limit=10) == records[:2]


async def test_a_decision_of_any_day_is_kept(store, tenant, make_decision, clock):
    days = (-400, -1, 0, 1, 40)
    records = []
    for day in days:
        clock.advance(day * 86_400)
        records.append(make_decision(tenant.id, id=new_id(clock)))
        clock.advance(-day * 86_400)

    await store.append_decisions(records)

    for record in records:
        assert await store.decision(tenant.id, record.id) == record


@pytest.mark.parametrize("identifier", ["ffffffff-ffff-7fff-bfff-ffffffffffff", "0" * 32, "{}", "urn:uuid:x"])
async def test_an_id_without_a_sensible_time_is_not_found(store, tenant, identifier):
    with pytest.raises(NotFound):
        await store.decision(tenant.id, identifier)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "nul \0"},
        {"profile": {"nul": "\0"}},
        {"model": "surrogate \ud800"},
        {"profile": {"surrogate": "\ud800"}},
        {"log_factors": {"cost": (-0.5, float("-inf"))}},
        {"log_factors": {"cost": (float("nan"),)}},
        {"basis": "guessed"},
        {"status": 10**10},
        {"profile": {"odd": object()}},
        {"input_tokens": 10**30},
    ],
)
async def test_a_record_that_cannot_be_kept_exactly_is_refused_and_nothing_of_its_batch_written(
    store, tenant, make_decision, sql, changes
):
    with pytest.raises(UnprocessableRequest):
        await store.append_decisions([make_decision(tenant.id), make_decision(tenant.id, **changes)])

    assert sql.value("select count(*) from decisions") == 0


async def test_an_unknown_preference_in_the_log_reads_as_the_default(store, tenant, make_decision, sql):
    record = make_decision(tenant.id)
    await store.append_decisions([record])
    sql.owner("update decisions set preference = 'from-the-future'")

    assert (await store.decision(tenant.id, record.id)).preference.value is DEFAULT_PREFERENCE


async def test_a_decision_that_an_earlier_release_stored_row_by_row_is_read(store, tenant, make_decision, sql):
    record = make_decision(tenant.id)
    await store.append_decisions([record])
    columns = asdict(record.ranking)
    del columns["log_utility"]  # that release kept none
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    logs = {record.ranking.endpoint[0]: [column[0] for column in record.log_factors.values()]}
    written_in_digits(sql, rows, logs)

    assert await store.decision(tenant.id, record.id) == record._replace(
        ranking=replace(record.ranking, log_utility=())
    )


async def test_a_decision_that_an_earlier_release_stored_in_columns_of_digits_is_read(
    store, tenant, make_decision, sql
):
    record = make_decision(tenant.id)
    await store.append_decisions([record])
    written_in_digits(sql, asdict(record.ranking), record.log_factors)

    assert await store.decision(tenant.id, record.id) == record


def written_in_digits(sql, ranking, log_factors):
    query = "update decisions set ranking = %s, log_factors = %s, figures = null"
    sql.owner(query, json.dumps(ranking), json.dumps(log_factors))


async def test_a_decision_without_a_ranking_is_kept(store, tenant, make_decision):
    record = make_decision(tenant.id, log_factors=dict.fromkeys(FACTORS, ()), ranking=LoggedRanking())
    await store.append_decisions([record])

    assert await store.decision(tenant.id, record.id) == record


async def test_an_exploration_is_kept_with_its_propensity(store, tenant, make_decision):
    record = make_decision(tenant.id, explored=True, propensity=1 / 3)
    await store.append_decisions([record])

    assert await store.decision(tenant.id, record.id) == record


async def test_the_day_of_a_decision_is_the_one_in_its_id(store, tenant, make_decision):
    record = make_decision(tenant.id)

    assert record.created_at == id_time(record.id)


# -- snapshots


def snapshot(identifier, minutes=0):
    return PublishedSnapshot(identifier, EPOCH + timedelta(minutes=minutes), b"\0\xff" + identifier.encode())


async def test_the_newest_published_snapshot_is_found(store):
    assert await store.latest_snapshot() is None

    await store.publish_snapshot(snapshot("one-1", 1))
    await store.publish_snapshot(snapshot("two-with-dash-1", 3))
    await store.publish_snapshot(snapshot("one-2", 2))

    assert await store.latest_snapshot() == snapshot("two-with-dash-1", 3)


async def test_each_worker_keeps_one_snapshot_and_those_of_gone_workers_go(store, sql):
    await store.publish_snapshot(snapshot("gone-1", 0))
    await store.publish_snapshot(snapshot("here-1", 30))
    await store.publish_snapshot(snapshot("here-2", 59))
    assert sql.owner("select id from published_snapshots order by id") == [("gone-1",), ("here-2",)]

    await store.publish_snapshot(snapshot("here-3", 61))

    assert sql.owner("select id from published_snapshots") == [("here-3",)]
