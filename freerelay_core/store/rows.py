"""Between the store's values and the database's rows.

Reading never fails on what a row holds: a value that this release does not know becomes the default, because one odd
row must not stop the router. Writing is strict: what could not be read back exactly is refused.

A row's times and jsonb values may have come by PostgreSQL's own protocol (as `datetime`, and as text) or inside JSON
(as text, and read already).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import orjson

from freerelay_core.preference import RoutingPreference
from freerelay_core.store.idempotency import Answered
from freerelay_core.store.values import (
    TIERS,
    DailySpend,
    Identity,
    KeyInfo,
    Lesson,
    PublishedSnapshot,
    QuotaUse,
    RecordedRequest,
    SavedScenario,
    SettingsChange,
    SpendElsewhere,
    SpendOfMonth,
    Tenant,
    Traffic,
)

__all__ = [
    "ODD_VALUES",
    "Row",
    "answered_from_row",
    "bytes_of",
    "change_from_row",
    "identity_from_row",
    "json_of",
    "key_from_row",
    "known_preference",
    "lesson_from_row",
    "lessons_as_rows",
    "quota_used_from_rows",
    "request_from_row",
    "scenario_from_row",
    "session_from_row",
    "snapshot_from_row",
    "spend_elsewhere_from_row",
    "spend_from_row",
    "tenant_from_row",
    "traffic_from_row",
    "utc",
]

Row = Mapping[str, Any]
T = TypeVar("T")

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

ODD_VALUES: Counter[str] = Counter()
"""How often this process read a default in place of what a tenant's row held, by column."""

_log = logging.getLogger(__name__)


def tenant_from_row(row: Row) -> Tenant:
    """A row of `users`."""
    return Tenant(
        id=str(row["id"]),
        email=row["email"],
        tier=row["tier"] if row["tier"] in TIERS else _odd(row, "tier", TIERS[0]),
        routing_preference=_chosen_preference(row),
        allow_override=bool(row["allow_override"]),
        settings_version=_odd(row, "settings_version", 0)
        if row["settings_version"] is None
        else row["settings_version"],
        updated_at=_odd(row, "updated_at", _LONG_AGO) if row["updated_at"] is None else utc(row["updated_at"]),
        budget_usd=None if row["budget_usd"] is None else float(row["budget_usd"]),
    )


def _chosen_preference(row: Row) -> RoutingPreference | None:
    """What the tenant chose; null is no choice, and so is what this release does not know: the default decides."""
    chosen = known_preference(row["routing_preference"])
    if chosen is None and row["routing_preference"] is not None:
        return _odd(row, "routing_preference", None)
    return chosen


def _odd(row: Row, column: str, default: T) -> T:
    """The default in place of a value that no schema of ours lets in, said and counted."""
    ODD_VALUES[column] += 1
    _log.warning("tenant %s: %s is %r, read as %s", row["id"], column, row[column], default)
    return default


def identity_from_row(row: Row) -> Identity:
    """A tenant's row joined with the key (`key_id`) and the end of the key or session (`ends_at`)."""
    key_id, ends_at = row["key_id"], row["ends_at"]
    return Identity(
        role="tenant",
        tenant=tenant_from_row(row),
        key_id=None if key_id is None else str(key_id),
        expires_at=None if ends_at is None else utc(ends_at),
    )


def session_from_row(row: Row) -> Identity:
    """A row of the function `dashboard_session`."""
    if row["role"] == "operator":
        return Identity(role="operator", tenant=None, expires_at=utc(row["ends_at"]))
    return identity_from_row(row)


def key_from_row(row: Row) -> KeyInfo:
    """A row of `api_keys`, without its digest."""
    return KeyInfo(
        id=str(row["id"]),
        tenant_id=str(row["user_id"]),
        name=row["name"],
        prefix=row["prefix"],
        created_at=utc(row["created_at"]),
        last_used_at=utc_or_none(row["last_used_at"]),
        expires_at=utc_or_none(row["expires_at"]),
        revoked_at=utc_or_none(row["revoked_at"]),
    )


def change_from_row(row: Row) -> SettingsChange:
    """A row of `settings_audit`."""
    return SettingsChange(
        tenant_id=str(row["user_id"]),
        field=row["field"],
        old_value=row["old_value"],
        new_value=row["new_value"],
        actor=row["actor"],
        at=utc(row["at"]),
    )


def answered_from_row(row: Row) -> Answered:
    """The value of a function that writes once."""
    tenant = row.get("tenant")
    return Answered(row["answer"], row["replayed"], None if tenant is None else tenant_from_row(tenant))


def snapshot_from_row(row: Row) -> PublishedSnapshot:
    """A row of `published_snapshots`."""
    return PublishedSnapshot(id=row["id"], created_at=utc(row["created_at"]), payload=bytes_of(row["payload"]))


def traffic_from_row(row: Row) -> Traffic:
    """A row of the function `decision_traffic`."""
    return Traffic(**{name: row[name] for name in Traffic.__slots__})


def spend_from_row(row: Row) -> DailySpend:
    """A row of the function `daily_spend`."""
    day = row["day"] if isinstance(row["day"], date) else date.fromisoformat(row["day"])
    return DailySpend(str(row["tenant_id"]), day, row["basis"], float(row["cost_usd"]))


def spend_elsewhere_from_row(month: date, day: date, value: Mapping[str, list[Row]]) -> SpendElsewhere:
    """The value of the function `spend_elsewhere`."""

    def by(name: str, rows: list[Row]) -> dict[str, list[SpendOfMonth]]:
        found: dict[str, list[SpendOfMonth]] = {}
        for row in rows:
            sums = SpendOfMonth(row["basis"], float(row["month_usd"]), float(row.get("day_usd", 0.0)))
            found.setdefault(row[name], []).append(sums)
        return found

    return SpendElsewhere(month, day, by("tenant_id", value["tenants"]), by("provider", value["providers"]))


def quota_used_from_rows(rows: Iterable[Row]) -> dict[str, QuotaUse]:
    """The value of the function `quota_used`."""
    return {row["endpoint"]: QuotaUse(int(row["requests"]), int(row["tokens"])) for row in rows}


def request_from_row(row: Row) -> RecordedRequest:
    """A row with a decision's `user_id`, `created_at`, `profile`, `model`, `preference`, `preference_level`, `demo`."""
    override = known_preference(row["preference"]) if row["preference_level"] == "request" else None
    return RecordedRequest(
        str(row["user_id"]), utc(row["created_at"]), json_of(row["profile"]), row["model"], override, row["demo"]
    )


def scenario_from_row(row: Row) -> SavedScenario:
    """A row of `scenarios`."""
    return SavedScenario(str(row["id"]), row["name"], json_of(row["body"]), utc(row["updated_at"]))


def lesson_from_row(row: Row) -> Lesson:
    """A row of `lessons`."""
    return Lesson(**{name: row[name] for name in Lesson.__slots__})


def lessons_as_rows(lessons: Iterable[Lesson]) -> list[dict[str, Any]]:
    """What the function `add_lessons` takes."""
    return [asdict(lesson) for lesson in lessons]


def known_preference(value: object) -> RoutingPreference | None:
    try:
        return RoutingPreference(value)  # type: ignore[arg-type]  # anything may stand in an old row
    except ValueError:
        return None


def bytes_of(value: Any) -> bytes:
    return bytes.fromhex(value.removeprefix("\\x")) if isinstance(value, str) else bytes(value)


def json_of(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str) else value


def utc(value: datetime | str) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.astimezone(UTC)


def utc_or_none(value: datetime | str | None) -> datetime | None:
    return None if value is None else utc(value)
