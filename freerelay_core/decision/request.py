"""Ranks the endpoints for one request, and ranks them again from the log of a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from freerelay_core.decision.decision import Decision
from freerelay_core.decision.named import mask_of_named
from freerelay_core.policy import (
    NO_DIRECTIVE,
    NO_POLICY,
    Conditions,
    Directive,
    Facts,
    Policy,
    conditions_of,
    limits_of,
    matching,
    raised,
)
from freerelay_core.preference import (
    EXPONENTS,
    FACTORS,
    PREFERENCE_EXPONENTS,
    RoutingPreference,
    effective_preference,
    exponent_array,
)
from freerelay_core.profile import RequestProfile
from freerelay_core.scoring import (
    NO_DIRECTIVES,
    Budget,
    Directives,
    Evaluation,
    Expected,
    apply_limits,
    despite_breakers,
    evaluate,
    log_utility,
    order,
    stuck,
)
from freerelay_core.scoring.reference import POLICY_WEIGHT
from freerelay_core.snapshot import Snapshot

__all__ = ["decide", "masks_of", "replay"]

Floats = npt.NDArray[np.float64]


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
    budget: Budget | None = None,
    explore: float = 0.0,
) -> Decision:
    """Rank the snapshot's endpoints for one request.

    `only` is the id of a pinned endpoint, `live` refuses simulated endpoints where real ones are configured,
    `exponents` replaces those of the preference (an operator's what-if), `cached_share` of shape (E,) the share of the
    input that the profile expects in a prompt cache, `conditions` what rules read of the snapshot,
    `budget` what is left to the tenant, `explore` the share of requests that may try out a close endpoint first.
    """
    directive = NO_DIRECTIVE
    if policy:
        left = 1.0 if budget is None else float(budget.share)
        facts = Facts(profile, tenant_id, tier, tenant_preference, conditions or conditions_of(snapshot), left)
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
    evaluated = partial(
        _evaluated,
        profile=profile,
        directive=directive,
        only=only,
        live=live,
        price_matters=exponents["cost"] > 0,
        cached_share=cached_share,
        budget=budget,
    )
    evaluation, despite = evaluated(snapshot), False
    log_utilities = log_utility(evaluation.log_factors, weights)
    ranked = order(log_utilities, evaluation.cost_usd, evaluation.excluded)
    if not len(ranked) and stuck(evaluation.excluded):
        anyway = evaluated(despite_breakers(snapshot))
        if despite := not anyway.excluded.all():
            evaluation, ranked = anyway, order(log_utilities, anyway.cost_usd, anyway.excluded)
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
        budget=budget,
        despite_breakers=despite,
        explore=0.0 if despite else explore,
    )


def _evaluated(
    snapshot: Snapshot, *, profile: RequestProfile, directive: Directive, only: str | None, **how: Any
) -> Evaluation:
    """`evaluate` (`how` are its options), with the limits that rules set."""
    evaluation = evaluate(snapshot, profile, masks_of(directive, snapshot.endpoint_ids, only), **how)
    limits = limits_of(directive, snapshot)
    if not limits:
        return evaluation
    expected = Expected(evaluation.cost_usd, float(profile.input_tokens), evaluation.decoded_tokens)
    return replace(evaluation, excluded=apply_limits(evaluation.excluded, expected, limits, snapshot))


def masks_of(directive: Directive, ids: tuple[str, ...], only: str | None) -> Directives:
    """What a directive asks of one request, and the endpoint that the caller named."""
    if only is None and not directive.prefer and not directive.exclusions:
        return NO_DIRECTIVES
    return _masks(directive, ids, only)


@lru_cache(maxsize=1024)
def _masks(directive: Directive, ids: tuple[str, ...], only: str | None) -> Directives:
    return Directives(
        prefer=matching(directive.prefer, ids) if directive.prefer else None,
        exclude=matching(directive.exclude, ids) if directive.exclude else None,
        policy_weight=POLICY_WEIGHT if directive.policy_weight is None else directive.policy_weight,
        only=None if only is None else mask_of_named(only, ids),
    )


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
