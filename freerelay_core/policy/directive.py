"""What the rules that matched ask of one request."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from freerelay_core.preference import RoutingPreference

__all__ = ["NO_DIRECTIVE", "Directive", "EnforceMode", "Exclusion", "Fallback", "Requirement", "matching"]


class Fallback(StrEnum):
    """What becomes of a requirement that no endpoint meets."""

    ANY = "any"
    """It is dropped for this request, and the decision says so."""
    NONE = "none"
    """The request is refused."""


class EnforceMode(StrEnum):
    """The form that an answer must have."""

    JSON = "json"
    STRICT = "strict"
    """As JSON; and a schema that the client names is kept strictly."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Endpoints that a rule leaves out."""

    rule: str
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that a rule demands of an endpoint; exactly one of the three is stated."""

    rule: str
    fallback: Fallback
    patterns: tuple[str, ...] | None = None
    max_cost_usd: float | None = None
    """Expected cost of the request."""
    max_latency_s: float | None = None
    """Expected slow (95 %) duration."""

    @property
    def may_be_dropped(self) -> bool:
        return self.fallback is Fallback.ANY

    @property
    def action(self) -> str:
        """The name under which a rule states it."""
        if self.patterns is not None:
            return "require"
        return "max_latency_s" if self.max_cost_usd is None else "max_cost_usd"

    @property
    def value(self) -> list[str] | float | None:
        """What a rule states under that name."""
        if self.patterns is not None:
            return list(self.patterns)
        return self.max_latency_s if self.max_cost_usd is None else self.max_cost_usd

    @property
    def words(self) -> str:
        """What an endpoint is that does not meet it, for a person."""
        if self.patterns is not None:
            return f"is not among what rule {self.rule} requires"
        if self.max_cost_usd is not None:
            return f"costs more than rule {self.rule} allows ({self.max_cost_usd:g} USD)"
        return f"may take longer than rule {self.rule} allows ({self.max_latency_s:g} s)"


@dataclass(frozen=True, slots=True)
class Directive:
    """What the matching rules ask of one request. Endpoints are named by patterns (`groq/*`, `*/llama-*`).

    Where several rules match, the first to ask for a thing is heard; exclusions and requirements add up.
    """

    rules: tuple[str, ...] = ()
    """Names of the rules that matched, in order."""
    prefer: tuple[str, ...] = ()
    policy_weight: float | None = None
    exclusions: tuple[Exclusion, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    routing_preference: RoutingPreference | None = None
    """None leaves the level below in force."""
    enforce_mode: EnforceMode | None = None
    temperature: float | None = None
    hedge: bool = False
    """A second endpoint is asked when the first is slow."""
    by: tuple[tuple[str, str], ...] = ()
    """Each action of which only the first is heard, with the rule that asked for it."""

    @property
    def preference_rule(self) -> str | None:
        """The rule that named the preference."""
        return self.rule_of("routing_preference")

    @property
    def exclude(self) -> tuple[str, ...]:
        """All patterns that some rule leaves out."""
        return tuple(pattern for exclusion in self.exclusions for pattern in exclusion.patterns)

    def rule_of(self, action: str) -> str | None:
        """The rule that is heard for an action."""
        return dict(self.by).get(action)

    def excluded_by(self, endpoint: str) -> str:
        """The first rule that leaves an endpoint out."""
        return next(e.rule for e in self.exclusions if any(fnmatch.fnmatchcase(endpoint, p) for p in e.patterns))

    def actions(self, dropped: tuple[Requirement, ...] = ()) -> list[dict[str, Any]]:
        """Each action with its rule and value, as the API, the log and pages show it."""
        stated: dict[str, Any] = {
            "prefer": list(self.prefer),
            "routing_preference": self.routing_preference and self.routing_preference.value,
            "enforce_mode": self.enforce_mode and self.enforce_mode.value,
            "set_temperature": self.temperature,
            "require_hedging": self.hedge,
        }
        rows: list[dict[str, Any]] = [{"rule": rule, "action": name, "value": stated[name]} for name, rule in self.by]
        if self.policy_weight is not None:
            rows.append({"rule": self.rule_of("prefer"), "action": "policy_weight", "value": self.policy_weight})
        rows += [{"rule": e.rule, "action": "exclude", "value": list(e.patterns)} for e in self.exclusions]
        for r in self.requirements:
            row = {"rule": r.rule, "action": r.action, "value": r.value, "fallback": r.fallback.value}
            rows.append(row | {"dropped": r in dropped})
        return sorted(rows, key=lambda row: self.rules.index(row["rule"]))


NO_DIRECTIVE = Directive()


@lru_cache(maxsize=4096)
def matching(patterns: tuple[str, ...], endpoint_ids: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Which endpoints any of the patterns names; shape (E,), read-only."""
    mask = np.array([any(fnmatch.fnmatchcase(name, p) for p in patterns) for name in endpoint_ids], dtype=np.bool_)
    mask.flags.writeable = False
    return mask


def unmatched(pattern: str, endpoint_ids: Sequence[str]) -> str:
    """That a pattern matches no endpoint, and what may have been meant."""
    names = [*dict.fromkeys(f"{name.partition('/')[0]}/*" for name in endpoint_ids), *endpoint_ids]
    close = difflib.get_close_matches(pattern, names, n=1, cutoff=0.78)
    meant = f"did you mean {close[0]!r}?" if close else "write an id, a provider (groq/*) or a model (*/name)."
    return f"{pattern!r} matches no endpoint of the catalogue; {meant}"
