"""Brings a database to the shape of `supabase_schema.sql`, at every start."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import time  # waits for real sessions: no simulation ever runs this on a virtual clock
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from freerelay_core.errors import ConfigurationError, StoreUnavailable
from freerelay_core.places import ROOT
from freerelay_core.store.connection import CONNECT_PARAMETERS, check_dsn, deadline
from freerelay_core.store.lock_holders import LockHolder, lock_holders

__all__ = ["SCHEMA", "apply_schema"]

SCHEMA = ROOT / "supabase_schema.sql"
_PRELUDE = Path(__file__).with_name("prelude.sql")

_OLDEST_VERSION = 15
_CONNECT_S = 10
_ANSWER_S = 10.0
"""How long the server may take to tell what it offers."""
_PATIENCE_S = 15.0
"""How long other sessions may be in the way, s; an attempt that has begun then adds up to two."""
_QUIET_S = 2.0
"""In a rolling restart that passes within this time."""
_PAUSE_S = 0.5
_BUSY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
"""Live traffic or a backup uses the tables: it goes first."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _State:
    """What the database offers before anything is applied."""

    login: str
    database: str
    missing_roles: list[str]
    foreign_roles: list[str]
    """Roles that exist and that the login may not take."""
    has_uid: bool
    may_create: bool

    @property
    def complete(self) -> bool:
        """Whether everything that Supabase supplies is there."""
        return not self.missing_roles and not self.foreign_roles and self.has_uid


async def apply_schema(dsn: str) -> None:
    """Apply the schema, and before it the prelude where the database lacks what Supabase supplies.

    May be called by any number of processes at once. A database that had this very schema and whose tables are in use
    (by a backup, say) is taken as it is. Who is in the way is logged after 2 s.

    Raises `StoreUnavailable` when the server does not answer, and, naming the sessions, when for 15 s others keep the
    tables of an older release or the lock that keeps changes of the schema apart; `ConfigurationError` when the login
    may not do it or old rows stand in the way.
    """
    check_dsn(dsn)
    began, told = time.monotonic(), False
    while (holders := await _try(dsn)) is not None:
        waited = time.monotonic() - began
        if waited >= _PATIENCE_S:
            raise StoreUnavailable(_held_up(holders))
        if waited >= _QUIET_S and not told:
            told = True
            _log.warning("the schema waits for other sessions: %s", _named(holders))
        await asyncio.sleep(_PAUSE_S * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret


async def _try(dsn: str) -> list[LockHolder] | None:
    """Apply it once. None where that is done, else who was in the way, as far as they still are."""
    try:
        parameters = {**CONNECT_PARAMETERS, "connect_timeout": _CONNECT_S}
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, **parameters) as connection:
            try:
                await _apply(connection)
            except _BUSY:
                await connection.execute("rollback")
                return await lock_holders(connection)
    except psycopg.errors.QueryCanceled as error:
        raise StoreUnavailable(
            f"The database took too long to be brought to this release: {_first_line(error)}."
        ) from error
    except psycopg.OperationalError as error:
        raise StoreUnavailable(f"The database cannot be reached: {_first_line(error)}.") from error
    except psycopg.Error as error:
        raise ConfigurationError(f"The database cannot be brought to this release: {_first_line(error)}.") from error
    return None


def _held_up(holders: list[LockHolder]) -> str:
    what = f"The database stays in use, so it cannot be brought to this release: {_named(holders)}."
    if not holders:
        return f"{what} Start again."
    return (
        f"{what} Wait until it ends, or end it with `select pg_terminate_backend({holders[0].pid})`, and start again."
    )


def _named(holders: list[LockHolder]) -> str:
    return "; ".join(map(str, holders)) or "sessions that have just ended"


async def _apply(connection: psycopg.AsyncConnection) -> None:
    version = connection.info.server_version // 10_000
    if version < _OLDEST_VERSION:
        raise ConfigurationError(f"PostgreSQL {_OLDEST_VERSION} or newer is needed; this server is version {version}.")
    with deadline(connection, _ANSWER_S):
        state = await _state(connection, may="SET" if version >= 16 else "MEMBER")
    try:
        if not state.complete:
            await connection.execute(_PRELUDE.read_bytes())
        await _apply_file(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(_for_an_administrator(state, error, connection)) from error


async def _apply_file(connection: psycopg.AsyncConnection) -> None:
    """Run the file, and leave its digest as the comment of `users`: a COMMENT waits for no reader or writer."""
    try:
        schema = SCHEMA.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{SCHEMA} cannot be read: {error.strerror}. It is part of FreeRelay.") from None
    mark = f"FreeRelay schema {hashlib.sha256(schema).hexdigest()}"
    try:
        await connection.execute(schema)
    except _BUSY:
        await connection.execute("rollback")
        cursor = await connection.execute("select obj_description(to_regclass('public.users'), 'pg_class')")
        if await cursor.fetchone() != (mark,):
            raise
        _log.warning("tables are in use; the database had this schema already, so it is taken as it is")
    else:
        async with connection.transaction():
            await connection.execute("set local lock_timeout = '500ms'")  # a VACUUM would hold it up without end
            await connection.execute(sql.SQL("comment on table public.users is {}").format(mark))


async def _state(connection: psycopg.AsyncConnection, *, may: str) -> _State:
    async with connection.cursor(row_factory=class_row(_State)) as cursor:
        await cursor.execute(
            """
            with needed (name) as (values ('anon'), ('authenticated'), ('service_role'))
            select current_user::text as login, current_database()::text as database,
                   array(select name from needed where name not in (select rolname from pg_roles)) as missing_roles,
                   array(select rolname::text from pg_roles
                          where rolname in (select name from needed)
                            and not pg_has_role(current_user, oid, %s)) as foreign_roles,
                   exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                            where n.nspname = 'auth' and p.proname = 'uid' and p.pronargs = 0) as has_uid,
                   has_schema_privilege('public', 'create') as may_create
            """,
            [may],
        )
        state = await cursor.fetchone()
    if state is None:
        raise StoreUnavailable("The database gave no answer about itself.")
    return state


def _for_an_administrator(state: _State, error: psycopg.Error, connection: psycopg.AsyncConnection) -> str:
    """What a superuser must run so that the next start succeeds."""
    login, roles = sql.Identifier(state.login), [*state.missing_roles, *state.foreign_roles]
    statements: list[sql.Composable] = [
        sql.SQL("create role {} nologin noinherit").format(sql.Identifier(r)) for r in state.missing_roles
    ]
    if roles:
        names = sql.SQL(", ").join(map(sql.Identifier, roles))
        statements.append(sql.SQL("grant {} to {}").format(names, login))
    if not state.has_uid:
        statements.append(sql.SQL("create schema if not exists auth"))
        statements.append(sql.SQL("grant usage, create on schema auth to {} with grant option").format(login))
    if not state.may_create:
        statements.append(sql.SQL("grant usage, create on schema public to {} with grant option").format(login))
    reason = f'The database login "{state.login}" may not do what the schema needs ({_first_line(error)}).'
    if not statements:
        return f"{reason} The tables must belong to this login."
    commands = " ".join(statement.as_string(connection) + ";" for statement in statements)
    return f'{reason} Ask an administrator to run once, in the database "{state.database}", as superuser: {commands}'


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
