"""The store on any PostgreSQL 15 or newer, embedded, self-hosted or Supabase's.

What a tenant may see or change runs as that tenant (`authenticated` with its claims): row level security decides, not
this code. The router's own work runs as `service_role`.
"""

# ruff: noqa: S608 -- what is pasted into a query is this module's own lists of columns; values are always parameters

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import orjson
import psycopg

from freerelay_core.clock import Clock, id_time
from freerelay_core.errors import UnprocessableRequest
from freerelay_core.preference import RoutingPreference
from freerelay_core.store.base import ChangeListener
from freerelay_core.store.changes import deliver_changes
from freerelay_core.store.connection import SERVICE, Connections, Scope, tenant_scope
from freerelay_core.store.decision_rows import (
    DECISION_COLUMNS,
    LINE_COLUMNS,
    DecisionRow,
    decision_from_row,
    decisions_as_rows,
    line_from_row,
    rows_as_json,
)
from freerelay_core.store.gathering import Gathered
from freerelay_core.store.idempotency import Answered, IdempotencyKey
from freerelay_core.store.look_ahead import LookAhead
from freerelay_core.store.migrate import apply_schema
from freerelay_core.store.refusals import (
    address_taken,
    bad_budget,
    checked_id,
    found,
    graded_already,
    key_known,
    not_found,
    once_refusals,
    settings_changed,
    unknown_tier,
)
from freerelay_core.store.rows import (
    Row,
    answered_from_row,
    change_from_row,
    identity_from_row,
    key_from_row,
    lesson_from_row,
    lessons_as_rows,
    quota_used_from_rows,
    request_from_row,
    scenario_from_row,
    session_from_row,
    snapshot_from_row,
    spend_elsewhere_from_row,
    spend_from_row,
    tenant_from_row,
    traffic_from_row,
)
from freerelay_core.store.values import (
    DailySpend,
    DecisionFilter,
    DecisionLine,
    DecisionRecord,
    Identity,
    KeyInfo,
    Lesson,
    PublishedSnapshot,
    QuotaUse,
    RecordedRequest,
    SavedScenario,
    SettingsChange,
    SpendElsewhere,
    Tenant,
    Traffic,
)

__all__ = ["PostgresStore"]

_TENANT = "id, email, tier, routing_preference, allow_override, budget_usd, settings_version, updated_at"
_KEY = "id, user_id, name, prefix, created_at, last_used_at, expires_at, revoked_at"
_CHANGE = "user_id, field, old_value, new_value, actor, at"
_SCENARIO = "id, name, body::text, updated_at"
_DECISION = ", ".join(f"{name}::text" if kind == "jsonb" else name for name, kind in DECISION_COLUMNS.items())
_IDENTIFY_LIMIT_S = 0.9
"""Requests wait for this one, and hear within 1.2 s, all in all, that the database is away."""
_APPEND_LIMIT_S = 10.0


class PostgresStore:
    """`store.base.Store` on the database at `dsn`."""

    def __init__(self, dsn: str, *, clock: Clock, keep_decisions_days: int | None = None) -> None:
        """Decisions of older days are dropped where `keep_decisions_days` is given.

        Raises `ConfigurationError` for a connection string that cannot be read.
        """
        self._dsn = dsn
        self._clock = clock
        self._connections = Connections(dsn)
        self._identities = Gathered(self._identify_all)
        self._keep_decisions_days = keep_decisions_days
        self._partitions = LookAhead(self._renew_partitions, clock)

    async def open(self) -> None:
        await apply_schema(self._dsn)
        await self._connections.open()

    async def close(self) -> None:
        await self._connections.close()

    async def ping(self) -> None:
        await self._connections.one(SERVICE, "select 1")

    # -- tenants and keys

    async def identify(self, key_hash: str) -> Identity | None:
        return await self._identities.get(key_hash)

    async def _identify_all(self, key_hashes: Sequence[str]) -> dict[str, Identity]:
        query = "select asked, found.* from unnest(%s::text[]) asked, public.auth_context(asked) found"
        rows = await self._connections.all(SERVICE, query, [list(key_hashes)], limit_s=_IDENTIFY_LIMIT_S)
        return {row["asked"]: identity_from_row(row) for row in rows}

    async def tenant(self, tenant_id: str) -> Tenant:
        query = f"select {_TENANT} from public.users where id = %s"
        return tenant_from_row(found(await self._connections.one(_as_tenant(tenant_id), query, [tenant_id])))

    async def tenant_by_email(self, email: str) -> Tenant | None:
        query = f"select {_TENANT} from public.users where email = %s"
        row = await self._connections.one(SERVICE, query, [email])
        return None if row is None else tenant_from_row(row)

    async def create_tenant(self, email: str, *, tier: str, allow_override: bool) -> Tenant:
        query = f"insert into public.users (email, tier, allow_override) values (%s, %s, %s) returning {_TENANT}"
        try:
            row = await self._connections.one(SERVICE, query, [email, tier, allow_override])
        except psycopg.errors.UniqueViolation:
            raise address_taken(email) from None
        except psycopg.errors.CheckViolation:
            raise unknown_tier() from None
        return tenant_from_row(found(row))

    async def list_tenants(self) -> list[Tenant]:
        query = f"select {_TENANT} from public.users order by email"
        return [tenant_from_row(row) for row in await self._connections.all(SERVICE, query)]

    async def update_tenant(
        self, tenant_id: str, *, actor: str, tier: str | None = None, allow_override: bool | None = None
    ) -> Tenant:
        query = f"select {_TENANT} from public.update_tenant(%s, %s, %s, %s)"
        try:
            row = await self._connections.one(SERVICE, query, [checked_id(tenant_id), actor, tier, allow_override])
        except psycopg.errors.CheckViolation:
            raise unknown_tier() from None
        return tenant_from_row(found(row))

    async def set_budget(self, tenant_id: str, budget_usd: float | None, *, actor: str) -> Tenant:
        query = f"select {_TENANT} from public.set_budget(%s, %s, %s)"
        try:
            row = await self._connections.one(SERVICE, query, [checked_id(tenant_id), actor, budget_usd])
        except psycopg.errors.CheckViolation:
            raise bad_budget() from None
        return tenant_from_row(found(row))

    async def create_key(
        self, tenant_id: str, *, name: str, prefix: str, key_hash: str, expires_at: datetime | None = None
    ) -> KeyInfo:
        columns = "user_id, name, prefix, key_hash, expires_at"
        query = f"insert into public.api_keys ({columns}) values (%s, %s, %s, %s, %s) returning {_KEY}"
        try:
            row = await self._connections.one(
                SERVICE, query, [checked_id(tenant_id), name, prefix, key_hash, expires_at]
            )
        except psycopg.errors.ForeignKeyViolation:
            raise not_found() from None
        except psycopg.errors.UniqueViolation:
            raise key_known() from None
        return key_from_row(found(row))

    async def list_keys(self, tenant_id: str) -> list[KeyInfo]:
        query = f"select {_KEY} from public.api_keys order by created_at desc, id"
        return [key_from_row(row) for row in await self._connections.all(_as_tenant(tenant_id), query)]

    async def revoke_key(self, tenant_id: str, key_id: str) -> KeyInfo:
        query = (
            "update public.api_keys set revoked_at = coalesce(revoked_at, now()) "
            f"where id = %s and user_id = %s returning {_KEY}"
        )
        return key_from_row(
            found(await self._connections.one(SERVICE, query, [checked_id(key_id), checked_id(tenant_id)]))
        )

    async def rename_key(self, tenant_id: str, key_id: str, name: str) -> KeyInfo:
        query = f"update public.api_keys set name = %s where id = %s and user_id = %s returning {_KEY}"
        try:
            row = await self._connections.one(SERVICE, query, [name, checked_id(key_id), checked_id(tenant_id)])
        except psycopg.DataError as error:
            raise UnprocessableRequest(f"The label cannot be stored: {error}", param="name") from None
        return key_from_row(found(row))

    async def touch_keys(self, last_used: Mapping[str, datetime]) -> None:
        if not last_used:
            return
        uses = orjson.dumps([{"id": key_id, "at": at} for key_id, at in last_used.items()]).decode()
        await self._connections.one(SERVICE, "select public.touch_api_keys(%s::json)", [uses])

    # -- settings

    async def set_routing_preference(
        self, tenant_id: str, preference: RoutingPreference | None, *, actor: str, expected_version: int | None = None
    ) -> Tenant:
        update = (
            "update public.users set routing_preference = %(preference)s where id = %(id)s "
            f"and settings_version = coalesce(%(version)s::bigint, settings_version) returning {_TENANT}"
        )
        parameters = {"preference": preference and preference.value, "id": tenant_id, "version": expected_version}
        async with self._connections.transaction(_as_tenant(tenant_id, actor=actor)) as connection:
            row = await (await connection.execute(update, parameters)).fetchone()
            if row is None and expected_version is not None:
                query = "select settings_version from public.users where id = %s"
                present = found(await (await connection.execute(query, [tenant_id])).fetchone())
                raise settings_changed(present["settings_version"], expected_version)
        return tenant_from_row(found(row))

    async def set_routing_preference_once(
        self,
        tenant_id: str,
        preference: RoutingPreference | None,
        *,
        actor: str,
        expected_version: int | None = None,
        key: IdempotencyKey,
        answer: str,
    ) -> Answered:
        values = [checked_id(tenant_id), preference and preference.value, actor, expected_version]
        try:
            answered = await self._once("set_routing_preference_once(%s, %s, %s, %s, %s, %s, %s)", values, key, answer)
        except psycopg.DatabaseError as error:
            if error.sqlstate == "PT409":
                raise settings_changed(error.diag.message_detail or "another", expected_version) from None
            raise
        return answered_from_row(found(answered))

    async def _once(self, call: str, values: Sequence[object], key: IdempotencyKey, answer: str) -> Row | None:
        """What a function returns that writes once.

        It runs as the router, whom the audit names as the role: no tenant may say what is remembered.
        """
        try:
            values = [*values, key.key_hash, key.request_hash, answer]
            row = await self._connections.one(SERVICE, f"select public.{call} as answered", values)
        except psycopg.DatabaseError as error:
            if refusal := once_refusals().get(error.sqlstate or ""):
                raise refusal from None
            raise
        answered: Row | None = found(row)["answered"]
        return answered

    async def settings_history(self, tenant_id: str, *, limit: int = 50) -> list[SettingsChange]:
        query = f"select {_CHANGE} from public.settings_audit order by id desc limit %s"
        return [change_from_row(row) for row in await self._connections.all(_as_tenant(tenant_id), query, [limit])]

    # -- dashboard sessions

    async def create_session(
        self, session_hash: str, *, role: str, tenant_id: str | None, key_id: str | None, expires_at: datetime
    ) -> None:
        query = "select public.open_dashboard_session(%s, %s, %s, %s, %s)"
        try:
            await self._connections.one(SERVICE, query, [session_hash, role, tenant_id, key_id, expires_at])
        except psycopg.errors.ForeignKeyViolation:
            raise not_found() from None

    async def session(self, session_hash: str) -> Identity | None:
        row = await self._connections.one(SERVICE, "select * from public.dashboard_session(%s)", [session_hash])
        return None if row is None else session_from_row(row)

    async def end_session(self, session_hash: str) -> None:
        await self._connections.one(SERVICE, "select public.end_dashboard_session(%s)", [session_hash])

    # -- decisions

    async def append_decisions(self, records: Sequence[DecisionRecord]) -> None:
        await self.append_decision_rows(decisions_as_rows(records))

    async def append_decision_rows(self, rows: Sequence[DecisionRow]) -> None:
        if not rows:
            return
        await self._partitions.run()
        query = "select public.append_decisions(%s, %s)"
        try:
            await self._connections.one(SERVICE, query, rows_as_json(rows), limit_s=_APPEND_LIMIT_S)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise UnprocessableRequest(f"A decision cannot be stored: {error}") from error

    async def _renew_partitions(self) -> None:
        await self._connections.one(SERVICE, "select public.ensure_decision_partitions()")
        if self._keep_decisions_days is not None:
            query = "select public.drop_old_decisions(%s)"
            await self._connections.one(SERVICE, query, [self._keep_decisions_days], limit_s=_APPEND_LIMIT_S)
        await self._connections.one(SERVICE, "select public.forget_answers()")

    async def decision(self, tenant_id: str | None, decision_id: str) -> DecisionRecord:
        query = f"select {_DECISION} from public.decisions where created_at = %s and id = %s"
        decision_id = checked_id(decision_id)
        try:
            created_at = id_time(decision_id)
        except (ValueError, OverflowError):  # an id of another kind, with no time in it
            raise not_found() from None
        row = await self._connections.one(_as_tenant_or_service(tenant_id), query, [created_at, decision_id])
        return decision_from_row(found(row))

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
        return traffic_from_row(found(await self._connections.one(scope, query, [since, until, tenant_id])))

    async def traffic_by_tenant(self, *, since: datetime, until: datetime) -> dict[str, Traffic]:
        query = "select public.list_traffic_by_tenant(%s, %s) as rows"
        row = found(await self._connections.one(SERVICE, query, [since, until]))
        return {each["user_id"]: traffic_from_row(each) for each in row["rows"]}

    async def daily_spend(self, tenant_id: str | None, *, since: date) -> list[DailySpend]:
        query = (
            "select user_id as tenant_id, day, basis, sum(cost_usd) as cost_usd from public.spend where day >= %s "
            "group by user_id, day, basis order by user_id, day, basis"
        )
        rows = await self._connections.all(_as_tenant_or_service(tenant_id), query, [since])
        return [spend_from_row(row) for row in rows]

    async def spend_elsewhere(self, *, day: date, worker: str) -> SpendElsewhere:
        month = day.replace(day=1)
        query = "select public.spend_elsewhere(%s, %s, %s) as sums"
        row = found(await self._connections.one(SERVICE, query, [month, day, worker]))
        return spend_elsewhere_from_row(month, day, row["sums"])

    async def quota_used(self, endpoints: Sequence[str], *, since: datetime, until: datetime) -> dict[str, QuotaUse]:
        query = "select public.quota_used(%s, %s, %s) as used"
        row = found(await self._connections.one(SERVICE, query, [list(endpoints), since, until]))
        return quota_used_from_rows(row["used"])

    async def recorded_traffic(self, tenant_id: str | None, *, since: datetime, limit: int) -> list[RecordedRequest]:
        query = (
            "select user_id, created_at, profile::text, model, preference, preference_level, demo "
            "from public.decisions where created_at >= %s order by created_at desc, id desc limit %s"
        )
        rows = await self._connections.all(_as_tenant_or_service(tenant_id), query, [since, limit])
        return await asyncio.to_thread(lambda: [request_from_row(row) for row in reversed(rows)])

    async def remove_demo_decisions(self, tenant_id: str) -> int:
        query = "select public.remove_demo_decisions(%s) as removed"
        row = await self._connections.one(SERVICE, query, [checked_id(tenant_id)], limit_s=_APPEND_LIMIT_S)
        return int(found(row)["removed"])

    # -- scenarios

    async def save_scenario(self, name: str, body: Mapping[str, Any]) -> SavedScenario:
        query = (
            "insert into public.scenarios (name, body) values (%s, %s::jsonb) "
            "on conflict (name) do update set body = excluded.body, updated_at = now() "
            f"returning {_SCENARIO}"
        )
        try:
            text = orjson.dumps(body).decode()
            return scenario_from_row(found(await self._connections.one(SERVICE, query, [name, text])))
        except (psycopg.DataError, psycopg.IntegrityError, TypeError) as error:
            raise UnprocessableRequest(f"The scenario cannot be stored: {error}", param="name") from None

    async def scenarios(self) -> list[SavedScenario]:
        rows = await self._connections.all(SERVICE, f"select {_SCENARIO} from public.scenarios order by name")
        return [scenario_from_row(row) for row in rows]

    async def scenario(self, scenario_id: str) -> SavedScenario:
        query = f"select {_SCENARIO} from public.scenarios where id = %s"
        return scenario_from_row(found(await self._connections.one(SERVICE, query, [checked_id(scenario_id)])))

    async def delete_scenario(self, scenario_id: str) -> None:
        query = "delete from public.scenarios where id = %s returning id"
        found(await self._connections.one(SERVICE, query, [checked_id(scenario_id)]))

    # -- snapshots

    async def publish_snapshot(self, snapshot: PublishedSnapshot) -> None:
        worker = snapshot.id.rpartition("-")[0]
        values = [worker, snapshot.id, snapshot.created_at, snapshot.payload]
        await self._connections.one(SERVICE, "select public.publish_snapshot(%s, %s, %s, %s)", values)

    async def latest_snapshot(self) -> PublishedSnapshot | None:
        query = "select id, created_at, payload from public.published_snapshots order by created_at desc limit 1"
        row = await self._connections.one(SERVICE, query)
        return None if row is None else snapshot_from_row(row)

    # -- what outcomes taught

    async def add_feedback(self, tenant_id: str, decision_id: str, score: float) -> None:
        values = [checked_id(tenant_id), checked_id(decision_id), score]
        row = await self._connections.one(SERVICE, "select public.add_feedback(%s, %s, %s) as added", values)
        if not found(row)["added"]:
            raise graded_already()

    async def add_feedback_once(
        self, tenant_id: str, decision_id: str, score: float, *, key: IdempotencyKey, answer: str
    ) -> Answered:
        values = [checked_id(tenant_id), checked_id(decision_id), score]
        answered = await self._once("add_feedback_once(%s, %s, %s, %s, %s, %s)", values, key, answer)
        if answered is None:
            raise graded_already()
        return answered_from_row(answered)

    async def add_lessons(self, lessons: Sequence[Lesson]) -> list[Lesson]:
        values = [orjson.dumps(lessons_as_rows(lessons)).decode()]
        row = await self._connections.one(SERVICE, "select public.add_lessons(%s::json)::text as rows", values)
        return [lesson_from_row(each) for each in orjson.loads(found(row)["rows"])]

    async def lessons(self) -> list[Lesson]:
        row = await self._connections.one(SERVICE, "select public.list_lessons()::text as rows")
        return [lesson_from_row(each) for each in orjson.loads(found(row)["rows"])]

    # -- changes

    async def listen(self, listener: ChangeListener) -> None:
        await deliver_changes(self._dsn, listener, self._clock)


def _as_tenant(tenant_id: str, *, actor: str = "") -> Scope:
    return tenant_scope(checked_id(tenant_id), actor=actor)


def _as_tenant_or_service(tenant_id: str | None) -> Scope:
    return SERVICE if tenant_id is None else _as_tenant(tenant_id)
