"""Half of many requests are broken off by their client at a random moment: is anything left of them, or mixed up?"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks.customers import Answers, Customer, ask, clients, customers, logged
from benchmarks.faulty import providers
from benchmarks.figures import figure
from benchmarks.loopback import catalogue_of, served
from freerelay_core.composition import current
from freerelay_core.config import load_settings
from freerelay_core.store.embedded import acquire_database

__all__ = ["storm"]

AT_ONCE = 64
TENANTS = 8
SLOW = {"drip": 0.5}
"""Half of the answers come in small pieces, so that clients leave in the middle of them, too."""
LEAVES = 0.7
"""How many of the clients mean to leave; a third of these have their answer sooner."""
LEAVES_WITHIN_S = 0.08
"""A client that leaves does so within this time after it began, evenly spread."""
SETTLES_S = 10.0
"""How long what is open may take to end after the last answer."""


async def storm(folder: Path, requests: int) -> list[dict[str, Any]]:
    """The figures of `requests` requests, of which half are broken off."""
    answers, home = Answers(), folder / "home"
    async with providers(SLOW, SLOW, seed=20261126) as made:
        catalogue = folder / "catalogue.yaml"
        catalogue.write_text(json.dumps(catalogue_of(made)))
        settings = load_settings(home=home, demo=True, demo_week=False, catalogue=catalogue)
        async with served(settings) as (url, _):
            application = current()
            known = await customers(application.store, TENANTS)
            idle_tasks, idle_sockets = _tasks(), _sockets()
            left_early = await _storm(answers, url, known, requests)
            left = {
                "open_admissions": await _settled(lambda: application.admission.open),
                "provider_calls": await _settled(lambda: sum(provider.open_calls for provider in made)),
                "tasks": await _settled(lambda: len(_tasks() - idle_tasks)),
                "log_pending": await _settled(lambda: application.decision_log.pending),
                "pool_slots": await _settled(_slots_in_use),
            }
            with acquire_database(home) as guest:
                rows = logged(guest.dsn, answers.decisions)
            for provider in made:
                await provider.close()
            left["sockets"] = await _settled(lambda: len(_sockets() - idle_sockets))
    return [
        figure("storm_answered", answers.statuses[200], "requests"),
        figure("storm_broken_off", left_early, "requests"),
        figure("storm_not_answered", answers.requests - answers.statuses[200], "requests", most=0),
        figure("storm_wrong_answers", len(answers.wrong) + rows.of_another, "requests", most=0),
        figure("storm_decisions_lost", rows.lost, "rows", most=0),
        *(figure(f"storm_{name}_left", count, "") | {"aim": 0, "met": count == 0} for name, count in left.items()),
    ]


async def _storm(answers: Answers, url: str, known: list[Customer], requests: int) -> int:
    """Send them; returns how many were broken off before they had ended."""
    numbers, draws, broken_off = iter(range(requests)), random.Random(20261126), 0  # noqa: S311

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal broken_off
        for number in numbers:
            task = asyncio.create_task(ask(answers, session, url, known[number % len(known)], number))
            if draws.random() < LEAVES:
                await asyncio.wait([task], timeout=draws.random() * LEAVES_WITHIN_S)
                broken_off += task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async with clients() as session:
        await asyncio.gather(*(client(session) for _ in range(AT_ONCE)))
    return broken_off


async def _settled(count: Callable[[], int]) -> int:
    """The count once it is zero, else after a while."""
    deadline = asyncio.get_running_loop().time() + SETTLES_S
    while (left := count()) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)
    return left


def _tasks() -> set[asyncio.Task[Any]]:
    """Without the providers' own, one for each connection that is kept for the next call."""
    return {task for task in asyncio.all_tasks() if "Provider._serve" not in repr(task.get_coro())}


def _slots_in_use() -> int:
    """Connections to PostgreSQL that somebody has taken and not given back."""
    stats = current().store._connections._pool.get_stats()  # type: ignore[attr-defined]  # noqa: SLF001 - no other way in
    return int(stats["pool_size"] - stats["pool_available"])


def _sockets() -> set[tuple[object, object]]:
    """Of the endpoint and its providers; those to PostgreSQL are not TCP."""
    return {(c.laddr, c.raddr) for c in psutil.Process().net_connections("tcp") if c.status != "TIME_WAIT"}
