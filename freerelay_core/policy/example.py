"""An example of what the rules are to do: a request, whose it is, and what is expected of its decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.policy.rule import Patterns, StrictModel
from freerelay_core.policy.variables import Conditions
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import NEEDS, RequestProfile, profile_request

__all__ = ["Example", "ExampleTenant", "Expectation"]


class Expectation(StrictModel):
    """What is expected of the decision; what is not stated is not looked at."""

    rules: tuple[str, ...] | None = Field(None, description="Names of the rules that fire, in order; [] for none.")
    preference: RoutingPreference | None = Field(None, description="The routing preference that decides.")
    level: str | None = Field(None, pattern="^(default|tenant|request|rule)$", description="Who named it.")
    endpoint: str | None = Field(None, description="Pattern of the first choice.")
    prefer: Patterns = Field((), description="Patterns of endpoints that are preferred.")
    excluded: Patterns = Field((), description="Patterns of endpoints of which none is ranked.")
    dropped: tuple[str, ...] | None = Field(None, description="Actions that are dropped, as require; [] for none.")
    refused: bool = Field(False, description="No endpoint is left.")

    @property
    def patterns(self) -> dict[str, tuple[str, ...]]:
        """The fields that name endpoints, with their patterns."""
        endpoint = () if self.endpoint is None else (self.endpoint,)
        return {"endpoint": endpoint, "prefer": self.prefer, "excluded": self.excluded}


class ExampleTenant(StrictModel):
    """Whose request it is."""

    id: str = ""
    tier: str = ""
    preference: RoutingPreference | None = None


class Example(StrictModel):
    """A request to try the rules on."""

    name: str = Field(min_length=1, max_length=80)
    request: dict[str, Any] | None = Field(None, description="Body of a chat completion.")
    profile: dict[str, Any] | None = Field(
        None, description="Or its profile: family, depth, contract, input_tokens, output_tokens, needs, stream, …"
    )
    tenant: ExampleTenant = ExampleTenant()
    hour: int = Field(12, ge=0, le=23, description="Hour of the day (UTC).")
    weekday: int = Field(3, ge=1, le=7, description="1 is Monday.")
    healthy_share: float = Field(1.0, ge=0, le=1, description="Share of the endpoints whose breaker is closed.")
    failing_providers: tuple[str, ...] = Field((), description="Providers that fail, by id.")
    schema_success: float = Field(1.0, ge=0, le=1, description="Share of the checked answers that kept their contract.")
    budget_left: float = Field(1.0, ge=0, le=1, description="Share of the tenant's budget that is left.")
    expect: Expectation

    @model_validator(mode="after")
    def _one_of_both(self) -> Example:
        if (self.request is None) == (self.profile is None):
            raise ValueError("state either request, the body of a chat completion, or profile")
        return self

    def request_profile(self, *, task: str | None = None, depth: str | None = None) -> RequestProfile:
        """The profile of the request; `task` and `depth` stand above what its body suggests.

        Raises `UnprocessableRequest` for what cannot be meant.
        """
        if self.request is not None:
            return profile_request(self.request, hour_utc=self.hour, task=task, depth=depth)
        usual = RequestProfile(input_tokens=500, output_tokens=200).as_dict()
        stated = {**usual, **(self.profile or {}), "hour_utc": self.hour}
        try:
            _refuse_impossible(stated)
            return RequestProfile.from_dict(stated)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UnprocessableRequest(f"the profile cannot be meant: {error}", param="profile") from None

    def conditions(self) -> Conditions:
        """The state of the world around the request."""
        return Conditions(
            healthy_share=self.healthy_share,
            failing_providers=self.failing_providers,
            schema_success=self.schema_success,
            weekday=self.weekday,
        )


_MOST_TOKENS = 1_000_000_000


def _refuse_impossible(profile: Mapping[str, Any]) -> None:
    """Raise `ValueError` for tokens, needs or signs that no request has. The levels name theirs themselves."""
    for name in ("input_tokens", "cached_tokens", "output_tokens"):
        if type(profile[name]) is not int or not 0 <= profile[name] <= _MOST_TOKENS:
            raise ValueError(f"{name} must be a whole number from 0 to {_MOST_TOKENS:,}")
    if type(profile["answers"]) is not int or not 1 <= profile["answers"] <= _MOST_TOKENS:
        raise ValueError(f"answers must be a whole number from 1 to {_MOST_TOKENS:,}")
    limit = profile["answer_limit"]
    if limit is not None and (type(limit) is not int or not 1 <= limit <= _MOST_TOKENS):
        raise ValueError(f"answer_limit must be a whole number from 1 to {_MOST_TOKENS:,}, or null")
    for name in ("locked_down", "stream"):
        if not isinstance(profile[name], bool):
            raise ValueError(f"{name} must be true or false")  # noqa: TRY004  (a value in a file, as the rest)
    if not isinstance(profile["needs"], list):
        raise ValueError("needs must be a list")  # noqa: TRY004
    if not set(profile["needs"]) <= set(NEEDS):
        raise ValueError(f"needs may name {', '.join(NEEDS)}")
