"""Scoring: the one formula that ranks endpoints.

    U[r, e] = prod_k f[r, e, k] ** w[k]            computed as    ln U = sum_k w[k] * ln f[r, e, k]

r a request, e an endpoint, k a factor in (0, 1] (1 is best), w the exponents of the routing preference. So w[k] * ln f
is each factor's exact contribution, and the difference of two rows says why one endpoint stands above another.

`kernel` sums it; `factors` computes the f, with what `kinds` knows of a kind of request beforehand and what `whole`
says of answers that the request limits; `reference` holds every constant with its reason; `exclusions` and `limits` say
who may not be ranked; `explain` puts the contributions into words; `sensitivity` says how far the winner is from
losing.
"""

from freerelay_core.scoring.budget import Budget
from freerelay_core.scoring.exclusions import (
    NO_DIRECTIVES,
    OF_LENGTH,
    OF_REQUEST,
    STANDING,
    Directives,
    Excluded,
    despite_breakers,
    stuck,
)
from freerelay_core.scoring.explain import Comparison, compare, comparison_words
from freerelay_core.scoring.factors import Evaluation, evaluate, reference_cost_usd
from freerelay_core.scoring.kernel import best, log_utility, order
from freerelay_core.scoring.kinds import catalogue_quality, thinking_tokens
from freerelay_core.scoring.limits import Expected, Limit, apply_limits
from freerelay_core.scoring.reference import ABOUT_EQUAL
from freerelay_core.scoring.sensitivity import Room, Sensitivity, sensitivity

__all__ = [
    "ABOUT_EQUAL",
    "NO_DIRECTIVES",
    "OF_LENGTH",
    "OF_REQUEST",
    "STANDING",
    "Budget",
    "Comparison",
    "Directives",
    "Evaluation",
    "Excluded",
    "Expected",
    "Limit",
    "Room",
    "Sensitivity",
    "apply_limits",
    "best",
    "catalogue_quality",
    "compare",
    "comparison_words",
    "despite_breakers",
    "evaluate",
    "log_utility",
    "order",
    "reference_cost_usd",
    "sensitivity",
    "stuck",
    "thinking_tokens",
]
