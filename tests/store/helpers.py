"""What tests of the store need beside fixtures: raw SQL in a chosen role, a decision, a clock that a test moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from freerelay_core.clock import SystemClock, id_time, new_id
from freerelay_core.preference import EXPONENTS, FACTORS, EffectivePreference, RoutingPreference
from freerelay_core.store import DecisionLog, DecisionRecord, LoggedRanking, Outcome
from freerelay_core.store.decision_rows import decision_as_row

GATE = "authenticator"


def gate(dsn: str) -> str:
    """Connection string, for the same database, of the login through which PostgREST takes its roles."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        present = {row[0] for row in owner.execute("select rolname from pg_roles")}
        if GATE not in present:
            owner.execute(f"create role {GATE} login noinherit password 'gate'")
        if "anon" in present:
            owner.execute(f"grant anon, authenticated, service_role to {GATE}")
    return make_conninfo(dsn, user=GATE, password="gate")


class Sql:
    """Raw SQL on one database: as its owner, or as an API role the way PostgREST does it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._owner = psycopg.connect(dsn, autocommit=True)
        self._gate = gate(dsn)

    def close(self) -> None:
        self._owner.close()

    def owner(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of a statement run as the owner of everything."""
        cursor = self._owner.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *parameters: object) -> Any:
        """The single value of the owner's query."""
        return self.owner(query, *parameters)[0][0]

    def as_role(self, role: str, query: str, *parameters: object, sub: object = None) -> list[tuple[Any, ...]] | int:
        """Rows, or the number of changed rows, of a statement run as `role` with claims; raises `psycopg.Error`."""
        claims = {"role": role} if sub is None else {"role": role, "sub": str(sub)}
        with psycopg.connect(self._gate) as connection:
            connection.execute(
                "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
                [role, json.dumps(claims)],
            )
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else cursor.rowcount


def run(dsn: str, statements: str) -> None:
    """Run statements as the owner, on a connection of their own."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statements.encode())


@asynccontextmanager
async def running(log: DecisionLog) -> AsyncIterator[None]:
    """The log's writer at work."""
    task = asyncio.create_task(log.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in another process or at another's pace, and has no event to wait for."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class ManualClock(SystemClock):
    """A clock that stands still until the test moves it. Sleeping is left to the real one."""

    def __init__(self) -> None:
        self._passed = 0.0
        self._start = datetime.now(UTC)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return 1000.0 + self._passed

    def advance(self, seconds: float) -> None:
        self._passed += seconds


def decision(tenant_id: str, **changes: Any) -> DecisionRecord:
    """A plausible logged decision with awkward numbers; `changes` may name fields of the record or of its outcome."""
    identifier = changes.pop("id", None) or new_id(SystemClock())
    outcome = Outcome(
        endpoint="groq/llama-3.3-70b-versatile",
        status=200,
        attempts=({"endpoint": "groq/llama-3.3-70b-versatile", "status": 200, "error": None, "duration_s": 0.7},),
        first_token_s=0.1 + 0.2,
        duration_s=1.7e-5,
        input_tokens=812,
        output_tokens=None,
        cached_tokens=0,
        cost_usd=1 / 3,
        usage_estimated=False,
        basis="simulated",
    )
    record = DecisionRecord(
        id=identifier,
        tenant_id=tenant_id,
        created_at=id_time(identifier),
        request_id="req-1",
        model="freerelay/auto",
        snapshot_id="boot-17",
        preference=EffectivePreference(RoutingPreference.COST_OPTIMIZED, "rule", "night"),
        profile={"family": "coding", "input_tokens": 812, "needs": ["tools"]},
        exponents=dict(EXPONENTS[RoutingPreference.COST_OPTIMIZED]),
        log_factors={name: (-1 / (n + 3),) for n, name in enumerate(FACTORS)},
        ranking=LoggedRanking(("groq/llama-3.3-70b-versatile",), (1e22,), (5e-324,), (1 / 3,), (-1 / 3,)),
        excluded=({"endpoint": "x/y", "reason": "context"},),
        rules=("night",),
        actions=({"rule": "night", "action": "routing_preference", "value": "cost-optimized"},),
        outcome=outcome,
    )
    of_outcome = {name: changes.pop(name) for name in list(changes) if name in Outcome._fields}
    return record._replace(outcome=outcome._replace(**of_outcome), **changes)


def room_for(decisions: int) -> int:
    """Bytes of a decision log's memory that hold so many like `decision`, and no more."""
    one = decision_as_row(decision("0198c0de-0000-7000-8000-000000000001")).size
    return int((decisions - 0.5) * one)
