"""Routing preferences: three named rows of exponents, and the rule that says whose preference wins.

This is the only place where the three names and their exponents are written. Adding a preference is adding a member
and a row here (and its name in the CHECK constraint of `supabase_schema.sql`; a test compares the two).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from freerelay_core.errors import UnprocessableRequest

__all__ = [
    "DEFAULT_PREFERENCE",
    "EXPONENTS",
    "FACTORS",
    "LEVELS",
    "PREFERENCE_EXPONENTS",
    "EffectivePreference",
    "RoutingPreference",
    "effective_preference",
    "exponent_array",
    "parse_choice",
    "parse_preference",
]

FACTORS = ("policy", "safety", "schema", "quality", "cost", "success", "headroom", "latency")
"""Names of the factors in the one order in which their log contributions are summed: static first, volatile last.

The order is part of the result: floating-point addition is not associative, so another order gives other bits."""


class RoutingPreference(StrEnum):
    """What a tenant wants its routing to favour."""

    COST_OPTIMIZED = "cost-optimized"
    BALANCED = "balanced"
    PERFORMANCE_FIRST = "performance-first"


DEFAULT_PREFERENCE = RoutingPreference.BALANCED

EXPONENTS: Mapping[RoutingPreference, Mapping[str, float]] = MappingProxyType(
    {
        preference: MappingProxyType(dict(zip(FACTORS, row, strict=True)))
        for preference, row in {
            #                                    policy safety schema quality cost success headroom latency
            RoutingPreference.COST_OPTIMIZED: (1.0, 1.0, 1.0, 0.5, 1.5, 1.0, 1.0, 0.5),
            RoutingPreference.BALANCED: (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
            RoutingPreference.PERFORMANCE_FIRST: (1.0, 1.0, 1.0, 1.5, 0.5, 1.0, 1.0, 1.5),
        }.items()
    }
)
"""Exponent of each factor under each preference. The exponents are the tenant's wish, not a fact: never learned."""


def exponent_array(exponents: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """The exponents as an array of shape (factors,), in the order of `FACTORS`."""
    return np.array([exponents[name] for name in FACTORS])


PREFERENCE_EXPONENTS: Mapping[RoutingPreference, npt.NDArray[np.float64]] = MappingProxyType(
    {preference: exponent_array(exponents) for preference, exponents in EXPONENTS.items()}
)
"""`EXPONENTS` as arrays."""


def parse_preference(value: object, *, param: str = "routing_preference") -> RoutingPreference:
    """The preference named `value`.

    Raises `UnprocessableRequest` naming the three allowed values.
    """
    try:
        return RoutingPreference(value)  # type: ignore[arg-type]
    except ValueError:
        allowed = ", ".join(RoutingPreference)
        raise UnprocessableRequest(f"{param} must be one of {allowed}.", param=param) from None


def parse_choice(value: object) -> RoutingPreference | None:
    """What a tenant chooses: one of the names, or None to take its choice back, so that the default applies.

    Raises `UnprocessableRequest` naming the three allowed values.
    """
    return None if value is None else parse_preference(value)


LEVELS = ("default", "tenant", "request", "rule")
"""Who may decide, the later the stronger."""


@dataclass(frozen=True, slots=True)
class EffectivePreference:
    """The preference in force and the level that decided it, one of `LEVELS`."""

    value: RoutingPreference
    level: str
    rule: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        """The shape in which the API, the log and reports show it."""
        return {"value": self.value.value, "level": self.level, "rule": self.rule}

    def __str__(self) -> str:
        rule = f"; rule={self.rule}" if self.rule else ""
        return f"{self.value}; level={self.level}{rule}"


def effective_preference(
    *,
    tenant: RoutingPreference | None = None,
    request: RoutingPreference | None = None,
    rule: RoutingPreference | None = None,
    rule_name: str | None = None,
) -> EffectivePreference:
    """Whose preference wins: default < tenant < request override < rule.

    A level that names none is `None` (never "balanced") and leaves the level below in force.
    """
    if rule is not None:
        return EffectivePreference(rule, "rule", rule_name)
    if request is not None:
        return EffectivePreference(request, "request")
    if tenant is not None:
        return EffectivePreference(tenant, "tenant")
    return EffectivePreference(DEFAULT_PREFERENCE, "default")
