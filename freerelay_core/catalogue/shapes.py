"""The shape of a catalogue file, the shipped ones and the operator's alike. `docs/catalogue.md` explains each field."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from freerelay_core.catalogue.endpoint import ABILITIES, CAPABILITIES, Kind
from freerelay_core.catalogue.wire import REFUSABLE, WIRE_FIELDS, OutputLimit, StreamUsage

__all__ = [
    "FACTS",
    "PREFERENCE_ABILITIES",
    "TAGS",
    "RawAbility",
    "RawEndpoint",
    "RawFigure",
    "RawFile",
    "RawFixedPrice",
    "RawLimits",
    "RawListedPrice",
    "RawPrice",
    "RawProvider",
    "RawSource",
    "RawWaits",
    "RawWire",
]

PREFERENCE_ABILITIES = ("chat", "multilingual", "creative")
"""Abilities that people's preferences rate; public tests rate the others."""

FACTS = ("price", "context_tokens", "max_output_tokens", "capabilities", "limits")
"""Fields whose source `facts` states."""

TAGS = frozenset({"listed", "fixed", "free", "number", "figure", "all", "each"})
"""Names of alternatives below, which pydantic puts into the path of an error and no file contains."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RawSource(_Strict):
    """A publication, our own measurements, or an assumption."""

    title: str
    date: str = Field(pattern=r"^\d{4}(-\d\d(-\d\d)?)?$")
    kind: Kind
    elo_interval: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Half the width of the interval of abilities from this source; the usual one of its kind where absent."""
    list: str | None = None
    """Name of the list that its figures are rows of; an endpoint's `rows` says which row."""


class RawFigure(_Strict):
    """A number and its source."""

    value: float = Field(ge=0, allow_inf_nan=False)
    source: str
    kind: Kind | None = None
    low: float | None = Field(None, ge=0, allow_inf_nan=False)
    high: float | None = Field(None, ge=0, allow_inf_nan=False)
    mode: str | None = None
    """The effort that the source's figure is of, where no row says so."""
    via: str | None = None
    """The endpoint that the figure was taken over from."""


class RawListedPrice(_Strict):
    """Names in the price list."""

    provider: str
    model: str


class RawFixedPrice(_Strict):
    """USD per million tokens."""

    input: float = Field(ge=0, allow_inf_nan=False)
    cached: float | None = Field(None, ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)


def _price_tag(value: Any) -> str:
    if isinstance(value, dict | RawListedPrice):
        return "listed" if isinstance(value, RawListedPrice) or {"provider", "model"} & set(value) else "fixed"
    return "free"


RawPrice = Annotated[
    Annotated[RawListedPrice, Tag("listed")]
    | Annotated[RawFixedPrice, Tag("fixed")]
    | Annotated[Literal["free"], Tag("free")],
    Discriminator(_price_tag),
]


_Wait = Annotated[float, Field(gt=0, le=600)]


class RawWaits(_Strict):
    """Limits of waiting, s."""

    connect_s: _Wait | None = None
    first_token_s: _Wait | None = None
    idle_s: _Wait | None = None
    total_s: _Wait | None = None


def _reachable(url: str) -> str:
    """The URL, if a connection can be made to what it names."""
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").encode("idna"), parts.port
    except ValueError as error:
        raise ValueError(f"is no URL that can be reached: {error}") from None
    if not host:
        raise ValueError("is no URL that can be reached: it names no host")
    if not parts.path.isascii():
        raise ValueError("is no URL that can be reached: write its path in ASCII, other characters as %XX")
    return url


class RawProvider(_Strict):
    """How a provider is reached."""

    name: str | None = None
    base_url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$"), AfterValidator(_reachable)] | None = None
    """May be left out where the provider is known already, which then is only changed, not enabled."""
    key_variable: str | None = None
    budget_usd_per_month: float | None = Field(None, ge=0, allow_inf_nan=False)
    budget_usd_per_day: float | None = Field(None, ge=0, allow_inf_nan=False)
    wire: str | None = None
    """Name of one of the file's `wires`, or of a shipped one."""
    waits: RawWaits | None = None


def _facts_tag(value: Any) -> str:
    return "each" if isinstance(value, dict) else "all"


_Facts = Annotated[Annotated[str, Tag("all")] | Annotated[dict[str, str], Tag("each")], Discriminator(_facts_tag)]
_HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
_HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]*$")]


class RawWire(_Strict):
    """What requests to a provider differ in from OpenAI's: `freerelay_core.catalogue.wire` explains each field."""

    output_limit: OutputLimit | None = None
    stream_usage: StreamUsage | None = None
    developer_role: bool = True
    renames: dict[str, str] = {}
    drops: list[str] = []
    drops_in_messages: list[str] = []
    refuses: list[str] = []
    headers: dict[_HeaderName, _HeaderValue] = {}
    facts: _Facts
    """Source of all that is stated, or of each; `rest` covers those not named."""

    @model_validator(mode="after")
    def _possible(self) -> RawWire:
        if unknown := set(self.refuses) - set(REFUSABLE):
            raise ValueError(f"refuses: {min(unknown)!r} cannot be refused; {', '.join(REFUSABLE)} can")
        if isinstance(self.facts, dict) and set(self.facts) - {"rest", *WIRE_FIELDS}:
            raise ValueError(f"facts must be among rest, {', '.join(WIRE_FIELDS)}")
        return self


def _figure_tag(value: Any) -> str:
    return "figure" if isinstance(value, dict) else "number"


_Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class RawAbility(_Strict):
    """Abilities of one endpoint: numbers share the source of their group, a single one may state its own."""

    preference: str
    """Source of chat, multilingual and creative."""
    tests: str
    """Source of the other abilities."""
    via: str | None = None
    """The endpoint that the abilities were taken over from."""
    values: dict[
        str,
        Annotated[
            Annotated[_Number, Tag("number")] | Annotated[RawFigure, Tag("figure")],
            Discriminator(_figure_tag),
        ],
    ]

    @model_validator(mode="after")
    def _every_ability(self) -> RawAbility:
        if set(self.values) != set(ABILITIES):
            raise ValueError(f"abilities must be exactly {', '.join(ABILITIES)}")
        return self


_Limit = Annotated[int, Field(gt=0)]


class RawLimits(_Strict):
    """Requests and tokens, a minute and a day."""

    rpm: _Limit | None = None
    tpm: _Limit | None = None
    rpd: _Limit | None = None
    tpd: _Limit | None = None
    day_starts: Annotated[int, Field(ge=0, le=23)] = 0
    """Hour UTC at which the quota of a day is renewed."""


class RawEndpoint(_Strict):
    """An endpoint after what it is `like` has been filled in."""

    upstream_model: str
    price: RawPrice | None = None
    context_tokens: int = Field(gt=0)
    max_output_tokens: int = Field(gt=0)
    capabilities: list[str]
    free_tier: bool = False
    limits: RawLimits = RawLimits()
    quota_group: str | None = None
    facts: _Facts = Field(default_factory=dict)
    """Source of all of `FACTS`, or of each; `rest` covers those not named."""
    mode: str | None = None
    """The effort that the provider answers with unasked, where the id names none."""
    rows: dict[str, str] = {}
    """By list, the row that the figures from it are of: `name@effort`, or `name` where the list does not say."""
    first_token_s: RawFigure
    tokens_per_s: RawFigure
    thinking_tokens: RawFigure
    ability: RawAbility

    @model_validator(mode="after")
    def _possible(self) -> RawEndpoint:
        unknown = set(self.capabilities) - set(CAPABILITIES)
        if unknown:
            raise ValueError(f"unknown capability {min(unknown)!r}; known are {', '.join(CAPABILITIES)}")
        if self.tokens_per_s.value <= 0 or self.first_token_s.value <= 0:
            raise ValueError("first_token_s and tokens_per_s must be above 0")
        if isinstance(self.facts, dict) and set(self.facts) - {"rest", *FACTS}:
            raise ValueError(f"facts must be among rest, {', '.join(FACTS)}")
        if "parallel_tools" in self.capabilities and "tools" not in self.capabilities:
            raise ValueError("capabilities: parallel_tools needs tools")
        return self


class RawFile(_Strict):
    """A whole file."""

    replace: bool = False
    sources: dict[str, RawSource] = {}
    wires: dict[str, RawWire] = {}
    providers: dict[str, RawProvider] = {}
    endpoints: dict[str, dict[str, Any]] = {}
