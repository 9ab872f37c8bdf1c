"""The store on a Supabase project, over its REST interface (PostgREST): no PostgreSQL connection is needed.

Requests carry the project's secret key and so run as `service_role`, which row level security does not hold back: here,
unlike in `postgres.PostgresStore`, it is this code that names the tenant in every question about a tenant's rows.

Addresses and digests travel in bodies only: URLs end up in the logs of gateways. Lists that may be longer than the
project's limit of rows (1,000 unless changed) come from functions, each as one JSON value.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from freerelay_core.clock import Clock, id_time
from freerelay_core.errors import ConfigurationError
from freerelay_core.preference import RoutingPreference
from freerelay_core.store.base import ChangeListener
from freerelay_core.store.decision_rows import (
    DECISION_COLUMNS,
    DecisionRow,
    decision_from_row,
    decisions_as_rows,
    line_from_row,
    rows_as_json,
)
from freerelay_core.store.idempotency import Answered, IdempotencyKey
from freerelay_core.store.look_ahead import LookAhead
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
from freerelay_core.store.supabase_changes import poll_changes
from freerelay_core.store.supabase_wire import Misconfigured, Row, SettingsConflict, SupabaseWire
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

__all__ = ["SCHEMA_VERSION", "SupabaseStore"]

SCHEMA_VERSION = 6
"""Which `schema_version()` of `supabase_schema.sql` this module needs, or a later one."""

_TENANT = "id,email,tier,routing_preference,allow_override,budget_usd,settings_version,updated_at"
_KEY = "id,user_id,name,prefix,created_at,last_used_at,expires_at,revoked_at"
_CHANGE = "user_id,field,old_value,new_value,actor,at"
_SCENARIO = "id,name,body,updated_at"
_DECISION = ",".join(DECISION_COLUMNS)

_NOW = "now"
"""PostgreSQL reads it as the present moment, by its own clock."""

_IDENTIFY_LIMIT_S = 1.0
"""Requests wait for this one."""
_APPEND_LIMIT_S = 10.0
_CHUNK = 500
"""Decisions asked for at once: read in about 10 ms, between requests."""


class SupabaseStore:
    """`store.base.Store` on the project at `url`. Make it where an event loop runs."""

    def __init__(self, url: str, secret_key: str, *, clock: Clock, keep_decisions_days: int | None = None) -> None:
        """Decisions of older days are dropped where `keep_decisions_days` is given."""
        self._wire = SupabaseWire(url, secret_key)
        self._clock = clock
        self._keep_decisions_days = keep_decisions_days
        self._partitions = LookAhead(self._renew_partitions, clock)

    async def open(self) -> None:
        """Make sure that the project is there and has the schema, which cannot be applied over HTTP.

        Raises `ConfigurationError` that says what to do, `StoreUnavailable` when the project does not answer.
        """
        try:
            if await self._wire.value("schema_version") < SCHEMA_VERSION:
                raise Misconfigured.schema()
        except Misconfigured as error:
            raise ConfigurationError(error.advice, param="SUPABASE_URL") from error

    async def close(self) -> None:
        await self._wire.close()

    async def ping(self) -> None:
        await self._wire.value("schema_version")

    # -- tenants and keys

    async def identify(self, key_hash: str) -> Identity | None:
        query = self._wire.function("auth_context", key_hash=key_hash)
        row = await self._wire.first(query, limit_s=_IDENTIFY_LIMIT_S)
        return None if row is None else identity_from_row(row)

    async def tenant(self, tenant_id: str) -> Tenant:
        query = self._wire.table("users").select(_TENANT).eq("id", checked_id(tenant_id))
        return tenant_from_row(found(await self._wire.first(query)))

    async def tenant_by_email(self, email: str) -> Tenant | None:
        row = await self._wire.first(self._wire.function("find_tenant", email=email))
        return None if row is None else tenant_from_row(row)

    async def create_tenant(self, email: str, *, tier: str, allow_override: bool) -> Tenant:
        values = {"email": email, "tier": tier, "allow_override": allow_override}
        query = self._wire.table("users").insert(values).select(_TENANT)
        refusals = {"23505": address_taken(email), "23514": unknown_tier()}
        return tenant_from_row(found(await self._wire.first(query, refusals=refusals)))

    async def list_tenants(self) -> list[Tenant]:
        return [tenant_from_row(row) for row in await self._wire.value("list_tenants")]

    async def update_tenant(
        self, tenant_id: str, *, actor: str, tier: str | None = None, allow_override: bool | None = None
    ) -> Tenant:
        query = self._wire.function(
            "update_tenant", user_id=checked_id(tenant_id), actor=actor, tier=tier, allow_override=allow_override
        )
        return tenant_from_row(found(await self._wire.first(query, refusals={"23514": unknown_tier()})))

    async def set_budget(self, tenant_id: str, budget_usd: float | None, *, actor: str) -> Tenant:
        query = self._wire.function("set_budget", user_id=checked_id(tenant_id), actor=actor, budget_usd=budget_usd)
        return tenant_from_row(found(await self._wire.first(query, refusals={"23514": bad_budget()})))

    async def create_key(
        self, tenant_id: str, *, name: str, prefix: str, key_hash: str, expires_at: datetime | None = None
    ) -> KeyInfo:
        values = {"name": name, "prefix": prefix, "key_hash": key_hash, "expires_at": expires_at}
        query = self._wire.table("api_keys").insert({"user_id": checked_id(tenant_id), **values}).select(_KEY)
        refusals = {"23503": not_found(), "23505": key_known()}
        return key_from_row(found(await self._wire.first(query, refusals=refusals)))

    async def list_keys(self, tenant_id: str) -> list[KeyInfo]:
        query = self._wire.table("api_keys").select(_KEY).eq("user_id", checked_id(tenant_id))
        rows = await self._wire.rows(query.order("created_at", desc=True).order("id"))
        return [key_from_row(row) for row in rows]

    async def revoke_key(self, tenant_id: str, key_id: str) -> KeyInfo:
        whose = {"id": checked_id(key_id), "user_id": checked_id(tenant_id)}
        api_keys = self._wire.table("api_keys")
        live = api_keys.update({"revoked_at": _NOW}).match(whose).is_("revoked_at", "null").select(_KEY)
        row = await self._wire.first(live) or await self._wire.first(api_keys.select(_KEY).match(whose))
        return key_from_row(found(row))

    async def rename_key(self, tenant_id: str, key_id: str, name: str) -> KeyInfo:
        whose = {"id": checked_id(key_id), "user_id": checked_id(tenant_id)}
        query = self._wire.table("api_keys").update({"name": name}).match(whose).select(_KEY)
        return key_from_row(found(await self._wire.first(query)))

    async def touch_keys(self, last_used: Mapping[str, datetime]) -> None:
        if last_used:
            uses = [{"id": key_id, "at": at} for key_id, at in last_used.items()]
            await self._wire.value("touch_api_keys", uses=uses)

    # -- settings

    async def set_routing_preference(
        self, tenant_id: str, preference: RoutingPreference | None, *, actor: str, expected_version: int | None = None
    ) -> Tenant:
        query = self._wire.function(
            "set_routing_preference",
            user_id=checked_id(tenant_id),
            preference=preference and preference.value,
            actor=actor,
            expected_version=expected_version,
        )
        try:
            return tenant_from_row(found(await self._wire.first(query)))
        except SettingsConflict as conflict:
            raise settings_changed(conflict.present, expected_version) from None

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
        try:
            answered = await self._once(
                "set_routing_preference_once",
                key,
                answer,
                user_id=checked_id(tenant_id),
                preference=preference and preference.value,
                actor=actor,
                expected_version=expected_version,
            )
        except SettingsConflict as conflict:
            raise settings_changed(conflict.present, expected_version) from None
        return answered_from_row(found(answered))

    async def _once(self, function: str, key: IdempotencyKey, answer: str, **parameters: Any) -> Row | None:
        """What a function returns that writes once."""
        query = self._wire.function(
            function, **parameters, key_hash=key.key_hash, request_hash=key.request_hash, answer=answer
        )
        answered: Row | None = (await self._wire.send(query, refusals=once_refusals())).data  # type: ignore[assignment]
        return answered

    async def settings_history(self, tenant_id: str, *, limit: int = 50) -> list[SettingsChange]:
        query = self._wire.table("settings_audit").select(_CHANGE).eq("user_id", checked_id(tenant_id))
        return [change_from_row(row) for row in await self._wire.rows(query.order("id", desc=True).limit(limit))]

    # -- dashboard sessions

    async def create_session(
        self, session_hash: str, *, role: str, tenant_id: str | None, key_id: str | None, expires_at: datetime
    ) -> None:
        query = self._wire.function(
            "open_dashboard_session",
            session_hash=session_hash,
            role=role,
            user_id=tenant_id,
            key_id=key_id,
            expires_at=expires_at,
        )
        await self._wire.send(query, refusals={"23503": not_found()})

    async def session(self, session_hash: str) -> Identity | None:
        row = await self._wire.first(self._wire.function("dashboard_session", session_hash=session_hash))
        return None if row is None else session_from_row(row)

    async def end_session(self, session_hash: str) -> None:
        await self._wire.value("end_dashboard_session", session_hash=session_hash)

    # -- decisions

    async def append_decisions(self, records: Sequence[DecisionRecord]) -> None:
        await self.append_decision_rows(decisions_as_rows(records))

    async def append_decision_rows(self, rows: Sequence[DecisionRow]) -> None:
        if not rows:
            return
        await self._partitions.run()
        shared, records = rows_as_json(rows)
        await self._wire.value("append_decisions", shared=shared, records=records, limit_s=_APPEND_LIMIT_S)

    async def _renew_partitions(self) -> None:
        await self._wire.value("ensure_decision_partitions")
        if self._keep_decisions_days is not None:
            days = self._keep_decisions_days
            await self._wire.value("drop_old_decisions", keep_days=days, limit_s=_APPEND_LIMIT_S)
        await self._wire.value("forget_answers")

    async def decision(self, tenant_id: str | None, decision_id: str) -> DecisionRecord:
        decision_id = checked_id(decision_id)
        try:
            created_at = id_time(decision_id)
        except (ValueError, OverflowError):  # an id of another kind, with no time in it
            raise not_found() from None
        which = {"created_at": created_at.isoformat(), "id": decision_id}
        if tenant_id is not None:
            which["user_id"] = checked_id(tenant_id)
        query = self._wire.table("decisions").select(_DECISION).match(which)
        return decision_from_row(found(await self._wire.first(query)))

    async def recent_decisions(self, tenant_id: str | None, *, since: datetime, limit: int) -> list[DecisionRecord]:
        rows = self._newest_first("list_decisions", tenant_id, since, limit)
        return [decision_from_row(row) async for row in rows]

    async def decision_lines(self, tenant_id: str | None, where: DecisionFilter, *, limit: int) -> list[DecisionLine]:
        rows = await self._wire.value(
            "list_decision_lines",
            user_id=_id_or_all(tenant_id),
            since=where.since,
            until=where.until,
            endpoint=where.endpoint,
            family=where.family,
            failed=where.failed,
            failed_over=where.failed_over,
            limit=limit,
        )
        return [line_from_row(row) for row in rows]

    async def traffic(self, tenant_id: str | None, *, since: datetime, until: datetime) -> Traffic:
        query = self._wire.function("decision_traffic", since=since, until=until, user_id=_id_or_all(tenant_id))
        return traffic_from_row(found(await self._wire.first(query)))

    async def traffic_by_tenant(self, *, since: datetime, until: datetime) -> dict[str, Traffic]:
        rows = await self._wire.value("list_traffic_by_tenant", since=since, until=until)
        return {row["user_id"]: traffic_from_row(row) for row in rows}

    async def daily_spend(self, tenant_id: str | None, *, since: date) -> list[DailySpend]:
        rows = await self._wire.value("daily_spend", user_id=_id_or_all(tenant_id), since=since)
        return [spend_from_row(row) for row in rows]

    async def spend_elsewhere(self, *, day: date, worker: str) -> SpendElsewhere:
        month = day.replace(day=1)
        sums = await self._wire.value("spend_elsewhere", month=month, today=day, worker=worker)
        return spend_elsewhere_from_row(month, day, sums)

    async def quota_used(self, endpoints: Sequence[str], *, since: datetime, until: datetime) -> dict[str, QuotaUse]:
        names = list(endpoints)
        return quota_used_from_rows(await self._wire.value("quota_used", endpoints=names, since=since, until=until))

    async def recorded_traffic(self, tenant_id: str | None, *, since: datetime, limit: int) -> list[RecordedRequest]:
        rows = self._newest_first("list_recorded_requests", tenant_id, since, limit)
        requests = [request_from_row(row) async for row in rows]
        requests.reverse()
        return requests

    async def remove_demo_decisions(self, tenant_id: str) -> int:
        user_id = checked_id(tenant_id)
        return int(await self._wire.value("remove_demo_decisions", user_id=user_id, limit_s=_APPEND_LIMIT_S))

    async def _newest_first(
        self, function: str, tenant_id: str | None, since: datetime, limit: int
    ) -> AsyncIterator[Row]:
        """Decisions before those that came already, until `limit` or the last."""
        last: Row = {"created_at": None, "id": None}
        while limit > 0:
            wanted = min(limit, _CHUNK)
            rows = await self._wire.value(
                function,
                user_id=_id_or_all(tenant_id),
                since=since,
                before=last["created_at"],
                before_id=last["id"],
                limit=wanted,
            )
            for row in rows:
                yield row
            if len(rows) < wanted:
                return
            last, limit = rows[-1], limit - wanted

    # -- scenarios

    async def save_scenario(self, name: str, body: Mapping[str, Any]) -> SavedScenario:
        values = {"name": name, "body": body, "updated_at": _NOW}
        query = self._wire.table("scenarios").upsert(values, on_conflict="name").select(_SCENARIO)
        return scenario_from_row(found(await self._wire.first(query)))

    async def scenarios(self) -> list[SavedScenario]:
        rows = await self._wire.rows(self._wire.table("scenarios").select(_SCENARIO).order("name"))
        return [scenario_from_row(row) for row in rows]

    async def scenario(self, scenario_id: str) -> SavedScenario:
        query = self._wire.table("scenarios").select(_SCENARIO).eq("id", checked_id(scenario_id))
        return scenario_from_row(found(await self._wire.first(query)))

    async def delete_scenario(self, scenario_id: str) -> None:
        query = self._wire.table("scenarios").delete().eq("id", checked_id(scenario_id)).select("id")
        found(await self._wire.first(query))

    # -- snapshots

    async def publish_snapshot(self, snapshot: PublishedSnapshot) -> None:
        await self._wire.value(
            "publish_snapshot",
            worker=snapshot.id.rpartition("-")[0],
            id=snapshot.id,
            created_at=snapshot.created_at,
            payload=snapshot.payload,
        )

    async def latest_snapshot(self) -> PublishedSnapshot | None:
        query = self._wire.table("published_snapshots").select("id,created_at,payload")
        row = await self._wire.first(query.order("created_at", desc=True).limit(1))
        return None if row is None else snapshot_from_row(row)

    # -- what outcomes taught

    async def add_feedback(self, tenant_id: str, decision_id: str, score: float) -> None:
        user_id, decision_id = checked_id(tenant_id), checked_id(decision_id)
        if not await self._wire.value("add_feedback", user_id=user_id, decision_id=decision_id, score=score):
            raise graded_already()

    async def add_feedback_once(
        self, tenant_id: str, decision_id: str, score: float, *, key: IdempotencyKey, answer: str
    ) -> Answered:
        user_id, decision_id = checked_id(tenant_id), checked_id(decision_id)
        answered = await self._once(
            "add_feedback_once", key, answer, user_id=user_id, decision_id=decision_id, score=score
        )
        if answered is None:
            raise graded_already()
        return answered_from_row(answered)

    async def add_lessons(self, lessons: Sequence[Lesson]) -> list[Lesson]:
        rows = await self._wire.value("add_lessons", lessons=lessons_as_rows(lessons))
        return [lesson_from_row(row) for row in rows]

    async def lessons(self) -> list[Lesson]:
        return [lesson_from_row(row) for row in await self._wire.value("list_lessons")]

    # -- changes

    async def listen(self, listener: ChangeListener) -> None:
        await poll_changes(lambda cursor: self._wire.value("changes_since", cursor=cursor), listener, self._clock)


def _id_or_all(tenant_id: str | None) -> str | None:
    return None if tenant_id is None else checked_id(tenant_id)
