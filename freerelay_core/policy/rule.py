"""A rule as the file states it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from freerelay_core.policy.condition import MAX_CONDITION
from freerelay_core.policy.directive import Directive, EnforceMode, Exclusion, Fallback, Requirement
from freerelay_core.preference import RoutingPreference

__all__ = ["Rule", "StrictModel"]

Patterns = tuple[Annotated[str, Field(min_length=1, max_length=200)], ...]


class StrictModel(BaseModel):
    """Refuses fields that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Rule(StrictModel):
    """A condition, and what is asked of a request that meets it."""

    name: str = Field(min_length=1, max_length=64, description="Shown wherever the rule decides; names must differ.")
    when: str = Field("true", max_length=MAX_CONDITION, description="Condition in CEL; without it always true.")
    prefer: Patterns = Field((), description="Endpoint patterns that are worth policy_weight times the rest.")
    policy_weight: float | None = Field(None, gt=1, le=1000, description="What prefer is worth; 2 where absent.")
    require: Patterns = Field((), description="Endpoint patterns; whatever matches none is excluded.")
    exclude: Patterns = Field((), description="Endpoint patterns that may not serve the request.")
    max_cost_usd: float | None = Field(None, gt=0, description="Most that the request may be expected to cost, USD.")
    max_latency_s: float | None = Field(None, gt=0, description="Longest expected slow (95 %) duration, s.")
    fallback: Fallback | None = Field(
        None,
        description="What becomes of require, max_cost_usd and max_latency_s where they would leave no endpoint: "
        "any (the default) drops them for that request, none refuses it.",
    )
    routing_preference: RoutingPreference | None = Field(
        None, description="Stands above the request's and the tenant's preference."
    )
    enforce_mode: EnforceMode | None = Field(None, description="The form that the answer must have.")
    set_temperature: float | None = Field(None, ge=0, le=2, description="Replaces the request's temperature.")
    require_hedging: bool = Field(False, description="Ask a second endpoint when the first is slow.")
    continue_: bool = Field(False, alias="continue", description="Let later rules add to this one.")

    @model_validator(mode="after")
    def _has_effect(self) -> Rule:
        """What would have no effect is a mistake."""
        limits = self.require or self.max_cost_usd is not None or self.max_latency_s is not None
        others = (self.prefer, self.exclude, self.routing_preference, self.enforce_mode, self.require_hedging)
        if self.policy_weight is not None and not self.prefer:
            raise ValueError("policy_weight has no effect without prefer")
        if self.fallback is not None and not limits:
            raise ValueError("fallback has no effect without require, max_cost_usd or max_latency_s")
        if not (limits or any(others) or self.set_temperature is not None):
            raise ValueError(
                "asks for nothing; name prefer, require, exclude, max_cost_usd, max_latency_s, routing_preference, "
                "enforce_mode, set_temperature or require_hedging"
            )
        return self

    @property
    def patterns(self) -> dict[str, tuple[str, ...]]:
        """The actions that name endpoints, with their patterns."""
        return {"prefer": self.prefer, "require": self.require, "exclude": self.exclude}

    def added_to(self, directive: Directive) -> Directive:
        """The directive with this rule's wishes; what an earlier rule said stands."""
        heard = dict(directive.by)
        changes: dict[str, Any] = {}
        for action, field, value in self._heard_once():
            if value is not None and action not in heard:
                heard[action] = self.name
                changes[field] = value
        if heard.get("prefer") == self.name:
            changes["policy_weight"] = self.policy_weight
        excluded = (Exclusion(self.name, self.exclude),) if self.exclude else ()
        return replace(
            directive,
            rules=(*directive.rules, self.name),
            exclusions=(*directive.exclusions, *excluded),
            requirements=(*directive.requirements, *self._requirements()),
            by=tuple(heard.items()),
            **changes,
        )

    def _heard_once(self) -> tuple[tuple[str, str, Any], ...]:
        """Actions of which only the first counts: name, field of `Directive`, value."""
        return (
            ("prefer", "prefer", self.prefer or None),
            ("routing_preference", "routing_preference", self.routing_preference),
            ("enforce_mode", "enforce_mode", self.enforce_mode),
            ("set_temperature", "temperature", self.set_temperature),
            ("require_hedging", "hedge", self.require_hedging or None),
        )

    def _requirements(self) -> list[Requirement]:
        rule, fallback = self.name, self.fallback or Fallback.ANY
        found = [Requirement(rule, fallback, patterns=self.require)] if self.require else []
        if self.max_cost_usd is not None:
            found.append(Requirement(rule, fallback, max_cost_usd=self.max_cost_usd))
        if self.max_latency_s is not None:
            found.append(Requirement(rule, fallback, max_latency_s=self.max_latency_s))
        return found
