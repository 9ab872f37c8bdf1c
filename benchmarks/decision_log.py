"""What writing the decision log costs, in batches of 200, beside a bare COPY of the same bytes in the same run.

    python benchmarks/decision_log.py [--rounds 5] [--json]

The ways, in turn, round after round; figures are medians over the rounds. `store` is what the router does. `temporary
table` is the other way to write a batch that may come twice: COPY into a temporary table, then insert what is new.
`bare COPY` writes the same JSON into one column of a table without index: nothing that keeps the bytes costs less.
CPU is that of this process and of all processes of PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import psycopg

from freerelay_core.catalogue import compile_prices, load_catalogue
from freerelay_core.clock import SystemClock, new_id
from freerelay_core.composition.demo_week import demo_week
from freerelay_core.fleet import Fleet
from freerelay_core.snapshot import catalogue_snapshot
from freerelay_core.store import DecisionRecord, PostgresStore
from freerelay_core.store.decision_rows import DECISION_COLUMNS, decisions_as_rows
from freerelay_core.store.embedded import acquire_database

BATCH = 200
BATCHES = 10
"""In one turn of one way."""
CLOCK = SystemClock()
COLUMNS = ", ".join(DECISION_COLUMNS)

Way = Callable[[Sequence[DecisionRecord]], Awaitable[None]]


def main() -> None:
    """Measure in turn, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way; figures are medians over them")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fr-") as folder:
        Path(folder).chmod(0o711)
        home = Path(folder) / "home"
        with acquire_database(home, require_ownership=True) as lease:
            leader = int((home / "postgres" / "postmaster.pid").read_text().split()[0])
            times = asyncio.run(_measure(lease.dsn, leader, arguments.rounds))
    _report(times, as_json=arguments.json)


async def _measure(dsn: str, leader: int, rounds: int) -> dict[str, list[tuple[float, float, float]]]:
    """For each way and round: seconds, CPU seconds here, CPU seconds of PostgreSQL, all a row."""
    store = PostgresStore(dsn, clock=CLOCK)
    await store.open()
    tenant = await store.create_tenant("bench@x", tier="gold", allow_override=True)
    catalogue = load_catalogue()
    snapshot = catalogue_snapshot(catalogue, CLOCK.now())
    prices = compile_prices(catalogue.endpoints, CLOCK.now())
    fleet = Fleet(snapshot, CLOCK, worker="bench", epoch_s=0.1, prices_on=lambda _: prices)
    past = cycle(list(demo_week(snapshot, fleet, CLOCK, tenant.id)))
    times: dict[str, list[tuple[float, float, float]]] = {}
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("create table public.bare (row text)")
        await connection.commit()
        ways: dict[str, Way] = {
            "store": store.append_decisions,
            "temporary table": lambda records: _by_temporary_table(connection, records),
            "bare COPY": lambda records: _by_bare_copy(connection, records),
        }
        for number in range(rounds + 1):  # the first warms up
            for name, way in ways.items():
                batches = [[replace(each, id=new_id(CLOCK)) for each in islice(past, BATCH)] for _ in range(BATCHES)]
                before = time.perf_counter(), time.process_time(), _server_cpu_s(leader)
                for batch in batches:
                    await way(batch)
                after = time.perf_counter(), time.process_time(), _server_cpu_s(leader)
                if number:
                    spent = [(b - a) / (BATCH * BATCHES) for a, b in zip(before, after, strict=True)]
                    times.setdefault(name, []).append((spent[0], spent[1], spent[2]))
    await store.close()
    return times


async def _by_temporary_table(connection: psycopg.AsyncConnection[Any], records: Sequence[DecisionRecord]) -> None:
    rows = [orjson.loads(row.json) for row in decisions_as_rows(records)]
    cursor = connection.cursor()
    await cursor.execute(
        f"create temporary table fresh on commit drop as select {COLUMNS} from public.decisions limit 0"  # noqa: S608
    )
    written = ", ".join(name for name in DECISION_COLUMNS if name in rows[0])
    async with cursor.copy(f"copy fresh ({written}) from stdin") as copy:
        for row in rows:
            await copy.write_row(
                [
                    orjson.dumps(row[name]).decode() if kind == "jsonb" else row[name]
                    for name, kind in DECISION_COLUMNS.items()
                    if name in row
                ]
            )
    await cursor.execute(
        f"insert into public.decisions ({COLUMNS}) select {COLUMNS} from fresh on conflict do nothing"  # noqa: S608
    )
    await connection.commit()


async def _by_bare_copy(connection: psycopg.AsyncConnection[Any], records: Sequence[DecisionRecord]) -> None:
    rows = [row.json for row in decisions_as_rows(records)]
    async with connection.cursor().copy("copy public.bare (row) from stdin") as copy:
        for row in rows:
            await copy.write_row([row])
    await connection.commit()


def _server_cpu_s(leader: int) -> float:
    """CPU seconds of the server's living processes and of those that it has waited for."""
    total = 0
    children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
    for process in [str(leader), *children]:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15] if process == str(leader) else fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def _report(times: dict[str, list[tuple[float, float, float]]], *, as_json: bool) -> None:
    rows = {name: [median(column) * 1e6 for column in zip(*turns, strict=True)] for name, turns in times.items()}
    print(f"{'':18}{'rows/s':>9}{'CPU here':>10}{'PostgreSQL':>12}   µs a row", file=sys.stderr)
    for name, (total, here, there) in rows.items():
        print(f"{name:18}{1e6 / total:9.0f}{here:10.1f}{there:12.1f}", file=sys.stderr)
    total, here, there = rows["store"]
    floor = sum(rows["bare COPY"][1:])
    figures = [
        _figure("decision_log_rows_s", 1e6 / total, "rows/s"),
        _figure("decision_log_cpu_here_us", here, "us a row"),
        _figure("decision_log_cpu_postgres_us", there, "us a row"),
        _figure("decision_log_cpu_ratio", (here + there) / floor, "times a bare COPY of the same bytes"),
    ]
    if as_json:
        print(json.dumps(figures))
        return
    for figure in figures:
        print(f"{figure['name']}: {figure['value']} {figure['unit']}")


def _figure(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 2), "unit": unit, "aim": None, "met": None}


if __name__ == "__main__":
    main()
