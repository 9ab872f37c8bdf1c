"""The values that pass through a store: tenants, keys, decisions with their outcomes, and what outcomes taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from freerelay_core.preference import EffectivePreference, RoutingPreference

__all__ = [
    "LARGEST_BUDGET_USD",
    "TIERS",
    "DailySpend",
    "DecisionFilter",
    "DecisionLine",
    "DecisionRecord",
    "Identity",
    "KeyInfo",
    "Lesson",
    "LoggedRanking",
    "Outcome",
    "PublishedSnapshot",
    "QuotaUse",
    "RecordedRequest",
    "SavedScenario",
    "SettingsChange",
    "SharedColumns",
    "SpendElsewhere",
    "SpendOfMonth",
    "Tenant",
    "Traffic",
]

TIERS = ("free", "bronze", "silver", "gold")
"""Tiers of a tenant, as the CHECK constraint of `supabase_schema.sql` lists them (a test compares the two)."""

LARGEST_BUDGET_USD = 1e9
"""Of a month, as the CHECK constraint of `supabase_schema.sql` has it."""


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
    """Grows by one with each change of preference, tier, `allow_override` or budget."""
    updated_at: datetime
    """When `settings_version` last grew."""
    budget_usd: float | None = None
    """USD of a calendar month (UTC), which only the operator sets; None where there is no budget."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling: a tenant through one of its keys, or the operator (then `tenant` and `key_id` are None)."""

    role: str
    tenant: Tenant | None
    key_id: str | None = None
    expires_at: datetime | None = None
    """When the key or session ends by itself; None where it does not."""
    settings_age_s: float | None = None
    """How old the tenant's row is where the store is away and the last one known serves; None otherwise."""

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


class Outcome(NamedTuple):
    """What happened to a decided request. Times in seconds, cost in USD; None where it was never observed.

    A tuple, as `DecisionRecord` is: one of each is made for every request, and frozen dataclasses take four times as
    long.
    """

    endpoint: str | None
    """The endpoint that answered, or None when every attempt failed."""
    status: int
    attempts: tuple[Mapping[str, Any], ...]
    """Each try in order: `{endpoint, status, error, first_token_s, duration_s}`; one whose provider says that a limit
    ended the answer with `cut_off`; a hedge with `hedge_after_s`, and of a hedged request each that costs something
    with `{cost_usd, cost_estimated}`, which `cost_usd` below sums up."""
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


@dataclass(slots=True)
class SharedColumns:
    """The columns of a row that a ranking decides, as JSON, once a record has needed them."""

    json: str | None = None


class DecisionRecord(NamedTuple):
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
    propensity: float | None = None
    """The probability with which the endpoint tried first was to be; None where that cannot be told: another one took
    the place of one that took no more requests at that moment, or an earlier release decided."""
    explored: bool = False
    """Another endpoint than the best was tried first, to learn of it."""
    shared: SharedColumns | None = None
    """Where records of requests that share a ranking keep what is the same in all; None where nobody shares it."""


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
class DailySpend:
    """What a tenant's decisions of one day (UTC) have cost."""

    tenant_id: str
    day: date
    basis: str
    """`measured`, `simulated`, or `demo` where generated."""
    cost_usd: float


@dataclass(frozen=True, slots=True)
class SpendOfMonth:
    """What decisions of one basis have cost since a month began, and of it on one day; USD."""

    basis: str
    month_usd: float
    day_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class SpendElsewhere:
    """What the decisions of all other workers have cost: in the month of `month` (its first day), and on `day`."""

    month: date
    day: date
    tenants: Mapping[str, Sequence[SpendOfMonth]]
    """By id, of those that have a budget; without that of the day."""
    providers: Mapping[str, Sequence[SpendOfMonth]]


class QuotaUse(NamedTuple):
    """What an endpoint has been asked within a time."""

    requests: int
    tokens: int
    """Input and output of its answers."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """What a replay needs of a logged decision."""

    tenant_id: str
    created_at: datetime
    profile: Mapping[str, Any]
    model: str
    """As the client named it."""
    override: RoutingPreference | None
    """The preference that the request asked for itself; None where it did not decide."""
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
