"""Tenants, keys, settings, sessions and the decision log, on PostgreSQL."""

from freerelay_core.store.base import ChangeListener, Store
from freerelay_core.store.decision_log import DecisionLog
from freerelay_core.store.idempotency import Answered, IdempotencyKey
from freerelay_core.store.identities import KnownIdentities
from freerelay_core.store.keys import (
    ApiKey,
    Credentials,
    key_digest,
    load_or_create_credentials,
    new_key,
    well_formed,
)
from freerelay_core.store.migrate import apply_schema
from freerelay_core.store.postgres import PostgresStore
from freerelay_core.store.spill import Spill
from freerelay_core.store.values import (
    LARGEST_BUDGET_USD,
    TIERS,
    DailySpend,
    DecisionFilter,
    DecisionLine,
    DecisionRecord,
    Identity,
    KeyInfo,
    Lesson,
    LoggedRanking,
    Outcome,
    PublishedSnapshot,
    QuotaUse,
    RecordedRequest,
    SavedScenario,
    SettingsChange,
    SharedColumns,
    SpendElsewhere,
    SpendOfMonth,
    Tenant,
    Traffic,
)

__all__ = [
    "LARGEST_BUDGET_USD",
    "TIERS",
    "Answered",
    "ApiKey",
    "ChangeListener",
    "Credentials",
    "DailySpend",
    "DecisionFilter",
    "DecisionLine",
    "DecisionLog",
    "DecisionRecord",
    "IdempotencyKey",
    "Identity",
    "KeyInfo",
    "KnownIdentities",
    "Lesson",
    "LoggedRanking",
    "Outcome",
    "PostgresStore",
    "PublishedSnapshot",
    "QuotaUse",
    "RecordedRequest",
    "SavedScenario",
    "SettingsChange",
    "SharedColumns",
    "SpendElsewhere",
    "SpendOfMonth",
    "Spill",
    "Store",
    "Tenant",
    "Traffic",
    "apply_schema",
    "key_digest",
    "load_or_create_credentials",
    "new_key",
    "well_formed",
]
