"""The schemas of what our own routes take and answer; those of `api.shapes`, in the words of JSON Schema."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from freerelay_core.api.bodies import Feedback, SettingsChange
from freerelay_core.composition import RouterState
from freerelay_core.composition.grading import GradedDecision
from freerelay_core.preference import LEVELS, RoutingPreference

__all__ = ["SHAPES"]

_REF = "#/components/schemas/{model}"
_TEXT: dict[str, Any] = {"type": "string"}
_TEXT_OR_NULL: dict[str, Any] = {"type": ["string", "null"]}
_NUMBER: dict[str, Any] = {"type": "number"}
_NUMBER_OR_NULL: dict[str, Any] = {"type": ["number", "null"]}
_BOOLEAN: dict[str, Any] = {"type": "boolean"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_MAP: dict[str, Any] = {"type": "object"}
_NUMBERS: dict[str, Any] = {"type": "object", "additionalProperties": _NUMBER}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(description: str = "", /, *, optional: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """An object that has all of `fields`, and may have those of `optional`."""
    told = {"description": description} if description else {}
    return {"type": "object", "required": list(fields), "properties": fields | (optional or {})} | told


_PREFERENCE = {"type": "string", "enum": list(RoutingPreference)}
_EFFECTIVE = _object(
    "The preference in force, and which level named it.",
    value=_PREFERENCE,
    level={"type": "string", "enum": list(LEVELS)},
    rule=_TEXT_OR_NULL,
)
_SECONDS = _object(p50=_NUMBER, p95=_NUMBER)
_EXCLUDED = _list(_object(endpoint=_TEXT, reason=_TEXT, detail=_TEXT))
_FACTOR = _object(value=_NUMBER, exponent=_NUMBER, contribution=_NUMBER)
_ROW = _object(endpoint=_TEXT, utility=_NUMBER, log_utility=_NUMBER_OR_NULL, cost_usd=_NUMBER, latency_s=_SECONDS)
_RANKED = _object(
    **_ROW["properties"],
    provider=_TEXT,
    model=_TEXT,
    score=_NUMBER,
    quality=_NUMBER,
    graded=_NUMBER,
    basis=_TEXT,
    simulated=_BOOLEAN,
    about_equal=_BOOLEAN,
    factors={"type": "object", "additionalProperties": _FACTOR},
)
_DECIDED = {
    "decision_id": _TEXT,
    "preference": _EFFECTIVE,
    "profile": _MAP,
    "rules": _list(_TEXT),
    "actions": _list(_MAP),
    "exponents": _NUMBERS,
    "excluded": _EXCLUDED,
}
_OUTCOME = _object(
    "What came of it; amounts in USD, times in seconds.",
    endpoint=_TEXT_OR_NULL,
    status=_COUNT,
    attempts=_list(_MAP),
    first_token_s=_NUMBER_OR_NULL,
    duration_s=_NUMBER_OR_NULL,
    input_tokens={"type": ["integer", "null"]},
    output_tokens={"type": ["integer", "null"]},
    cached_tokens={"type": ["integer", "null"]},
    cost_usd=_NUMBER_OR_NULL,
    usage_estimated=_BOOLEAN,
    schema_pass={"type": ["boolean", "null"]},
    basis=_TEXT_OR_NULL,
)
_MODEL = _object(
    id=_TEXT,
    object={"type": "string", "enum": ["model"]},
    created=_COUNT,
    owned_by=_TEXT,
    optional={
        "simulated": _BOOLEAN,
        "context_tokens": _COUNT,
        "max_output_tokens": _COUNT,
        "capabilities": _list(_TEXT),
    },
)
_BUDGET = _object(
    month=_TEXT,
    budget_usd=_NUMBER_OR_NULL,
    spent_usd=_NUMBER,
    left_usd=_NUMBER_OR_NULL,
    basis=_TEXT,
    renewed_at=_TIME,
    forecast={"type": ["object", "null"]},
)
_OF_DATACLASSES = {
    model.__name__: TypeAdapter(model).json_schema(mode="serialization", ref_template=_REF)
    for model in (RouterState, GradedDecision)
}
_PARTS: dict[str, Any] = {}
for _schema in _OF_DATACLASSES.values():
    _PARTS |= _schema.pop("$defs", {})

SHAPES: dict[str, Any] = {
    **models_json_schema([(SettingsChange, "validation"), (Feedback, "validation")], ref_template=_REF)[1]["$defs"],
    **_OF_DATACLASSES,
    **_PARTS,
    "Settings": _object(
        success=_BOOLEAN,
        routing_preference=_PREFERENCE,
        effective=_EFFECTIVE,
        settings_version=_COUNT,
        updated_at=_TIME,
        budget=_BUDGET,
    ),
    "Model": _MODEL,
    "ModelList": _object(object={"type": "string", "enum": ["list"]}, data=_list({"$ref": _REF.format(model="Model")})),
    "Ranking": _object(
        "A decision that nobody carried out.",
        **_DECIDED,
        snapshot=_object(id=_TEXT, age_s=_NUMBER),
        reason=_TEXT_OR_NULL,
        sensitivity={"type": ["object", "null"]},
        ranking=_list(_RANKED),
        dry_run=_BOOLEAN,
    ),
    "LoggedDecision": _object(
        "A decision on record, with its outcome.",
        **_DECIDED,
        created_at=_TIME,
        request_id=_TEXT_OR_NULL,
        model=_TEXT,
        snapshot=_object(id=_TEXT),
        exploration=_object(explored=_BOOLEAN, propensity=_NUMBER_OR_NULL),
        log_factors={"type": "object", "additionalProperties": _list(_NUMBER)},
        ranking=_list(_ROW),
        outcome=_OUTCOME,
    ),
    "Status": _object(status=_TEXT),
}
