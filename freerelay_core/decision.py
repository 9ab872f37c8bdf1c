"""Where policy, factors and scoring meet: the one place that ranks, a live request or a million simulated ones.

    decide(...)                       one request -> Decision (ranking with contributions, exclusions with reasons)
    evaluate_batch(...), choose(...)   R requests -> Choice   (the winner of each, its cost, time and quality)

Both evaluate factors with `scoring.evaluate` and rank with `scoring.log_utility`; request i of a batch gets the
bits that it gets alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from freerelay_core.catalogue import ABILITIES
from freerelay_core.errors import NoEndpointLeft
from freerelay_core.policy import (
    NO_DIRECTIVE,
    NO_POLICY,
    Conditions,
    Directive,
    Facts,
    Policy,
    Requirement,
    conditions_of,
    limit_of,
    limits_of,
    matching,
    raised,
    raised_batch,
)
from freerelay_core.preference import (
    EXPONENTS,
    FACTORS,
    PREFERENCE_EXPONENTS,
    EffectivePreference,
    RoutingPreference,
    effective_preference,
    exponent_array,
)
from freerelay_core.profile import ProfileBatch, RequestProfile, TaskFamily
from freerelay_core.scoring import (
    ABOUT_EQUAL,
    NO_DIRECTIVES,
    Comparison,
    Directives,
    Evaluation,
    Excluded,
    Sensitivity,
    apply_limits,
    best,
    compare,
    comparison_words,
    evaluate,
    log_utility,
    order,
    reference_cost_usd,
    sensitivity,
)
from freerelay_core.scoring.reference import ABILITY_OF_FAMILY, POLICY_WEIGHT
from freerelay_core.snapshot import KINDS, Snapshot

__all__ = [
    "Choice",
    "Decision",
    "ExcludedEndpoint",
    "RankedEndpoint",
    "choose",
    "decide",
    "directives_of",
    "evaluate_batch",
    "replay",
    "utility_of",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RankedEndpoint:
    """One row of a ranking. Cost in USD a request, latencies in s, quality the expected share of good answers."""

    endpoint: str
    provider: str
    model: str
    score: float
    """100 for the winner, in proportion to the utility for the rest."""
    utility: float
    log_utility: float
    cost_usd: float
    latency_p50_s: float
    latency_p95_s: float
    quality: float
    graded: float
    """How many graded answers to requests of this family the quality rests on; older ones count less."""
    basis: str
    """The weakest of what its figures rest on: measured, published or prior."""
    simulated: bool
    """Served by the simulated provider."""
    about_equal: bool
    """Within 5 % of the winner's utility."""
    factors: Mapping[str, tuple[float, float, float]]
    """Value, exponent and contribution (exponent x ln value) of each factor."""

    def as_dict(self) -> dict[str, Any]:
        """The shape in which the API, the log and reports show it."""
        return {
            "endpoint": self.endpoint,
            "provider": self.provider,
            "model": self.model,
            "score": self.score,
            "utility": self.utility,
            "log_utility": self.log_utility,
            "cost_usd": self.cost_usd,
            "latency_s": {"p50": self.latency_p50_s, "p95": self.latency_p95_s},
            "quality": self.quality,
            "graded": self.graded,
            "basis": self.basis,
            "simulated": self.simulated,
            "about_equal": self.about_equal,
            "factors": {
                name: {"value": value, "exponent": exponent, "contribution": contribution}
                for name, (value, exponent, contribution) in self.factors.items()
            },
        }


@dataclass(frozen=True, slots=True)
class ExcludedEndpoint:
    """An endpoint that could not serve the request: the stable reason, and the words for a person."""

    endpoint: str
    reason: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        return {"endpoint": self.endpoint, "reason": self.reason, "detail": self.detail}


@dataclass(frozen=True, eq=False)
class Decision:
    """The ranking of one request, with everything it rests on. Ranked rows are built when they are asked for."""

    id: str
    snapshot: Snapshot
    preference: EffectivePreference
    profile: RequestProfile
    directive: Directive
    exponents: Mapping[str, float]
    evaluation: Evaluation
    """Of shape (K, E) and (E,)."""
    log_utilities: Floats
    """Shape (E,); meaningless where excluded."""
    order: tuple[int, ...]
    """Indices of the ranked endpoints, best first."""

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Ids of the ranked endpoints, best first."""
        return tuple(self.snapshot.endpoint_ids[e] for e in self.order)

    @cached_property
    def latencies_s(self) -> tuple[Floats, Floats]:
        """Median and 95 % quantile of the whole duration at every endpoint, s; arrays of shape (E,)."""
        return self.snapshot.behaviour.duration_quantiles(
            float(self.profile.input_tokens), self.evaluation.decoded_tokens
        )

    def row(self, position: int) -> RankedEndpoint:
        """The ranked endpoint at this position, 0 being the winner."""
        e = self.order[position]
        snapshot, p50, p95 = self.snapshot, *self.latencies_s
        logs = self.evaluation.of_one[:, e]
        ratio = self._score(position)
        factors = {
            name: (float(np.exp(value)), self.exponents[name], float(self.exponents[name] * value))
            for name, value in zip(FACTORS, logs, strict=True)
        }
        return RankedEndpoint(
            endpoint=snapshot.endpoint_ids[e],
            provider=snapshot.providers[e],
            model=snapshot.models[e],
            score=100.0 * ratio,
            utility=float(np.exp(self.log_utilities[e])),
            log_utility=float(self.log_utilities[e]),
            cost_usd=float(self.evaluation.cost_usd[e]),
            latency_p50_s=float(p50[e]),
            latency_p95_s=float(p95[e]),
            quality=factors["quality"][0],
            graded=float(snapshot.learned.graded[_FAMILY[self.profile.family], e]),
            basis=self._basis(e),
            simulated=bool(snapshot.simulated[e]),
            about_equal=ratio >= 1.0 - ABOUT_EQUAL,
            factors=factors,
        )

    @property
    def ranking(self) -> list[RankedEndpoint]:
        """All ranked endpoints, best first."""
        return [self.row(position) for position in range(len(self.order))]

    @property
    def excluded(self) -> list[ExcludedEndpoint]:
        """Endpoints that could not serve the request, each with its reason, in order of id."""
        codes = self.evaluation.excluded
        return [
            ExcludedEndpoint(self.snapshot.endpoint_ids[e], Excluded(codes[e]).reason, self._detail(int(e)))
            for e in np.flatnonzero(codes)
        ]

    @cached_property
    def dropped(self) -> tuple[Requirement, ...]:
        """Requirements of rules that nothing left could meet, so that they did not count."""
        soft = [r for r in self.directive.requirements if r.may_be_dropped]
        return tuple(r for r in soft if not self.order or self._is_outside(r, self.order[0]))

    def _is_outside(self, requirement: Requirement, endpoint: int) -> bool:
        limit, tokens = limit_of(requirement, self.snapshot), float(self.profile.input_tokens)
        return bool(limit.outside(self.evaluation, self.snapshot, tokens)[endpoint])

    def compare(self, a: int, b: int) -> tuple[Comparison, str]:
        """Why the endpoint at position `a` stands above (or below) the one at `b`: by factor, and in words.

        The words follow "A over B".
        """
        first, second = self.order[a], self.order[b]
        cost, log_quality, p50 = self.evaluation.cost_usd, self.evaluation.log_quality, self.latencies_s[0]
        logs = self.evaluation.of_one
        comparison = compare(logs[:, first].tolist(), logs[:, second].tolist(), self.exponents)
        return comparison, comparison_words(
            comparison,
            cost_usd=(float(cost[first]), float(cost[second])),
            latency_s=(float(p50[first]), float(p50[second])),
            quality=(math.exp(log_quality[first]), math.exp(log_quality[second])),
            rules=self.directive.rules,
        )

    def _score(self, position: int) -> float:
        """Utility over the winner's."""
        return math.exp(self.log_utilities[self.order[position]] - self.log_utilities[self.order[0]])

    @cached_property
    def reason(self) -> str:
        """One line that a person understands: why the winner won."""
        winner = self.snapshot.endpoint_ids[self.order[0]]
        if len(self.order) == 1:
            return f"{winner} is the only endpoint that can serve this request"
        return f"{winner} over {self.snapshot.endpoint_ids[self.order[1]]}{self.compare(0, 1)[1]}"

    @cached_property
    def sensitivity(self) -> Sensitivity | None:
        """What, changed alone, would put another endpoint first; None with fewer than two."""
        logs = self.evaluation.of_one.take(self.order, axis=1)
        usd = reference_cost_usd(self.snapshot, self.profile)
        return sensitivity(self.endpoints, logs, exponent_array(self.exponents), usd)

    def require_endpoint(self) -> None:
        """Raise `NoEndpointLeft`, with the reasons counted, when everything is excluded."""
        if self.order:
            return
        counts: dict[str, int] = {}
        for excluded in self.excluded:
            counts[excluded.detail] = counts.get(excluded.detail, 0) + 1
        reasons = "; ".join(f"{count} x {detail}" for detail, count in sorted(counts.items(), key=lambda i: -i[1]))
        raise NoEndpointLeft(f"No endpoint can serve this request: {reasons}.", retry_after_s=5.0)

    def as_dict(self, now: datetime) -> dict[str, Any]:
        """The shape of `POST /v1/router/decide`."""
        return {
            "decision_id": self.id,
            "snapshot": {"id": self.snapshot.id, "age_s": self.snapshot.age_s(now)},
            "preference": self.preference.as_dict(),
            "profile": self.profile.as_dict(),
            "rules": list(self.directive.rules),
            "actions": self.directive.actions(self.dropped),
            "exponents": dict(self.exponents),
            "reason": self.reason if self.order else None,
            "sensitivity": self.sensitivity.as_dict() if self.sensitivity else None,
            "ranking": [row.as_dict() for row in self.ranking],
            "excluded": [row.as_dict() for row in self.excluded],
        }

    def _basis(self, endpoint: int) -> str:
        ability = ABILITIES.index(ABILITY_OF_FAMILY[self.profile.family])
        weakest = max(self.snapshot.ability_kinds[ability, endpoint], self.snapshot.speed_kinds[endpoint])
        return KINDS[weakest]

    def _detail(self, endpoint: int) -> str:
        code = Excluded(self.evaluation.excluded[endpoint])
        if code is Excluded.EXCLUDED_BY_RULE:
            return f"excluded by rule {self.directive.excluded_by(self.snapshot.endpoint_ids[endpoint])}"
        if code in _OF_REQUIREMENTS:
            return next(
                r.words
                for r in self.directive.requirements
                if limit_of(r, self.snapshot).reason is code and r not in self.dropped and self._is_outside(r, endpoint)
            )
        return _DETAILS[code]


_FAMILY = {family: index for index, family in enumerate(TaskFamily)}
_OF_REQUIREMENTS = (Excluded.OUTSIDE_REQUIRED, Excluded.OVER_MAX_COST, Excluded.OVER_MAX_LATENCY)
_DETAILS = {
    Excluded.CONTEXT_TOO_SMALL: "the request is longer than its context",
    Excluded.OUTPUT_LIMIT_TOO_SMALL: "the answer is longer than it may write",
    Excluded.NO_LOGPROBS: "gives no log probabilities",
    Excluded.NO_STRUCTURED_OUTPUT: "cannot keep a strict JSON schema",
    Excluded.NO_JSON_MODE: "cannot promise JSON, which a rule enforces",
    Excluded.NO_TOOLS: "cannot call tools",
    Excluded.NO_VISION: "cannot read pictures",
    Excluded.NOT_CONFIDENTIAL: "is not cleared for confidential content",
    Excluded.UNPRICED: "has no known price",
    Excluded.QUOTA_GONE: "its quota is used up",
    Excluded.COOLING_DOWN: "asked us to wait (rate limit)",
    Excluded.BREAKER_OPEN: "is failing (breaker open)",
    Excluded.SIMULATED: "is simulated, and real endpoints are configured",
    Excluded.WITHDRAWN: "is withdrawn in this scenario",
    Excluded.NOT_REQUESTED: "another endpoint was named",
}


def decide(
    snapshot: Snapshot,
    profile: RequestProfile,
    *,
    decision_id: str,
    policy: Policy = NO_POLICY,
    tenant_preference: RoutingPreference | None = None,
    request_preference: RoutingPreference | None = None,
    tenant_id: str | None = None,
    tier: str | None = None,
    only: str | None = None,
    live: bool = False,
    exponents: Mapping[str, float] | None = None,
    cached_share: Floats | None = None,
    conditions: Conditions | None = None,
) -> Decision:
    """Rank the snapshot's endpoints for one request.

    `only` is the id of a pinned endpoint, `live` refuses simulated endpoints where real ones are configured,
    `exponents` replaces those of the preference (an operator's what-if), `cached_share` of shape (E,) the share of the
    input that the profile expects in a prompt cache, `conditions` what rules read of the snapshot.
    """
    directive = NO_DIRECTIVE
    if policy:
        facts = Facts(profile, tenant_id, tier, tenant_preference, conditions or conditions_of(snapshot))
        directive = policy.directive(facts)
        profile = raised(profile, directive)
    preference = effective_preference(
        tenant=tenant_preference,
        request=request_preference,
        rule=directive.routing_preference,
        rule_name=directive.preference_rule,
    )
    weights = exponent_array(exponents) if exponents else PREFERENCE_EXPONENTS[preference.value]
    exponents = exponents or EXPONENTS[preference.value]
    masks = _masks(directive, snapshot.endpoint_ids, only)
    evaluation = evaluate(
        snapshot, profile, masks, live=live, price_matters=exponents["cost"] > 0, cached_share=cached_share
    )
    if limits := limits_of(directive, snapshot):
        evaluation = apply_limits(evaluation, limits, snapshot, float(profile.input_tokens))
    log_utilities = log_utility(evaluation.log_factors, weights)
    ranked = order(log_utilities, evaluation.cost_usd, evaluation.excluded)
    return Decision(
        id=decision_id,
        snapshot=snapshot,
        preference=preference,
        profile=profile,
        directive=directive,
        exponents=exponents,
        evaluation=evaluation,
        log_utilities=log_utilities,
        order=tuple(ranked.tolist()),
    )


_NO_DIRECTIVE = Directive()


def _masks(directive: Directive, ids: tuple[str, ...], only: str | None) -> Directives:
    """What a directive asks of one request, and the endpoint that the caller named."""
    if only is None and not directive.prefer and not directive.exclude:
        return NO_DIRECTIVES
    return Directives(
        prefer=matching(directive.prefer, ids) if directive.prefer else None,
        exclude=matching(directive.exclude, ids) if directive.exclude else None,
        policy_weight=POLICY_WEIGHT if directive.policy_weight is None else directive.policy_weight,
        only=None if only is None else np.array([name == only for name in ids], dtype=np.bool_),
    )


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
        picked = values.take(np.arange(0, values.size, values.shape[1]) + endpoint, mode="clip")
    else:
        picked = values[endpoint]
    picked[endpoint < 0] = 0.0
    return picked


def directives_of(directives: Sequence[Directive], index: npt.NDArray[np.intp], snapshot: Snapshot) -> Directives:
    """Masks for R requests, of which request r follows `directives[index[r]]`."""
    ids = snapshot.endpoint_ids
    if len(directives) == 1:
        return _masks(directives[0], ids, None)
    each = [_masks(directive, ids, None) for directive in directives]
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
) -> Evaluation:
    """What no preference changes for R requests, of which request r follows `directives[index[r]]`."""
    profiles = raised_batch(profiles, directives, index)
    evaluation = evaluate(snapshot, profiles, directives_of(directives, index, snapshot), live=live)
    excluded = evaluation.excluded
    for number, directive in enumerate(directives):
        if limits := limits_of(directive, snapshot):
            rows = np.flatnonzero(index == number)
            part = apply_limits(evaluation.of(rows), limits, snapshot, profiles.input_tokens[rows, None])
            excluded = np.array(excluded) if excluded is evaluation.excluded else excluded
            excluded[rows] = part.excluded
    return dataclasses.replace(evaluation, excluded=excluded)


def replay(
    endpoints: Sequence[str],
    log_factors: Mapping[str, Sequence[float]],
    exponents: Mapping[str, float],
    cost_usd: Sequence[float],
) -> list[tuple[str, float]]:
    """The ranking of a logged decision from its log alone: endpoints, best first, each with its log utility.

    Columns are over `endpoints`; `log_factors` has one a factor. Multiplication and addition: exact to the last bit.
    """
    by_id = sorted(range(len(endpoints)), key=endpoints.__getitem__)
    logs = np.array([log_factors[name] for name in FACTORS], dtype=np.float64)[:, by_id]
    log_utilities = log_utility(logs, exponent_array(exponents))
    ranked = order(log_utilities, np.array(cost_usd, dtype=np.float64)[by_id], np.zeros(len(by_id), dtype=np.int8))
    return [(endpoints[by_id[e]], float(log_utilities[e])) for e in ranked]
