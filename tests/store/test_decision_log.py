"""The decision log: off the request path, nothing lost, nothing twice, nothing shown to the wrong tenant."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from freerelay_core.clock import SystemClock, new_id
from freerelay_core.errors import NotFound
from freerelay_core.store import DecisionLog
from freerelay_core.store.decision_rows import decision_as_row
from tests.store.helpers import room_for, running, until

pytestmark = pytest.mark.anyio


async def until_written(log):
    await until(lambda: not log.pending)


def record(log, made):
    log.record(made.id, lambda: made)


async def test_what_is_recorded_is_written(store, tenant, make_decision, sql):
    log = DecisionLog(store, SystemClock(), batch=100, interval_s=0.01)
    records = [make_decision(tenant.id) for _ in range(250)]

    async with running(log):
        for made in records:
            record(log, made)
        await until_written(log)

    assert sql.value("select count(*) from decisions") == 250
    assert await store.decision(tenant.id, records[-1].id) == records[-1]
    assert log.dropped == 0


async def test_a_decision_is_found_before_and_after_it_is_written(store, tenant, make_decision):
    log = DecisionLog(store, SystemClock(), interval_s=0.01)
    made = make_decision(tenant.id)
    record(log, made)
    assert await log.find(tenant.id, made.id) == made
    assert await log.find(None, made.id.upper()) == made

    async with running(log):
        await until_written(log)

    assert await log.find(tenant.id, made.id) == made
    assert await log.find(None, made.id) == made


async def test_a_pending_decision_of_another_tenant_is_not_found(store, tenant, make_decision):
    other = await store.create_tenant("bob@x", tier="free", allow_override=False)
    log = DecisionLog(store, SystemClock())
    made = make_decision(tenant.id)
    record(log, made)

    with pytest.raises(NotFound):
        await log.find(other.id, made.id)
    with pytest.raises(NotFound):
        await log.find(tenant.id, new_id(SystemClock()))


async def test_when_it_is_full_the_newest_is_refused_counted_and_said_once(store, tenant, make_decision, sql, caplog):
    log = DecisionLog(store, SystemClock(), capacity_bytes=room_for(3))
    records = [make_decision(tenant.id) for _ in range(5)]
    for made in records:
        record(log, made)

    assert (log.pending, log.dropped) == (3, 2)
    assert len([line for line in caplog.messages if "decision log full" in line]) == 1
    await log.close()

    assert {str(row[0]) for row in sql.owner("select id from decisions")} == {made.id for made in records[:3]}
    assert log.pending == 0


def test_a_decision_for_which_there_is_no_room_is_made_all_the_same(make_decision):
    log = DecisionLog(None, SystemClock(), capacity_bytes=1)
    booked = []

    def make(decision_id):
        booked.append(decision_id)  # what is spent counts, whether or not there is a record of it
        return make_decision("01a218bf-a40d-71c4-b8bd-d7c2496e7c0b", id=decision_id)

    ids = [new_id(SystemClock()) for _ in range(3)]
    for decision_id in ids:
        log.record(decision_id, lambda decision_id=decision_id: make(decision_id))
    assert booked == ids
    assert (log.pending, log.dropped) == (1, 2)


async def test_what_memory_holds_is_counted_in_bytes_and_freed_as_it_is_written(store, tenant, make_decision):
    log = DecisionLog(store, SystemClock(), capacity_bytes=100_000, batch=4, interval_s=0.01)
    for _ in range(3):
        for _ in range(10):
            record(log, make_decision(tenant.id, model="m" * 30_000))
        assert log.pending == 4  # the last one begins below the limit
        async with running(log):
            await until_written(log)
    assert (log.written, log.dropped) == (12, 18)


async def test_one_bad_record_does_not_hold_up_the_others(store, tenant, make_decision, sql, caplog):
    log = DecisionLog(store, SystemClock(), batch=10)
    good = [make_decision(tenant.id) for _ in range(4)]
    for made in (good[0], make_decision(tenant.id, model="\0"), good[1], good[2]):
        record(log, made)
    log.record(new_id(SystemClock()), lambda: 1 / 0)
    record(log, good[3])

    await log.close()

    assert {str(row[0]) for row in sql.owner("select id from decisions")} == {made.id for made in good}
    assert (log.pending, log.dropped) == (0, 2)
    assert "the store was away" not in caplog.text


async def test_a_batch_of_large_records_is_written_in_parts(store, tenant, make_decision, sql, monkeypatch):
    sizes, append = [], store.append_decision_rows

    async def watched(rows):
        sizes.append(sum(len(row.json) for row in rows))
        await append(rows)

    monkeypatch.setattr(store, "append_decision_rows", watched)
    log = DecisionLog(store, SystemClock(), batch=20)
    for number in range(20):
        # The first is larger than a part may be, and one cannot be stored.
        record(
            log, make_decision(tenant.id, model="\0" if number == 11 else "m" * (2_000_000 if not number else 300_000))
        )

    await log.close()

    assert sql.value("select count(*) from decisions") == 19
    assert (log.pending, log.dropped) == (0, 1)
    assert sorted(sizes)[-2] <= 1_000_000 < max(sizes)


async def test_closing_beside_the_writer_writes_everything_once(store, tenant, make_decision, sql):
    log = DecisionLog(store, SystemClock(), batch=7, interval_s=0.0)
    async with running(log):
        for _ in range(100):
            record(log, make_decision(tenant.id))
        await asyncio.gather(log.close(), log.close())

    assert sql.value("select count(*) from decisions") == 100
    assert (log.pending, log.dropped) == (0, 0)


async def test_a_writer_stopped_in_the_middle_of_a_batch_loses_and_doubles_nothing(store, tenant, make_decision, sql):
    log = DecisionLog(store, SystemClock(), batch=50, interval_s=0.0)
    for _ in range(500):
        record(log, make_decision(tenant.id))
    for turns in range(40):
        async with running(log):
            for _ in range(turns):
                await asyncio.sleep(0)

    await log.close()

    assert sql.value("select count(*) from decisions") == 500
    assert log.dropped == 0


def test_what_waits_takes_little_more_memory_than_its_text(make_decision):
    records = [make_decision("01a218bf-a40d-71c4-b8bd-d7c2496e7c0b") for _ in range(100)]
    decision_as_row(records[0])  # what is kept once for all

    tracemalloc.start()
    rows = [decision_as_row(record) for record in records]
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert taken < 1.5 * sum(len(row.json) for row in rows)
