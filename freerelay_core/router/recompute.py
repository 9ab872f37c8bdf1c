"""Repeats a decision from what was written down of it, and compares: the order, and every log utility to the last bit.

The log keeps ln f of every factor, so that repeating takes multiplication and addition and nothing else: it gives the
same bits on every machine. A decision as JSON (an answer of `/v1/decisions/{id}` or `/v1/router/decide`, or the report
of a ranking) holds the same, or at least the products.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from freerelay_core.decision import replay
from freerelay_core.errors import InvalidRequest
from freerelay_core.preference import FACTORS
from freerelay_core.store import DecisionRecord, LoggedRanking

__all__ = ["Recomputed", "recompute", "recompute_document"]

_PRODUCTS = dict.fromkeys(FACTORS, 1.0)
"""Exponents for what is multiplied already."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A ranking computed again, best first, with its log utilities, beside the one on record."""

    decision_id: str | None
    ranking: tuple[tuple[str, float], ...]
    same_order: bool
    same_bits: bool | None
    """None where no log utilities are on record: an older release wrote none."""

    @property
    def agrees(self) -> bool:
        return self.same_order and self.same_bits is not False


def recompute(record: DecisionRecord) -> Recomputed:
    """The decision on record, computed again from its log alone."""
    return _compared(record.id, record.ranking, record.log_factors, record.exponents)


def recompute_document(document: Mapping[str, Any], *, source: str) -> Recomputed:
    """The decision in a JSON document, computed again.

    Raises `InvalidRequest` naming the source, what the document lacks or has in another form, and where to get one.
    """
    try:
        return _of_report(document) if "tables" in document else _of_decision(document)
    except _NoDecisionError as error:
        raise InvalidRequest(
            f"{source}: {error}. Give what GET /v1/decisions/{{id}} or POST /v1/router/decide answers, "
            "what `freerelay decide --json` prints, or the JSON report of one request."
        ) from None


class _NoDecisionError(Exception):
    """What a document lacks or has in another form, as the end of a sentence about it."""


def _of_decision(document: Mapping[str, Any]) -> Recomputed:
    rows = _rows(document, "ranking")
    if "log_factors" in document:
        factors = {name: _of_each(_at(document, "log_factors", name), rows, f"log_factors.{name}") for name in FACTORS}
        exponents = {name: _number(_at(document, "exponents", name), f"exponents.{name}") for name in FACTORS}
    else:
        factors = {name: _numbers(rows, "factors", name, "contribution") for name in FACTORS}
        exponents = _PRODUCTS
    scored = [row for row in rows if row.get("log_utility") is not None]
    ranking = LoggedRanking(
        endpoint=_names(rows), cost_usd=_numbers(rows, "cost_usd"), log_utility=_numbers(scored, "log_utility")
    )
    return _compared(_at(document, "decision_id"), ranking, factors, exponents)


def _of_report(document: Mapping[str, Any]) -> Recomputed:
    rows = _rows(document, "tables", "contributions", "rows")
    costs = _numbers(_rows(document, "tables", "ranking", "rows"), "cost_usd")
    ranking = LoggedRanking(
        endpoint=_names(rows),
        cost_usd=_of_each(costs, rows, "tables.ranking.rows"),
        log_utility=_numbers(rows, "ln_utility"),
    )
    return _compared(None, ranking, {name: _numbers(rows, name) for name in FACTORS}, _PRODUCTS)


def _at(values: Mapping[str, Any], *path: str) -> Any:
    """What stands there in the document, or in a row of its ranking."""
    found: Any = values
    for depth, name in enumerate(path):
        if not isinstance(found, Mapping):
            raise _NoDecisionError(f"is not a decision: '{'.'.join(path[:depth])}' must be an object")
        if name not in found:
            raise _NoDecisionError(f"lacks '{'.'.join(path[: depth + 1])}'")
        found = found[name]
    return found


def _rows(document: Mapping[str, Any], *path: str) -> list[Mapping[str, Any]]:
    rows = _at(document, *path)
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise _NoDecisionError(f"is not a decision: '{'.'.join(path)}' must be a list with an object for each endpoint")
    return rows


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [_at(row, "endpoint") for row in rows]
    if not all(isinstance(name, str) for name in names):
        raise _NoDecisionError("is not a decision: every 'endpoint' must be a text")
    return names


def _numbers(rows: Sequence[Mapping[str, Any]], *path: str) -> list[float]:
    return [_number(_at(row, *path), ".".join(path)) for row in rows]


def _of_each(column: Any, rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """A number for each endpoint, in the order of the ranking."""
    if not isinstance(column, list) or len(column) != len(rows):
        raise _NoDecisionError(f"is not a decision: '{name}' must be a list with a number for each endpoint")
    return [_number(value, name) for value in column]


def _number(value: Any, name: str) -> float:
    """The number; null in JSON is one that is not known, as the cost of what has no price."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _NoDecisionError(f"is not a decision: '{name}' must hold numbers")
    return float(value)


def _compared(
    decision_id: str | None,
    logged: LoggedRanking,
    log_factors: Mapping[str, Sequence[float]],
    exponents: Mapping[str, float],
) -> Recomputed:
    ranking = replay(logged.endpoint, log_factors, exponents, logged.cost_usd)
    utilities = dict(ranking)
    same_bits = [utilities[endpoint] for endpoint in logged.endpoint] == list(logged.log_utility)
    return Recomputed(
        decision_id=decision_id,
        ranking=tuple(ranking),
        same_order=[endpoint for endpoint, _ in ranking] == list(logged.endpoint),
        same_bits=same_bits if logged.log_utility or not logged.endpoint else None,
    )
