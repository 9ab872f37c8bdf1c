"""The factors: each answers one question about a request at an endpoint with a number in (0, 1], 1 being best.

Everything broadcasts over R requests x E endpoints. A hard requirement that an endpoint cannot meet is not a low factor
but an exclusion with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from freerelay_core.behaviour import PREFILL_TOKENS_PER_S
from freerelay_core.catalogue import ABILITIES, CAPABILITIES
from freerelay_core.preference import FACTORS
from freerelay_core.profile import NEEDS, OutputContract, ProfileBatch, TaskFamily
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
        allowed: Bools = self.excluded == 0
        return allowed


_FAMILY_ABILITY = np.array([ABILITIES.index(reference.ABILITY_OF_FAMILY[family]) for family in TaskFamily])
_CAPABILITY = {name: index for index, name in enumerate(CAPABILITIES)}
_NEED_REASONS = {
    "tools": Excluded.NO_TOOLS,
    "vision": Excluded.NO_VISION,
    "logprobs": Excluded.NO_LOGPROBS,
    "confidential": Excluded.NOT_CONFIDENTIAL,
}
_UNAVAILABLE = {
    QUOTA_GONE: Excluded.QUOTA_GONE,
    COOLING_DOWN: Excluded.COOLING_DOWN,
    BREAKER_OPEN: Excluded.BREAKER_OPEN,
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
    tables = _tables(snapshot)
    decoded = profiles.output_tokens[:, None] + tables.thinking[profiles.depth]
    cost = _cost(snapshot, profiles, decoded)
    log_factors = np.empty((len(FACTORS), len(profiles), len(snapshot)))
    log_factors[_POLICY] = _log_policy(directives)
    log_factors[_SAFETY] = np.where(profiles.locked_down[:, None], tables.log_exposed, 0.0)
    log_factors[_SCHEMA] = tables.log_schema[profiles.contract]
    log_factors[_QUALITY] = tables.log_quality[_FAMILY_ABILITY[profiles.family], profiles.depth]
    np.negative(np.log1p(cost / _reference_cost(profiles)), out=log_factors[_COST])
    log_factors[_SUCCESS] = tables.log_success
    log_factors[_HEADROOM] = tables.log_headroom
    log_factors[_LATENCY] = _log_latency(snapshot, profiles, decoded)
    return Evaluation(
        log_factors=log_factors,
        excluded=_excluded(snapshot, tables, profiles, directives, live=live, price_matters=price_matters),
        cost_usd=cost,
        quality=np.exp(log_factors[_QUALITY]),
        decoded_tokens=decoded,
    )


_POLICY, _SAFETY, _SCHEMA, _QUALITY, _COST, _SUCCESS, _HEADROOM, _LATENCY = range(len(FACTORS))


@dataclass(frozen=True, slots=True)
class _Tables:
    """What a snapshot alone decides, worked out once: rows to be picked by a request's family, depth and contract."""

    thinking: Floats
    """Thinking tokens, shape (depths, E)."""
    log_quality: Floats
    """Shape (abilities, depths, E)."""
    log_schema: Floats
    """Shape (contracts, E)."""
    log_success: Floats
    log_headroom: Floats
    log_exposed: Floats
    """Safety under a locked-down posture."""
    lacking: npt.NDArray[np.int8]
    """Codes of what each need excludes, shape (needs, E)."""
    lacking_schema: npt.NDArray[np.int8]
    """Codes of what a strict schema excludes."""
    closed: Mapping[tuple[bool, bool], npt.NDArray[np.int8]]
    """Codes of what is closed to every request, by (live, price_matters)."""


@lru_cache(maxsize=16)
def _tables(snapshot: Snapshot) -> _Tables:
    capable = {name: snapshot.capabilities[index] for name, index in _CAPABILITY.items()}
    support = np.where(capable["structured_output"], 2, np.where(capable["json_mode"], 1, 0))
    headroom = np.clip(snapshot.headroom / reference.HEADROOM_BITES_BELOW, 1e-6, 1.0)
    unavailable = np.zeros(len(snapshot), dtype=np.int8)
    for state, reason in _UNAVAILABLE.items():
        unavailable[snapshot.availability == state] = reason
    unpriced = np.maximum(unavailable, _codes(~snapshot.prices.priced, Excluded.UNPRICED))
    not_live = _codes(~snapshot.live, Excluded.SIMULATED)
    return _Tables(
        thinking=snapshot.thinking_tokens * reference.THINKING_MULTIPLIER[:, None],
        log_quality=_log_quality(snapshot.abilities[:, None, :], reference.DIFFICULTY[:, None]),
        log_schema=np.log(reference.SCHEMA[:, support]),
        log_success=np.log(snapshot.success),
        log_headroom=np.log(headroom),
        log_exposed=np.where(capable["confidential"], 0.0, np.log(reference.LOCKED_DOWN_PENALTY)),
        lacking=np.array([_codes(~capable[need], _NEED_REASONS[need]) for need in NEEDS]),
        lacking_schema=_codes(~capable["structured_output"], Excluded.NO_STRUCTURED_OUTPUT),
        closed={
            (False, False): unavailable,
            (False, True): unpriced,
            (True, False): np.maximum(unavailable, not_live),
            (True, True): np.maximum(unpriced, not_live),
        },
    )


def _codes(mask: Bools, code: Excluded) -> npt.NDArray[np.int8]:
    return np.where(mask, np.int8(code), np.int8(Excluded.NO))


def _log_quality(ability: Floats, difficulty: Floats) -> Floats:
    """Rasch model (one-parameter item response): P = 1 / (1 + exp(-(ability - difficulty) / s))."""
    log_quality: Floats = -np.log1p(np.exp((difficulty - ability) / reference.ELO_PER_LOGIT))
    return log_quality


def _log_latency(snapshot: Snapshot, profiles: ProfileBatch, decoded: Floats) -> Floats:
    """1 / (1 + t / (k t_ref)): this endpoint's time against the reference's on the same request."""
    prefill = profiles.input_tokens / PREFILL_TOKENS_PER_S
    reference_tokens = profiles.output_tokens + reference.REFERENCE_THINKING[profiles.depth]
    reference_time = reference.REFERENCE_FIRST_TOKEN_S + prefill + reference_tokens / reference.REFERENCE_SPEED
    tolerated = reference.LATENCY_TOLERANCE[profiles.latency_class] * reference_time
    time = snapshot.behaviour.first_token_p95 + prefill[:, None] + decoded / snapshot.behaviour.speed_median
    log_latency: Floats = -np.log1p(time / tolerated[:, None])
    return log_latency


def _cost(snapshot: Snapshot, profiles: ProfileBatch, decoded: Floats) -> Floats:
    cached = np.minimum(profiles.cached_tokens, profiles.input_tokens)[:, None]
    return snapshot.prices.cost(profiles.hour_utc, profiles.input_tokens[:, None] - cached, cached, decoded)


def _reference_cost(profiles: ProfileBatch) -> Floats:
    """USD of the same request at reference prices, shape (R, 1)."""
    usd = reference.REFERENCE_USD[profiles.depth]
    cached = np.minimum(profiles.cached_tokens, profiles.input_tokens)
    decoded = profiles.output_tokens + reference.REFERENCE_THINKING[profiles.depth]
    total: Floats = (profiles.input_tokens - cached) * usd[:, 0] + cached * usd[:, 1] + decoded * usd[:, 2]
    return total[:, None]


def _log_policy(directives: Directives) -> Floats | float:
    """1 for what a rule prefers and for all where none does, 1 / weight for the rest."""
    if directives.prefer is None:
        return 0.0
    speaks = directives.prefer.any(axis=1, keepdims=True)
    return np.where(directives.prefer | ~speaks, 0.0, -np.log(directives.policy_weight))


def _excluded(
    snapshot: Snapshot,
    tables: _Tables,
    profiles: ProfileBatch,
    directives: Directives,
    *,
    live: bool,
    price_matters: bool,
) -> npt.NDArray[np.int8]:
    """The highest code that holds in each cell."""
    output = profiles.output_tokens[:, None]
    # A mask read as numbers is 0 and 1: the first code as it is, the second doubled.
    codes = (profiles.input_tokens[:, None] + output > snapshot.context_tokens).view(np.int8)
    np.maximum(codes, (output > snapshot.max_output_tokens).view(np.int8) << 1, out=codes)
    np.maximum(codes, tables.closed[live, price_matters], out=codes)
    strict = profiles.contract == OutputContract.STRICT
    if strict.any():
        np.maximum(codes, strict[:, None] * tables.lacking_schema, out=codes)
    if profiles.needs.any():
        for wanted, lacking in zip(profiles.needs, tables.lacking, strict=True):
            np.maximum(codes, wanted[:, None] * lacking, out=codes)
    if directives.exclude is not None:
        np.maximum(codes, _codes(directives.exclude, Excluded.EXCLUDED_BY_RULE), out=codes)
    if directives.only is not None:
        np.maximum(codes, _codes(~directives.only, Excluded.NOT_REQUESTED), out=codes)
    return codes
