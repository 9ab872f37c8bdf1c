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
from freerelay_core.marked_yaml import MarkedContent, NotYaml, read_marked
from freerelay_core.plain_words import plain_reason
from freerelay_core.policy import Policy, matching, read_policy, unmatched
from freerelay_core.preference import EXPONENTS, FACTORS, RoutingPreference
from freerelay_core.simulation.place import Place
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

    def mask(self, ids: tuple[str, ...], place: Place) -> npt.NDArray[np.bool_]:
        mask = matching((self.endpoints,), ids)
        if not mask.any():
            raise place.wrong(unmatched(self.endpoints, ids), "endpoints")
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

    def apply(self, world: World, place: Place) -> World:
        mask, prices = self.mask(world.snapshot.endpoint_ids, place), world.snapshot.prices
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
    def apply(self, world: World, place: Place) -> World:
        snapshot = world.snapshot
        gone = self.mask(snapshot.endpoint_ids, place)
        availability = np.where(gone, np.int8(WITHDRAWN), snapshot.availability)
        return replace(world, snapshot=replace(snapshot, availability=availability))

    def sentence(self) -> str:
        return f"{self.endpoints} is withdrawn"


class _Preference(_Model):
    value: RoutingPreference
    tenant: str | None = Field(None, max_length=320)

    def apply(self, world: World, place: Place) -> World:  # noqa: ARG002  (as the other kinds)
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

    def apply(self, world: World, place: Place) -> World:  # noqa: ARG002  (as the other kinds)
        return world.wishing(self.tenant, TenantWish(exponents=self.values))

    def sentence(self) -> str:
        values = ", ".join(f"{name} {value:g}" for name, value in self.values.items())
        return f"exponents of {self.tenant or 'every tenant'}: {values}"


class _Traffic(_Model):
    times: float = Field(gt=0, le=1000)

    def apply(self, world: World, place: Place) -> World:  # noqa: ARG002  (as the other kinds)
        return replace(world, traffic=world.traffic * self.times)

    def sentence(self) -> str:
        return f"there are {self.times:g} times as many requests"


class _Rules(RootModel[list[dict[str, Any]]]):
    def apply(self, world: World, place: Place) -> World:
        try:
            policy = read_policy({"rules": self.root}, world.snapshot.endpoint_ids, source="")
        except ConfigurationError as error:
            steps = [int(step) if step.isdecimal() else step for step in (error.param or "rules").split(".")]
            raise place.wrong(error.message.removeprefix(": "), *steps[1:], named=False) from None
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
    def kind(self) -> str:
        """Which one of the kinds this is."""
        return next(iter(self.model_fields_set))

    @property
    def stated(self) -> Any:
        """What is changed."""
        return getattr(self, self.kind)


_KINDS: Mapping[str, type[BaseModel]] = {
    "price": _Price,
    "usd": _Usd,
    "withdraw": _Withdrawal,
    "preference": _Preference,
    "exponents": _Exponents,
    "traffic": _Traffic,
}
"""What stands below a change, by the field that holds it."""


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

        Raises `UnprocessableRequest` naming the change that does not fit and why.
        """
        return _changed(self, scenario, Place(scenario.name, MarkedContent(None)))

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


def _changed(world: World, scenario: Scenario, place: Place) -> World:
    for number, change in enumerate(scenario.changes):
        world = change.stated.apply(world, replace(place, path=("changes", number, change.kind)))
    return world


def read_scenario(
    content: bytes | str | Mapping[str, Any], *, source: str = "scenario", world: World | None = None
) -> Scenario:
    """The scenario in a YAML (or JSON) text, or in its content; with a `world` it must fit that, too.

    Raises `UnprocessableRequest` naming the source, the line (of a text), the change, and what to write there.
    """
    marked = MarkedContent(content) if isinstance(content, Mapping) else _read_text(content, source)
    place = Place(source, marked)
    if not isinstance(marked.content, Mapping):
        raise place.wrong("must be a mapping with name and changes.")
    try:
        scenario = Scenario.model_validate(marked.content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        path = tuple(problem["loc"])
        raise place.wrong(plain_reason(problem, _known(path)), *path) from None
    if world is not None:
        _changed(world, scenario, place)
    return scenario


def _read_text(content: bytes | str, source: str) -> MarkedContent:
    refused = Place(source, MarkedContent(None)).wrong
    if len(content) > MAX_BYTES:
        raise refused(f"is longer than {MAX_BYTES >> 10} KiB.")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        marked = read_marked(text)
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.CSafeLoader)):
            # A few lines of them stand for more than a machine can hold.
            raise refused("may not use aliases (*name); put a text that begins with * in quotes.")
    except UnicodeDecodeError:
        raise refused("is not YAML: it is not UTF-8 text.") from None
    except NotYaml as error:
        where = source if error.line is None else f"{source}:{error.line}"
        raise UnprocessableRequest(f"{where}: {error.reason}", param="scenario") from None
    return MarkedContent(None) if marked.root is None else marked


def _known(path: tuple[str | int, ...]) -> list[str]:
    """The fields that may stand where the last step of `path` does."""
    model: type[BaseModel] = Scenario
    for step in path[:-1]:
        if step == "changes":
            model = _Change
        elif isinstance(step, str):
            model = _KINDS.get(step, model)
    return list(model.model_fields)
