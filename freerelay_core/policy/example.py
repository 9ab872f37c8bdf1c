"""An example of what the rules are to do: a request, whose it is, and what is expected of its decision."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from freerelay_core.policy.rule import Patterns, StrictModel
from freerelay_core.preference import RoutingPreference

__all__ = ["Example", "Expectation"]


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
        None, description="Or the profile itself: family, depth, contract, input_tokens, output_tokens, needs, …"
    )
    tenant: ExampleTenant = ExampleTenant()
    hour: int = Field(12, ge=0, le=23, description="Hour of the day (UTC).")
    weekday: int | None = Field(None, ge=1, le=7, description="1 is Monday; today where absent.")
    healthy_share: float | None = Field(None, ge=0, le=1, description="Of the snapshot where absent.")
    expect: Expectation = Expectation()
