"""Scoring: the one formula that ranks endpoints.

    U[r, e] = prod_k f[r, e, k] ** w[k]            computed as    ln U = sum_k w[k] * ln f[r, e, k]

r a request, e an endpoint, k a factor in (0, 1] (1 is best), w the exponents of the routing preference. So w[k] * ln f
is each factor's exact contribution, and the difference of two rows says why one endpoint stands above another.

`kernel` sums it, `factors` computes the f, `reference` holds every constant with its reason, `explain` puts the
contributions into words, `limits` excludes what the operator's rules do not allow,
`sensitivity` says how far the winner is from losing.
"""

from freerelay_core.scoring.explain import Comparison, compare, comparison_words
from freerelay_core.scoring.factors import (
    NO_DIRECTIVES,
    Directives,
    Evaluation,
    Excluded,
    catalogue_quality,
    evaluate,
    reference_cost_usd,
)
from freerelay_core.scoring.kernel import ABOUT_EQUAL, best, log_utility, order
from freerelay_core.scoring.limits import Limit, apply_limits
from freerelay_core.scoring.sensitivity import Sensitivity, sensitivity

__all__ = [
    "ABOUT_EQUAL",
    "NO_DIRECTIVES",
    "Comparison",
    "Directives",
    "Evaluation",
    "Excluded",
    "Limit",
    "Sensitivity",
    "apply_limits",
    "best",
    "catalogue_quality",
    "compare",
    "comparison_words",
    "evaluate",
    "log_utility",
    "order",
    "reference_cost_usd",
    "sensitivity",
]
