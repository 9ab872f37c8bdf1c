"""Short transactions on PostgreSQL in a chosen role, and one meaning for every way in which a server can be away.

Role, claims and limits are set for the transaction only, so they end with it: behind a transaction pooler the next
client of the same server connection starts clean. Nothing is prepared, for the same reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from freerelay_core.errors import ConfigurationError, StoreUnavailable

__all__ = [
    "CONNECT_PARAMETERS",
    "SERVICE",
    "Connection",
    "Connections",
    "Scope",
    "check_dsn",
    "deadline",
    "server_away",
    "tenant_scope",
]

Connection: TypeAlias = psycopg.AsyncConnection[DictRow]

CONNECT_PARAMETERS: dict[str, Any] = {
    "connect_timeout": 2,
    "prepare_threshold": None,
    "application_name": "freerelay",
    # A peer that vanished without a word is noticed within half a minute, also where no query waits for it.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

_MAX_CONNECTIONS = 8
_WAIT_S = 1.0
"""How long a caller waits for a connection."""
_TRY_AGAIN_S = 0.2
"""While callers wait for a server that is away, it is tried twice in this time."""
_DEADLINE_S = 2.0
"""How long a transaction may take, s. The server is asked to give up a little earlier, so that the connection lives."""
_LEAST_S = 0.1
"""What a transaction gets that has waited long for its connection, s."""

_SAME_LINE_S = 10.0

_log = logging.getLogger(__name__)


class _Seldom(logging.Filter):
    """Lets a line through once in 10 s, whatever its values: an absence is worth a line, not one for each attempt."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        passes = record.created - self._last.get(record.msg, 0.0) >= _SAME_LINE_S
        if passes:
            self._last[record.msg] = record.created
        return passes


logging.getLogger("psycopg.pool").addFilter(_Seldom())


@dataclass(frozen=True, slots=True)
class Scope:
    """In whose name a transaction runs: a database role, its claims, and the actor that the audit names."""

    role: str
    claims: str = ""
    actor: str = ""


SERVICE = Scope("service_role")


def tenant_scope(tenant_id: str, *, actor: str = "") -> Scope:
    """The tenant itself: row level security shows it its own rows and no others."""
    return Scope("authenticated", json.dumps({"sub": tenant_id, "role": "authenticated"}), actor)


def check_dsn(dsn: str) -> None:
    """Raise `ConfigurationError` for a connection string that cannot be read. The message repeats none of it."""
    try:
        host = str(conninfo_to_dict(dsn).get("host") or "")
    except psycopg.Error:
        raise _unreadable() from None
    # Behind an @ in the password its rest counts as the host's name, and every message would repeat it.
    if "@" in host[1:] and not host.startswith("/"):
        raise _unreadable()


def _unreadable() -> ConfigurationError:
    return ConfigurationError(
        "DATABASE_URL is not a PostgreSQL connection string: write postgresql://user:password@host:5432/database "
        "and percent-encode special characters of the password.",
        param="DATABASE_URL",
    )


@contextlib.contextmanager
def server_away() -> Iterator[None]:
    """Turn every sign that the server is away, overloaded or read-only into `StoreUnavailable`."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction, OSError) as error:
        _log.info("database away: %s", error)
        raise StoreUnavailable("The database does not answer. Try again in a moment.") from error


@contextlib.contextmanager
def deadline(connection: psycopg.AsyncConnection[Any], seconds: float) -> Iterator[None]:
    """End whatever the connection waits for after `seconds`, by ending the connection.

    A cancel request would not do: a server that has stalled does not answer that either.
    """
    timer = asyncio.get_running_loop().call_later(seconds, _cut, connection)
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: psycopg.AsyncConnection[Any]) -> None:
    with contextlib.suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as peer:
        peer.shutdown(socket.SHUT_RDWR)


def _seems_alive(connection: Connection) -> bool:
    """Whether the other end still holds an idle connection, without asking it."""
    try:
        # The first read may find the server's last words, the second its end.
        connection.pgconn.consume_input()
        connection.pgconn.consume_input()
    except psycopg.OperationalError:
        return False
    return not connection.closed


class Connections:
    """A small pool of connections that heals by itself. Open before use."""

    def __init__(self, dsn: str) -> None:
        check_dsn(dsn)
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            dsn,
            connection_class=psycopg.AsyncConnection[DictRow],
            kwargs={**CONNECT_PARAMETERS, "row_factory": dict_row},
            name="freerelay",
            min_size=1,
            max_size=_MAX_CONNECTIONS,
            open=False,
            # The pool's own back-off begins with a second: it would only delay the return.
            reconnect_timeout=_TRY_AGAIN_S,
            reconnect_failed=self._try_again,
        )

    async def open(self) -> None:
        """Start connecting. Whether the server answers shows at the first transaction."""
        await self._pool.open()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close(timeout=_DEADLINE_S)

    @contextlib.asynccontextmanager
    async def transaction(self, scope: Scope, *, limit_s: float = _DEADLINE_S) -> AsyncIterator[Connection]:
        """A transaction in `scope`, committed on success and rolled back on any error.

        Raises `StoreUnavailable` when there is no connection within 1 s or no end within `limit_s`, the wait included.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + limit_s
        with server_away():
            connection = await self._take(min(_WAIT_S, limit_s))
            try:
                with deadline(connection, max(ends_at - loop.time(), _LEAST_S)):
                    async with connection:
                        await connection.execute(
                            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true), "
                            "set_config('freerelay.actor', %s, true), set_config('statement_timeout', %s, true)",
                            [scope.role, scope.claims, scope.actor, f"{int(limit_s * 900)}ms"],
                        )
                        yield connection
            finally:
                await self._pool.putconn(connection)

    async def one(
        self, scope: Scope, query: str, parameters: Sequence[object] = (), *, limit_s: float = _DEADLINE_S
    ) -> DictRow | None:
        """The first row of one statement, if it has any."""
        async with self.transaction(scope, limit_s=limit_s) as connection:
            return await (await connection.execute(query, parameters)).fetchone()

    async def all(
        self, scope: Scope, query: str, parameters: Sequence[object] = (), *, limit_s: float = _DEADLINE_S
    ) -> list[DictRow]:
        """All rows of one statement."""
        async with self.transaction(scope, limit_s=limit_s) as connection:
            return await (await connection.execute(query, parameters)).fetchall()

    async def _try_again(self, pool: AsyncConnectionPool[Connection]) -> None:
        """Begin the next attempt for those who wait already; where nobody does, the next caller's need will."""
        if pool.get_stats()["requests_waiting"]:
            await pool.check()

    async def _take(self, wait_s: float) -> Connection:
        while True:
            connection = await self._pool.getconn(wait_s)
            if _seems_alive(connection):
                return connection
            # Given back closed, it is replaced. Each turn removes one dead connection, so this ends.
            try:
                await connection.close()
            finally:
                await self._pool.putconn(connection)
