"""The store on any PostgreSQL 15 or newer, embedded, self-hosted or Supabase's.

What a tenant may see or change runs as that tenant (`authenticated` with its claims): row level security decides, not
this code. The router's own work runs as `service_role`.
"""

# ruff: noqa: S608 -- what is pasted into a query is this module's own lists of columns; values are always parameters

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import psycopg
from psycopg.rows import DictRow

from freerelay_core.clock import Clock, id_time
from freerelay_core.errors import Conflict, NotFound, StoreUnavailable, UnprocessableRequest
from freerelay_core.preference import RoutingPreference
from freerelay_core.store.base import (
    TIERS,
    ChangeListener,
    DecisionFilter,
    DecisionLine,
    DecisionRecord,
    Identity,
    KeyInfo,
    PublishedSnapshot,
    RecordedRequest,
    SavedScenario,
    SettingsChange,
    Tenant,
    Traffic,
)
from freerelay_core.store.changes import deliver_changes
from freerelay_core.store.connection import SERVICE, Connections, Scope, tenant_scope
from freerelay_core.store.migrate import apply_schema
from freerelay_core.store.rows import (
    DECISION_COLUMNS,
    LINE_COLUMNS,
    change_from_row,
    decision_from_row,
    decisions_as_json,
    identity_from_row,
    key_from_row,
    line_from_row,
    request_from_row,
    scenario_from_row,
    snapshot_from_row,
    tenant_from_row,
    traffic_from_row,
)

__all__ = ["PostgresStore"]

_TENANT = "id, email, tier, routing_preference, allow_override, settings_version, updated_at"
_KEY = "id, user_id, name, prefix, created_at, last_used_at, expires_at, revoked_at"
_CHANGE = "user_id, field, old_value, new_value, actor, at"
_SCENARIO = "id, name, body::text, updated_at"
_DECISION = ", ".join(f"{name}::text" if kind == "jsonb" else name for name, kind in DECISION_COLUMNS.items())
_APPEND = (
    f"insert into public.decisions ({', '.join(DECISION_COLUMNS)}) "
    f"select {', '.join(DECISION_COLUMNS)} from json_to_recordset(%s::json) "
    f"as record ({', '.join(f'{name} {kind}' for name, kind in DECISION_COLUMNS.items())}) "
    "on conflict do nothing"
)
_SESSION = f"""
    select s.role, s.key_id, least(s.expires_at, k.expires_at) as ends_at, u.{_TENANT.replace(", ", ", u.")}
      from public.dashboard_sessions s
      left join public.users u on u.id = s.user_id
      left join public.api_keys k on k.id = s.key_id
     where s.session_hash = %s and s.expires_at > now()
       and (s.key_id is null or (k.revoked_at is null and coalesce(k.expires_at > now(), true)))
"""

_IDENTIFY_LIMIT_S = 1.0
"""Requests wait for this one."""
_APPEND_LIMIT_S = 10.0
_LOOK_AHEAD_EVERY_S = 3600.0
_LOOK_AHEAD_AGAIN_S = 60.0
_SNAPSHOT_KEPT = timedelta(hours=1)
"""How long the last snapshot of a worker that is gone stays."""

_log = logging.getLogger(__name__)


class PostgresStore:
    """`store.base.Store` on the database at `dsn`."""

    def __init__(self, dsn: str, *, clock: Clock) -> None:
        """Raises `ConfigurationError` for a connection string that cannot be read."""
        self._dsn = dsn
        self._clock = clock
        self._connections = Connections(dsn)
        self._look_ahead_at = clock.monotonic()

    async def open(self) -> None:
        await apply_schema(self._dsn)
        await self._connections.open()

    async def close(self) -> None:
        await self._connections.close()

    async def ping(self) -> None:
        await self._connections.one(SERVICE, "select 1")

    # -- tenants and keys

    async def identify(self, key_hash: str) -> Identity | None:
        query = "select * from public.auth_context(%s)"
        row = await self._connections.one(SERVICE, query, [key_hash], limit_s=_IDENTIFY_LIMIT_S)
        return None if row is None else identity_from_row(row)

    async def tenant(self, tenant_id: str) -> Tenant:
        query = f"select {_TENANT} from public.users where id = %s"
        return tenant_from_row(_found(await self._connections.one(_as_tenant(tenant_id), query, [tenant_id])))

    async def tenant_by_email(self, email: str) -> Tenant | None:
        query = f"select {_TENANT} from public.users where email = %s"
        row = await self._connections.one(SERVICE, query, [email])
        return None if row is None else tenant_from_row(row)

    async def create_tenant(self, email: str, *, tier: str, allow_override: bool) -> Tenant:
        query = f"insert into public.users (email, tier, allow_override) values (%s, %s, %s) returning {_TENANT}"
        try:
            row = await self._connections.one(SERVICE, query, [email, tier, allow_override])
        except psycopg.errors.UniqueViolation:
            raise Conflict(f"A tenant with the address {email!r} exists.", param="email") from None
        except psycopg.errors.CheckViolation:
            raise _unknown_tier(tier) from None
        return tenant_from_row(_found(row))

    async def list_tenants(self) -> list[Tenant]:
        query = f"select {_TENANT} from public.users order by email"
        return [tenant_from_row(row) for row in await self._connections.all(SERVICE, query)]

    async def update_tenant(
        self, tenant_id: str, *, actor: str, tier: str | None = None, allow_override: bool | None = None
    ) -> Tenant:
        query = (
            "update public.users set tier = coalesce(%s, tier), allow_override = coalesce(%s, allow_override) "
            f"where id = %s returning {_TENANT}"
        )
        try:
            async with self._connections.transaction(replace(SERVICE, actor=actor)) as connection:
                row = await (await connection.execute(query, [tier, allow_override, _uuid(tenant_id)])).fetchone()
        except psycopg.errors.CheckViolation:
            raise _unknown_tier(tier) from None
        return tenant_from_row(_found(row))

    async def create_key(self, tenant_id: str, *, name: str, prefix: str, key_hash: str) -> KeyInfo:
        query = (
            f"insert into public.api_keys (user_id, name, prefix, key_hash) values (%s, %s, %s, %s) returning {_KEY}"
        )
        try:
            row = await self._connections.one(SERVICE, query, [_uuid(tenant_id), name, prefix, key_hash])
        except psycopg.errors.ForeignKeyViolation:
            raise _not_found() from None
        except psycopg.errors.UniqueViolation:
            raise Conflict("This key is already stored.") from None
        return key_from_row(_found(row))

    async def list_keys(self, tenant_id: str) -> list[KeyInfo]:
        query = f"select {_KEY} from public.api_keys order by created_at desc, id"
        return [key_from_row(row) for row in await self._connections.all(_as_tenant(tenant_id), query)]

    async def revoke_key(self, tenant_id: str, key_id: str) -> KeyInfo:
        query = (
            "update public.api_keys set revoked_at = coalesce(revoked_at, now()) "
            f"where id = %s and user_id = %s returning {_KEY}"
        )
        return key_from_row(_found(await self._connections.one(SERVICE, query, [_uuid(key_id), _uuid(tenant_id)])))

    async def rename_key(self, tenant_id: str, key_id: str, name: str) -> KeyInfo:
        query = f"update public.api_keys set name = %s where id = %s and user_id = %s returning {_KEY}"
        try:
            row = await self._connections.one(SERVICE, query, [name, _uuid(key_id), _uuid(tenant_id)])
        except psycopg.DataError as error:
            raise UnprocessableRequest(f"The label cannot be stored: {error}", param="name") from None
        return key_from_row(_found(row))

    async def touch_keys(self, last_used: Mapping[str, datetime]) -> None:
        if not last_used:
            return
        uses = orjson.dumps([{"id": key_id, "at": at} for key_id, at in last_used.items()]).decode()
        async with self._connections.transaction(SERVICE) as connection:
            await connection.execute(
                "update public.api_keys k set last_used_at = greatest(k.last_used_at, use.at) "
                "from json_to_recordset(%s::json) as use (id uuid, at timestamptz) where k.id = use.id",
                [uses],
            )

    # -- settings

    async def set_routing_preference(
        self, tenant_id: str, preference: RoutingPreference, *, actor: str, expected_version: int | None = None
    ) -> Tenant:
        update = (
            "update public.users set routing_preference = %(preference)s where id = %(id)s "
            f"and settings_version = coalesce(%(version)s::bigint, settings_version) returning {_TENANT}"
        )
        parameters = {"preference": preference.value, "id": tenant_id, "version": expected_version}
        async with self._connections.transaction(_as_tenant(tenant_id, actor=actor)) as connection:
            row = await (await connection.execute(update, parameters)).fetchone()
            if row is None and expected_version is not None:
                query = "select settings_version from public.users where id = %s"
                present = _found(await (await connection.execute(query, [tenant_id])).fetchone())
                raise Conflict(
                    f"The settings changed meanwhile: they are at version {present['settings_version']}, not "
                    f"{expected_version}. Read them again, then save.",
                    code="settings_changed",
                    param="settings_version",
                )
        return tenant_from_row(_found(row))

    async def settings_history(self, tenant_id: str, *, limit: int = 50) -> list[SettingsChange]:
        query = f"select {_CHANGE} from public.settings_audit order by id desc limit %s"
        return [change_from_row(row) for row in await self._connections.all(_as_tenant(tenant_id), query, [limit])]

    # -- dashboard sessions

    async def create_session(
        self, session_hash: str, *, role: str, tenant_id: str | None, key_id: str | None, expires_at: datetime
    ) -> None:
        try:
            async with self._connections.transaction(SERVICE) as connection:
                await connection.execute("delete from public.dashboard_sessions where expires_at <= now()")
                await connection.execute(
                    "insert into public.dashboard_sessions (session_hash, role, user_id, key_id, expires_at) "
                    "values (%s, %s, %s, %s, %s)",
                    [session_hash, role, tenant_id, key_id, expires_at],
                )
        except psycopg.errors.ForeignKeyViolation:
            raise _not_found() from None

    async def session(self, session_hash: str) -> Identity | None:
        row = await self._connections.one(SERVICE, _SESSION, [session_hash])
        if row is None:
            return None
        if row["role"] == "operator":
            return Identity(role="operator", tenant=None, expires_at=row["ends_at"])
        return identity_from_row(row)

    async def end_session(self, session_hash: str) -> None:
        async with self._connections.transaction(SERVICE) as connection:
            await connection.execute("delete from public.dashboard_sessions where session_hash = %s", [session_hash])

    # -- decisions

    async def append_decisions(self, records: Sequence[DecisionRecord]) -> None:
        if not records:
            return
        await self._look_ahead()
        try:
            rows = await decisions_as_json(records)
            async with self._connections.transaction(SERVICE, limit_s=_APPEND_LIMIT_S) as connection:
                await connection.execute(_APPEND, [rows])
        except (psycopg.DataError, psycopg.IntegrityError, ValueError, TypeError) as error:
            raise UnprocessableRequest(f"A decision cannot be stored: {error}") from error

    async def _look_ahead(self) -> None:
        """Have the coming days' partitions made, about once an hour. Without them rows go to the default partition."""
        if self._clock.monotonic() < self._look_ahead_at:
            return
        self._look_ahead_at = self._clock.monotonic() + _LOOK_AHEAD_AGAIN_S
        try:
            await self._connections.one(SERVICE, "select public.ensure_decision_partitions()")
        except (StoreUnavailable, psycopg.Error) as error:
            reason = error.__cause__ or error
            _log.warning("no partitions made ahead for the decision log, next attempt in a minute: %s", reason)
        else:
            self._look_ahead_at = self._clock.monotonic() + _LOOK_AHEAD_EVERY_S

    async def decision(self, tenant_id: str | None, decision_id: str) -> DecisionRecord:
        query = f"select {_DECISION} from public.decisions where created_at = %s and id = %s"
        decision_id = _uuid(decision_id)
        try:
            created_at = id_time(decision_id)
        except (ValueError, OverflowError):  # an id of another kind, with no time in it
            raise _not_found() from None
        row = await self._connections.one(_as_tenant_or_service(tenant_id), query, [created_at, decision_id])
        return decision_from_row(_found(row))

    async def recent_decisions(self, tenant_id: str | None, *, since: datetime, limit: int) -> list[DecisionRecord]:
        query = (
            f"select {_DECISION} from public.decisions where created_at >= %s "
            "order by created_at desc, id desc limit %s"
        )
        rows = await self._connections.all(_as_tenant_or_service(tenant_id), query, [since, limit])
        return await asyncio.to_thread(lambda: [decision_from_row(row) for row in rows])

    async def decision_lines(self, tenant_id: str | None, where: DecisionFilter, *, limit: int) -> list[DecisionLine]:
        conditions = {
            "created_at >= %s": where.since,
            "created_at < %s": where.until,
            "endpoint = %s": where.endpoint,
            "profile ->> 'family' = %s": where.family,
            "(status >= 400) = %s": where.failed,
            "(jsonb_array_length(attempts) > 1) = %s": where.failed_over,
        }
        stated = {condition: value for condition, value in conditions.items() if value is not None}
        columns = ", ".join(f"{source} as {name}" for name, source in LINE_COLUMNS.items())
        query = (
            f"select {columns} from public.decisions where {' and '.join(stated)} "
            "order by created_at desc, id desc limit %s"
        )
        rows = await self._connections.all(_as_tenant_or_service(tenant_id), query, [*stated.values(), limit])
        return [line_from_row(row) for row in rows]

    async def traffic(self, tenant_id: str | None, *, since: datetime, until: datetime) -> Traffic:
        query = "select * from public.decision_traffic(%s, %s, %s)"
        scope = _as_tenant_or_service(tenant_id)
        rows = await self._connections.all(scope, query, [since, until, tenant_id])
        return traffic_from_row(rows[0]) if rows else Traffic()

    async def traffic_by_tenant(self, *, since: datetime, until: datetime) -> dict[str, Traffic]:
        query = "select * from public.decision_traffic_by_tenant(%s, %s)"
        rows = await self._connections.all(SERVICE, query, [since, until])
        return {str(row["user_id"]): traffic_from_row(row) for row in rows}

    async def recorded_traffic(self, tenant_id: str | None, *, since: datetime, limit: int) -> list[RecordedRequest]:
        query = (
            "select user_id, created_at, profile::text, demo from public.decisions where created_at >= %s "
            "order by created_at desc, id desc limit %s"
        )
        rows = await self._connections.all(_as_tenant_or_service(tenant_id), query, [since, limit])
        return await asyncio.to_thread(lambda: [request_from_row(row) for row in reversed(rows)])

    async def remove_demo_decisions(self, tenant_id: str) -> int:
        query = "delete from public.decisions where user_id = %s and demo"
        async with self._connections.transaction(SERVICE, limit_s=_APPEND_LIMIT_S) as connection:
            return (await connection.execute(query, [_uuid(tenant_id)])).rowcount

    # -- scenarios

    async def save_scenario(self, name: str, body: Mapping[str, Any]) -> SavedScenario:
        query = (
            "insert into public.scenarios (name, body) values (%s, %s::jsonb) "
            "on conflict (name) do update set body = excluded.body, updated_at = now() "
            f"returning {_SCENARIO}"
        )
        try:
            text = orjson.dumps(body).decode()
            return scenario_from_row(_found(await self._connections.one(SERVICE, query, [name, text])))
        except (psycopg.DataError, psycopg.IntegrityError, TypeError) as error:
            raise UnprocessableRequest(f"The scenario cannot be stored: {error}", param="name") from None

    async def scenarios(self) -> list[SavedScenario]:
        rows = await self._connections.all(SERVICE, f"select {_SCENARIO} from public.scenarios order by name")
        return [scenario_from_row(row) for row in rows]

    async def scenario(self, scenario_id: str) -> SavedScenario:
        query = f"select {_SCENARIO} from public.scenarios where id = %s"
        return scenario_from_row(_found(await self._connections.one(SERVICE, query, [_uuid(scenario_id)])))

    async def delete_scenario(self, scenario_id: str) -> None:
        query = "delete from public.scenarios where id = %s returning id"
        _found(await self._connections.one(SERVICE, query, [_uuid(scenario_id)]))

    # -- snapshots

    async def publish_snapshot(self, snapshot: PublishedSnapshot) -> None:
        worker = snapshot.id.rpartition("-")[0]
        async with self._connections.transaction(SERVICE) as connection:
            await connection.execute(
                "insert into public.published_snapshots (worker, id, created_at, payload) values (%s, %s, %s, %s) "
                "on conflict (worker) do update "
                "set id = excluded.id, created_at = excluded.created_at, payload = excluded.payload",
                [worker, snapshot.id, snapshot.created_at, snapshot.payload],
            )
            await connection.execute(
                "delete from public.published_snapshots where worker <> %s and created_at < %s",
                [worker, snapshot.created_at - _SNAPSHOT_KEPT],
            )

    async def latest_snapshot(self) -> PublishedSnapshot | None:
        query = "select id, created_at, payload from public.published_snapshots order by created_at desc limit 1"
        row = await self._connections.one(SERVICE, query)
        return None if row is None else snapshot_from_row(row)

    # -- changes

    async def listen(self, listener: ChangeListener) -> None:
        await deliver_changes(self._dsn, listener, self._clock)


def _not_found() -> NotFound:
    return NotFound("There is no such thing, or it is not yours.")


def _unknown_tier(tier: str | None) -> UnprocessableRequest:
    return UnprocessableRequest(f"tier must be one of {', '.join(TIERS)}; got {tier!r}.", param="tier")


def _found(row: DictRow | None) -> DictRow:
    if row is None:
        raise _not_found()
    return row


def _uuid(identifier: str) -> str:
    """The id, or `NotFound`: what is no id names nothing."""
    try:
        return str(uuid.UUID(identifier))
    except ValueError:
        raise _not_found() from None


def _as_tenant(tenant_id: str, *, actor: str = "") -> Scope:
    return tenant_scope(_uuid(tenant_id), actor=actor)


def _as_tenant_or_service(tenant_id: str | None) -> Scope:
    return SERVICE if tenant_id is None else _as_tenant(tenant_id)
