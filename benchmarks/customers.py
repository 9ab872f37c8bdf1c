"""Tenants that ask, on a schedule, and what came of it: each answer is checked against who asked for it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import psycopg

from benchmarks.faults import said, streamed
from benchmarks.faulty import provider_of
from freerelay_core.store import Store, new_key

__all__ = ["Answers", "Customer", "Logged", "ask", "at_rate", "clients", "customers", "logged"]


@dataclass(frozen=True)
class Customer:
    """A tenant and its key."""

    tenant_id: str
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.secret}"}


@dataclass
class Answers:
    """What clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Answers of success that are not the whole answer to what was asked."""
    cut: list[str] = field(default_factory=list)
    """Connections that ended without an answer."""
    took_s: list[float] = field(default_factory=list)
    decisions: dict[str, str] = field(default_factory=dict)
    """By the decision behind an answer: the tenant that asked."""

    @property
    def requests(self) -> int:
        return self.statuses.total() + len(self.cut)

    @property
    def server_errors(self) -> int:
        """Answers of 500 and above, and none at all."""
        return sum(count for status, count in self.statuses.items() if status >= 500) + len(self.cut)


@dataclass(frozen=True)
class Logged:
    """The decision log beside the answers."""

    lost: int
    """Answers without a row."""
    twice: int
    """Rows of a decision that has another."""
    of_another: int
    """Rows that name another tenant than the one that asked."""


async def customers(store: Store, count: int) -> list[Customer]:
    """New tenants with a key each, of a tier without limits that matter here."""
    made = []
    for number in range(count):
        tenant = await store.create_tenant(f"customer{number}@example.com", tier="gold", allow_override=False)
        key = new_key("live")
        await store.create_key(tenant.id, name="benchmark", prefix=key.prefix, key_hash=key.digest)
        made.append(Customer(tenant.id, key.secret))
    return made


@asynccontextmanager
async def clients() -> AsyncIterator[aiohttp.ClientSession]:
    """A session for any number of requests at once."""
    # A connection that the server is about to end for its idleness (5 s) is not used again.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


async def ask(
    answers: Answers, session: aiohttp.ClientSession, url: str, customer: Customer, number: int, **more: object
) -> None:
    """One chat request with `more` in its body, every second one a stream."""
    marker = f"request{number}"
    messages = [{"role": "user", "content": f"Say hello to {marker}"}]
    body = {"model": "freerelay/auto", "messages": messages, "stream": bool(number % 2), **more}
    began = time.perf_counter()
    try:
        async with session.post(f"{url}/chat/completions", json=body, headers=customer.headers) as answer:
            raw = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        answers.cut.append(f"{marker}: {error!r}")
        return
    answers.took_s.append(time.perf_counter() - began)
    answers.statuses[answer.status] += 1
    if answer.status == 200:
        answers.decisions[answer.headers["x-freerelay-decision-id"]] = customer.tenant_id
        text = streamed(raw)[0] if body["stream"] else said(raw)
        if text is None or provider_of(text, marker) is None:
            answers.wrong.append(f"{marker}: {raw[-200:]!r}")


async def at_rate(request: Callable[[int], Awaitable[None]], rate: float, stop: asyncio.Event) -> None:
    """Numbered requests, `rate` a second, however long each takes, until `stop`; returns when all have ended."""
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in itertools.count():
            await asyncio.sleep(began + number / rate - time.perf_counter())
            if stop.is_set():
                return
            group.create_task(_awaited(request(number)))


async def _awaited(work: Awaitable[None]) -> None:
    await work


def logged(dsn: str, decisions: Mapping[str, str]) -> Logged:
    """Compare the rows of the log with the answers."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("select id::text, user_id::text from public.decisions where not demo").fetchall()
    owners = dict(rows)
    return Logged(
        lost=len(decisions.keys() - owners.keys()),
        twice=len(rows) - len(owners),
        of_another=sum(owners.get(each, tenant) != tenant for each, tenant in decisions.items()),
    )
