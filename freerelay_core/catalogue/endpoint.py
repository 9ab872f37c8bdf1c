"""The values of the catalogue. An endpoint is provider + model + effort: `openai/gpt-5.6-luna@xhigh`.

Reasoning effort changes ability, thinking tokens and time at once, so all three are figures of the same mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from freerelay_core.catalogue.waits import USUAL_WAITS, Waits
from freerelay_core.catalogue.wire import OPENAI_WIRE, Wire
from freerelay_core.errors import NotFound

__all__ = [
    "ABILITIES",
    "CAPABILITIES",
    "UNSOURCED",
    "Catalogue",
    "Endpoint",
    "Figure",
    "FixedPrice",
    "Kind",
    "Limits",
    "ListedPrice",
    "Origin",
    "Provider",
]

ABILITIES = ("chat", "multilingual", "creative", "code", "math", "agent", "long", "instruction", "general")
"""The abilities that are rated, each on one Elo-like scale; every task family reads one of them."""

CAPABILITIES = (
    "tools",
    "vision",
    "json_mode",
    "structured_output",
    "streaming",
    "logprobs",
    "confidential",
    "parallel_tools",
    "choices",
    "logit_bias",
)
"""What an endpoint can do. `confidential`: the operator may send it confidential content. `parallel_tools`: several
calls of tools in one answer; shown, and excludes nothing. `choices`: several answers to one request (`n`). The last two
are whose provider does not refuse them, and no file lists them. Stored snapshots hold all in this order, so a new one
goes to the end."""

Kind = Literal["measured", "published", "prior"]
"""What a figure rests on: our own traffic, somebody's publication, or an assumption."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its origin. `low` and `high` bound its interval, in the unit of the value."""

    value: float
    low: float
    high: float
    kind: Kind
    source: str
    date: str
    mode: str | None = None
    """The effort that the source's figure is of; None where the source does not say."""
    row: str | None = None
    """Name of the row in the source's list, where it is one."""
    via: str | None = None
    """The endpoint that the figure was taken over from."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a fact that is no number with an interval comes from: a context size, capabilities, limits, a price."""

    kind: Kind
    source: str
    date: str


UNSOURCED = Origin("prior", "stated without a source", "")
"""Of a fact for which nobody named one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the provider lets one account use: requests and tokens, a minute and a day. None: no limit is stated."""

    rpm: int | None = None
    tpm: int | None = None
    rpd: int | None = None
    tpd: int | None = None
    day_starts: int = 0
    """Hour UTC at which the quota of a day is renewed."""


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """A price looked up at run time in the list of genai-prices, under its names for the provider and model."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class FixedPrice:
    """A price that the catalogue states, USD per million tokens. Zero is free, and means it."""

    input: float
    cached: float
    output: float


@dataclass(frozen=True, slots=True)
class Provider:
    """A vendor, and how its endpoints are reached."""

    id: str
    name: str
    base_url: str
    """Root of the OpenAI-compatible API, up to and without `/chat/completions`."""
    key_variable: str | None
    """Environment variable with the vendor key; None where the server asks for none."""
    own: bool = False
    """Named by the operator's file, hence enabled without being listed in `FREERELAY_PROVIDERS`."""
    budget_usd_per_month: float | None = None
    """USD that may be spent there in a calendar month (UTC); None: no budget."""
    budget_usd_per_day: float | None = None
    wire: Wire = OPENAI_WIRE
    """What its requests differ in from OpenAI's."""
    waits: Waits = USUAL_WAITS
    wire_origins: Mapping[str, Origin] = field(default_factory=dict)
    """Where the stated fields of `wire` come from."""

    @property
    def has_budget(self) -> bool:
        return self.budget_usd_per_month is not None or self.budget_usd_per_day is not None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model served by a provider in one mode of effort: what is ranked."""

    id: str
    provider: str
    model: str
    effort: str | None
    upstream_model: str
    """The provider's own name for the model, sent as `model`."""
    price: ListedPrice | FixedPrice | None
    """None: unpriced, which is not free."""
    context_tokens: int
    max_output_tokens: int
    capabilities: frozenset[str]
    free_tier: bool
    abilities: Mapping[str, Figure]
    first_token_s: Figure
    """Median time to the first token without thinking, s."""
    tokens_per_s: Figure
    """Median decode speed, tokens/s."""
    thinking_tokens: Figure
    """Hidden output tokens on a standard prompt."""
    mode: str | None = None
    """The effort that a request is answered with: the one in the id, or what the provider does unasked, where known."""
    limits: Limits = Limits()
    quota_group: str = ""
    """Endpoints of one group share their limits; provider/model unless the catalogue names another."""
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """Where `price`, `context_tokens`, `max_output_tokens`, `capabilities` and `limits` come from; what is not here is
    `UNSOURCED`."""
    rows: Mapping[str, str] = field(default_factory=dict)
    """By list of figures, the name of this endpoint's row there."""

    def __post_init__(self) -> None:
        """Complete the quota group."""
        if not self.quota_group:
            object.__setattr__(self, "quota_group", f"{self.provider}/{self.model}")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All providers and endpoints, endpoints in order of id."""

    providers: Mapping[str, Provider]
    endpoints: tuple[Endpoint, ...]

    def __post_init__(self) -> None:
        # Ties go to the smaller id: rankings must not depend on the order in which files were read.
        object.__setattr__(self, "endpoints", tuple(sorted(self.endpoints, key=lambda e: e.id)))

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """The endpoint with this id. Raises `NotFound` with the code `model_not_found`."""
        for endpoint in self.endpoints:
            if endpoint.id == endpoint_id:
                return endpoint
        raise NotFound(
            f"No endpoint is called {endpoint_id[:100]!r}. Use freerelay/auto, or a name from GET /v1/models.",
            code="model_not_found",
            param="model",
        )
