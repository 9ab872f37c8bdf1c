"""The database is killed, stalls, and is slow at a cold start; and clients leave by the thousand.

    python benchmarks/outage.py [--kills 5] [--stall-s 60] [--cold-s 10] [--requests 20000] [--json]

The real application on loopback, with providers that are well (`faulty.py`), as shipped:

- **killed**: all processes of the embedded PostgreSQL, again and again, under chat and settings writes;
- **stalled**: a line to PostgreSQL on which nothing moves any more, while keys that were seen before and keys that
  were not ask;
- **cold**: 500 keys come at once to an application that has just started, with a slow line to the database;
- **storm**: half of the requests are broken off by their client at a random moment (`storm.py`).

Who asks, who serves and who answers share this process, so times hold the work of all three.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.customers import Answers, Customer, ask, at_rate, clients, customers, logged
from benchmarks.faulty import providers
from benchmarks.figures import figure, p99, report
from benchmarks.loopback import catalogue_of, served
from benchmarks.phases import measured
from benchmarks.storm import storm
from freerelay_core.composition import current
from freerelay_core.config import load_settings
from freerelay_core.preference import RoutingPreference
from freerelay_core.store import new_key
from freerelay_core.store.embedded import acquire_database
from tests.store.line import Line, line_to_database

RATE = 200.0
WRITES_RATE = 50.0
TENANTS = 4
BETWEEN_KILLS_S = 3.0
STEADY_S = 5.0
STRANGERS_RATE = 5.0
"""Requests a second with a key that nobody has seen."""
COLD_KEYS = 500
COLD_RATE = 500.0
ONE_WAY_S = 0.025
"""Half of the latency to the database of a cold start."""
UNANSWERED = 0
"""The status of a write whose connection ended without one."""
PREFERENCES = [*RoutingPreference]


@dataclass
class Writes:
    """Settings writes of some tenants, one at a time each."""

    statuses: Counter[int] = field(default_factory=Counter)
    saved: list[tuple[str, int, str]] = field(default_factory=list)
    """Acknowledged: tenant, version, value."""
    saved_at: list[tuple[float, float]] = field(default_factory=list)
    """When each acknowledged write began and ended."""


def main() -> None:
    """Measure, print a table; the status says whether every aim is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--stall-s", type=float, default=60.0, help="how long the line to the database stands still")
    parser.add_argument("--cold-s", type=float, default=10.0, help="how long 500 keys ask after a start")
    parser.add_argument("--requests", type=int, default=20_000, help="of the storm, half of them broken off")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    figures = measured(
        lambda folder: killed(folder, arguments.kills),
        lambda folder: stalled(folder, arguments.stall_s),
        lambda folder: cold(folder, arguments.cold_s),
        lambda folder: storm(folder, arguments.requests),
    )
    report(figures, as_json=arguments.json)


# -- killed


async def killed(folder: Path, kills: int) -> list[dict[str, Any]]:
    """Chat and settings writes go on while PostgreSQL is killed `kills` times."""
    answers, writes, stop = Answers(), Writes(), asyncio.Event()
    home = folder / "home"
    first_writes_s = []
    async with _application(folder, home=home) as url, clients() as session:
        known = await _known(session, url, TENANTS)
        by_turns = itertools.cycle(known)
        load = [asyncio.create_task(at_rate(lambda n: ask(answers, session, url, next(by_turns), n), RATE, stop))]
        load += [asyncio.create_task(_write(writes, session, url, customer, stop)) for customer in known]
        try:
            for _ in range(kills):
                await asyncio.sleep(BETWEEN_KILLS_S)
                killed_at = time.perf_counter()
                _kill_postgres(home)
                first_writes_s.append(await _first_write_s(writes, killed_at, load))
            await asyncio.sleep(BETWEEN_KILLS_S)
        finally:
            stop.set()
            await asyncio.gather(*load)
        log = current().decision_log
        async with asyncio.timeout(60):
            while log.pending or log.spilled:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
        with acquire_database(home) as guest:
            rows = logged(guest.dsn, answers.decisions)
        lost = sum([await _lost(customer, writes) for customer in known])
    _explain("killed", answers, writes.statuses)
    return [
        figure("killed_requests", answers.requests, "requests"),
        figure("killed_known_keys_served", answers.statuses[200] / answers.requests, "share", least=0.999),
        figure("killed_wrong_answers", len(answers.wrong) + rows.of_another, "requests", most=0),
        figure("killed_false_401", answers.statuses[401] + writes.statuses[401], "requests", most=0),
        figure("killed_writes_acknowledged", len(writes.saved), "writes"),
        figure("killed_writes_unanswered", writes.statuses[UNANSWERED], "writes", most=0),
        figure("killed_writes_lost", lost, "writes", most=0),
        figure("killed_first_write_s", max(first_writes_s), "s", most=5.0),
        figure("killed_decisions_lost", rows.lost + log.dropped, "rows", most=0),
        figure("killed_decisions_twice", rows.twice, "rows", most=0),
    ]


def _kill_postgres(home: Path) -> None:
    leader = int((home / "postgres" / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
    for process in [leader, *map(int, children)]:
        with contextlib.suppress(ProcessLookupError):  # ended with the first one
            os.kill(process, signal.SIGKILL)


async def _write(
    writes: Writes, session: aiohttp.ClientSession, url: str, customer: Customer, stop: asyncio.Event
) -> None:
    """Change the tenant's preference, again and again."""
    for number in itertools.count(1):
        if stop.is_set():
            return
        began = time.perf_counter()
        value = PREFERENCES[number % len(PREFERENCES)].value
        change = {"routing_preference": value}
        status, raw = UNANSWERED, b""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(f"{url}/tenant/settings", json=change, headers=customer.headers) as answer:
                raw = await answer.read()
                status = answer.status
        writes.statuses[status] += 1
        if status == 200:
            writes.saved.append((customer.tenant_id, json.loads(raw)["settings_version"], value))
            writes.saved_at.append((began, time.perf_counter()))
        await asyncio.sleep(began + TENANTS / WRITES_RATE - time.perf_counter())


async def _first_write_s(writes: Writes, killed_at: float, load: list[asyncio.Task[None]]) -> float:
    """Seconds from the kill to the end of the first write that began after it; fails where the load ended instead."""
    async with asyncio.timeout(60):
        while not any(task.done() for task in load):
            ended = [end for began, end in writes.saved_at if began > killed_at]
            if ended:
                return min(ended) - killed_at
            await asyncio.sleep(0.01)
    raise RuntimeError("the load on the application ended before it was told to")


async def _lost(customer: Customer, writes: Writes) -> int:
    """Acknowledged writes that the audit of the tenant does not hold at their version."""
    history = await current().store.settings_history(customer.tenant_id, limit=100_000)
    values = {version: change.new_value for version, change in enumerate(reversed(history), start=2)}
    saved = [(version, value) for tenant_id, version, value in writes.saved if tenant_id == customer.tenant_id]
    return sum(values.get(version) != value for version, value in saved)


# -- stalled


async def stalled(folder: Path, stall_s: float) -> list[dict[str, Any]]:
    """Keys that were seen before, and strangers, before and while the line to the database stands still."""
    before, during, strangers = Answers(), Answers(), Answers()
    async with _line(folder) as line, _application(folder, database_url=line.address) as url, clients() as session:
        known = await _known(session, url, TENANTS)
        await _ask_for(STEADY_S, before, session, url, known)
        line.hold()
        stop = asyncio.Event()
        unknown = asyncio.create_task(
            at_rate(lambda n: ask(strangers, session, url, _stranger(), n), STRANGERS_RATE, stop)
        )
        await _ask_for(stall_s, during, session, url, known)
        stop.set()
        await unknown
        line.mend()
    _explain("stalled", during, strangers.statuses)
    later_s = p99(during.took_s) - p99(before.took_s)
    return [
        figure("stalled_known_keys_served", during.statuses[200] / during.requests, "share", least=0.999),
        figure("stalled_wrong_answers", len(before.wrong) + len(during.wrong), "requests", most=0),
        figure("stalled_p99_before_ms", 1e3 * p99(before.took_s), "ms"),
        figure("stalled_p99_later_ms", 1e3 * later_s, "ms", most=5.0),
        figure("stalled_unknown_keys_503", strangers.statuses[503] / strangers.requests, "share", least=1.0),
        figure("stalled_unknown_keys_max_s", max(strangers.took_s), "s", most=1.2),
    ]


def _stranger() -> Customer:
    return Customer("", new_key("live").secret)


# -- cold


async def cold(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """All keys ask from the first moment of a second start on, over a slow line to the database."""
    answers, lookups = Answers(), Counter[str]()
    async with _line(folder) as line:
        async with _application(folder, database_url=line.address):
            known = await customers(current().store, COLD_KEYS)
        line.delay_s = ONE_WAY_S
        async with _application(folder, database_url=line.address) as url, clients() as session:
            _count_lookups(lookups)
            await _ask_for(seconds, answers, session, url, known, rate=COLD_RATE)
    _explain("cold", answers, Counter(lookups.values()))
    return [
        figure("cold_requests_per_s", answers.requests / seconds, "requests/s"),
        figure("cold_server_errors", answers.server_errors, "requests", most=0),
        figure("cold_refused", answers.requests - answers.statuses[200], "requests", most=0),
        figure("cold_wrong_answers", len(answers.wrong), "requests", most=0),
        figure("cold_most_lookups_of_a_key", max(lookups.values()), "look-ups", most=1),
        figure("cold_p99_ms", 1e3 * p99(answers.took_s), "ms"),
    ]


def _count_lookups(lookups: Counter[str]) -> None:
    """Count what the running application asks its store, by key."""
    store = current().store
    identify = store.identify

    async def counted(key_hash: str) -> Any:
        lookups[key_hash] += 1
        return await identify(key_hash)

    store.identify = counted  # type: ignore[method-assign]


# -- what they share


@asynccontextmanager
async def _application(folder: Path, **settings: object) -> AsyncIterator[str]:
    """The application over two providers that are well; yields its address."""
    async with providers({}, {}, seed=20261126) as made:
        catalogue = folder / "catalogue.yaml"
        catalogue.write_text(json.dumps(catalogue_of(made)))
        options: dict[str, object] = {
            "home": folder / "home-of-the-application",
            "catalogue": catalogue,
            "demo": True,
            "demo_week": False,
            "operator_key": new_key("live").secret.replace("fr_live_", "operator-"),
            "failed_keys_per_minute": 1_000_000,
            "log_level": "error",
        }
        async with served(load_settings(**(options | settings))) as (url, _):
            async with asyncio.timeout(60):
                while not current().ready:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
            yield url


@asynccontextmanager
async def _line(folder: Path) -> AsyncIterator[Line]:
    """A line to a PostgreSQL of our own."""
    with acquire_database(folder / "home", require_ownership=True) as lease:
        async with line_to_database(lease.dsn) as line:
            yield line


async def _known(session: aiohttp.ClientSession, url: str, count: int) -> list[Customer]:
    """New customers whose keys the application has seen."""
    made, warm = await customers(current().store, count), Answers()
    for customer in made:
        await ask(warm, session, url, customer, 0)
    if warm.statuses[200] != count:
        sys.exit(f"the application does not serve: {dict(warm.statuses)}")
    return made


async def _ask_for(
    seconds: float,
    answers: Answers,
    session: aiohttp.ClientSession,
    url: str,
    known: list[Customer],
    *,
    rate: float = RATE,
) -> None:
    """Chat requests of all customers in turn."""
    by_turns, stop = itertools.cycle(known), asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await at_rate(lambda n: ask(answers, session, url, next(by_turns), n), rate, stop)


def _explain(name: str, answers: Answers, other: Counter[int]) -> None:
    """What the figures leave out."""
    print(f"{name}: {dict(answers.statuses)}, {len(answers.cut)} cut; others {dict(other)}", file=sys.stderr)
    for what in [*answers.wrong[:5], *answers.cut[:5]]:
        print("WRONG:", what, file=sys.stderr)


if __name__ == "__main__":
    main()
