"""Decisions that wait in files while the store is away: none lost, none twice, none shown to another tenant."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freerelay_core.clock import SystemClock
from freerelay_core.errors import StoreUnavailable
from freerelay_core.store import DecisionLog, PostgresStore, Spill
from freerelay_core.store.decision_rows import decisions_as_rows
from freerelay_core.store.supabase import SupabaseStore
from tests.store.embedded_server import ENVIRONMENT
from tests.store.helpers import decision, room_for, running, until
from tests.store.line import line_to_database, line_to_url
from tests.store.postgrest import SECRET_KEY, postgrest

pytestmark = [pytest.mark.anyio, pytest.mark.every_store]

ANN = "0198c0de-0000-7000-8000-000000000001"


@pytest.fixture
async def line(database, store_kind):
    """The line between the store and its database or project."""
    if store_kind == "supabase":
        async with postgrest(database) as project, line_to_url(project.url) as opened:
            yield opened
    else:
        async with line_to_database(database) as opened:
            yield opened


@pytest.fixture
async def store(line, store_kind):
    if store_kind == "supabase":
        opened = SupabaseStore(line.address, SECRET_KEY, clock=SystemClock())
    else:
        opened = PostgresStore(line.address, clock=SystemClock())
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "home" / "waiting"


@pytest.fixture
def make_log(store, folder):
    def make(*, limit_bytes=1 << 20, file_bytes=1 << 13, **how):
        spill = Spill(folder, SystemClock(), limit_bytes=limit_bytes, file_bytes=file_bytes)
        return DecisionLog(
            store,
            SystemClock(),
            spill=spill,
            **{"capacity_bytes": room_for(40), "batch": 10, "interval_s": 0.01, **how},
        )

    return make


def record(log, made):
    log.record(made.id, lambda: made)


async def spill_some(log, records):
    """Record them as they come, so that those before have gone to the file."""
    for made in records:
        await until(lambda: log.pending < 30)
        record(log, made)


def logged(sql):
    return sorted(str(row[0]) for row in sql.owner("select id from decisions"))


async def test_more_than_memory_holds_waits_in_private_files_and_is_written_when_the_store_is_back(
    store, line, tenant, make_log, folder, sql
):
    log = make_log()
    records = [decision(tenant.id) for _ in range(200)]
    line.cut()
    async with running(log):
        await spill_some(log, records)
        assert log.pending + log.spilled == 200
        assert log.spilled >= 170
        files = list(folder.iterdir())
        assert len(files) > 1
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
        line.mend()
        await until(lambda: not log.pending and not log.spilled)

    assert logged(sql) == sorted(made.id for made in records)
    assert await store.decision(tenant.id, records[0].id) == records[0]
    assert (log.written, log.dropped) == (200, 0)
    assert not list(folder.iterdir())


async def test_a_decision_that_waits_in_a_file_is_found_by_its_tenant_and_by_operators_only(line, tenant, make_log):
    log = make_log()
    records = [decision(tenant.id) for _ in range(30)]
    line.cut()
    async with running(log):
        await spill_some(log, records)
        await until(lambda: log.spilled)

        assert await log.find(tenant.id, records[0].id) == records[0]
        assert await log.find(None, records[0].id) == records[0]
        with pytest.raises(StoreUnavailable):  # it was asked, as for any decision that is not this tenant's
            await log.find(ANN, records[0].id)


async def test_what_cannot_be_written_at_the_end_is_written_at_the_next_start(line, tenant, make_log, sql, caplog):
    first = make_log()
    records = [decision(tenant.id) for _ in range(15)]
    line.cut()
    for made in records:
        record(first, made)
    await first.close(limit_s=0.2)
    assert "15 decisions wait" in caplog.text
    assert first.dropped == 0

    line.mend()
    second = make_log()
    async with running(second):
        await until(lambda: second.written == 15)

    assert logged(sql) == sorted(made.id for made in records)
    assert (second.spilled, second.dropped) == (0, 0)


class Watched(Spill):
    """Says so when it is asked again and again, which a loop does that lets nobody else have a turn."""

    asked = 0

    @property
    def count(self):
        self.asked += 1
        if self.asked > 10_000:
            pytest.fail("whoever waits for the file holds up everything else")
        return super().count


async def test_closing_while_all_that_waits_is_on_its_way_to_a_slow_disk_waits_for_it(
    store, tenant, folder, sql, monkeypatch
):
    began, disk = threading.Event(), threading.Event()

    def slow(_):
        began.set()
        disk.wait(10)

    monkeypatch.setattr(os, "fdatasync", slow, raising=False)
    spill = Watched(folder, SystemClock())
    log = DecisionLog(store, SystemClock(), spill=spill, capacity_bytes=room_for(10), batch=10, interval_s=10.0)
    records = [decision(tenant.id) for _ in range(9)]
    try:
        async with running(log):
            for made in records:  # fewer than a batch, so the writer takes its time; many, so they are spilled at once
                record(log, made)
            await until(began.is_set)
        closing = asyncio.create_task(log.close())
        await asyncio.sleep(0.1)
        disk.set()
        await closing
    finally:
        disk.set()

    assert logged(sql) == sorted(made.id for made in records)
    assert (log.pending, log.dropped) == (0, 0)


async def test_closing_writes_the_files_too_when_the_store_is_back(line, tenant, make_log, folder, sql):
    log = make_log()
    records = [decision(tenant.id) for _ in range(60)]
    line.cut()
    async with running(log):
        await spill_some(log, records)
    line.mend()

    await log.close()

    assert logged(sql) == sorted(made.id for made in records)
    assert not list(folder.iterdir())


async def test_a_line_torn_by_a_crash_is_passed_over_and_counted(line, tenant, make_log, folder, sql, caplog):
    first = make_log()
    records = [decision(tenant.id) for _ in range(3)]
    line.cut()
    for made in records:
        record(first, made)
    await first.close(limit_s=0.1)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-5])

    line.mend()
    second = make_log()
    async with running(second):
        await until(lambda: second.written == 2)

    assert logged(sql) == sorted(made.id for made in records[:2])
    assert second.dropped == 1
    assert "were torn" in caplog.text
    assert not list(folder.iterdir())


async def test_a_living_process_keeps_its_files(line, tenant, make_log, sql):
    first, second = make_log(), make_log()
    records = [decision(tenant.id) for _ in range(60)]
    line.cut()
    async with running(first):
        await spill_some(first, records)
        await until(lambda: first.spilled)
        async with running(second):
            await asyncio.sleep(0.05)
            assert second.spilled == 0
            line.mend()
            await until(lambda: first.written == 60)

    assert second.written == 0
    assert logged(sql) == sorted(made.id for made in records)


async def test_what_a_killed_process_left_is_written_by_another(tenant, make_log, folder, sql):
    program = """
import asyncio, os, signal, sys
from pathlib import Path
from freerelay_core.clock import SystemClock
from freerelay_core.store import Spill
from freerelay_core.store.decision_rows import decisions_as_rows
from tests.store.helpers import decision
records = [decision(sys.argv[2]) for _ in range(5)]
asyncio.run(Spill(Path(sys.argv[1]), SystemClock()).add(decisions_as_rows(records)))
print(*[made.id for made in records], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", program, folder, tenant.id]
    ended = await asyncio.to_thread(subprocess.run, command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    log = make_log()
    async with running(log):
        await until(lambda: log.written == 5)

    assert logged(sql) == sorted(ended.stdout.split())


async def test_where_no_file_can_be_written_memory_is_used_and_the_rest_counted_and_said_once(
    line, tenant, make_log, folder, sql, caplog
):
    folder.parent.write_text("in the way")
    log = make_log()
    line.cut()
    records = [decision(tenant.id) for _ in range(50)]
    async with running(log):
        for made in records:
            record(log, made)
            await asyncio.sleep(0)
        assert (log.pending, log.spilled, log.dropped) == (40, 0, 10)
        line.mend()
        await until(lambda: not log.pending)

    assert logged(sql) == sorted(made.id for made in records[:40])
    assert len([line for line in caplog.messages if "cannot wait in" in line]) == 1
    assert len([line for line in caplog.messages if "decision log full" in line]) == 1


async def test_full_files_are_said_once_and_what_comes_then_is_counted(line, tenant, make_log, sql, caplog):
    log = make_log(limit_bytes=1 << 15)
    records = [decision(tenant.id) for _ in range(200)]
    line.cut()
    async with running(log):
        for made in records:
            record(log, made)
            await asyncio.sleep(0.001)
        kept = log.pending + log.spilled
        assert log.pending == 40
        assert log.spilled
        assert kept + log.dropped == 200
        line.mend()
        await until(lambda: log.written == kept)

    assert len(logged(sql)) == kept
    assert len([line for line in caplog.messages if "decision log full" in line]) == 1
    assert "holds 0 MiB already" in caplog.text


async def test_one_bad_record_in_a_file_does_not_hold_up_the_others(line, tenant, make_log, sql):
    log = make_log()
    records = [decision(tenant.id), decision(tenant.id, model="\0"), decision(tenant.id, cost_usd=1.0)]
    line.cut()
    for made in records:
        record(log, made)
    record(log, decision(tenant.id, log_factors={"success": (float("inf"),)}))
    await log.close(limit_s=0.1)
    assert log.dropped == 1

    line.mend()
    second = make_log()
    async with running(second):
        await until(lambda: second.written == 2)
    assert logged(sql) == sorted([records[0].id, records[2].id])
    assert second.dropped == 1


@pytest.fixture
def spilled_bytes():
    """Five decisions, and the bytes of the file that holds them."""
    records = [decision(ANN) for _ in range(5)]
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(Spill(Path(folder), SystemClock()).add(decisions_as_rows(records)))
        (file,) = Path(folder).iterdir()
        yield records, file.read_bytes()


def test_wherever_a_file_is_cut_off_the_whole_lines_before_come_back(spilled_bytes):
    records, content = spilled_bytes

    @given(st.integers(0, len(content)))
    @settings(max_examples=40)
    def check(length):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "x.jsonl").write_bytes(content[:length])
            spill = Spill(Path(folder), SystemClock())
            torn = asyncio.run(spill.adopt())
            whole = content[:length].count(b"\n")
            assert [spill.read(one).record() for one in spill.oldest(9)] == records[:whole]
            assert torn == (length > 0 and content[length - 1 : length] != b"\n")
            assert whole or not [*Path(folder).iterdir()]
            spill.close()

    check()
