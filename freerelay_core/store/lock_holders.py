"""Which sessions hold up a change of the schema, in words for whoever has to end them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row

__all__ = ["LockHolder", "lock_holders"]

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A session that holds a lock on our tables, or the one that keeps schema changes apart."""

    pid: int
    application: str
    login: str
    seconds: int
    """Since its transaction began, or where it has none, since it last did something."""

    def __str__(self) -> str:
        named = [self.application] if self.application else []
        return f"process {self.pid} ({', '.join([*named, f'login {self.login}', f'for {self.seconds} s'])})"


async def lock_holders(connection: psycopg.AsyncConnection[Any]) -> list[LockHolder]:
    """The other sessions of this database that hold such locks at this moment, at most three, the oldest first."""
    async with connection.cursor(row_factory=class_row(LockHolder)) as cursor:
        await cursor.execute(
            """
            select a.pid, coalesce(a.application_name, '') as application, coalesce(a.usename::text, '?') as login,
                   coalesce(extract(epoch from clock_timestamp() - coalesce(a.xact_start, a.state_change)), 0)::int
                     as seconds
              from pg_stat_activity a
             where a.pid <> pg_backend_pid() and a.datname = current_database()
               and exists (select from pg_locks l left join pg_class c on c.oid = l.relation
                            where l.pid = a.pid and l.granted
                              and (c.relnamespace = 'public'::regnamespace and l.locktype = 'relation'
                                   or l.locktype = 'advisory' and l.objsubid = 1
                                      and (l.classid::bigint << 32 | l.objid::bigint) = hashtext('freerelay.schema')))
             order by coalesce(a.xact_start, a.state_change) nulls last
             limit %s
            """,
            [_SHOWN],
        )
        return await cursor.fetchall()
