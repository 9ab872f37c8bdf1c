"""The factors: each answers one question about a request at an endpoint with a number in (0, 1], 1 being best.

Each is written once and broadcasts: over R requests x E endpoints for a batch, over the E endpoints for one live
request, whose own figures are plain numbers. A hard requirement that an endpoint cannot meet is not a low factor but an
exclusion with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from freerelay_core.behaviour import PREFILL_TOKENS_PER_S
from freerelay_core.catalogue import ABILITIES, CAPABILITIES
from freerelay_core.catalogue.prices import any_above
from freerelay_core.preference import FACTORS
from freerelay_core.profile import NEEDS, Depth, OutputContract, ProfileBatch, RequestProfile, TaskFamily
from freerelay_core.scoring import reference
from freerelay_core.snapshot import BREAKER_OPEN, COOLING_DOWN, QUOTA_GONE, WITHDRAWN, Snapshot

__all__ = [
    "NO_DIRECTIVES",
    "Directives",
    "Evaluation",
    "Excluded",
    "catalogue_quality",
    "evaluate",
    "reference_cost_usd",
]

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
    NO_JSON_MODE = 13
    OVER_MAX_LATENCY = 14
    OVER_MAX_COST = 15
    OUTSIDE_REQUIRED = 16
    EXCLUDED_BY_RULE = 17
    NOT_REQUESTED = 18
    WITHDRAWN = 19

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

    log_factors: Sequence[Floats]
    """Log factors, ln f, in the order of `FACTORS`: K arrays that broadcast to (R, E), since what is alike for a whole
    batch is held once; for one request one array of shape (K, E)."""
    excluded: Codes
    """Codes of `Excluded`."""
    cost_usd: Floats
    decoded_tokens: Floats
    """Answer and thinking tokens."""

    def of(self, rows: npt.NDArray[np.intp]) -> Evaluation:
        """The same for these requests of a batch."""
        shape = self.cost_usd.shape
        return Evaluation(
            [values[rows] if values.shape == shape else values for values in self.log_factors],
            self.excluded[rows],
            self.cost_usd[rows],
            self.decoded_tokens[rows],
        )

    @property
    def log_quality(self) -> Floats:
        """Natural logarithm of the expected share of good answers."""
        return self.log_factors[_QUALITY]

    @property
    def of_one(self) -> Floats:
        """The log factors of a single request, shape (K, E)."""
        if not isinstance(self.log_factors, np.ndarray):
            raise TypeError("these are the factors of a batch")
        return self.log_factors


_FAMILIES = list(TaskFamily)
_FAMILY = {family: index for index, family in enumerate(_FAMILIES)}
_ABILITY_ROWS = [ABILITIES.index(reference.ABILITY_OF_FAMILY[family]) for family in _FAMILIES]
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
_POLICY, _SAFETY, _SCHEMA, _QUALITY, _COST, _SUCCESS, _HEADROOM, _LATENCY = range(len(FACTORS))


def evaluate(
    snapshot: Snapshot,
    profiles: ProfileBatch | RequestProfile,
    directives: Directives = NO_DIRECTIVES,
    *,
    live: bool = False,
    price_matters: bool = True,
    cached_share: Floats | None = None,
) -> Evaluation:
    """Factors, exclusions and cost of R requests, or of one, at the snapshot's E endpoints.

    `live` also excludes simulated endpoints that may not serve live traffic. `price_matters` is false only where the
    exponent of cost is 0: then an unpriced endpoint may be ranked. `cached_share` of shape (E,) is the share of the
    input that each endpoint's prompt cache is expected to hold; without it the profiles' own expectation stands.
    """
    tables, asked = _tables(snapshot), _asked(snapshot, profiles)
    decoded = _times(asked.output_tokens, asked.kind.output_ratio) + asked.kind.thinking
    cost = _cost(snapshot, asked, decoded, cached_share)
    time = _time(snapshot, asked, decoded)
    excluded = _ruled_out(_unable(tables.closed[live, price_matters], snapshot, tables, asked), directives)
    if isinstance(profiles, RequestProfile):
        log_factors = asked.kind.log_static.copy()
        if directives.prefer is not None:
            log_factors[_POLICY] = _log_policy(directives)
        shares = log_factors[_COST : _LATENCY + 1 : _LATENCY - _COST]  # these two alone
        np.divide(cost, _reference_cost(asked), out=shares[0])
        np.divide(time, _tolerated_time(asked), out=shares[1])
        _log_share(shares)
        return Evaluation(log_factors, excluded, cost, decoded)  # type: ignore[arg-type]  # rows of an array are a sequence
    log_rows = (
        np.asarray(_log_policy(directives)),
        asked.kind.log_safety,
        asked.kind.log_schema,
        asked.kind.log_quality,
        _log_share(cost / _reference_cost(asked)),
        tables.log_success,
        tables.log_headroom,
        _log_share(time / _tolerated_time(asked)),
    )
    # Alike for the whole batch: one row, seen R times.
    return Evaluation(log_rows, np.broadcast_to(excluded, decoded.shape), cost, decoded)


def _log_share(relative: Floats) -> Floats:
    """The logarithm of 1 / (1 + x), the shape of cost and latency; works in place."""
    return np.negative(np.log1p(relative, out=relative), out=relative)


class _Kind(NamedTuple):
    """What requests of a kind share at a snapshot: rows of its tables, and figures of the reference.

    Rows have the shape (E,), or (R, E) where a batch is of many kinds; figures are numbers, or of shape (R, 1).
    """

    hour_utc: Index
    thinking: Floats
    output_ratio: Floats | None
    input_ratio: Floats | None
    log_safety: Floats
    log_schema: Floats
    log_quality: Floats
    log_static: Floats
    """For a single request: all log factors, shape (K, E), where those of cost, latency and policy are 0."""
    tolerance: Figure
    usual_output: Figure
    usual_input: Figure
    reference_thinking: Figure
    reference_usd: tuple[Figure, Figure, Figure]
    """USD a token: input, cached, output."""
    needs: tuple[tuple[int, Figure], ...]
    """Rows of `_Tables.lacking` that matter, each with 1 for the requests that need it."""


class _Asked(NamedTuple):
    """What the factors read of one request or of a batch: its kind, and its own tokens."""

    kind: _Kind
    input_tokens: Figure
    cached_tokens: Figure
    output_tokens: Figure


def _asked(snapshot: Snapshot, profiles: ProfileBatch | RequestProfile) -> _Asked:
    if isinstance(profiles, RequestProfile):
        input_tokens = float(profiles.input_tokens)
        return _Asked(
            _kind_of_one(snapshot, profiles),
            input_tokens,
            min(float(profiles.cached_tokens), input_tokens),
            float(profiles.output_tokens),
        )
    wanted = [*profiles.needs, profiles.contract == OutputContract.STRICT]
    columns = [
        profiles.family,
        profiles.depth,
        profiles.latency_class,
        profiles.contract,
        profiles.locked_down.astype(np.intp),
        profiles.hour_utc,
    ]
    kind = _kind(
        _tables(snapshot),
        [_index(column) for column in columns],
        tuple((row, mask[:, None]) for row, mask in enumerate(wanted) if mask.any()),
    )
    return _Asked(
        kind,
        profiles.input_tokens[:, None],
        np.minimum(profiles.cached_tokens, profiles.input_tokens)[:, None],
        profiles.output_tokens[:, None],
    )


def _index(column: npt.NDArray[np.intp]) -> Index:
    """The column, or its one value where all are alike: then rows of tables need not be repeated."""
    first = int(column[0]) if len(column) else 0
    alike = column.strides[0] == 0 or np.count_nonzero(column == first) == len(column)
    return first if alike else column


def _kind_of_one(snapshot: Snapshot, profile: RequestProfile) -> _Kind:
    tables = _tables(snapshot)
    key = (
        profile.family,
        profile.depth,
        profile.latency_class,
        profile.contract,
        profile.locked_down,
        profile.hour_utc,
        profile.needs,
    )
    kind = tables.kinds.get(key)
    if kind is None:
        rows = [row for row, need in enumerate(NEEDS) if need in profile.needs]
        rows += [_STRICT] if profile.contract is OutputContract.STRICT else []
        columns = (_FAMILY[profile.family], *(int(value) for value in key[1:6]))
        kind = _kind(tables, columns, tuple((row, 1) for row in rows))
        static = np.zeros((len(FACTORS), len(snapshot)))
        static[_SAFETY], static[_SCHEMA], static[_QUALITY] = kind.log_safety, kind.log_schema, kind.log_quality
        static[_SUCCESS], static[_HEADROOM] = tables.log_success, tables.log_headroom
        kind = tables.kinds[key] = kind._replace(log_static=static)
    return kind


def _kind(tables: _Tables, columns: Sequence[Index], needs: tuple[tuple[int, Figure], ...]) -> _Kind:
    """The rows for these families, depths, latency classes, contracts, postures (locked down: 1) and hours."""
    family, depth, latency_class, contract, locked_down, hour_utc = columns
    return _Kind(
        hour_utc=hour_utc,
        thinking=tables.thinking[family, depth],
        output_ratio=None if tables.output_ratio is None else tables.output_ratio[family],
        input_ratio=None if tables.input_ratio is None else tables.input_ratio[family],
        log_safety=tables.log_safety[locked_down],
        log_schema=tables.log_schema[contract],
        log_quality=tables.log_quality[family, depth],
        log_static=_NOTHING,
        tolerance=_figure(reference.LATENCY_TOLERANCE, latency_class),
        usual_output=_figure(tables.usual_output, family),
        usual_input=_figure(tables.usual_input, family),
        reference_thinking=_figure(reference.REFERENCE_THINKING, depth),
        reference_usd=tuple(_figure(usd, depth) for usd in reference.REFERENCE_USD.T),  # type: ignore[arg-type]  # three
        needs=needs,
    )


_NOTHING = np.empty(0)


def _figure(table: Floats, index: Index) -> Figure:
    """The figure of one request, or the column of a batch, from a table with one figure a row."""
    return float(table[index]) if isinstance(index, int) else table[index][:, None]


@dataclass(frozen=True, slots=True)
class _Tables:
    """What a snapshot alone decides, worked out once: rows to be picked by a request's family, depth and contract."""

    thinking: Floats
    """Thinking tokens, shape (families, depths, E)."""
    output_ratio: Floats | None
    """This endpoint's answer tokens over the expected ones, shape (families, E); None where nothing is known."""
    input_ratio: Floats | None
    usual_output: Floats
    """The same ratio over all endpoints, by which the reference is measured; shape (families,)."""
    usual_input: Floats
    log_quality: Floats
    """Shape (families, depths, E)."""
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
    kinds: dict[tuple[object, ...], _Kind] = field(default_factory=dict)
    """Kinds of single requests that were met."""


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
        thinking=snapshot.learned.thinking_tokens[:, None, :] * reference.THINKING_MULTIPLIER[:, None],
        output_ratio=_unless_one(snapshot.learned.output_ratio),
        input_ratio=_unless_one(snapshot.learned.input_ratio),
        usual_output=snapshot.learned.usual_output_ratio,
        usual_input=snapshot.learned.usual_input_ratio,
        log_quality=_log_quality(
            snapshot.abilities[_ABILITY_ROWS][:, None, :],
            reference.DIFFICULTY[:, None],
            snapshot.learned.quality_shift[:, None, :],
        ),
        log_schema=np.log(_schema_kept(snapshot, support)),
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


def _unless_one(ratio: Floats) -> Floats | None:
    """None instead of ones: multiplying by 1 changes no bit, so it may be left out."""
    return None if np.count_nonzero(ratio == 1.0) == ratio.size else ratio


def _log_quality(ability: Floats, difficulty: Floats, shift: Floats) -> Floats:
    """Rasch model (one-parameter item response): P = 1 / (1 + exp(-(ability - difficulty) / s - shift)).

    `shift` is what graded answers have taught, in logits.
    """
    log_quality: Floats = -np.log1p(np.exp((difficulty - ability) / reference.ELO_PER_LOGIT - shift))
    return log_quality


def catalogue_quality(snapshot: Snapshot, endpoint: int, family: TaskFamily, depth: Depth) -> float:
    """Expected share of good answers at one endpoint by its catalogue ability alone, whatever grades have taught."""
    ability = snapshot.abilities[_ABILITY_ROWS[_FAMILY[family]], endpoint]
    return float(np.exp(_log_quality(ability, reference.DIFFICULTY[depth], np.zeros(()))))


def _schema_kept(snapshot: Snapshot, support: npt.NDArray[np.intp]) -> Floats:
    """Expected share of answers that keep the contract, shape (contracts, E): a Beta posterior on the assumed share."""
    learned, weight = snapshot.learned, reference.SCHEMA_PRIOR_WEIGHT
    prior = reference.SCHEMA[:, support]
    seen = learned.schema_seen > 0
    posterior = (weight * prior + learned.schema_kept) / (weight + learned.schema_seen)
    kept: Floats = np.where(seen, posterior, prior)
    return kept


def _cost(snapshot: Snapshot, asked: _Asked, decoded: Floats, cached_share: Floats | None) -> Floats:
    """USD at each endpoint, by its own count of the tokens."""
    input_tokens = _times(asked.input_tokens, asked.kind.input_ratio)
    if cached_share is None:
        cached = _times(asked.cached_tokens, asked.kind.input_ratio)
    else:
        cached = input_tokens * cached_share
    return snapshot.prices.cost(asked.kind.hour_utc, input_tokens - cached, cached, decoded)


def _times(tokens: Figure, ratio: Floats | None) -> Figure:
    return tokens if ratio is None else tokens * ratio


def _time(snapshot: Snapshot, asked: _Asked, decoded: Floats) -> Floats:
    """Seconds until the answer is complete, the first token at its slow (95 %) end."""
    prefill = asked.input_tokens / PREFILL_TOKENS_PER_S
    time: Floats = snapshot.behaviour.first_token_p95 + prefill + decoded / snapshot.behaviour.speed_median
    return time


def _tolerated_time(asked: _Asked) -> Figure:
    """The time that halves the factor, s: the tolerated multiple of the reference's on the same request."""
    prefill = asked.input_tokens / PREFILL_TOKENS_PER_S
    decode = _reference_decoded(asked) / reference.REFERENCE_SPEED
    return asked.kind.tolerance * (reference.REFERENCE_FIRST_TOKEN_S + prefill + decode)


def reference_cost_usd(snapshot: Snapshot, profile: RequestProfile) -> float:
    """USD of the request at reference prices: the cost that halves the factor."""
    return float(_reference_cost(_asked(snapshot, profile)))


def _reference_cost(asked: _Asked) -> Figure:
    """USD of the same request at reference prices."""
    input_usd, cached_usd, output_usd = asked.kind.reference_usd
    prompt = (asked.input_tokens - asked.cached_tokens) * input_usd + asked.cached_tokens * cached_usd
    return asked.kind.usual_input * prompt + _reference_decoded(asked) * output_usd


def _reference_decoded(asked: _Asked) -> Figure:
    """Answer and thinking tokens of the reference."""
    return asked.output_tokens * asked.kind.usual_output + asked.kind.reference_thinking


def _log_policy(directives: Directives) -> Figure:
    """1 for what a rule prefers and for all where none does, 1 / weight for the rest."""
    if directives.prefer is None:
        return 0.0
    if directives.prefer.ndim == 1 and directives.prefer.any():
        return np.where(directives.prefer, 0.0, -np.log(directives.policy_weight))
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
    for row, wanted in asked.kind.needs:
        codes = np.maximum(codes, wanted * tables.lacking[row])
    return codes


def _ruled_out(codes: Codes, directives: Directives) -> Codes:
    """The codes, and what a rule or the caller's own choice leaves out."""
    if directives.exclude is not None:
        codes = np.maximum(codes, _codes(directives.exclude, Excluded.EXCLUDED_BY_RULE))
    if directives.only is not None:
        codes = np.maximum(codes, _codes(~directives.only, Excluded.NOT_REQUESTED))
    return codes
