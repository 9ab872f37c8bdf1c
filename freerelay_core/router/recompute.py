"""Repeats a decision from what was written down of it, and compares: the order, and every log utility to the last bit.

The log keeps ln f of every factor, so that repeating takes multiplication and addition and nothing else: it gives the
same bits on every machine. A decision as JSON (an answer of `/v1/decisions/{id}` or `/v1/router/decide`, or the report
of a ranking) holds the same, or at least the products.
"""

from __future__ import annotations

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
    """The decision in a JSON document, computed again. Raises `InvalidRequest` naming what the document lacks."""
    try:
        return _of_report(document) if "tables" in document else _of_decision(document)
    except KeyError as error:
        raise InvalidRequest(
            f"{source}: lacks {error}. A decision is what GET /v1/decisions/{{id}} or POST /v1/router/decide answers, "
            "what `freerelay decide --json` prints, or the JSON report of one request."
        ) from None
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise InvalidRequest(f"{source}: is not a decision ({error}).") from None


def _of_decision(document: Mapping[str, Any]) -> Recomputed:
    rows = document["ranking"]
    if "log_factors" in document:
        factors, exponents = document["log_factors"], document["exponents"]
    else:
        factors = {name: [row["factors"][name]["contribution"] for row in rows] for name in FACTORS}
        exponents = _PRODUCTS
    ranking = LoggedRanking(
        endpoint=_column(rows, "endpoint"),
        cost_usd=_column(rows, "cost_usd"),
        log_utility=[row["log_utility"] for row in rows if row.get("log_utility") is not None],
    )
    return _compared(document["decision_id"], ranking, factors, exponents)


def _of_report(document: Mapping[str, Any]) -> Recomputed:
    rows = document["tables"]["contributions"]["rows"]
    ranking = LoggedRanking(
        endpoint=_column(rows, "endpoint"),
        cost_usd=_column(document["tables"]["ranking"]["rows"], "cost_usd"),
        log_utility=_column(rows, "ln_utility"),
    )
    return _compared(None, ranking, {name: _column(rows, name) for name in FACTORS}, _PRODUCTS)


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]


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
