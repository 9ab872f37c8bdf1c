"""A scenario: a named list of changes to prices, the fleet, preferences, rules and traffic, to be rehearsed.

    name: A price rise, and Groq away
    changes:
      - price: {endpoints: "openai/*", times: 1.3}
      - withdraw: {endpoints: "groq/*"}
      - preference: {value: cost-optimized, tenant: someone@example.org}   # all tenants where none is named
      - exponents: {values: {cost: 2.0}}                                   # the others stay those of the preference
      - traffic: {times: 1.5}
      - rules: [...]                                                       # in place of the operator's rules

Later changes stand on earlier ones. Endpoints are named by patterns, as in rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from freerelay_core.errors import ConfigurationError, UnprocessableRequest
from freerelay_core.marked_yaml import plain_reason
from freerelay_core.policy import Policy, matching, read_policy
from freerelay_core.preference import EXPONENTS, FACTORS, RoutingPreference
from freerelay_core.snapshot import WITHDRAWN, Snapshot

__all__ = ["Scenario", "TenantWish", "World", "read_scenario"]

MAX_CHANGES = 50
MAX_BYTES = 256 * 1024

Floats = npt.NDArray[np.float64]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Named(_Model):
    endpoints: str = Field(min_length=1, max_length=200)
    """A pattern: an id, a provider (`groq/*`), a model everywhere (`*/llama-*`)."""

    def mask(self, ids: tuple[str, ...], where: str) -> npt.NDArray[np.bool_]:
        mask = matching((self.endpoints,), ids)
        if not mask.any():
            raise UnprocessableRequest(
                f"{where}: the pattern matches no endpoint. Name one by its id, or a provider like groq/*.",
                param="endpoints",
            )
        return mask


class _Usd(_Model):
    """USD per million tokens; without a price for cached input the full one is charged."""

    input: float = Field(ge=0, le=1e6)
    cached: float | None = Field(None, ge=0, le=1e6)
    output: float = Field(ge=0, le=1e6)

    def per_token(self) -> Floats:
        return np.array([self.input, self.input if self.cached is None else self.cached, self.output]) / 1e6


class _Price(_Named):
    times: float | None = Field(None, ge=0, le=1000)
    usd: _Usd | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> _Price:
        if (self.times is None) == (self.usd is None):
            raise ValueError("state either times, a factor, or usd, new prices per million tokens")
        return self

    def apply(self, world: World, where: str) -> World:
        mask, prices = self.mask(world.snapshot.endpoint_ids, where), world.snapshot.prices
        if self.usd is None:
            changed = replace(prices, rates=np.where(mask, prices.rates * (self.times or 0.0), prices.rates))
        else:
            starts = prices.starts.copy()
            starts[1:, mask] = np.inf
            rates = np.where(mask, self.usd.per_token()[:, None], prices.rates)
            changed = replace(prices, starts=starts, rates=rates, priced=prices.priced | mask)
        return replace(world, snapshot=replace(world.snapshot, prices=changed))

    def sentence(self) -> str:
        if self.usd is None:
            return f"{self.endpoints} costs {self.times:g} times as much"
        return f"{self.endpoints} costs {self.usd.input:g} USD a million input and {self.usd.output:g} output tokens"


class _Withdrawal(_Named):
    def apply(self, world: World, where: str) -> World:
        snapshot = world.snapshot
        gone = self.mask(snapshot.endpoint_ids, where)
        availability = np.where(gone, np.int8(WITHDRAWN), snapshot.availability)
        return replace(world, snapshot=replace(snapshot, availability=availability))

    def sentence(self) -> str:
        return f"{self.endpoints} is withdrawn"


class _Preference(_Model):
    value: RoutingPreference
    tenant: str | None = Field(None, max_length=320)

    def apply(self, world: World, where: str) -> World:  # noqa: ARG002  (as the other kinds)
        return world.wishing(self.tenant, TenantWish(preference=self.value))

    def sentence(self) -> str:
        return f"{self.tenant or 'every tenant'} prefers {self.value}"


class _Exponents(_Model):
    values: dict[str, float] = Field(min_length=1)
    tenant: str | None = Field(None, max_length=320)

    @model_validator(mode="after")
    def _known_and_sensible(self) -> _Exponents:
        for name, exponent in self.values.items():
            if name not in FACTORS:
                raise ValueError(f"there is no factor of that name; known are {', '.join(FACTORS)}")
            if not 0 <= exponent <= 10:
                raise ValueError(f"the exponent of {name} must lie between 0 and 10")
        return self

    def apply(self, world: World, where: str) -> World:  # noqa: ARG002  (as the other kinds)
        return world.wishing(self.tenant, TenantWish(exponents=self.values))

    def sentence(self) -> str:
        values = ", ".join(f"{name} {value:g}" for name, value in self.values.items())
        return f"exponents of {self.tenant or 'every tenant'}: {values}"


class _Traffic(_Model):
    times: float = Field(gt=0, le=1000)

    def apply(self, world: World, where: str) -> World:  # noqa: ARG002  (as the other kinds)
        return replace(world, traffic=world.traffic * self.times)

    def sentence(self) -> str:
        return f"there are {self.times:g} times as many requests"


class _Rules(RootModel[list[dict[str, Any]]]):
    def apply(self, world: World, where: str) -> World:
        try:
            policy = read_policy({"rules": self.root}, world.snapshot.endpoint_ids, source=where)
        except ConfigurationError as error:
            raise UnprocessableRequest(error.message, param="rules") from None
        return replace(world, policy=policy)

    def sentence(self) -> str:
        count = len(self.root)
        return (
            f"{count} rule{'' if count == 1 else 's'} in place of the present ones" if count else "there are no rules"
        )


class _Change(_Model):
    price: _Price | None = None
    withdraw: _Withdrawal | None = None
    preference: _Preference | None = None
    exponents: _Exponents | None = None
    traffic: _Traffic | None = None
    rules: _Rules | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> _Change:
        if len(self.model_fields_set) != 1 or self.stated is None:
            raise ValueError(f"a change is exactly one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def stated(self) -> Any:
        """The one kind of change that this is."""
        return getattr(self, next(iter(self.model_fields_set)))


class Scenario(_Model):
    """What is changed, in order."""

    name: str = Field("Scenario", min_length=1, max_length=80)
    changes: tuple[_Change, ...] = Field((), max_length=MAX_CHANGES)

    def as_dict(self) -> dict[str, Any]:
        """The content of a scenario file; `read_scenario` reads it back."""
        return {"name": self.name, **self.model_dump(mode="json", exclude_unset=True, exclude={"name"})}

    def sentences(self) -> list[str]:
        """Each change in words, in order."""
        return [change.stated.sentence() for change in self.changes]

    def tenants(self) -> list[str]:
        """The tenants that changes name, by id or address, each once."""
        stated = (change.stated for change in self.changes)
        return list(dict.fromkeys(s.tenant for s in stated if isinstance(s, _Preference | _Exponents) and s.tenant))


@dataclass(frozen=True, slots=True)
class TenantWish:
    """The preference and the exponents of a tenant, as far as somebody states them."""

    preference: RoutingPreference | None = None
    exponents: Mapping[str, float] | None = None
    """Only the stated ones."""

    def over(self, other: TenantWish) -> TenantWish:
        """This wish, and what `other` says where this one says nothing."""
        exponents = {**(other.exponents or {}), **(self.exponents or {})}
        return TenantWish(self.preference or other.preference, exponents or None)

    def exponents_over(self, preference: RoutingPreference) -> dict[str, float]:
        """The exponents that count where `preference` is in force."""
        return {**EXPONENTS[preference], **(self.exponents or {})}


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """All that decides about traffic: the present one, or one under a scenario."""

    snapshot: Snapshot
    policy: Policy
    traffic: float = 1.0
    """How many requests there are for each one in the trace."""
    wishes: Mapping[str | None, TenantWish] | None = None
    """What a scenario says of tenants, by id or address; None stands for all."""

    def under(self, scenario: Scenario) -> World:
        """This world with the changes of `scenario`.

        Raises `UnprocessableRequest` for a pattern that matches no endpoint, `ConfigurationError` for wrong rules.
        """
        world = self
        for number, change in enumerate(scenario.changes, start=1):
            world = change.stated.apply(world, f"{scenario.name}, change {number}")
        return world

    def wishing(self, tenant: str | None, wish: TenantWish) -> World:
        """This world with something said of a tenant, or of all, above what was said before."""
        wishes = self.wishes or {}
        return replace(self, wishes={**wishes, tenant: wish.over(wishes.get(tenant, TenantWish()))})

    def wish(self, *names: str) -> TenantWish:
        """What is said of the tenant with these names, above what is said of all."""
        wishes = self.wishes or {}
        merged = wishes.get(None, TenantWish())
        for name in names:
            merged = wishes.get(name, TenantWish()).over(merged)
        return merged


def read_scenario(content: bytes | str | Mapping[str, Any], *, source: str = "scenario") -> Scenario:
    """The scenario in a YAML (or JSON) text, or in its content.

    Raises `UnprocessableRequest` naming the source, the place and what is wrong there.
    """
    try:
        if not isinstance(content, Mapping):
            if len(content) > MAX_BYTES:
                raise UnprocessableRequest(f"{source}: is longer than {MAX_BYTES >> 10} KiB.", param="scenario")
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, Loader=yaml.CSafeLoader)):
                # A few lines of them stand for more than a machine can hold.
                raise UnprocessableRequest(f"{source}: may not use aliases (*name).", param="scenario")
            content = yaml.load(content, Loader=yaml.CSafeLoader)
        if not isinstance(content, Mapping):
            raise UnprocessableRequest(f"{source}: must be a mapping with name and changes.", param="scenario")
        return Scenario.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UnprocessableRequest(
            f"{source}: {where or 'as a whole'}: {plain_reason(problem)}.", param=where or "scenario"
        ) from None
    except (yaml.YAMLError, ValueError) as error:  # no UTF-8, or what looks like a date and is none
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise UnprocessableRequest(f"{source}: is not YAML{line}.", param="scenario") from None
