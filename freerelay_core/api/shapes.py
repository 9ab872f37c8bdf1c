"""The JSON shapes of what the API shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson

from freerelay_core.catalogue import Endpoint
from freerelay_core.composition import RouterState, SettingsView
from freerelay_core.decision import AUTO, replay
from freerelay_core.preference import DEFAULT_PREFERENCE
from freerelay_core.store import DecisionRecord, Outcome

__all__ = ["decision_shape", "model_shape", "settings_answer", "settings_shape", "state_shape"]


def settings_shape(view: SettingsView) -> dict[str, Any]:
    """A tenant's settings."""
    tenant = view.tenant
    return {
        "success": True,
        "routing_preference": tenant.routing_preference or DEFAULT_PREFERENCE,
        "effective": view.effective.as_dict(),
        "settings_version": tenant.settings_version,
        "updated_at": tenant.updated_at,
        "budget": view.spending.as_dict(),
    }


def settings_answer(view: SettingsView) -> str:
    """The answer to a change that is about to be made, with gaps for what only the change brings about."""
    gaps = {name: f"@{name}" for name in ("settings_version", "updated_at")}
    return orjson.dumps(settings_shape(view) | gaps).decode()


def model_shape(endpoint: Endpoint | None, *, simulated: bool) -> dict[str, Any]:
    """A model as OpenAI lists it; None is the router itself."""
    if endpoint is None:
        return {"id": AUTO, "object": "model", "created": 0, "owned_by": "freerelay"}
    return {
        "id": endpoint.id,
        "object": "model",
        "created": 0,
        "owned_by": endpoint.provider,
        "simulated": simulated,
        "context_tokens": endpoint.context_tokens,
        "max_output_tokens": endpoint.max_output_tokens,
        "capabilities": sorted(endpoint.capabilities),
    }


def state_shape(state: RouterState) -> dict[str, Any]:
    """The state of the router, every field of it."""
    return asdict(state)


def decision_shape(record: DecisionRecord) -> dict[str, Any]:
    """A logged decision with its outcome."""
    return {
        "decision_id": record.id,
        "created_at": record.created_at,
        "request_id": record.request_id,
        "model": record.model,
        "snapshot": {"id": record.snapshot_id},
        "preference": record.preference.as_dict(),
        "profile": dict(record.profile),
        "rules": list(record.rules),
        "actions": [dict(row) for row in record.actions],
        "exponents": dict(record.exponents),
        "exploration": {"explored": record.explored, "propensity": record.propensity},
        "log_factors": {name: list(column) for name, column in record.log_factors.items()},
        "ranking": _ranking_shape(record),
        "excluded": [dict(row) for row in record.excluded],
        "outcome": _outcome_shape(record.outcome),
    }


def _ranking_shape(record: DecisionRecord) -> list[dict[str, Any]]:
    """The rows, each with the utility that its log factors give and the log utility on record, if there is one."""
    ranking = record.ranking
    kept: Sequence[float | None] = ranking.log_utility or [None] * len(ranking.endpoint)
    utilities = dict(replay(ranking.endpoint, record.log_factors, record.exponents, ranking.cost_usd))
    return [
        {
            "endpoint": endpoint,
            "utility": math.exp(utilities[endpoint]),
            "log_utility": logged,
            "cost_usd": cost,
            "latency_s": {"p50": p50, "p95": p95},
        }
        for endpoint, logged, cost, p50, p95 in zip(
            ranking.endpoint,
            kept,
            ranking.cost_usd,
            ranking.latency_p50_s,
            ranking.latency_p95_s,
            strict=True,
        )
    ]


def _outcome_shape(outcome: Outcome) -> dict[str, Any]:
    return {
        "endpoint": outcome.endpoint,
        "status": outcome.status,
        "attempts": [dict(attempt) for attempt in outcome.attempts],
        "first_token_s": outcome.first_token_s,
        "duration_s": outcome.duration_s,
        "input_tokens": outcome.input_tokens,
        "output_tokens": outcome.output_tokens,
        "cached_tokens": outcome.cached_tokens,
        "cost_usd": outcome.cost_usd,
        "usage_estimated": outcome.usage_estimated,
        "schema_pass": outcome.schema_pass,
        "basis": outcome.basis,
    }
