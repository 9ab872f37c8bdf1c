"""Ranks the endpoints for many requests at once: the winner of each, by the same evaluation and sum as for one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from freerelay_core.decision.request import masks_of
from freerelay_core.policy import (
    Directive,
    limits_of,
    raised_batch,
)
from freerelay_core.profile import ProfileBatch
from freerelay_core.scoring import (
    Directives,
    Evaluation,
    Excluded,
    Expected,
    apply_limits,
    best,
    despite_breakers,
    evaluate,
    log_utility,
    stuck,
)
from freerelay_core.snapshot import BREAKER_OPEN, Snapshot

__all__ = ["Choice", "choose", "directives_of", "evaluate_batch", "utility_of"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The winners of R requests. Arrays have the shape (R,); with nothing allowed `endpoint` is -1 and the rest 0."""

    endpoint: npt.NDArray[np.intp]
    cost_usd: Floats
    quality: Floats
    decoded_tokens: Floats


def choose(evaluation: Evaluation, exponents: Floats) -> Choice:
    """The winner of each of R requests; `exponents` has the shape (K,), or (R, K) where they differ by request."""
    log_utilities = _utilities(evaluation, exponents)
    winner = best(log_utilities, evaluation.cost_usd, evaluation.excluded_cells)
    quality = _picked(np.exp(evaluation.log_quality), winner)
    return Choice(winner, _picked(evaluation.cost_usd, winner), quality, _picked(evaluation.decoded_tokens, winner))


def utility_of(evaluation: Evaluation, exponents: Floats, endpoint: npt.NDArray[np.intp]) -> Floats:
    """Log utility ln U of one endpoint a request, shape (R,); 0 where that is -1. The exponents are as for `choose`."""
    return _picked(_utilities(evaluation, exponents), endpoint)


def _utilities(evaluation: Evaluation, exponents: Floats) -> Floats:
    return log_utility(evaluation.log_factors, exponents if exponents.ndim == 1 else exponents.T[:, :, None])


def _picked(values: Floats, endpoint: npt.NDArray[np.intp]) -> Floats:
    """The value at the endpoint of each request, from (R, E) or (E,); 0 where that is -1."""
    if values.ndim == 2:
        requests = len(values)
        picked = values.T.take(endpoint * requests + np.arange(requests), mode="clip")
    else:
        picked = values[endpoint]
    picked[endpoint < 0] = 0.0
    return picked


def directives_of(directives: Sequence[Directive], index: npt.NDArray[np.intp], snapshot: Snapshot) -> Directives:
    """Masks for R requests, of which request r follows `directives[index[r]]`."""
    ids = snapshot.endpoint_ids
    if len(directives) == 1:
        return masks_of(directives[0], ids, None)
    each = [masks_of(directive, ids, None) for directive in directives]
    nothing = np.zeros(len(ids), dtype=np.bool_)
    return Directives(
        prefer=np.array([nothing if d.prefer is None else d.prefer for d in each])[index],
        exclude=np.array([nothing if d.exclude is None else d.exclude for d in each])[index],
        policy_weight=np.array([d.policy_weight for d in each])[index][:, None],
    )


def evaluate_batch(
    snapshot: Snapshot,
    profiles: ProfileBatch,
    directives: Sequence[Directive],
    index: npt.NDArray[np.intp],
    *,
    live: bool = False,
    price_matters: bool | npt.NDArray[np.bool_] = True,
    only: npt.NDArray[np.bool_] | None = None,
) -> Evaluation:
    """What no preference changes for R requests, of which request r follows `directives[index[r]]`.

    `price_matters`, of shape (R,) where requests differ, is false only where the exponent of cost is 0: then unpriced
    endpoints may be chosen. `only`, of shape (R, E), are the endpoints that the callers named.
    """
    if isinstance(price_matters, np.ndarray):
        if price_matters.any() != price_matters.all():
            priced, any_price = (
                evaluate_batch(snapshot, profiles, directives, index, live=live, price_matters=matters, only=only)
                for matters in (True, False)
            )
            excluded = np.where(price_matters[:, None], priced.excluded, any_price.excluded)
            return dataclasses.replace(priced, excluded=excluded)
        price_matters = bool(price_matters.all())
    profiles = raised_batch(profiles, directives, index)
    evaluated = partial(
        _evaluated,
        profiles=profiles,
        directives=directives,
        index=index,
        live=live,
        price_matters=price_matters,
        only=only,
    )
    evaluation = evaluated(snapshot)
    if not (snapshot.availability == BREAKER_OPEN).any() or not (nothing := stuck(evaluation.excluded)).any():
        return evaluation
    anyway = evaluated(despite_breakers(snapshot)).excluded
    served = nothing & (anyway == Excluded.NO).any(axis=1)
    return dataclasses.replace(evaluation, excluded=np.where(served[:, None], anyway, evaluation.excluded))


def _evaluated(
    snapshot: Snapshot,
    profiles: ProfileBatch,
    directives: Sequence[Directive],
    index: npt.NDArray[np.intp],
    *,
    live: bool,
    price_matters: bool,
    only: npt.NDArray[np.bool_] | None,
) -> Evaluation:
    masks = directives_of(directives, index, snapshot)
    if only is not None:
        masks = dataclasses.replace(masks, only=only)
    evaluation = evaluate(snapshot, profiles, masks, live=live, price_matters=price_matters)
    excluded = evaluation.excluded
    for number, directive in enumerate(directives):
        if limits := limits_of(directive, snapshot):
            rows = np.flatnonzero(index == number)
            expected = Expected(
                evaluation.cost_usd[rows], profiles.input_tokens[rows, None], evaluation.decoded_tokens[rows]
            )
            excluded = np.array(excluded) if excluded is evaluation.excluded else excluded
            excluded[rows] = apply_limits(excluded[rows], expected, limits, snapshot)
    return dataclasses.replace(evaluation, excluded=excluded)
