"""The policy: ordered rules, of which the first that matches decides; with `continue: true` later ones may add."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from freerelay_core.policy.condition import FAILURES, Condition, Contexts, PolicyError, context_of
from freerelay_core.policy.directive import NO_DIRECTIVE, Directive
from freerelay_core.policy.rule import Rule
from freerelay_core.policy.variables import VARIABLES, Conditions, Facts
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import ProfileBatch, RequestProfile

__all__ = ["NO_POLICY", "Policy", "batch_directives"]

log = logging.getLogger(__name__)

_REMEMBERED = 4096
"""Distinct combinations of variables whose directive is kept."""


class Policy:
    """Ordered rules with their conditions. `variables` are those that some condition reads."""

    def __init__(self, rules: Sequence[tuple[Rule, Condition]] = ()) -> None:
        self._rules = tuple(rules)
        self.variables = tuple(name for name in VARIABLES if any(name in c.variables for _, c in self._rules))
        self._read = tuple(VARIABLES[name].value for name in self.variables)
        self._contexts = Contexts(self.variables)
        self._asked = tuple(condition.ask for _, condition in self._rules)
        self._directive_of = lru_cache(maxsize=_REMEMBERED)(self._evaluated)
        self._together = lru_cache(maxsize=_REMEMBERED)(self._added_up)
        self._failed: set[str] = set()

    def __len__(self) -> int:
        return len(self._rules)

    def directive(self, facts: Facts) -> Directive:
        """What the rules ask of a request. A condition that fails at run time does not match, and is logged once."""
        return self._directive_of(tuple([value(facts) for value in self._read]))

    def verdicts(self, facts: Facts) -> Iterator[tuple[Rule, bool, dict[str, Any]]]:
        """Every rule in order, with whether its condition holds and the values that it reads."""
        values = {name: VARIABLES[name].value(facts) for name in self.variables}
        context = context_of(values)
        for rule, condition in self._rules:
            read = {name: value for name, value in values.items() if name in condition.variables}
            try:
                holds = condition.holds(context)
            except PolicyError as error:
                holds = self._say_failed(rule, error)
            yield rule, holds, read

    def _evaluated(self, values: tuple[Any, ...]) -> Directive:
        if not self._rules:
            return NO_DIRECTIVE
        context = self._contexts.take(values)
        matched: list[int] = []
        for number, ask in enumerate(self._asked):
            try:
                result = ask(context)
            except FAILURES as error:
                result = self._say_failed(self._rules[number][0], error)
            if result is True:
                matched.append(number)
                if not self._rules[number][0].continue_:
                    break
        self._contexts.give(context, values)
        return self._together(tuple(matched))

    def _added_up(self, matched: tuple[int, ...]) -> Directive:
        directive = NO_DIRECTIVE
        for number in matched:
            directive = self._rules[number][0].added_to(directive)
        return directive

    def _say_failed(self, rule: Rule, error: Exception) -> bool:
        """That this rule does not match, and once in the log why."""
        if rule.name not in self._failed:
            self._failed.add(rule.name)
            log.warning("rule %s failed and did not match: %s", rule.name, str(error)[:200])
        return False


NO_POLICY = Policy()


def batch_directives(
    policy: Policy,
    profiles: ProfileBatch,
    *,
    tenant: str | None = None,
    tier: str | None = None,
    preference: RoutingPreference | None = None,
    conditions: Conditions = Conditions(),  # noqa: B008  (frozen)
) -> tuple[list[Directive], npt.NDArray[np.intp]]:
    """Directives of R requests: the distinct ones, and for each request the index of its own, shape (R,).

    Rules are evaluated once for each distinct combination of the variables that they read.
    """
    columns = [column(profiles) for name in policy.variables if (column := VARIABLES[name].column) is not None]
    if columns and len(profiles):
        _, first, index = np.unique(np.stack(columns), axis=1, return_index=True, return_inverse=True)
        examples = [profiles.profile(int(row)) for row in first]
    else:
        index, examples = np.zeros(len(profiles), dtype=np.intp), [RequestProfile()]
    found = [policy.directive(Facts(profile, tenant, tier, preference, conditions)) for profile in examples]
    place = {directive: number for number, directive in enumerate(dict.fromkeys(found))}
    return list(place), np.array([place[directive] for directive in found], dtype=np.intp)[index]
