"""A server that stops while it works: nobody is cut off, and behind a balancer nobody notices.

    python benchmarks/drain.py [--streams 500] [--limit-s 8] [--restarts 1] [--json]

`freerelay serve` as its users run it, in processes of its own with a PostgreSQL beside them, over providers on loopback
(`faulty.py`) whose tokens come slowly:

- **drain**: SIGTERM with 500 streams open. Half of them end by themselves within the limit of the drain, half would go
  on beyond it. Meanwhile `/readyz` is read all the time, and others ask. The limit as shipped is `--limit-s 30`.
- **rolling**: two servers behind haproxy, under 100 requests a second, are stopped and started again in turn. It looks
  at `/readyz` each 0.5 s only. A request that a stopping server refuses, with a 503 or with no connection, because
  haproxy did not know yet, is handed to the other one (`option redispatch`, `retry-on conn-failure 503`): the refusal
  says that nothing was done for it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp

from benchmarks.customers import Answers, Customer, ask, at_rate, clients, customers, logged
from benchmarks.faults import streamed
from benchmarks.faulty import PAUSES, provider_of, providers
from benchmarks.figures import figure, report
from benchmarks.haproxy import Balancer, balancer
from benchmarks.loopback import catalogue_of
from benchmarks.phases import allow_files, measured
from freerelay_core.clock import SystemClock
from freerelay_core.store import PostgresStore, new_key
from freerelay_core.store.embedded import acquire_database
from tests.serving import Serving, serving

FILES = 8_192
OPENING_S = 5.0
"""From the first stream's beginning to the signal."""
EARLIEST, LATEST, OVERDUE = 0.05, 0.8, 1.5
"""When streams would end, as shares of the drain's limit: some within it, the others beyond."""
UNREADY_AIM_MS = 250.0
AFTERWARDS_AIM_S = 3.0
"""How long the process may take after the limit: the error events leave, the log is written, browsers are let go."""
HANG_S = 5.0
STUCK_S = 60.0
NEW_RATE = 20.0
RATE = 100.0
TENANTS = 4
PAUSE_S = 0.05
"""Between the tokens of the streams behind the balancer."""
BETWEEN_S = 1.0


def main() -> None:
    """Measure, print a table; the status says whether every aim is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=500, help="open when the signal comes")
    parser.add_argument("--limit-s", type=float, default=8.0, help="FREERELAY_DRAIN_S")
    parser.add_argument("--restarts", type=int, default=1, help="of each of the two servers")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    allow_files(FILES)
    figures = measured(
        lambda folder: drained(folder, arguments.streams, arguments.limit_s),
        lambda folder: rolled(folder, arguments.restarts),
    )
    report(figures, as_json=arguments.json)


# -- drain


@dataclass
class Streams:
    """The streams that were open when the signal came, and how they ended."""

    signal_at: float
    """When the signal comes, by `time.perf_counter`."""
    limit_s: float
    """Of the drain."""
    open: int = 0
    ended: int = 0
    decisions: dict[str, str] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    """Those that would have ended within the limit, and are not whole."""
    untold: list[str] = field(default_factory=list)
    """Those that outlived it, and do not end in the error event."""


@dataclass
class New:
    """What became of requests that came while streams were open yet."""

    refused: int = 0
    """With 503, the error's code, and `Retry-After`."""
    otherwise: list[str] = field(default_factory=list)


async def drained(folder: Path, count: int, limit_s: float) -> list[dict[str, Any]]:
    """SIGTERM while `count` streams are open."""
    new, stop = New(), asyncio.Event()
    async with _Surroundings(folder) as around, clients() as session, clients() as others:
        customer = around.customers[0]
        with around.serving("home", FREERELAY_DRAIN_S=str(limit_s)) as server:
            signal_at = time.perf_counter() + OPENING_S
            streams = Streams(signal_at, limit_s)
            url = f"{server.url}/v1/chat/completions"
            load = [asyncio.create_task(_stream(streams, session, url, customer, number)) for number in range(count)]
            await asyncio.sleep(signal_at - time.perf_counter())
            still_open = streams.open - streams.ended
            unready = asyncio.create_task(_unready_at(others, server))
            server.process.send_signal(signal.SIGTERM)
            over = asyncio.create_task(asyncio.to_thread(server.process.wait, limit_s + STUCK_S))
            unready_s = await unready - signal_at
            asking = asyncio.create_task(at_rate(lambda _: _ask_new(new, others, url, customer), NEW_RATE, stop))
            await asyncio.wait(load)
            stop.set()
            status = await over
            over_s = time.perf_counter() - signal_at
            await asking
        rows = logged(around.dsn, streams.decisions)
    _tell_wrong([*streams.cut[:5], *streams.untold[:5], *new.otherwise[:5]])
    return [
        figure("drain_streams_open", still_open, "streams", least=count),
        figure("drain_cut", len(streams.cut), "streams", most=0),
        figure("drain_not_told", len(streams.untold), "streams", most=0),
        figure("drain_unready_ms", 1e3 * unready_s, "ms", most=UNREADY_AIM_MS),
        figure("drain_new_refused", new.refused, "requests", least=1),
        figure("drain_new_otherwise", len(new.otherwise), "requests", most=0),
        figure("drain_over_s", over_s, "s", most=limit_s + AFTERWARDS_AIM_S),
        figure("drain_exit_status", abs(status), "", most=0),
        figure("drain_decisions_lost", count - len(streams.decisions) + rows.lost, "rows", most=0),
        figure("drain_decisions_twice", rows.twice, "rows", most=0),
    ]


async def _stream(streams: Streams, session: aiohttp.ClientSession, url: str, customer: Customer, number: int) -> None:
    """One stream to its end: every second one would end within the limit, the others outlive it."""
    within = number % 2 == 0
    share = EARLIEST + (LATEST - EARLIEST) * (number % 100) / 100 if within else OVERDUE
    marker = f"request{number}"
    body = {
        "model": "freerelay/auto",
        "messages": [{"role": "user", "content": f"Say hello to {marker}"}],
        "stream": True,
        "pause_s": (streams.signal_at + share * streams.limit_s - time.perf_counter()) / PAUSES,
    }
    raw = b""
    try:
        async with session.post(url, json=body, headers=customer.headers) as answer:
            streams.decisions[answer.headers["x-freerelay-decision-id"]] = customer.tenant_id
            streams.open += 1
            async for part in answer.content.iter_any():
                raw += part
        text, code = streamed(raw)
    except (aiohttp.ClientError, TimeoutError, KeyError) as error:
        text, code = None, repr(error)
    streams.ended += 1
    if within and (text is None or provider_of(text, marker) is None):
        streams.cut.append(f"{marker}: {code} {raw[-200:]!r}")
    elif not within and code != "server_shutting_down":
        streams.untold.append(f"{marker}: {code} {raw[-200:]!r}")


async def _unready_at(session: aiohttp.ClientSession, server: Serving) -> float:
    """When `/readyz` said for the first time that it is not."""
    while True:
        async with session.get(f"{server.url}/readyz") as answer:
            await answer.read()
            if answer.status == 503:
                return time.perf_counter()
        await asyncio.sleep(0.002)


async def _ask_new(new: New, session: aiohttp.ClientSession, url: str, customer: Customer) -> None:
    """One request during the drain."""
    body = {"model": "freerelay/auto", "messages": [{"role": "user", "content": "Say hello to newcomer"}]}
    limit = aiohttp.ClientTimeout(total=HANG_S)
    try:
        async with session.post(url, json=body, headers=customer.headers, timeout=limit) as answer:
            raw = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        new.otherwise.append(repr(error))
        return
    if answer.status == 503 and answer.headers.get("retry-after") and b'"server_shutting_down"' in raw:
        new.refused += 1
    else:
        new.otherwise.append(f"{answer.status} {raw[-200:]!r}")


# -- rolling


async def rolled(folder: Path, restarts: int) -> list[dict[str, Any]]:
    """Two servers behind haproxy are stopped and started again in turn, under load."""
    answers, stop = Answers(), asyncio.Event()
    async with _Surroundings(folder) as around, clients() as session, contextlib.AsyncExitStack() as stack:
        names = ("first", "second")
        servers = {name: stack.enter_context(around.serving(name)) for name in names}
        it = stack.enter_context(balancer({name: server.port for name, server in servers.items()}, folder))
        await _until_ready(it, len(servers))
        url, by_turns = f"http://127.0.0.1:{it.port}/v1", itertools.cycle(around.customers)
        load = asyncio.create_task(
            at_rate(lambda n: ask(answers, session, url, next(by_turns), n, pause_s=PAUSE_S), RATE, stop)
        )
        statuses = []
        for name in names * restarts:
            await asyncio.sleep(BETWEEN_S)
            server = servers[name]
            statuses.append(await asyncio.to_thread(server.stop))
            servers[name] = await asyncio.to_thread(stack.enter_context, around.serving(name, port=server.port))
            await _until_ready(it, len(servers))
        await asyncio.sleep(BETWEEN_S)
        stop.set()
        await load
        retried = it.retried()
        for server in servers.values():
            await asyncio.to_thread(server.stop)
        rows = logged(around.dsn, answers.decisions)
    print(f"rolling: {dict(answers.statuses)}", file=sys.stderr)
    _tell_wrong([*answers.cut[:5], *answers.wrong[:5]])
    return [
        figure("rolling_requests", answers.requests, "requests"),
        figure("rolling_restarts", len(statuses), "restarts"),
        figure("rolling_failed", answers.requests - answers.statuses[200] + len(answers.wrong), "requests", most=0),
        figure("rolling_retried", retried, "requests"),
        figure("rolling_exit_statuses", sum(map(abs, statuses)), "", most=0),
        figure("rolling_decisions_lost", rows.lost, "rows", most=0),
        figure("rolling_decisions_twice", rows.twice, "rows", most=0),
    ]


async def _until_ready(it: Balancer, servers: int) -> None:
    """Wait until the balancer knows that every server is."""
    async with asyncio.timeout(STUCK_S):
        while await asyncio.to_thread(it.ready) < servers:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)


# -- what they share


class _Surroundings:
    """PostgreSQL with some tenants, and two providers that are well: what servers are started on."""

    dsn: str
    customers: Sequence[Customer]

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        made = await self._open.enter_async_context(providers({}, {}, seed=20261126))
        self._catalogue = self._folder / "catalogue.yaml"
        self._catalogue.write_text(json.dumps(catalogue_of(made)))
        database = acquire_database(self._folder / "database", require_ownership=True)
        self.dsn = self._open.enter_context(database).dsn
        store = PostgresStore(self.dsn, clock=SystemClock())
        await store.open()
        try:
            self.customers = await customers(store, TENANTS)
        finally:
            await store.close()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._open.aclose()

    def serving(self, name: str, *, port: int | None = None, **settings: str) -> AbstractContextManager[Serving]:
        """`freerelay serve`, ready; `settings` are variables of its environment."""
        ours = {
            "DATABASE_URL": self.dsn,
            "FREERELAY_OPERATOR_KEY": new_key("admin").secret,
            "FREERELAY_CATALOGUE": str(self._catalogue),
            "FREERELAY_LOG_LEVEL": "error",
        }
        return serving(self._folder / name, port=port, **(ours | settings))


def _tell_wrong(what: Iterable[str]) -> None:
    """What the figures leave out."""
    for each in what:
        print("WRONG:", each, file=sys.stderr)


if __name__ == "__main__":
    main()
