"""Between logged decisions and rows of `decisions`: as they wait, are written, and are read again.

`rows` says how values come; what could not be read back exactly is refused.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import orjson

from freerelay_core.clock import id_time
from freerelay_core.errors import UnprocessableRequest
from freerelay_core.preference import DEFAULT_PREFERENCE, FACTORS, EffectivePreference
from freerelay_core.store.rows import Row, bytes_of, json_of, known_preference, utc
from freerelay_core.store.values import DecisionLine, DecisionRecord, LoggedRanking, Outcome

__all__ = [
    "DECISION_COLUMNS",
    "LINE_COLUMNS",
    "DecisionRow",
    "decision_as_row",
    "decision_from_row",
    "decisions_as_rows",
    "line_from_row",
    "rows_as_json",
]

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

`ranking` is `{"endpoint": [ids, best first], "figures": [names], "same": [factors]}`, and `figures` holds a row of
little-endian float64 for each of these names: ln f of each factor, then what else `LoggedRanking` has. The factors
under `same` have no row: their ln f is 0 for every endpoint. Digits would cost PostgreSQL and us several times as much.
Earlier releases wrote digits, factors to `log_factors` and the rest to `ranking`; then all factors, without `same`.
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


class DecisionRow(NamedTuple):
    """A decision as it is written, and as it waits to be: an object with keys of `DECISION_COLUMNS`, as JSON.

    In two parts, of which the second is one text in memory for all whose requests share a ranking. Text, because the
    bytes that orjson returns keep the 64 KiB in which they were written.
    """

    id: str
    tenant_id: str
    head: str
    tail: str = ""

    @property
    def json(self) -> str:
        return self.head + self.tail

    @property
    def size(self) -> int:
        """Characters of the JSON."""
        return len(self.head) + len(self.tail)

    def record(self) -> DecisionRecord:
        """The decision. Raises `ValueError`, `LookupError`, `TypeError` or `AttributeError` where it holds none."""
        return decision_from_row(orjson.loads(self.json))


def decision_as_row(record: DecisionRecord) -> DecisionRow:
    """The row of a decision; floats of the ranking come back to the last bit.

    Raises `ValueError` or `TypeError` for what a row cannot hold.
    """
    outcome, shared = record.outcome, record.shared
    ranked = shared.json if shared is not None else None
    if ranked is None:
        ranked = _ranked_columns(record)
        if shared is not None:
            shared.json = ranked
    own = {
        "created_at": id_time(record.id),
        "id": record.id,
        "user_id": record.tenant_id,
        "request_id": record.request_id,
        "model": record.model,
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
        "attempts": outcome.attempts,
        "demo": record.demo,
        "propensity": record.propensity,
        "explored": record.explored,
    }
    return DecisionRow(record.id, record.tenant_id, f"{_json(own)[:-1]},", ranked)


def _ranked_columns(record: DecisionRecord) -> str:
    """The columns that the ranking decides, as the end of an object."""
    ranking, figures = _ranking_and_figures(record)
    columns = _json(
        {
            "snapshot_id": record.snapshot_id,
            "preference": record.preference.value,
            "preference_level": record.preference.level,
            "preference_rule": record.preference.rule,
            "profile": record.profile,
            "exponents": dict(record.exponents),
            "ranking": ranking,
            "figures": f"\\x{figures.hex()}",
            "excluded": record.excluded,
            "rules": record.rules,
            "actions": record.actions,
        }
    )
    return columns[1:]


def _json(columns: Mapping[str, object]) -> str:
    return orjson.dumps(columns, default=_plain).decode()


def decisions_as_rows(records: Iterable[DecisionRecord]) -> list[DecisionRow]:
    """The rows of decisions. Raises `UnprocessableRequest` where one cannot be stored."""
    try:
        return [decision_as_row(record) for record in records]
    except (TypeError, ValueError) as error:
        raise UnprocessableRequest(f"A decision cannot be stored: {error}") from error


def rows_as_json(rows: Iterable[DecisionRow]) -> tuple[str, str]:
    """The rows as `append_decisions` takes them: what several share, and each with its place there; JSON arrays."""
    places: dict[str, int] = {}
    records = [
        f'{row.head if row.tail else row.head[:-1] + ","}"shared":{places.setdefault(row.tail, len(places) + 1)}}}'
        for row in rows
    ]
    shared = ["{" + tail if tail else "{}" for tail in places]
    return f"[{','.join(shared)}]", f"[{','.join(records)}]"


def _ranking_and_figures(record: DecisionRecord) -> tuple[orjson.Fragment, bytes]:
    """The columns `ranking` and `figures`."""
    ranking, logs = record.ranking, record.log_factors
    count = len(ranking.endpoint)
    ranked = {name: column for name in _RANKED if (column := getattr(ranking, name)) or not count}
    columns = {**logs, **ranked}
    if any(len(column) != count for column in columns.values()):
        raise ValueError("every column of a ranking is as long as the ranking")
    nothing = bytes(8 * count)
    raw = {name: bytes(column if isinstance(column, array) else array("d", column)) for name, column in columns.items()}
    same = tuple([name for name in logs if raw[name] == nothing])
    for name in same:
        del raw[name]
    figures = b"".join(raw.values())
    if not np.isfinite(np.frombuffer(figures, count=(len(raw) - len(ranked)) * count)).all():
        raise ValueError("log factors must be finite")  # replay needs them
    little = figures if sys.byteorder == "little" else np.frombuffer(figures).byteswap().tobytes()
    return _ranking_column(tuple(ranking.endpoint), tuple(raw), same), little


@lru_cache(maxsize=1024)
def _ranking_column(endpoints: tuple[str, ...], names: tuple[str, ...], same: tuple[str, ...]) -> orjson.Fragment:
    """The column `ranking`, which requests of a kind share."""
    return orjson.Fragment(orjson.dumps({"endpoint": endpoints, "figures": names, "same": same}).decode())


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a decision record cannot hold a {type(value).__name__}")


def decision_from_row(row: Row) -> DecisionRecord:
    """A row of `decisions`."""
    stored = {name: json_of(row.get(name)) for name, kind in DECISION_COLUMNS.items() if kind == "jsonb"}
    log_factors, ranking = _columns(stored["ranking"], row.get("figures"), stored["log_factors"])
    preference = EffectivePreference(
        known_preference(row["preference"]) or DEFAULT_PREFERENCE, row["preference_level"], row["preference_rule"]
    )
    return DecisionRecord(
        id=str(row["id"]),
        tenant_id=str(row["user_id"]),
        created_at=utc(row["created_at"]),
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
    values = array("d", bytes_of(figures))
    if sys.byteorder == "big":
        values.byteswap()
    width = len(endpoints)
    columns = {name: tuple(values[k * width : (k + 1) * width]) for k, name in enumerate(names)}
    ranked = {name: columns.pop(name) for name in _RANKED if name in columns}
    log_factors = dict.fromkeys(ranking.get("same", ()), (0.0,) * width) | columns
    in_order = {name: log_factors.pop(name) for name in FACTORS if name in log_factors} | log_factors
    return in_order, LoggedRanking(tuple(endpoints), **ranked)


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


def _number(value: Any) -> Any:
    """A large float that jsonb wrote out in digits, as a float again; anything else as it is."""
    return float(value) if isinstance(value, int) else value


def line_from_row(row: Row) -> DecisionLine:
    """A row of `LINE_COLUMNS`."""
    ids = {name: str(row[name]) for name in ("id", "tenant_id")}
    return DecisionLine(**{**row, **ids, "created_at": utc(row["created_at"])})
