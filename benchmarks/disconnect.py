"""How soon a client's leaving frees the provider that works for it.

    python benchmarks/disconnect.py [--clients 100] [--crowd 1000] [--json]

The real application over two providers on loopback (`faulty.py`). Clients come one after the other, and each leaves at
some moment within 50 ms after the provider has fallen silent: before the head of its answer, before the first token, in
a stream, in an answer in one piece, and when a first provider has failed. Measured is the time from the client's close
to the end of the provider's connection. Then a crowd that reads streams leaves all at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from benchmarks.faulty import SILENT, Provider, providers
from benchmarks.figures import figure, p99, report
from benchmarks.loopback import catalogue_of, served
from benchmarks.phases import allow_files, measured
from freerelay_core.composition import current
from freerelay_core.config import load_settings

AIM_MS = 50.0
CROWD_AIM_S = 1.0
LINGER_S = 0.05
"""Clients stay up to so long after the provider has fallen silent."""
LIMIT_S = 20.0
"""Whatever takes longer is a failure of the benchmark."""
FILES = 8_192
"""A client of the crowd takes four: two connections with both ends in this process."""
RULES = '{"rules": [{"name": "order", "prefer": ["p0/*"], "policy_weight": 100}]}'


class Phase(NamedTuple):
    """What the work is at when its client leaves."""

    name: str
    stream: bool
    first: str
    """The fault of the first provider."""
    second: str = "status_500"
    """That of the other one, which is asked where the first fails at once."""


PHASES = (
    Phase("headers", stream=True, first="hang"),
    Phase("first_token", stream=True, first=SILENT),
    Phase("stream", stream=True, first="stalled"),
    Phase("whole_answer", stream=False, first="stalled"),
    Phase("fail_over", stream=True, first="status_500", second="hang"),
)


def main() -> None:
    """Measure, print a table; the status says whether every aim is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=int, default=100, help="in each of the phases, a fifth of them in the last")
    parser.add_argument("--crowd", type=int, default=1_000, help="clients that leave at once")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    allow_files(FILES)
    figures = measured(lambda folder: measure(folder, clients=arguments.clients, crowd=arguments.crowd))
    report(figures, as_json=arguments.json)


async def measure(folder: Path, *, clients: int, crowd: int, **settings: object) -> list[dict[str, Any]]:
    """The figures of all phases and of the crowd; `settings` are the application's."""
    chance = random.Random(20261126)  # noqa: S311
    figures = []
    async with providers({}, {}, seed=20261126) as made:
        catalogue, rules = folder / "catalogue.yaml", folder / "rules.yaml"
        catalogue.write_text(json.dumps(catalogue_of(made)))
        rules.write_text(RULES)
        options = {
            "home": folder / "home",
            "demo": True,
            "demo_week": False,
            "catalogue": catalogue,
            "rules": rules,
            "explore_share": 0.0,
        }
        async with served(load_settings(**(options | settings))) as (url, key):
            for phase in PHASES:
                _plan(made, phase)
                # The retry budget lets one request in five ask somebody else.
                count = clients // 5 if phase.first == "status_500" else clients
                seen = [await _leave(url, key, made, phase, chance.uniform(0, LINGER_S)) for _ in range(count)]
                seen.sort()
                figures += [
                    figure(f"disconnect_{phase.name}_p50", seen[len(seen) // 2] * 1000, "ms"),
                    figure(f"disconnect_{phase.name}_p99", p99(seen) * 1000, "ms", most=AIM_MS),
                ]
            phase = PHASES[2]
            _plan(made, phase)
            figures.append(
                figure("disconnect_crowd", await _leave_at_once(url, key, made, phase, crowd), "s", most=CROWD_AIM_S)
            )
    return figures


def _plan(made: list[Provider], phase: Phase) -> None:
    made[0].faults, made[1].faults = {phase.first: 1.0}, {phase.second: 1.0}


async def _leave(url: str, key: str, made: list[Provider], phase: Phase, linger_s: float) -> float:
    """How long the provider worked on after one client had left, s."""
    for index in range(len(made)):  # no failure is remembered: the first is asked first, every time
        current().fleet.record(index, ok=True)
    silent = made[0] if phase.second == "status_500" else made[1]
    failures = made[0].calls["status_500"]
    writer = await _ask(url, key, stream=phase.stream)
    await _until(silent, waiting=1)
    if silent is made[1] and made[0].calls["status_500"] == failures:
        raise RuntimeError("nobody failed before the provider that was to be asked next")
    await asyncio.sleep(linger_s)
    began = time.perf_counter()
    writer.close()
    await _until(silent, waiting=0)
    return silent.left_at - began


async def _leave_at_once(url: str, key: str, made: list[Provider], phase: Phase, crowd: int) -> float:
    """How long until the provider works for nobody, s."""
    current().fleet.record(0, ok=True)
    writers = [await _ask(url, key, stream=phase.stream) for _ in range(crowd)]
    await _until(made[0], waiting=crowd)
    await asyncio.sleep(LINGER_S)
    began = time.perf_counter()
    for writer in writers:
        writer.close()
    await _until(made[0], waiting=0)
    return made[0].left_at - began


async def _ask(url: str, key: str, *, stream: bool) -> asyncio.StreamWriter:
    where = urlsplit(url)
    _, writer = await asyncio.open_connection(where.hostname, where.port)
    asked = {"model": "freerelay/auto", "messages": [{"role": "user", "content": "Say hello to request1"}]}
    body = json.dumps(asked | {"stream": stream}).encode()
    head = f"POST {where.path}/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return writer


async def _until(provider: Provider, *, waiting: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while provider.waiting != waiting:  # noqa: ASYNC110 - the time is taken by the provider
            await asyncio.sleep(0.001)


if __name__ == "__main__":
    main()
