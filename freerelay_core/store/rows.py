"""Between the store's values and the database's rows.

Reading never fails on what a row holds: a value that this release does not know becomes the default, because one odd
row must not stop the router. Writing is strict: what could not be read back exactly is refused.

A row's times and jsonb values may have come by PostgreSQL's own protocol (as `datetime`, and as text) or inside JSON
(as text, and read already).
"""

from __future__ import annotations

import logging
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
import orjson

from freerelay_core.clock import id_time
from freerelay_core.errors import UnprocessableRequest
from freerelay_core.preference import DEFAULT_PREFERENCE, FACTORS, EffectivePreference, RoutingPreference
from freerelay_core.store.values import (
    TIERS,
    DailySpend,
    DecisionLine,
    DecisionRecord,
    Identity,
    KeyInfo,
    Lesson,
    LoggedRanking,
    Outcome,
    PublishedSnapshot,
    RecordedRequest,
    SavedScenario,
    SettingsChange,
    SpendElsewhere,
    SpendOfMonth,
    Tenant,
    Traffic,
)

__all__ = [
    "DECISION_COLUMNS",
    "LINE_COLUMNS",
    "ODD_VALUES",
    "DecisionRow",
    "change_from_row",
    "decision_as_row",
    "decision_from_row",
    "identity_from_row",
    "key_from_row",
    "lesson_from_row",
    "lessons_as_rows",
    "line_from_row",
    "request_from_row",
    "rows_as_json",
    "scenario_from_row",
    "session_from_row",
    "snapshot_from_row",
    "spend_elsewhere_from_row",
    "spend_from_row",
    "tenant_from_row",
    "traffic_from_row",
]

Row = Mapping[str, Any]
T = TypeVar("T")

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

ODD_VALUES: Counter[str] = Counter()
"""How often this process read a default in place of what a tenant's row held, by column."""

_log = logging.getLogger(__name__)

DECISION_COLUMNS: Mapping[str, str] = {
    "created_at": "timestamptz",
    "id": "uuid",
    "user_id": "uuid",
    "request_id": "text",
    "model": "text",
    "snapshot_id": "text",
    "preference": "text",
    "preference_level": "text",
    "preference_rule": "text",
    "endpoint": "text",
    "status": "integer",
    "basis": "text",
    "first_token_s": "double precision",
    "duration_s": "double precision",
    "input_tokens": "bigint",
    "output_tokens": "bigint",
    "cached_tokens": "bigint",
    "cost_usd": "double precision",
    "usage_estimated": "boolean",
    "schema_pass": "boolean",
    "profile": "jsonb",
    "exponents": "jsonb",
    "log_factors": "jsonb",
    "ranking": "jsonb",
    "figures": "bytea",
    "excluded": "jsonb",
    "rules": "jsonb",
    "actions": "jsonb",
    "attempts": "jsonb",
    "demo": "boolean",
    "propensity": "double precision",
    "explored": "boolean",
}
"""Columns of `decisions` with their types.

`ranking` is `{"endpoint": [ids, best first], "figures": [names]}`, and `figures` holds a row of little-endian float64
for each of these names: ln f of each factor, then what else `LoggedRanking` has. Digits would cost PostgreSQL and us
several times as much. Earlier releases wrote digits: the factors to `log_factors`, the rest to `ranking`.
"""

_RANKED = tuple(name for name in LoggedRanking.__slots__ if name != "endpoint")

LINE_COLUMNS: Mapping[str, str] = {
    "id": "id",
    "tenant_id": "user_id",
    "created_at": "created_at",
    "model": "model",
    "family": "profile ->> 'family'",
    "preference": "preference",
    "endpoint": "endpoint",
    "status": "status",
    "attempts": "jsonb_array_length(attempts)",
    "first_token_s": "first_token_s",
    "duration_s": "duration_s",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cost_usd": "cost_usd",
    "basis": "basis",
    "demo": "demo",
}
"""Fields of `DecisionLine`, each with where it stands in `decisions`."""


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
        updated_at=_odd(row, "updated_at", _LONG_AGO) if row["updated_at"] is None else _utc(row["updated_at"]),
        budget_usd=None if row["budget_usd"] is None else float(row["budget_usd"]),
    )


def _chosen_preference(row: Row) -> RoutingPreference | None:
    """What the tenant chose; null is no choice, and so is what this release does not know: the default decides."""
    chosen = _preference(row["routing_preference"])
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
        expires_at=None if ends_at is None else _utc(ends_at),
    )


def session_from_row(row: Row) -> Identity:
    """A row of the function `dashboard_session`."""
    if row["role"] == "operator":
        return Identity(role="operator", tenant=None, expires_at=_utc(row["ends_at"]))
    return identity_from_row(row)


def key_from_row(row: Row) -> KeyInfo:
    """A row of `api_keys`, without its digest."""
    return KeyInfo(
        id=str(row["id"]),
        tenant_id=str(row["user_id"]),
        name=row["name"],
        prefix=row["prefix"],
        created_at=_utc(row["created_at"]),
        last_used_at=_utc_or_none(row["last_used_at"]),
        expires_at=_utc_or_none(row["expires_at"]),
        revoked_at=_utc_or_none(row["revoked_at"]),
    )


def change_from_row(row: Row) -> SettingsChange:
    """A row of `settings_audit`."""
    return SettingsChange(
        tenant_id=str(row["user_id"]),
        field=row["field"],
        old_value=row["old_value"],
        new_value=row["new_value"],
        actor=row["actor"],
        at=_utc(row["at"]),
    )


def snapshot_from_row(row: Row) -> PublishedSnapshot:
    """A row of `published_snapshots`."""
    return PublishedSnapshot(id=row["id"], created_at=_utc(row["created_at"]), payload=_bytes(row["payload"]))


def decision_from_row(row: Row) -> DecisionRecord:
    """A row of `decisions`."""
    stored = {name: _json(row.get(name)) for name, kind in DECISION_COLUMNS.items() if kind == "jsonb"}
    log_factors, ranking = _columns(stored["ranking"], row.get("figures"), stored["log_factors"])
    preference = EffectivePreference(
        _preference(row["preference"]) or DEFAULT_PREFERENCE, row["preference_level"], row["preference_rule"]
    )
    return DecisionRecord(
        id=str(row["id"]),
        tenant_id=str(row["user_id"]),
        created_at=_utc(row["created_at"]),
        request_id=row["request_id"],
        model=row["model"],
        snapshot_id=row["snapshot_id"],
        preference=preference,
        profile=stored["profile"],
        exponents=stored["exponents"],
        log_factors=log_factors,
        ranking=ranking,
        excluded=tuple(stored["excluded"]),
        rules=tuple(stored["rules"]),
        actions=tuple(stored["actions"] or ()),  # none in a row of an earlier release
        outcome=Outcome(
            endpoint=row["endpoint"],
            status=row["status"],
            attempts=tuple(stored["attempts"]),
            first_token_s=row["first_token_s"],
            duration_s=row["duration_s"],
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            cached_tokens=row["cached_tokens"],
            cost_usd=row["cost_usd"],
            usage_estimated=row["usage_estimated"],
            schema_pass=row["schema_pass"],
            basis=row["basis"],
        ),
        demo=row["demo"],
        propensity=row.get("propensity"),
        explored=row.get("explored", False),  # missing in a file of an earlier release
    )


def _columns(ranking: Any, figures: Any, log_factors: Any) -> tuple[Mapping[str, Sequence[float]], LoggedRanking]:
    """Log factors and ranking, as this release or an earlier one wrote them."""
    if figures is None:
        columns = _in_columns(ranking, log_factors) if isinstance(ranking, list) else ranking
        factors = columns.pop("log_factors", log_factors)
        return (
            {name: tuple(map(float, column)) for name, column in factors.items()},
            LoggedRanking(**{name: tuple(map(_number, column)) for name, column in columns.items()}),
        )
    endpoints, names = ranking["endpoint"], ranking["figures"]
    values = array("d", _bytes(figures))
    if sys.byteorder == "big":
        values.byteswap()
    width = len(endpoints)
    columns = {name: tuple(values[k * width : (k + 1) * width]) for k, name in enumerate(names)}
    ranked = {name: columns.pop(name) for name in _RANKED if name in columns}
    return columns, LoggedRanking(tuple(endpoints), **ranked)


def _in_columns(ranking: list[Row], by_endpoint: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """A ranking that was stored as rows, with its log factors by endpoint, as columns."""
    names = [row["endpoint"] for row in ranking]
    columns = {
        column: [row[column] for row in ranking]
        for column in LoggedRanking.__slots__
        if all(column in row for row in ranking)
    }
    return columns | {
        "log_factors": {factor: [by_endpoint[name][k] for name in names] for k, factor in enumerate(FACTORS)}
    }


def line_from_row(row: Row) -> DecisionLine:
    """A row of `LINE_COLUMNS`."""
    ids = {name: str(row[name]) for name in ("id", "tenant_id")}
    return DecisionLine(**{**row, **ids, "created_at": _utc(row["created_at"])})


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


def request_from_row(row: Row) -> RecordedRequest:
    """A row with a decision's `user_id`, `created_at`, `profile` and `demo`."""
    return RecordedRequest(str(row["user_id"]), _utc(row["created_at"]), _json(row["profile"]), row["demo"])


def scenario_from_row(row: Row) -> SavedScenario:
    """A row of `scenarios`."""
    return SavedScenario(str(row["id"]), row["name"], _json(row["body"]), _utc(row["updated_at"]))


def lesson_from_row(row: Row) -> Lesson:
    """A row of `lessons`."""
    return Lesson(**{name: row[name] for name in Lesson.__slots__})


def lessons_as_rows(lessons: Iterable[Lesson]) -> list[dict[str, Any]]:
    """What the function `add_lessons` takes."""
    return [asdict(lesson) for lesson in lessons]


class DecisionRow(NamedTuple):
    """A decision as it is written, and as it waits to be: `json` is an object with keys of `DECISION_COLUMNS`."""

    id: str
    tenant_id: str
    json: bytes

    def record(self) -> DecisionRecord:
        """The decision. Raises `ValueError`, `LookupError`, `TypeError` or `AttributeError` where it holds none."""
        return decision_from_row(orjson.loads(self.json))


def decision_as_row(record: DecisionRecord) -> DecisionRow:
    """The row of a decision; floats of the ranking come back to the last bit.

    Raises `ValueError` or `TypeError` for what a row cannot hold.
    """
    outcome, ranking, names = record.outcome, record.ranking, _figure_names(record)
    row = {
        "created_at": id_time(record.id),
        "id": record.id,
        "user_id": record.tenant_id,
        "request_id": record.request_id,
        "model": record.model,
        "snapshot_id": record.snapshot_id,
        "preference": record.preference.value,
        "preference_level": record.preference.level,
        "preference_rule": record.preference.rule,
        "endpoint": outcome.endpoint,
        "status": outcome.status,
        "basis": outcome.basis,
        "first_token_s": outcome.first_token_s,
        "duration_s": outcome.duration_s,
        "input_tokens": outcome.input_tokens,
        "output_tokens": outcome.output_tokens,
        "cached_tokens": outcome.cached_tokens,
        "cost_usd": outcome.cost_usd,
        "usage_estimated": outcome.usage_estimated,
        "schema_pass": outcome.schema_pass,
        "profile": record.profile,
        "exponents": dict(record.exponents),
        "ranking": _endpoints_and_names(tuple(ranking.endpoint), names),
        "figures": f"\\x{_figures(record, names).hex()}",
        "excluded": record.excluded,
        "rules": record.rules,
        "actions": record.actions,
        "attempts": outcome.attempts,
        "demo": record.demo,
        "propensity": record.propensity,
        "explored": record.explored,
    }
    return DecisionRow(record.id, record.tenant_id, _to_keep(orjson.dumps(row, default=_plain)))


def _to_keep(json: bytes) -> bytes:
    """A copy: what orjson returns keeps the buffer that it was written into, five times as large."""
    return bytes(memoryview(json))


def decisions_as_rows(records: Iterable[DecisionRecord]) -> list[DecisionRow]:
    """The rows of decisions. Raises `UnprocessableRequest` where one cannot be stored."""
    try:
        return [decision_as_row(record) for record in records]
    except (TypeError, ValueError) as error:
        raise UnprocessableRequest(f"A decision cannot be stored: {error}") from error


def rows_as_json(rows: Iterable[DecisionRow]) -> str:
    """A JSON array of the rows."""
    return f"[{b','.join([row.json for row in rows]).decode()}]"


@lru_cache(maxsize=1024)
def _endpoints_and_names(endpoints: tuple[str, ...], names: tuple[str, ...]) -> orjson.Fragment:
    """The column `ranking`, which requests of a kind share."""
    return orjson.Fragment(_to_keep(orjson.dumps({"endpoint": endpoints, "figures": names})))


def _figure_names(record: DecisionRecord) -> tuple[str, ...]:
    """What `figures` holds of a record: all but what an older release left out."""
    ranking = record.ranking
    return (*record.log_factors, *(name for name in _RANKED if getattr(ranking, name) or not ranking.endpoint))


def _figures(record: DecisionRecord, names: Sequence[str]) -> bytes:
    logs, count = record.log_factors, len(record.ranking.endpoint)
    columns = [*logs.values(), *(getattr(record.ranking, name) for name in names[len(logs) :])]
    if any(len(column) != count for column in columns):
        raise ValueError("every column of a ranking is as long as the ranking")
    raw = b"".join([column if isinstance(column, array) else array("d", column) for column in columns])
    if not np.isfinite(np.frombuffer(raw, count=len(logs) * count)).all():
        raise ValueError("log factors must be finite")  # replay needs them
    return raw if sys.byteorder == "little" else np.frombuffer(raw).byteswap().tobytes()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a decision record cannot hold a {type(value).__name__}")


def _preference(value: object) -> RoutingPreference | None:
    try:
        return RoutingPreference(value)  # type: ignore[arg-type]  # anything may stand in an old row
    except ValueError:
        return None


def _number(value: Any) -> Any:
    """A large float that jsonb wrote out in digits, as a float again; anything else as it is."""
    return float(value) if isinstance(value, int) else value


def _bytes(value: Any) -> bytes:
    return bytes.fromhex(value.removeprefix("\\x")) if isinstance(value, str) else bytes(value)


def _json(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str) else value


def _utc(value: datetime | str) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.astimezone(UTC)


def _utc_or_none(value: datetime | str | None) -> datetime | None:
    return None if value is None else _utc(value)
