"""What a snapshot alone decides of a request, worked out once and looked up by the request's kind.

The factors that read no token count (success, quality, schema, headroom, safety) are tables here; cost and latency are
computed from them for each request (`factors`). A batch picks rows, one request finds those of its kind ready.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from freerelay_core.catalogue import ABILITIES, CAPABILITIES
from freerelay_core.catalogue.prices import any_above
from freerelay_core.preference import FACTORS
from freerelay_core.profile import NEEDS, OutputContract, ProfileBatch, RequestProfile, TaskFamily
from freerelay_core.scoring import reference
from freerelay_core.scoring.exclusions import Excluded, codes_where
from freerelay_core.snapshot import BREAKER_OPEN, COOLING_DOWN, PROVIDER_BUDGET_GONE, QUOTA_GONE, WITHDRAWN, Snapshot

__all__ = [
    "COST",
    "HEADROOM",
    "LATENCY",
    "POLICY",
    "QUALITY",
    "Asked",
    "Kind",
    "Tables",
    "asked_of",
    "catalogue_quality",
    "over_quota",
    "tables_of",
    "thinking_tokens",
    "unable",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]
Figure: TypeAlias = float | Floats
"""A number of one request, or a column of shape (R, 1)."""
Index: TypeAlias = int | npt.NDArray[np.intp]
"""A row of a table for one request, or rows for a batch, shape (R,)."""


_FAMILIES = list(TaskFamily)
_FAMILY = {family: index for index, family in enumerate(_FAMILIES)}
_ABILITY_ROWS = [ABILITIES.index(reference.ABILITY_OF_FAMILY[family]) for family in _FAMILIES]
_CAPABILITY = {name: index for index, name in enumerate(CAPABILITIES)}
_NEED_REASONS = {
    "tools": Excluded.NO_TOOLS,
    "vision": Excluded.NO_VISION,
    "logprobs": Excluded.NO_LOGPROBS,
    "choices": Excluded.NO_CHOICES,
    "logit_bias": Excluded.NO_LOGIT_BIAS,
    "streaming": Excluded.NO_STREAMING,
    "confidential": Excluded.NOT_CONFIDENTIAL,
}
_UNAVAILABLE = {
    QUOTA_GONE: Excluded.QUOTA_GONE,
    PROVIDER_BUDGET_GONE: Excluded.PROVIDER_BUDGET_GONE,
    COOLING_DOWN: Excluded.COOLING_DOWN,
    BREAKER_OPEN: Excluded.BREAKER_OPEN,
    WITHDRAWN: Excluded.WITHDRAWN,
}
POLICY, SAFETY, SCHEMA, QUALITY, COST, SUCCESS, HEADROOM, LATENCY = range(len(FACTORS))


class Kind(NamedTuple):
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
    log_success: Floats
    log_static: Floats
    """For a single request: all log factors, shape (K, E), where those of cost, latency and policy are 0."""
    tolerance: Figure
    usual_output: Figure
    usual_input: Figure
    reference_thinking: Figure
    reference_usd: tuple[Figure, Figure, Figure]
    """USD a token: input, cached, output."""
    needs: tuple[tuple[int, Figure], ...]
    """Rows of `Tables.lacking` that matter, each with 1 for the requests that need it."""


class Asked(NamedTuple):
    """What the factors read of one request or of a batch: its kind, and its own tokens."""

    kind: Kind
    input_tokens: Figure
    cached_tokens: Figure
    output_tokens: Figure
    """Of one answer, within its limit."""
    answers: Figure | None
    """How many are asked for; None where one is."""
    limit: Figure | None
    """The most tokens of one answer, infinite where a request states none; None where none does."""


def asked_of(tables: Tables, profiles: ProfileBatch | RequestProfile) -> Asked:
    if isinstance(profiles, RequestProfile):
        input_tokens, limit = float(profiles.input_tokens), profiles.answer_limit
        return Asked(
            _kind_of_one(tables, profiles),
            input_tokens,
            min(float(profiles.cached_tokens), input_tokens),
            float(profiles.output_tokens if limit is None else min(profiles.output_tokens, limit)),
            None if profiles.answers == 1 else float(profiles.answers),
            None if limit is None else float(limit),
        )
    family, depth, latency_class, contract, hour_utc = (
        _index(column)
        for column in (profiles.family, profiles.depth, profiles.latency_class, profiles.contract, profiles.hour_utc)
    )
    locked_down = _index(profiles.locked_down.astype(np.intp) if _any(profiles.locked_down) else _NOT_ANY)
    wanted = [
        (row, mask[:, None]) for row, mask in enumerate(profiles.needs) if tables.lacking[row].any() and _any(mask)
    ]
    strict = np.asarray(contract == OutputContract.STRICT)
    if strict.any():
        wanted.append((_STRICT, np.broadcast_to(strict, len(profiles))[:, None]))
    columns = (family, depth, latency_class, contract, locked_down, hour_utc)
    kind = _kind(tables, columns, tuple(wanted))
    limited = _any(profiles.answer_limit != np.inf)
    output_tokens = np.minimum(profiles.output_tokens, profiles.answer_limit) if limited else profiles.output_tokens
    return Asked(
        kind,
        profiles.input_tokens[:, None],
        np.minimum(profiles.cached_tokens, profiles.input_tokens)[:, None],
        output_tokens[:, None],
        profiles.answers[:, None] if _any(profiles.answers != 1.0) else None,
        profiles.answer_limit[:, None] if limited else None,
    )


def _index(column: npt.NDArray[np.intp]) -> Index:
    """The column, or its one value where all are alike: then rows of tables need not be repeated."""
    first = int(column[0]) if len(column) else 0
    alike = column.strides[0] == 0 or np.count_nonzero(column == first) == len(column)
    return first if alike else column


_MOST_KINDS = 256
"""Kept a snapshot, about 2 MB: whoever asks for ever new kinds of dry runs must not fill the memory."""
_NOT_ANY = np.zeros(1, dtype=np.intp)


def _any(column: Bools) -> bool:
    """Whether any is true; of a value that is seen many times, the one."""
    return bool(column[0]) if len(column) and column.strides[0] == 0 else bool(column.any())


def _kind_of_one(tables: Tables, profile: RequestProfile) -> Kind:
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
        rows = [row for row, need in enumerate(NEEDS) if need in profile.needs and tables.lacking[row].any()]
        rows += [_STRICT] if profile.contract is OutputContract.STRICT else []
        columns = (_FAMILY[profile.family], *(int(value) for value in key[1:6]))
        kind = _kind(tables, columns, tuple((row, 1) for row in rows))
        static = np.zeros((len(FACTORS), len(tables.log_headroom)))
        static[SAFETY], static[SCHEMA], static[QUALITY] = kind.log_safety, kind.log_schema, kind.log_quality
        static[SUCCESS], static[HEADROOM] = kind.log_success, tables.log_headroom
        if len(tables.kinds) >= _MOST_KINDS:
            tables.kinds.clear()
        kind = tables.kinds[key] = kind._replace(log_static=static)
    return kind


def _kind(tables: Tables, columns: Sequence[Index], needs: tuple[tuple[int, Figure], ...]) -> Kind:
    """The rows for these families, depths, latency classes, contracts, postures (locked down: 1) and hours."""
    family, depth, latency_class, contract, locked_down, hour_utc = columns
    return Kind(
        hour_utc=hour_utc,
        thinking=_row(tables.thinking, family, depth),
        output_ratio=None if tables.output_ratio is None else _row(tables.output_ratio, family),
        input_ratio=None if tables.input_ratio is None else _row(tables.input_ratio, family),
        log_safety=_row(tables.log_safety, locked_down),
        log_schema=_row(tables.log_schema, contract),
        log_quality=_row(tables.log_quality, family, depth),
        log_success=tables.log_success if tables.log_success.ndim == 1 else _row(tables.log_success, family),
        log_static=_NOTHING,
        tolerance=_figure(reference.LATENCY_TOLERANCE, latency_class),
        usual_output=_figure(tables.usual_output, family),
        usual_input=_figure(tables.usual_input, family),
        reference_thinking=_figure(reference.REFERENCE_THINKING, depth),
        reference_usd=tuple(_figure(usd, depth) for usd in reference.REFERENCE_USD.T),  # type: ignore[arg-type]  # three
        needs=needs,
    )


_NOTHING = np.empty(0)


def _row(table: Floats, *index: Index) -> Floats:
    """A row of the table, shape (E,), or one for each request, shape (R, E), endpoint after endpoint in memory."""
    if all(isinstance(each, int) for each in index):
        row: Floats = table[index]
        return row
    flat = np.ravel_multi_index(np.broadcast_arrays(*index), table.shape[:-1])
    return table.reshape(-1, table.shape[-1]).T.take(flat, axis=1).T


def _figure(table: Floats, index: Index) -> Figure:
    """The figure of one request, or the column of a batch, from a table with one figure a row."""
    return float(table[index]) if isinstance(index, int) else table[index][:, None]


@dataclass(frozen=True, slots=True)
class Tables:
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
    """Shape (families, E); (E,) where no family is set apart."""
    log_headroom: Floats
    log_safety: Floats
    """Shape (2, E): under the usual posture, and locked down."""
    lacking: Codes
    """Codes of what each need excludes, and last a strict schema; shape (needs + 1, E)."""
    closed: Mapping[tuple[bool, bool], Codes]
    """Codes of what is closed to every request, by (live, price_matters)."""
    shortest_context: float
    shortest_output: float
    smallest_quota: float
    kinds: dict[tuple[object, ...], Kind] = field(default_factory=dict)
    """Kinds of single requests that were met."""


_STRICT = len(NEEDS)


@lru_cache(maxsize=16)
def tables_of(snapshot: Snapshot) -> Tables:
    capable = {name: snapshot.capabilities[index] for name, index in _CAPABILITY.items()}
    support = np.where(capable["structured_output"], 2, np.where(capable["json_mode"], 1, 0))
    headroom = np.clip(snapshot.headroom / reference.HEADROOM_BITES_BELOW, 1e-6, 1.0)
    unavailable = np.zeros(len(snapshot), dtype=np.int8)
    for state, reason in _UNAVAILABLE.items():
        unavailable[snapshot.availability == state] = reason
    unpriced = np.maximum(unavailable, codes_where(~snapshot.prices.priced, Excluded.UNPRICED))
    not_live = codes_where(~snapshot.live, Excluded.SIMULATED)
    exposed = np.where(capable["confidential"], 0.0, np.log(reference.LOCKED_DOWN_PENALTY))
    return Tables(
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
        log_success=_log_success(snapshot),
        log_headroom=np.log(headroom),
        log_safety=np.array([np.zeros(len(snapshot)), exposed]),
        lacking=np.array(
            [
                *(codes_where(~capable[need], _NEED_REASONS[need]) for need in NEEDS),
                codes_where(~capable["structured_output"], Excluded.NO_STRUCTURED_OUTPUT),
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
        smallest_quota=float(snapshot.max_request_tokens.min(initial=np.inf)),
    )


def _unless_one(ratio: Floats) -> Floats | None:
    """None instead of ones: multiplying by 1 changes no bit, so it may be left out."""
    return None if np.count_nonzero(ratio == 1.0) == ratio.size else ratio


def _log_success(snapshot: Snapshot) -> Floats:
    """The endpoint's share of answered requests, moved in logits by what sets the family apart."""
    failing = (1.0 - snapshot.success) / snapshot.success
    shift = snapshot.learned.success_shift
    log_success: Floats = -np.log1p(failing * np.exp(-shift) if shift.any() else failing)
    return log_success


def _log_quality(ability: Floats, difficulty: Floats, shift: Floats) -> Floats:
    """Rasch model (one-parameter item response): P = 1 / (1 + exp(-(ability - difficulty) / s - shift)).

    `shift` is what grades and kept contracts have taught, in logits.
    """
    log_quality: Floats = -np.log1p(np.exp((difficulty - ability) / reference.ELO_PER_LOGIT - shift))
    return log_quality


def catalogue_quality(snapshot: Snapshot, endpoint: int, profile: RequestProfile) -> float:
    """Expected share of good answers at one endpoint, of those that come whole, by its catalogue ability alone."""
    ability = snapshot.abilities[_ABILITY_ROWS[_FAMILY[profile.family]], endpoint]
    return float(np.exp(_log_quality(ability, reference.DIFFICULTY[profile.depth], np.zeros(()))))


def thinking_tokens(snapshot: Snapshot, profile: RequestProfile) -> Floats:
    """Tokens that each endpoint is expected to think before it answers, had it no limit; shape (E,)."""
    return _row(tables_of(snapshot).thinking, _FAMILY[profile.family], int(profile.depth))


def _schema_kept(snapshot: Snapshot, support: npt.NDArray[np.intp]) -> Floats:
    """Expected share of answers that keep the contract, shape (contracts, E): a Beta posterior on the assumed share."""
    learned, weight = snapshot.learned, reference.SCHEMA_PRIOR_WEIGHT
    prior = reference.SCHEMA[:, support]
    seen = learned.schema_seen > 0
    posterior = (weight * prior + learned.schema_kept) / (weight + learned.schema_seen)
    kept: Floats = np.where(seen, posterior, prior)
    return kept


def unable(codes: Codes, snapshot: Snapshot, tables: Tables, asked: Asked) -> Codes:
    """The codes, and what each endpoint cannot do for the request; the highest stands in each cell."""
    tokens = asked.input_tokens + asked.output_tokens
    if any_above(tokens, tables.shortest_context):
        codes = _over(codes, tokens, snapshot.context_tokens, tables.shortest_context, Excluded.CONTEXT_TOO_SMALL)
    if any_above(asked.output_tokens, tables.shortest_output):
        least, code = tables.shortest_output, Excluded.OUTPUT_LIMIT_TOO_SMALL
        codes = _over(codes, asked.output_tokens, snapshot.max_output_tokens, least, code)
    for row, wanted in asked.kind.needs:
        codes = np.maximum(codes, wanted * tables.lacking[row])
    return codes


def over_quota(codes: Codes, snapshot: Snapshot, tables: Tables, asked: Asked) -> Codes:
    """The codes, and what no minute or day of an endpoint's quota can hold; it stands only where no other does."""
    written = asked.output_tokens if asked.answers is None else asked.output_tokens * asked.answers
    tokens = asked.input_tokens + written
    if not any_above(tokens, tables.smallest_quota):
        return codes
    nothing = np.zeros(codes.shape[-1], dtype=np.int8)
    too_large = _over(nothing, tokens, snapshot.max_request_tokens, tables.smallest_quota, Excluded.OVER_TOKEN_LIMIT)
    return np.where(codes == Excluded.NO, too_large, codes)


def _over(codes: Codes, tokens: Figure, limits: Floats, least: float, code: Excluded) -> Codes:
    """The codes, with this one where the tokens exceed an endpoint's limit; `least` is the smallest limit."""
    if isinstance(tokens, float):
        return np.maximum(codes, codes_where(tokens > limits, code))
    rows = np.flatnonzero(tokens > least)  # mostly few
    codes = np.array(np.broadcast_to(codes, (len(tokens), len(limits))), order="F")
    codes[rows] = np.maximum(codes[rows], codes_where(tokens[rows] > limits, code))
    return codes
