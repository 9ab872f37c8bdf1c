"""The factors: each answers one question about a request at an endpoint with a number in (0, 1], 1 being best.

Everything broadcasts over R requests x E endpoints. A hard requirement that an endpoint cannot meet is not a low factor
but an exclusion with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from freerelay_core.behaviour import PREFILL_TOKENS_PER_S
from freerelay_core.catalogue import ABILITIES, CAPABILITIES
from freerelay_core.preference import FACTORS
from freerelay_core.profile import NEEDS, Depth, OutputContract, ProfileBatch, TaskFamily
from freerelay_core.scoring import reference
from freerelay_core.snapshot import BREAKER_OPEN, COOLING_DOWN, QUOTA_GONE, Snapshot

__all__ = ["Directives", "Evaluation", "Excluded", "evaluate"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Excluded(IntEnum):
    """Why an endpoint cannot serve a request; where several hold, the highest is named."""

    NO = 0
    CONTEXT_TOO_SMALL = 1
    OUTPUT_LIMIT_TOO_SMALL = 2
    NO_LOGPROBS = 3
    NO_STRUCTURED_OUTPUT = 4
    NO_TOOLS = 5
    NO_VISION = 6
    NOT_CONFIDENTIAL = 7
    UNPRICED = 8
    QUOTA_GONE = 9
    COOLING_DOWN = 10
    BREAKER_OPEN = 11
    SIMULATED = 12
    EXCLUDED_BY_RULE = 13
    NOT_REQUESTED = 14

    @property
    def reason(self) -> str:
        """The stable name that programs read."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Directives:
    """What the operator's rules ask of R requests. Masks have the shape (R, E) or (1, E); None where no rule speaks."""

    prefer: Bools | None = None
    exclude: Bools | None = None
    policy_weight: Floats | float = reference.POLICY_WEIGHT
    """How much a preferred endpoint is worth over the rest; a number or shape (R, 1)."""
    only: Bools | None = None
    """The endpoints that the caller named (a pinned model)."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything about R requests at E endpoints that no preference changes. Arrays have the shape (R, E)."""

    log_factors: Floats
    """ln f, shape (K, R, E), in the order of `FACTORS`."""
    excluded: npt.NDArray[np.int8]
    """Codes of `Excluded`."""
    cost_usd: Floats
    quality: Floats
    """Expected share of good answers."""
    decoded_tokens: Floats
    """Answer and thinking tokens."""

    @property
    def allowed(self) -> Bools:
        allowed: Bools = self.excluded == Excluded.NO
        return allowed


_FAMILY_ABILITY = np.array([ABILITIES.index(reference.ABILITY_OF_FAMILY[family]) for family in TaskFamily])
_CAPABILITY = {name: index for index, name in enumerate(CAPABILITIES)}
_LOG_SCHEMA = np.log(reference.SCHEMA)
_NEED_REASONS = {
    "tools": Excluded.NO_TOOLS,
    "vision": Excluded.NO_VISION,
    "logprobs": Excluded.NO_LOGPROBS,
    "confidential": Excluded.NOT_CONFIDENTIAL,
}


def evaluate(
    snapshot: Snapshot,
    profiles: ProfileBatch,
    directives: Directives | None = None,
    *,
    live: bool = False,
    price_matters: bool = True,
) -> Evaluation:
    """Factors, exclusions, cost and quality of R requests at the snapshot's E endpoints.

    `live` also excludes simulated endpoints that may not serve live traffic. `price_matters` is false only where the
    exponent of cost is 0: then an unpriced endpoint may be ranked.
    """
    directives = directives or Directives()
    depth = profiles.depth[:, None]
    thinking = snapshot.thinking_tokens * reference.THINKING_MULTIPLIER[depth]
    decoded = profiles.output_tokens[:, None] + thinking
    cost = _cost(snapshot, profiles, decoded)
    quality = _log_quality(snapshot, profiles)
    logs = {
        "policy": _log_policy(directives, len(profiles), len(snapshot)),
        "safety": _log_safety(snapshot, profiles),
        "schema": _log_schema(snapshot, profiles),
        "quality": quality,
        "cost": -np.log1p(cost / _reference_cost(profiles)),
        "success": np.log(snapshot.success),
        "headroom": np.log(np.clip(snapshot.headroom / reference.HEADROOM_BITES_BELOW, 1e-6, 1.0)),
        "latency": _log_latency(snapshot, profiles, decoded),
    }
    shape = (len(profiles), len(snapshot))
    log_factors = np.empty((len(FACTORS), *shape))
    for k, name in enumerate(FACTORS):
        log_factors[k] = logs[name]
    return Evaluation(
        log_factors=log_factors,
        excluded=_excluded(snapshot, profiles, directives, live=live, price_matters=price_matters),
        cost_usd=cost,
        quality=np.exp(quality),
        decoded_tokens=decoded,
    )


def _log_quality(snapshot: Snapshot, profiles: ProfileBatch) -> Floats:
    """Rasch model (one-parameter item response): P = 1 / (1 + exp(-(ability - difficulty) / s))."""
    ability = snapshot.abilities[_FAMILY_ABILITY[profiles.family]]
    difficulty = reference.DIFFICULTY[profiles.depth][:, None]
    log_quality: Floats = -np.log1p(np.exp((difficulty - ability) / reference.ELO_PER_LOGIT))
    return log_quality


def _log_latency(snapshot: Snapshot, profiles: ProfileBatch, decoded: Floats) -> Floats:
    """1 / (1 + t / (k t_ref)): this endpoint's time against the reference's on the same request."""
    prefill = profiles.input_tokens[:, None] / PREFILL_TOKENS_PER_S
    time = snapshot.behaviour.first_token_p95 + prefill + decoded / snapshot.behaviour.speed_median
    reference_tokens = profiles.output_tokens[:, None] + reference.REFERENCE_THINKING[profiles.depth][:, None]
    reference_time = reference.REFERENCE_FIRST_TOKEN_S + prefill + reference_tokens / reference.REFERENCE_SPEED
    tolerance = reference.LATENCY_TOLERANCE[profiles.latency_class][:, None]
    log_latency: Floats = -np.log1p(time / (tolerance * reference_time))
    return log_latency


def _cost(snapshot: Snapshot, profiles: ProfileBatch, decoded: Floats) -> Floats:
    cached = np.minimum(profiles.cached_tokens, profiles.input_tokens)[:, None]
    return snapshot.prices.cost(profiles.hour_utc, profiles.input_tokens[:, None] - cached, cached, decoded)


def _reference_cost(profiles: ProfileBatch) -> Floats:
    """USD of the same request at reference prices, shape (R, 1)."""
    expert = (profiles.depth == Depth.EXPERT)[:, None]
    usd = np.where(expert, reference.EXPERT_REFERENCE_USD, reference.REFERENCE_USD)
    cached = np.minimum(profiles.cached_tokens, profiles.input_tokens)
    decoded = profiles.output_tokens + reference.REFERENCE_THINKING[profiles.depth]
    total = (profiles.input_tokens - cached) * usd[:, 0] + cached * usd[:, 1] + decoded * usd[:, 2]
    shaped: Floats = total[:, None]
    return shaped


def _log_schema(snapshot: Snapshot, profiles: ProfileBatch) -> Floats:
    json_mode = snapshot.capabilities[_CAPABILITY["json_mode"]]
    structured = snapshot.capabilities[_CAPABILITY["structured_output"]]
    support = np.where(structured, 2, np.where(json_mode, 1, 0))
    log_schema: Floats = _LOG_SCHEMA[profiles.contract[:, None], support]
    return log_schema


def _log_safety(snapshot: Snapshot, profiles: ProfileBatch) -> Floats:
    exposed = profiles.locked_down[:, None] & ~snapshot.capabilities[_CAPABILITY["confidential"]]
    return np.where(exposed, np.log(reference.LOCKED_DOWN_PENALTY), 0.0)


def _log_policy(directives: Directives, requests: int, endpoints: int) -> Floats:
    """1 for what a rule prefers and for all where none does, 1 / weight for the rest."""
    if directives.prefer is None:
        return np.zeros((requests, endpoints))
    speaks = directives.prefer.any(axis=1, keepdims=True)
    return np.where(directives.prefer | ~speaks, 0.0, -np.log(directives.policy_weight))


def _excluded(
    snapshot: Snapshot, profiles: ProfileBatch, directives: Directives, *, live: bool, price_matters: bool
) -> npt.NDArray[np.int8]:
    codes = np.zeros((len(profiles), len(snapshot)), dtype=np.int8)
    output = profiles.output_tokens[:, None]
    codes[profiles.input_tokens[:, None] + output > snapshot.context_tokens] = Excluded.CONTEXT_TOO_SMALL
    codes[output > snapshot.max_output_tokens] = Excluded.OUTPUT_LIMIT_TOO_SMALL
    strict = (profiles.contract == OutputContract.STRICT)[:, None]
    codes[strict & ~snapshot.capabilities[_CAPABILITY["structured_output"]]] = Excluded.NO_STRUCTURED_OUTPUT
    for need, wanted in zip(NEEDS, profiles.needs, strict=True):
        if wanted.any():
            codes[wanted[:, None] & ~snapshot.capabilities[_CAPABILITY[need]]] = _NEED_REASONS[need]
    if price_matters:
        codes[:, ~snapshot.prices.priced] = Excluded.UNPRICED
    if snapshot.availability.any():
        for state, reason in _UNAVAILABLE.items():
            codes[:, snapshot.availability == state] = reason
    if live:
        codes[:, ~snapshot.live] = Excluded.SIMULATED
    if directives.exclude is not None:
        codes[np.broadcast_to(directives.exclude, codes.shape)] = Excluded.EXCLUDED_BY_RULE
    if directives.only is not None:
        codes[np.broadcast_to(~directives.only, codes.shape)] = Excluded.NOT_REQUESTED
    return codes


_UNAVAILABLE = {
    QUOTA_GONE: Excluded.QUOTA_GONE,
    COOLING_DOWN: Excluded.COOLING_DOWN,
    BREAKER_OPEN: Excluded.BREAKER_OPEN,
}
