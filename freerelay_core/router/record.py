"""Writes down a decision and what came of it, off the request path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from freerelay_core.clock import id_time
from freerelay_core.decision import Decision
from freerelay_core.preference import FACTORS
from freerelay_core.profile.text import estimate_tokens
from freerelay_core.providers import Usage
from freerelay_core.router.execution import Attempt, Execution
from freerelay_core.scoring import Excluded
from freerelay_core.store import DecisionRecord, LoggedRanking, Outcome

__all__ = ["decision_record"]

_REASONS = {int(code): code.reason for code in Excluded}


def decision_record(
    decision: Decision, execution: Execution, *, tenant_id: str, request_id: str, model: str, duration_s: float
) -> DecisionRecord:
    """The record of a decision; `model` is what the client named, `duration_s` what it waited."""
    order = np.array(decision.order, dtype=np.intp)
    evaluation, snapshot = decision.evaluation, decision.snapshot
    p50, p95 = decision.latencies_s
    return DecisionRecord(
        id=decision.id,
        tenant_id=tenant_id,
        created_at=id_time(decision.id),
        request_id=request_id,
        model=model,
        snapshot_id=snapshot.id,
        preference=decision.preference,
        profile=decision.profile.as_dict(),
        exponents=decision.exponents,
        log_factors=dict(zip(FACTORS, evaluation.log_factors.take(order, axis=1).tolist(), strict=True)),
        ranking=LoggedRanking(
            endpoint=decision.endpoints,
            cost_usd=evaluation.cost_usd.take(order).tolist(),
            latency_p50_s=p50.take(order).tolist(),
            latency_p95_s=p95.take(order).tolist(),
            log_utility=decision.log_utilities.take(order).tolist(),
        ),
        excluded=_excluded(evaluation.excluded.tobytes(), snapshot.endpoint_ids),
        rules=decision.directive.rules,
        outcome=_outcome(decision, execution, duration_s),
    )


@lru_cache(maxsize=256)
def _excluded(codes: bytes, endpoint_ids: tuple[str, ...]) -> tuple[Mapping[str, str], ...]:
    """The excluded endpoints with their reasons; requests of a kind share them. `codes` holds one int8 an endpoint."""
    return tuple(
        {"endpoint": name, "reason": _REASONS[code]} for name, code in zip(endpoint_ids, codes, strict=True) if code
    )


def _outcome(decision: Decision, execution: Execution, duration_s: float) -> Outcome:
    attempts: Sequence[Attempt] = execution.attempts
    last = attempts[-1] if attempts else None
    simulated = last is not None and bool(decision.snapshot.simulated[last.index])
    usage, estimated = _usage(decision, execution)
    cost = None
    if usage is not None and last is not None:
        cost = decision.snapshot.prices.cost_at(
            last.index,
            decision.profile.hour_utc,
            input_=usage.input_tokens - usage.cached_tokens,
            cached=usage.cached_tokens,
            output=usage.output_tokens,
        )
    return Outcome(
        endpoint=execution.endpoint,
        status=execution.status,
        attempts=tuple(attempt.as_dict() for attempt in attempts),
        first_token_s=last.first_token_s if last and execution.error is None else None,
        # Simulated waits are scaled: what counts is what they stand for.
        duration_s=sum(attempt.duration_s for attempt in attempts) if simulated else duration_s,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        cost_usd=cost,
        usage_estimated=estimated,
        basis="simulated" if simulated else "measured",
    )


def _usage(decision: Decision, execution: Execution) -> tuple[Usage | None, bool]:
    """What the provider counted, else an estimate of what it sent; None where it sent nothing."""
    if execution.usage is not None:
        return execution.usage, False
    if execution.text:
        return Usage(decision.profile.input_tokens, estimate_tokens(execution.text), 0), True
    return None, False
