"""Writes down a decision and what came of it, off the request path."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from freerelay_core.clock import id_time
from freerelay_core.decision import Decision
from freerelay_core.preference import FACTORS
from freerelay_core.profile.text import estimate_tokens
from freerelay_core.providers import Usage
from freerelay_core.router.execution import Attempt, Execution
from freerelay_core.router.hedging import lost_usage
from freerelay_core.scoring import Excluded
from freerelay_core.store import DecisionRecord, LoggedRanking, Outcome, SharedColumns

__all__ = ["decision_record"]

_REASONS = {int(code): code.reason for code in Excluded}


def decision_record(
    decision: Decision, execution: Execution, *, tenant_id: str, request_id: str, model: str, duration_s: float
) -> DecisionRecord:
    """The record of a decision; `model` is what the client named, `duration_s` what it waited."""
    ranked = decision.shared.get(_RECORD)
    if ranked is None:
        ranked = decision.shared[_RECORD] = _ranked(decision)
    return DecisionRecord(
        id=decision.id,
        tenant_id=tenant_id,
        created_at=id_time(decision.id),
        request_id=request_id,
        model=model,
        snapshot_id=decision.snapshot.id,
        preference=decision.preference,
        exponents=decision.exponents,
        rules=decision.directive.rules,
        propensity=decision.propensity if execution.as_planned else None,
        explored=execution.explored,
        outcome=_outcome(decision, execution, duration_s),
        **ranked,
    )


_RECORD = "record"
"""Where a decision keeps what all requests that share its ranking have on record."""


def _ranked(decision: Decision) -> dict[str, Any]:
    """Fields of a record that the ranking decides."""
    columns = _columns(decision)
    return {
        "profile": decision.profile.as_dict(),
        "log_factors": dict(zip(FACTORS, columns, strict=False)),
        "ranking": LoggedRanking(decision.endpoints, *columns[len(FACTORS) :]),
        "excluded": _excluded(decision.evaluation.excluded.tobytes(), decision.snapshot.endpoint_ids),
        "actions": _actions(decision),
        "shared": SharedColumns(),
    }


def _columns(decision: Decision) -> list[array[float]]:
    """The log factors in the order of `FACTORS`, then the columns of `LoggedRanking` after the first."""
    evaluation, order = decision.evaluation, decision.order
    rows = np.empty((_COLUMNS, len(evaluation.cost_usd)))
    rows[: len(FACTORS)] = evaluation.of_one
    rows[-4] = evaluation.cost_usd
    rows[-3], rows[-2] = decision.latencies_s
    rows[-1] = decision.log_utilities
    raw, width = rows.take(order, axis=1).tobytes(), 8 * len(order)
    return [array("d", raw[row * width : (row + 1) * width]) for row in range(_COLUMNS)]


_COLUMNS = len(FACTORS) + 4


def _actions(decision: Decision) -> tuple[Mapping[str, Any], ...]:
    return tuple(decision.directive.actions(decision.dropped)) if decision.directive.rules else ()


@lru_cache(maxsize=256)
def _excluded(codes: bytes, endpoint_ids: tuple[str, ...]) -> tuple[Mapping[str, str], ...]:
    """The excluded endpoints with their reasons; requests of a kind share them. `codes` holds one int8 an endpoint."""
    return tuple(
        {"endpoint": name, "reason": _REASONS[code]} for name, code in zip(endpoint_ids, codes, strict=True) if code
    )


def _outcome(decision: Decision, execution: Execution, duration_s: float) -> Outcome:
    answering, simulated = execution.attempt, execution.simulated
    usage, estimated = _usage(decision, execution)
    cost = None if usage is None or answering is None else _cost(decision, answering, usage)
    lost = [_booked(decision, attempt) for attempt in execution.attempts if attempt.lost]
    return Outcome(
        endpoint=execution.endpoint,
        status=execution.status,
        attempts=_attempts(decision, execution, cost, estimated=estimated),
        first_token_s=answering.first_token_s if answering and execution.error is None else None,
        # Simulated waits are scaled: what counts is what they stand for.
        duration_s=_waited_s(execution.attempts) if answering and simulated else duration_s,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        cost_usd=None if cost is None else cost + sum(usd or 0.0 for usd, _ in lost),
        usage_estimated=estimated,
        schema_pass=execution.schema_pass,
        basis="simulated" if simulated else "measured",
    )


def _attempts(
    decision: Decision, execution: Execution, cost_usd: float | None, *, estimated: bool
) -> tuple[Mapping[str, Any], ...]:
    """Every attempt; of a hedged request each with what it has cost."""
    shapes = [attempt.as_dict() for attempt in execution.attempts]
    if any(attempt.hedge_after_s is not None for attempt in execution.attempts):
        for attempt, shape in zip(execution.attempts, shapes, strict=True):
            if attempt.lost:
                shape["cost_usd"], shape["cost_estimated"] = _booked(decision, attempt)
            elif attempt is execution.answering:
                shape["cost_usd"], shape["cost_estimated"] = cost_usd, estimated
    return tuple(shapes)


def _booked(decision: Decision, attempt: Attempt) -> tuple[float | None, bool]:
    """What a lost attempt has cost, USD, and whether that is an estimate."""
    usage, estimated = lost_usage(decision, attempt)
    return _cost(decision, attempt, usage), estimated


def _cost(decision: Decision, attempt: Attempt, usage: Usage) -> float | None:
    return decision.snapshot.prices.cost_at(
        attempt.index,
        decision.profile.hour_utc,
        input_=usage.input_tokens - usage.cached_tokens,
        cached=usage.cached_tokens,
        output=usage.output_tokens,
    )


def _waited_s(attempts: Sequence[Attempt]) -> float:
    """How long the attempts took, one after the other but for a hedge, which runs beside the first."""
    beside = attempts[:2] if any(attempt.hedge_after_s is not None for attempt in attempts) else attempts[:0]
    first = max(((a.hedge_after_s or 0.0) + a.duration_s for a in beside if not a.lost), default=0.0)
    return first + sum(attempt.duration_s for attempt in attempts[len(beside) :])


def _usage(decision: Decision, execution: Execution) -> tuple[Usage | None, bool]:
    """What the provider counted, else an estimate of what it sent; None where it sent nothing."""
    if execution.usage is not None:
        return execution.usage, False
    if text := execution.text:
        written = estimate_tokens(text) * max(execution.text_length, len(text)) // len(text)
        return Usage(decision.profile.input_tokens, written, 0), True
    return None, False
