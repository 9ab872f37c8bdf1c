"""The factors: each answers one question about a request at an endpoint with a number in (0, 1], 1 being best.

Each is written once and broadcasts: over R requests x E endpoints for a batch, over the E endpoints for one live
request, whose own figures are plain numbers. A hard requirement that an endpoint cannot meet is not a low factor but an
exclusion with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from freerelay_core.behaviour import PREFILL_TOKENS_PER_S
from freerelay_core.profile import ProfileBatch, RequestProfile
from freerelay_core.scoring import reference
from freerelay_core.scoring.budget import Budget, within_budget
from freerelay_core.scoring.exclusions import NO_DIRECTIVES, Directives, ruled_out
from freerelay_core.scoring.kinds import (
    COST,
    HEADROOM,
    LATENCY,
    POLICY,
    QUALITY,
    SCHEMA,
    Asked,
    asked_of,
    over_quota,
    tables_of,
    unable,
)
from freerelay_core.scoring.whole import log_whole
from freerelay_core.snapshot import Snapshot

__all__ = ["Evaluation", "evaluate", "reference_cost_usd"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int8]
Figure: TypeAlias = float | Floats
"""A number of one request, or a column of shape (R, 1)."""


@dataclass(frozen=True)
class Evaluation:
    """What no preference changes. Arrays have the shape (R, E), or (E,) for one request.

    Those of a batch lie in memory endpoint after endpoint (Fortran order): numpy then goes through thousands of
    requests at a time, instead of some twenty endpoints.
    """

    log_factors: Sequence[Floats]
    """Log factors, ln f, in the order of `FACTORS`: K arrays that broadcast to (R, E), since what is alike for a whole
    batch is held once; for one request one array of shape (K, E)."""
    excluded: Codes
    """Codes of `Excluded`."""
    cost_usd: Floats
    decoded_tokens: Floats
    """Answer and thinking tokens within the request's limit, of one answer where several are asked for."""
    log_whole: Floats | None = None
    """Natural logarithm of the share of answers that the limit does not cut off, a part of that of good answers; None
    where no request states a limit."""

    @cached_property
    def excluded_cells(self) -> npt.NDArray[np.intp]:
        """Flat indices of the excluded cells of a batch, endpoint after endpoint."""
        return np.flatnonzero(self.excluded.T)

    @property
    def log_quality(self) -> Floats:
        """Natural logarithm of the expected share of good answers; one that the request's limit cuts off is none."""
        return self.log_factors[QUALITY]

    @property
    def log_schema(self) -> Floats:
        """Natural logarithm of the expected share of answers that keep the output contract."""
        return self.log_factors[SCHEMA]

    @property
    def of_one(self) -> Floats:
        """The log factors of a single request, shape (K, E)."""
        if not isinstance(self.log_factors, np.ndarray):
            raise TypeError("these are the factors of a batch")
        return self.log_factors


def evaluate(
    snapshot: Snapshot,
    profiles: ProfileBatch | RequestProfile,
    directives: Directives = NO_DIRECTIVES,
    *,
    live: bool = False,
    price_matters: bool = True,
    cached_share: Floats | None = None,
    budget: Budget | None = None,
) -> Evaluation:
    """Factors, exclusions and cost of R requests, or of one, at the snapshot's E endpoints.

    `live` also excludes simulated endpoints that may not serve live traffic. `price_matters` is false only where the
    exponent of cost is 0: then an unpriced endpoint may be ranked. `cached_share` of shape (E,) is the share of the
    input that each endpoint's prompt cache is expected to hold; without it the profiles' own expectation stands.
    `budget` is what is left to the tenants; an unknown price is within none.
    """
    tables = tables_of(snapshot)
    asked = asked_of(tables, profiles)
    price_matters = price_matters or budget is not None
    answer, thinking = _times(asked.output_tokens, asked.kind.output_ratio), asked.kind.thinking
    decoded = np.add(answer, thinking, order="F")
    whole = None
    if asked.limit is not None:
        decoded, whole = np.minimum(decoded, asked.limit, order="F"), log_whole(asked.limit, answer, thinking)
    cost = _cost(snapshot, asked, decoded, cached_share)
    time = _time(snapshot, asked, decoded)
    excluded = ruled_out(unable(tables.closed[live, price_matters], snapshot, tables, asked), directives)
    excluded = over_quota(excluded, snapshot, tables, asked)
    if isinstance(profiles, RequestProfile):
        log_factors = asked.kind.log_static.copy()
        if directives.prefer is not None:
            log_factors[POLICY] = directives.log_policy
        if whole is not None:
            log_factors[QUALITY] += whole
        if budget is not None:
            excluded, log_factors[HEADROOM] = within_budget(budget, cost, excluded, log_factors[HEADROOM])
        shares = log_factors[COST : LATENCY + 1 : LATENCY - COST]  # these two alone
        np.divide(cost, _reference_cost(asked), out=shares[0])
        np.divide(time, _tolerated_time(asked), out=shares[1])
        _log_share(shares)
        return Evaluation(log_factors, excluded, cost, decoded, whole)  # type: ignore[arg-type]  # rows of an array are a sequence
    log_headroom = tables.log_headroom
    if budget is not None:
        excluded, log_headroom = within_budget(budget, cost, excluded, log_headroom)
    log_rows = (
        np.asarray(directives.log_policy),
        asked.kind.log_safety,
        asked.kind.log_schema,
        asked.kind.log_quality if whole is None else asked.kind.log_quality + whole,
        _log_share(cost / _reference_cost(asked)),
        asked.kind.log_success,
        log_headroom,
        _log_share(time / _tolerated_time(asked)),
    )
    # Alike for the whole batch: one row, seen R times.
    return Evaluation(log_rows, np.broadcast_to(excluded, decoded.shape), cost, decoded, whole)


def _log_share(relative: Floats) -> Floats:
    """The logarithm of 1 / (1 + x), the shape of cost and latency; works in place."""
    return np.negative(np.log1p(relative, out=relative), out=relative)


def _cost(snapshot: Snapshot, asked: Asked, decoded: Floats, cached_share: Floats | None) -> Floats:
    """USD at each endpoint, by its own count of the tokens."""
    input_tokens = _times(asked.input_tokens, asked.kind.input_ratio)
    if cached_share is None:
        cached = _times(asked.cached_tokens, asked.kind.input_ratio)
    else:
        cached = input_tokens * cached_share
    written = decoded if asked.answers is None else np.multiply(decoded, asked.answers, order="F")
    return snapshot.prices.cost(asked.kind.hour_utc, input_tokens - cached, cached, written)


def _times(tokens: Figure, ratio: Figure | None) -> Figure:
    return tokens if ratio is None else np.multiply(tokens, ratio, order="F")


def _time(snapshot: Snapshot, asked: Asked, decoded: Floats) -> Floats:
    """Seconds until the answer is complete, the first token at its slow (95 %) end."""
    prefill = asked.input_tokens / PREFILL_TOKENS_PER_S
    first_token = np.add(snapshot.behaviour.first_token_p95, prefill, order="F")
    time: Floats = first_token + decoded / snapshot.behaviour.speed_median
    return time


def _tolerated_time(asked: Asked) -> Figure:
    """The time that halves the factor, s: the tolerated multiple of the reference's on the same request."""
    prefill = asked.input_tokens / PREFILL_TOKENS_PER_S
    decode = _reference_decoded(asked) / reference.REFERENCE_SPEED
    return asked.kind.tolerance * (reference.REFERENCE_FIRST_TOKEN_S + prefill + decode)


def reference_cost_usd(snapshot: Snapshot, profile: RequestProfile) -> float:
    """USD of the request at reference prices: the cost that halves the factor."""
    return float(_reference_cost(asked_of(tables_of(snapshot), profile)))


def _reference_cost(asked: Asked) -> Figure:
    """USD of the same request at reference prices."""
    input_usd, cached_usd, output_usd = asked.kind.reference_usd
    prompt = (asked.input_tokens - asked.cached_tokens) * input_usd + asked.cached_tokens * cached_usd
    return asked.kind.usual_input * prompt + _times(_reference_decoded(asked), asked.answers) * output_usd


def _reference_decoded(asked: Asked) -> Figure:
    """Answer and thinking tokens of the reference."""
    decoded = asked.output_tokens * asked.kind.usual_output + asked.kind.reference_thinking
    return decoded if asked.limit is None else np.minimum(decoded, asked.limit)
