"""What the router needs of a store.

One async interface, on any PostgreSQL (`postgres.PostgresStore`) and on a Supabase project over HTTP
(`supabase.SupabaseStore`). Every method raises `StoreUnavailable` when the database does not answer in time, and never
answers "not found" for that reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol

from freerelay_core.preference import RoutingPreference
from freerelay_core.store.decision_rows import DecisionRow
from freerelay_core.store.idempotency import Answered, IdempotencyKey
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

__all__ = ["ChangeListener", "Store"]


class ChangeListener(Protocol):
    """Told about changes made by any worker."""

    def settings_changed(self, tenant_id: str, settings_version: int) -> None:
        """A tenant's row has this version now."""

    def key_changed(self, key_hash: str) -> None:
        """A key was revoked, removed or given another expiry."""

    def reconnected(self) -> None:
        """Notifications may have been missed: nothing cached can be trusted as fresh."""


class Store(Protocol):
    """Tenants, keys, settings, sessions and the decision log."""

    async def open(self) -> None:
        """Connect, and apply the schema or make sure that it is there. Raises `ConfigurationError`."""

    async def close(self) -> None:
        """Release every connection."""

    async def ping(self) -> None:
        """Return when the database answers."""

    # -- tenants and keys
    async def identify(self, key_hash: str) -> Identity | None:
        """The tenant identity behind the SHA-256 hex digest of a live key; None when unknown, revoked or expired."""

    async def tenant(self, tenant_id: str) -> Tenant:
        """The tenant's row. Raises `NotFound`."""

    async def tenant_by_email(self, email: str) -> Tenant | None:
        """The tenant with this address, if any."""

    async def create_tenant(self, email: str, *, tier: str, allow_override: bool) -> Tenant:
        """A new tenant. Raises `Conflict` when the address is taken, `UnprocessableRequest` for an unknown tier."""

    async def list_tenants(self) -> list[Tenant]:
        """Every tenant, by address. For operators only."""

    async def update_tenant(
        self, tenant_id: str, *, actor: str, tier: str | None = None, allow_override: bool | None = None
    ) -> Tenant:
        """Change what only an operator may, with its audit row. Raises `NotFound`, `UnprocessableRequest`."""

    async def set_budget(self, tenant_id: str, budget_usd: float | None, *, actor: str) -> Tenant:
        """Set USD a calendar month (UTC), None for no budget, with its audit row. For operators only.

        Raises `NotFound`, and `UnprocessableRequest` for what is below 0 or above `LARGEST_BUDGET_USD`.
        """

    async def create_key(
        self, tenant_id: str, *, name: str, prefix: str, key_hash: str, expires_at: datetime | None = None
    ) -> KeyInfo:
        """Store a key's digest. Raises `NotFound` for an unknown tenant, `Conflict` when the digest is known."""

    async def list_keys(self, tenant_id: str) -> list[KeyInfo]:
        """The tenant's keys, revoked ones too, newest first."""

    async def revoke_key(self, tenant_id: str, key_id: str) -> KeyInfo:
        """End a key and every session opened with it. Raises `NotFound` when it is not this tenant's."""

    async def rename_key(self, tenant_id: str, key_id: str, name: str) -> KeyInfo:
        """Give a key another label. Raises `NotFound` when it is not this tenant's, `UnprocessableRequest`."""

    async def touch_keys(self, last_used: Mapping[str, datetime]) -> None:
        """Note when keys (by id) were last used. An earlier time than the one on record changes nothing."""

    # -- settings
    async def set_routing_preference(
        self, tenant_id: str, preference: RoutingPreference | None, *, actor: str, expected_version: int | None = None
    ) -> Tenant:
        """Change the preference and write its audit row, in one transaction.

        None takes the choice back: the tenant then never chose, and the default is in force.
        Raises `NotFound` when no row matches, `Conflict` when `expected_version` is given and is not the row's.
        """

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
        """`set_routing_preference`, unless it was made with this key within 24 hours: then what that was answered.

        `answer` is kept in the same transaction. It is JSON in which the texts "@settings_version" and "@updated_at"
        stand for what the change brings about. What is refused is not kept, and may be tried again.
        Raises `UnprocessableRequest` where the key was used for another request, `Conflict` while it is in use.
        """

    async def settings_history(self, tenant_id: str, *, limit: int = 50) -> list[SettingsChange]:
        """The tenant's audited changes, newest first."""

    # -- dashboard sessions
    async def create_session(
        self, session_hash: str, *, role: str, tenant_id: str | None, key_id: str | None, expires_at: datetime
    ) -> None:
        """Remember a signed-in browser by the digest of its session id."""

    async def session(self, session_hash: str) -> Identity | None:
        """Who a live session belongs to; None when unknown, expired, or its key is revoked."""

    async def end_session(self, session_hash: str) -> None:
        """Sign out. Ending an unknown session is no error."""

    # -- decisions and snapshots
    async def append_decisions(self, records: Sequence[DecisionRecord]) -> None:
        """Write a batch of decisions. A record written before is left as it is, so a batch may be sent again.

        Raises `UnprocessableRequest`, and writes none of them, when a record holds what the store cannot keep.
        """

    async def append_decision_rows(self, rows: Sequence[DecisionRow]) -> None:
        """`append_decisions` for decisions that are rows already."""

    async def decision(self, tenant_id: str | None, decision_id: str) -> DecisionRecord:
        """One decision of this tenant (of any tenant when None: operators only). Raises `NotFound`."""

    async def recent_decisions(self, tenant_id: str | None, *, since: datetime, limit: int) -> list[DecisionRecord]:
        """Decisions since `since`, newest first."""

    async def decision_lines(self, tenant_id: str | None, where: DecisionFilter, *, limit: int) -> list[DecisionLine]:
        """Decisions as a list shows them, newest first; of every tenant when None (operators only)."""

    async def traffic(self, tenant_id: str | None, *, since: datetime, until: datetime) -> Traffic:
        """Sums over the decisions of this tenant, of all when None (operators only)."""

    async def traffic_by_tenant(self, *, since: datetime, until: datetime) -> dict[str, Traffic]:
        """The same for each tenant that had any, by its id. For operators only."""

    async def daily_spend(self, tenant_id: str | None, *, since: date) -> list[DailySpend]:
        """What this tenant's decisions have cost, day by day; each tenant's when None (operators only)."""

    async def spend_elsewhere(self, *, day: date, worker: str) -> SpendElsewhere:
        """What the decisions of all workers but this one have cost in the month of `day`, and on that day."""

    async def quota_used(self, endpoints: Sequence[str], *, since: datetime, until: datetime) -> dict[str, QuotaUse]:
        """What these endpoints answered from `since` until before `until`; those that were not asked are missing."""

    async def recorded_traffic(self, tenant_id: str | None, *, since: datetime, limit: int) -> list[RecordedRequest]:
        """The newest decisions since `since`, in order of time; of every tenant when None (operators only)."""

    async def remove_demo_decisions(self, tenant_id: str) -> int:
        """Delete this tenant's generated decisions; how many there were. Real ones are never touched."""

    # -- scenarios (operators only)
    async def save_scenario(self, name: str, body: Mapping[str, Any]) -> SavedScenario:
        """Keep a scenario by its name, in place of one that had it. Raises `UnprocessableRequest`."""

    async def scenarios(self) -> list[SavedScenario]:
        """Every kept scenario, by name."""

    async def scenario(self, scenario_id: str) -> SavedScenario:
        """Raises `NotFound`."""

    async def delete_scenario(self, scenario_id: str) -> None:
        """Raises `NotFound`."""

    async def publish_snapshot(self, snapshot: PublishedSnapshot) -> None:
        """Replace the snapshot that this worker published before (id: `<worker>-<number>`)."""

    async def latest_snapshot(self) -> PublishedSnapshot | None:
        """The newest published snapshot."""

    # -- what outcomes taught
    async def add_feedback(self, tenant_id: str, decision_id: str, score: float) -> None:
        """Keep a tenant's grade (0 to 1) of its decision. Raises `Conflict` where it has one already."""

    async def add_feedback_once(
        self, tenant_id: str, decision_id: str, score: float, *, key: IdempotencyKey, answer: str
    ) -> Answered:
        """`add_feedback`, with a key as in `set_routing_preference_once`; `answer` is kept as it is."""

    async def add_lessons(self, lessons: Sequence[Lesson]) -> list[Lesson]:
        """Add sums to those in the store, which are older. Returns what any worker added to in the last minute."""

    async def lessons(self) -> list[Lesson]:
        """All there are."""

    # -- changes
    async def listen(self, listener: ChangeListener) -> None:
        """Deliver changes to `listener` until cancelled, reconnecting on its own (`listener.reconnected` each time)."""
