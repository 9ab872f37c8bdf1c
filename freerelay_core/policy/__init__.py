"""The operator's rules: conditions (CEL) over a request, and what is asked of a request that meets them.

    rules file --load--> Policy --directive(facts)--> Directive --effect--> masks, limits, contract

`variables` is what a condition may read, `rule` what a rule may ask, `directive` what the matching rules ask together,
`effect` what that does to a ranking. The first rule that matches decides; with `continue: true` later ones may add.
"""

from freerelay_core.policy.directive import (
    NO_DIRECTIVE,
    Directive,
    EnforceMode,
    Fallback,
    Requirement,
    matching,
    unmatched,
)
from freerelay_core.policy.effect import limit_of, limits_of, raised, raised_batch
from freerelay_core.policy.example import Example
from freerelay_core.policy.load import RuleFile, load_policy, load_rule_file, policy_schema, read_policy
from freerelay_core.policy.policy import NO_POLICY, Policy, batch_directives
from freerelay_core.policy.variables import VARIABLES, Conditions, Facts, conditions_of, in_hundredths

__all__ = [
    "NO_DIRECTIVE",
    "NO_POLICY",
    "VARIABLES",
    "Conditions",
    "Directive",
    "EnforceMode",
    "Example",
    "Facts",
    "Fallback",
    "Policy",
    "Requirement",
    "RuleFile",
    "batch_directives",
    "conditions_of",
    "in_hundredths",
    "limit_of",
    "limits_of",
    "load_policy",
    "load_rule_file",
    "matching",
    "policy_schema",
    "raised",
    "raised_batch",
    "read_policy",
    "unmatched",
]
