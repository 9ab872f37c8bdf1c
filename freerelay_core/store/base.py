"""What the router needs of a store, and the values that pass through it.

One async interface, on any PostgreSQL (`postgres.PostgresStore`) and on a Supabase project over HTTP
(`supabase.SupabaseStore`). Every method raises `StoreUnavailable` when the database does not answer in time, and never
answers "not found" for that reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from freerelay_core.preference import EffectivePreference, RoutingPreference

__all__ = [
    "TIERS",
    "ChangeListener",
    "DecisionFilter",
    "DecisionLine",
    "DecisionRecord",
    "Identity",
    "KeyInfo",
    "Lesson",
    "LoggedRanking",
    "Outcome",
    "PublishedSnapshot",
    "RecordedRequest",
    "SavedScenario",
    "SettingsChange",
    "Store",
    "Tenant",
    "Traffic",
]

TIERS = ("free", "bronze", "silver", "gold")
"""Tiers of a tenant, as the CHECK constraint of `supabase_schema.sql` lists them (a test compares the two)."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer: a row of `users`."""

    id: str
    email: str
    tier: str
    routing_preference: RoutingPreference | None
    """None where the tenant never chose; then the default is in force."""
    allow_override: bool
    """Whether a request may override the preference (`X-FreeRelay-Preference`)."""
    settings_version: int
    """Grows by one with each change of preference, tier or `allow_override`."""
    updated_at: datetime
    """When `settings_version` last grew."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling: a tenant through one of its keys, or the operator (then `tenant` and `key_id` are None)."""

    role: str
    tenant: Tenant | None
    key_id: str | None = None
    expires_at: datetime | None = None
    """When the key or session ends by itself; None where it does not."""

    @property
    def is_operator(self) -> bool:
        return self.role == "operator"


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """An API key as it may be shown: never the secret or its hash."""

    id: str
    tenant_id: str
    name: str
    prefix: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """One audited change of a tenant's settings."""

    tenant_id: str
    field: str
    old_value: str | None
    new_value: str | None
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to a decided request. Times in seconds, cost in USD; None where it was never observed."""

    endpoint: str | None
    """The endpoint that answered, or None when every attempt failed."""
    status: int
    attempts: tuple[Mapping[str, Any], ...]
    """Each try in order: `{endpoint, status, error, first_token_s, duration_s}`; a hedge with `hedge_after_s`, and of a
    hedged request each that costs something with `{cost_usd, cost_estimated}`, which `cost_usd` below sums up."""
    first_token_s: float | None
    duration_s: float
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    cost_usd: float | None
    usage_estimated: bool
    basis: str
    """`measured` for a real endpoint, `simulated` for a simulated one."""
    schema_pass: bool | None = None
    """Whether the answer kept the output contract; None where there was none, or nothing to check."""


@dataclass(frozen=True, slots=True)
class LoggedRanking:
    """The ranking as columns, best first: rows would cost a live request several times as much."""

    endpoint: Sequence[str] = ()
    cost_usd: Sequence[float] = ()
    latency_p50_s: Sequence[float] = ()
    latency_p95_s: Sequence[float] = ()
    log_utility: Sequence[float] = ()
    """ln U as the router had it, so that a repetition can be compared; empty where an older release wrote none."""


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A logged decision with its outcome. No prompt text.

    `created_at` is the time inside the id (`clock.id_time`): the store finds a decision's day by its id alone.
    `log_factors` holds ln f by factor, columns over the ranking: with `exponents` and the cost, which decides ties, it
    is all that is needed to repeat the decision to the last bit (`decision.replay`).
    """

    id: str
    tenant_id: str
    created_at: datetime
    request_id: str
    model: str
    snapshot_id: str
    preference: EffectivePreference
    profile: Mapping[str, Any]
    exponents: Mapping[str, float]
    log_factors: Mapping[str, Sequence[float]]
    ranking: LoggedRanking
    excluded: tuple[Mapping[str, str], ...]
    rules: tuple[str, ...]
    outcome: Outcome
    actions: tuple[Mapping[str, Any], ...] = ()
    """What the rules asked: `{rule, action, value}` each, a requirement with `{fallback, dropped}` too."""
    demo: bool = False
    """Generated for a first look; never real traffic."""


@dataclass(frozen=True, slots=True)
class DecisionLine:
    """A logged decision as a list shows it; `DecisionRecord` has the rest."""

    id: str
    tenant_id: str
    created_at: datetime
    model: str
    family: str
    preference: str
    endpoint: str | None
    status: int
    attempts: int
    first_token_s: float | None
    duration_s: float
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    basis: str
    demo: bool


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions a list shows; None leaves a column open."""

    since: datetime
    until: datetime | None = None
    endpoint: str | None = None
    family: str | None = None
    failed: bool | None = None
    """Status 400 or above."""
    failed_over: bool | None = None
    """More than one attempt."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """A tenant's decisions over some time, or those of all. Times in s over answered requests, cost in USD."""

    requests: int = 0
    demo: int = 0
    """Of them generated for a first look."""
    failed: int = 0
    failed_over: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    simulated: int = 0
    """Of them answered by a simulated endpoint."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """What a replay needs of a logged decision."""

    tenant_id: str
    created_at: datetime
    profile: Mapping[str, Any]
    demo: bool


@dataclass(frozen=True, slots=True)
class Lesson:
    """What outcomes have taught about an endpoint (or all: `*`): sums in which each older outcome counts less."""

    kind: str
    scope: str
    """What it is kept by beside the endpoint: a task family, an output contract, a tenant, or nothing."""
    endpoint: str
    simulated: bool
    """Taught by a simulated endpoint; a real one of the same name learns nothing from it."""
    outcomes: int
    """How many outcomes went in."""
    decay: float
    """What each outcome leaves of the older ones."""
    weight: float
    """How many the sums stand for: the sum of 1 for each, weighted."""
    total: float
    expected: float


@dataclass(frozen=True, slots=True)
class SavedScenario:
    """An operator's scenario, kept by name. `body` is what `simulation.Scenario` reads."""

    id: str
    name: str
    body: Mapping[str, Any]
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PublishedSnapshot:
    """A snapshot that a worker left in the store for simulators in other processes; `id` is `<worker>-<number>`."""

    id: str
    created_at: datetime
    payload: bytes


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

    async def add_lessons(self, lessons: Sequence[Lesson]) -> list[Lesson]:
        """Add sums to those in the store, which are older. Returns what any worker added to in the last minute."""

    async def lessons(self) -> list[Lesson]:
        """All there are."""

    # -- changes
    async def listen(self, listener: ChangeListener) -> None:
        """Deliver changes to `listener` until cancelled, reconnecting on its own (`listener.reconnected` each time)."""
