"""The factors: each answers one question about a request at an endpoint with a number in (0, 1], 1 being best.

Each is written once and broadcasts: over R requests x E endpoints for a batch, over the E endpoints for one live
request, whose own figures are plain numbers. A hard requirement that an endpoint cannot meet is not a low factor but an
exclusion with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from freerelay_core.behaviour import PREFILL_TOKENS_PER_S
from freerelay_core.catalogue import ABILITIES, CAPABILITIES
from freerelay_core.catalogue.prices import any_above
from freerelay_core.preference import FACTORS
from freerelay_core.profile import NEEDS, OutputContract, ProfileBatch, RequestProfile, TaskFamily
from freerelay_core.scoring import reference
from freerelay_core.snapshot import BREAKER_OPEN, COOLING_DOWN, QUOTA_GONE, WITHDRAWN, Snapshot

__all__ = ["NO_DIRECTIVES", "Directives", "Evaluation", "Excluded", "evaluate", "reference_cost_usd"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]
Figure: TypeAlias = float | Floats
"""A number of one request, or a column of shape (R, 1)."""
Index: TypeAlias = int | npt.NDArray[np.intp]
"""A row of a table for one request, or rows for a batch, shape (R,)."""


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
    WITHDRAWN = 15

    @property
    def reason(self) -> str:
        """The stable name that programs read."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Directives:
    """What the operator's rules ask. Masks have the shape (R, E), or (E,) for all alike; None where no rule speaks."""

    prefer: Bools | None = None
    exclude: Bools | None = None
    policy_weight: Figure = reference.POLICY_WEIGHT
    """How much a preferred endpoint is worth over the rest."""
    only: Bools | None = None
    """The endpoints that the caller named (a pinned model)."""


NO_DIRECTIVES = Directives()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What no preference changes. Arrays have the shape (R, E), or (E,) for one request."""

    log_factors: Floats
    """ln f, shape (K, R, E) or (K, E), in the order of `FACTORS`."""
    excluded: Codes
    """Codes of `Excluded`."""
    cost_usd: Floats
    decoded_tokens: Floats
    """Answer and thinking tokens."""

    @property
    def allowed(self) -> Bools:
        allowed: Bools = self.excluded == 0
        return allowed

    @property
    def log_quality(self) -> Floats:
        """Natural logarithm of the expected share of good answers."""
        log_quality: Floats = self.log_factors[_QUALITY]
        return log_quality


_ABILITY = {family: ABILITIES.index(reference.ABILITY_OF_FAMILY[family]) for family in TaskFamily}
_ABILITY_ROWS = np.array(list(_ABILITY.values()))
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
    WITHDRAWN: Excluded.WITHDRAWN,
}


def evaluate(
    snapshot: Snapshot,
    profiles: ProfileBatch | RequestProfile,
    directives: Directives = NO_DIRECTIVES,
    *,
    live: bool = False,
    price_matters: bool = True,
) -> Evaluation:
    """Factors, exclusions and cost of R requests, or of one, at the snapshot's E endpoints.

    `live` also excludes simulated endpoints that may not serve live traffic. `price_matters` is false only where the
    exponent of cost is 0: then an unpriced endpoint may be ranked.
    """
    tables, asked = _tables(snapshot), _asked(profiles)
    decoded = asked.output_tokens + tables.thinking[asked.depth]
    fresh = asked.input_tokens - asked.cached_tokens
    cost = snapshot.prices.cost(asked.hour_utc, fresh, asked.cached_tokens, decoded)
    log_factors = np.empty((len(FACTORS), *decoded.shape))
    log_factors[_POLICY] = _log_policy(directives)
    log_factors[_SAFETY] = tables.log_safety[asked.locked_down]
    log_factors[_SCHEMA] = tables.log_schema[asked.contract]
    log_factors[_QUALITY] = tables.log_quality[asked.ability, asked.depth]
    np.negative(np.log1p(cost / _reference_cost(asked, fresh)), out=log_factors[_COST])
    log_factors[_SUCCESS] = tables.log_success
    log_factors[_HEADROOM] = tables.log_headroom
    np.negative(np.log1p(_relative_time(snapshot, asked, decoded)), out=log_factors[_LATENCY])
    excluded = _ruled_out(_unable(tables.closed[live, price_matters], snapshot, tables, asked), directives)
    if excluded.shape != decoded.shape:
        excluded = np.broadcast_to(excluded, decoded.shape)  # alike for the whole batch
    return Evaluation(log_factors, excluded, cost, decoded)


_POLICY, _SAFETY, _SCHEMA, _QUALITY, _COST, _SUCCESS, _HEADROOM, _LATENCY = range(len(FACTORS))


class _Asked(NamedTuple):
    """What the factors read of one request or of a batch."""

    ability: Index
    depth: Index
    latency_class: Index
    contract: Index
    locked_down: Index
    hour_utc: Index
    input_tokens: Figure
    cached_tokens: Figure
    output_tokens: Figure
    needs: list[tuple[int, Figure]]
    """Rows of `_Tables.lacking` that matter, each with 1 for the requests that need it."""


def _asked(profiles: ProfileBatch | RequestProfile) -> _Asked:
    if isinstance(profiles, RequestProfile):
        input_tokens = float(profiles.input_tokens)
        needs: list[tuple[int, Figure]] = [(row, 1) for row, need in enumerate(NEEDS) if need in profiles.needs]
        if profiles.contract is OutputContract.STRICT:
            needs.append((_STRICT, 1))
        return _Asked(
            _ABILITY[profiles.family],
            int(profiles.depth),
            int(profiles.latency_class),
            int(profiles.contract),
            int(profiles.locked_down),
            profiles.hour_utc,
            input_tokens,
            min(float(profiles.cached_tokens), input_tokens),
            float(profiles.output_tokens),
            needs,
        )
    wanted = [*profiles.needs, profiles.contract == OutputContract.STRICT]
    return _Asked(
        _ABILITY_ROWS[profiles.family],
        profiles.depth,
        profiles.latency_class,
        profiles.contract,
        profiles.locked_down.astype(np.intp),
        profiles.hour_utc,
        profiles.input_tokens[:, None],
        np.minimum(profiles.cached_tokens, profiles.input_tokens)[:, None],
        profiles.output_tokens[:, None],
        [(row, mask[:, None]) for row, mask in enumerate(wanted) if mask.any()],
    )


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
    log_safety: Floats
    """Shape (2, E): under the usual posture, and locked down."""
    lacking: Codes
    """Codes of what each need excludes, and last a strict schema; shape (needs + 1, E)."""
    closed: Mapping[tuple[bool, bool], Codes]
    """Codes of what is closed to every request, by (live, price_matters)."""
    shortest_context: float
    shortest_output: float


_STRICT = len(NEEDS)


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
    exposed = np.where(capable["confidential"], 0.0, np.log(reference.LOCKED_DOWN_PENALTY))
    return _Tables(
        thinking=snapshot.thinking_tokens * reference.THINKING_MULTIPLIER[:, None],
        log_quality=_log_quality(snapshot.abilities[:, None, :], reference.DIFFICULTY[:, None]),
        log_schema=np.log(reference.SCHEMA[:, support]),
        log_success=np.log(snapshot.success),
        log_headroom=np.log(headroom),
        log_safety=np.array([np.zeros(len(snapshot)), exposed]),
        lacking=np.array(
            [
                *(_codes(~capable[need], _NEED_REASONS[need]) for need in NEEDS),
                _codes(~capable["structured_output"], Excluded.NO_STRUCTURED_OUTPUT),
            ]
        ),
        closed={
            (False, False): unavailable,
            (False, True): unpriced,
            (True, False): np.maximum(unavailable, not_live),
            (True, True): np.maximum(unpriced, not_live),
        },
        shortest_context=float(snapshot.context_tokens.min(initial=np.inf)),
        shortest_output=float(snapshot.max_output_tokens.min(initial=np.inf)),
    )


def _codes(mask: Bools, code: Excluded) -> Codes:
    return np.where(mask, np.int8(code), np.int8(Excluded.NO))


def _log_quality(ability: Floats, difficulty: Floats) -> Floats:
    """Rasch model (one-parameter item response): P = 1 / (1 + exp(-(ability - difficulty) / s))."""
    log_quality: Floats = -np.log1p(np.exp((difficulty - ability) / reference.ELO_PER_LOGIT))
    return log_quality


def _relative_time(snapshot: Snapshot, asked: _Asked, decoded: Floats) -> Floats:
    """This endpoint's time over the tolerated multiple of the reference's on the same request: t / (k t_ref)."""
    prefill = asked.input_tokens / PREFILL_TOKENS_PER_S
    reference_tokens = asked.output_tokens + _figure(reference.REFERENCE_THINKING, asked.depth)
    reference_time = reference.REFERENCE_FIRST_TOKEN_S + prefill + reference_tokens / reference.REFERENCE_SPEED
    time = snapshot.behaviour.first_token_p95 + prefill + decoded / snapshot.behaviour.speed_median
    relative: Floats = time / (_figure(reference.LATENCY_TOLERANCE, asked.latency_class) * reference_time)
    return relative


def reference_cost_usd(profile: RequestProfile) -> float:
    """USD of the request at reference prices: the cost that halves the factor."""
    asked = _asked(profile)
    return float(_reference_cost(asked, asked.input_tokens - asked.cached_tokens))


def _reference_cost(asked: _Asked, fresh: Figure) -> Figure:
    """USD of the same request at reference prices."""
    input_usd, cached_usd, output_usd = (_figure(usd, asked.depth) for usd in reference.REFERENCE_USD.T)
    decoded = asked.output_tokens + _figure(reference.REFERENCE_THINKING, asked.depth)
    return fresh * input_usd + asked.cached_tokens * cached_usd + decoded * output_usd


def _figure(table: Floats, index: Index) -> Figure:
    """The figure of one request, or the column of a batch, from a table with one figure a row."""
    return float(table[index]) if isinstance(index, int) else table[index][:, None]


def _log_policy(directives: Directives) -> Figure:
    """1 for what a rule prefers and for all where none does, 1 / weight for the rest."""
    if directives.prefer is None:
        return 0.0
    speaks = directives.prefer.any(axis=-1, keepdims=True)
    return np.where(directives.prefer | ~speaks, 0.0, -np.log(directives.policy_weight))


def _unable(codes: Codes, snapshot: Snapshot, tables: _Tables, asked: _Asked) -> Codes:
    """The codes, and what each endpoint cannot do for the request; the highest stands in each cell."""
    tokens = asked.input_tokens + asked.output_tokens
    # A mask read as numbers is 0 and 1: the first code as it is, the second doubled.
    if any_above(tokens, tables.shortest_context):
        codes = np.maximum(codes, (tokens > snapshot.context_tokens).view(np.int8))
    if any_above(asked.output_tokens, tables.shortest_output):
        codes = np.maximum(codes, (asked.output_tokens > snapshot.max_output_tokens).view(np.int8) << 1)
    for row, wanted in asked.needs:
        codes = np.maximum(codes, wanted * tables.lacking[row])
    return codes


def _ruled_out(codes: Codes, directives: Directives) -> Codes:
    """The codes, and what a rule or the caller's own choice leaves out."""
    if directives.exclude is not None:
        codes = np.maximum(codes, _codes(directives.exclude, Excluded.EXCLUDED_BY_RULE))
    if directives.only is not None:
        codes = np.maximum(codes, _codes(~directives.only, Excluded.NOT_REQUESTED))
    return codes
