"""Reads the shipped catalogue and the operator's file above it, and refuses what cannot be right, naming the field.

An operator's file adds or changes providers and endpoints by id, field by field; with `replace: true` it stands alone.
`like: <id>` starts an endpoint from another one, so that a local server is three lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from freerelay_core.catalogue.endpoint import (
    ABILITIES,
    CAPABILITIES,
    Catalogue,
    Endpoint,
    Figure,
    FixedPrice,
    Kind,
    ListedPrice,
    Provider,
)
from freerelay_core.errors import ConfigurationError

__all__ = ["load_catalogue"]

Model = TypeVar("Model", bound=BaseModel)

SHIPPED = Path(__file__).with_name("catalogue.yaml")

# An interval where the file states none: relative to the value for times and speeds, in Elo for abilities.
_RELATIVE_INTERVAL: Mapping[Kind, float] = {"measured": 0.1, "published": 0.25, "prior": 0.5}
_ELO_INTERVAL: Mapping[Kind, float] = {"measured": 10.0, "published": 20.0, "prior": 60.0}


_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Every number in a catalogue file: NaN, infinite and negative ones would rank first or last for ever."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Source(_Strict):
    title: str
    date: str
    kind: Kind
    elo_interval: _Amount | None = None
    """Half the width of the interval of abilities from this source; the usual one of its kind where absent."""


class _Figure(_Strict):
    value: _Amount
    source: str
    kind: Kind | None = None
    low: _Amount | None = None
    high: _Amount | None = None


class _ListedPrice(_Strict):
    provider: str
    model: str


class _FixedPrice(_Strict):
    input: _Amount
    cached: _Amount | None = None
    output: _Amount


class _Provider(_Strict):
    name: str | None = None
    base_url: str = Field(pattern=r"^https?://[^\s?#]+$")
    key_variable: str | None = None


class _Ability(_Strict):
    """Abilities of one endpoint: numbers share the source of their group, a single one may state its own."""

    preference: str
    """Source of chat, multilingual and creative."""
    tests: str
    """Source of the other abilities."""
    values: dict[str, _Amount | _Figure]

    @model_validator(mode="after")
    def _every_ability(self) -> _Ability:
        if set(self.values) != set(ABILITIES):
            raise ValueError(f"abilities must be exactly {', '.join(ABILITIES)}")
        return self


class _Endpoint(_Strict):
    upstream_model: str
    price: _ListedPrice | _FixedPrice | Literal["free"] | None = None
    context_tokens: int = Field(gt=0)
    max_output_tokens: int = Field(gt=0)
    capabilities: list[str]
    free_tier: bool = False
    first_token_s: _Figure
    tokens_per_s: _Figure
    thinking_tokens: _Figure
    ability: _Ability

    @model_validator(mode="after")
    def _known_capabilities(self) -> _Endpoint:
        unknown = set(self.capabilities) - set(CAPABILITIES)
        if unknown:
            raise ValueError(f"unknown capability {min(unknown)!r}; known are {', '.join(CAPABILITIES)}")
        if self.tokens_per_s.value <= 0 or self.first_token_s.value <= 0:
            raise ValueError("first_token_s and tokens_per_s must be above 0")
        return self


class _File(_Strict):
    replace: bool = False
    sources: dict[str, _Source] = {}
    providers: dict[str, _Provider] = {}
    endpoints: dict[str, dict[str, Any]] = {}


def load_catalogue(operator_file: Path | None = None) -> Catalogue:
    """The shipped catalogue, changed by `operator_file` where one is given.

    Raises `ConfigurationError` naming the file, the field and the reason.
    """
    files = [(SHIPPED, _read(SHIPPED))]
    if operator_file is not None:
        own = _read(operator_file)
        files = [(operator_file, own)] if own.replace else [*files, (operator_file, own)]
    sources: dict[str, _Source] = {}
    providers: dict[str, Provider] = {}
    raw: dict[str, dict[str, Any]] = {}
    endpoints: dict[str, Endpoint] = {}
    for path, content in files:
        sources |= content.sources
        for provider_id, provider in content.providers.items():
            providers[provider_id] = Provider(
                id=provider_id,
                name=provider.name or provider_id,
                base_url=provider.base_url.rstrip("/"),
                key_variable=provider.key_variable,
                own=path == operator_file,
            )
        for endpoint_id, fields in content.endpoints.items():
            raw[endpoint_id] = _merged(path, endpoint_id, fields, raw)
            endpoint = _validated(_Endpoint, raw[endpoint_id], f"{path}: endpoints.{endpoint_id}.")
            endpoints[endpoint_id] = _endpoint(path, endpoint_id, endpoint, providers, sources)
    if not endpoints:
        raise ConfigurationError(f"{files[-1][0]}: a catalogue needs at least one endpoint.", param="endpoints")
    return Catalogue(providers, tuple(endpoints[name] for name in sorted(endpoints)))


def _read(path: Path) -> _File:
    try:
        content = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}).", param="catalogue") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not YAML: {error}", param="catalogue") from error
    return _validated(_File, content or {}, f"{path}: ")


def _validated(model: type[Model], content: object, where: str) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise ConfigurationError(f"{where}{field}: {problem['msg']}", param=field) from None


def _merged(
    path: Path, endpoint_id: str, fields: Mapping[str, Any], known: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """The fields of an endpoint over those of the one it changes, or of the one it is `like`."""
    own = dict(fields)
    like = own.pop("like", None)
    if like is None:
        return known.get(endpoint_id, {}) | own
    if like not in known:
        raise ConfigurationError(f"{path}: endpoints.{endpoint_id}.like: no endpoint is called {like!r}.", param="like")
    # Speeds belong to the server that was measured; on another one they are only an assumption.
    speeds = {name: known[like][name] | {"kind": "prior"} for name in ("first_token_s", "tokens_per_s")}
    return known[like] | speeds | own


def _endpoint(
    path: Path, endpoint_id: str, raw: _Endpoint, providers: Mapping[str, Provider], sources: Mapping[str, _Source]
) -> Endpoint:
    provider, _, rest = endpoint_id.partition("/")
    model, _, effort = rest.partition("@")
    if not model or provider not in providers:
        raise ConfigurationError(
            f"{path}: endpoints.{endpoint_id}: the id must be provider/model or provider/model@effort, "
            "with a provider listed under `providers`.",
            param=endpoint_id,
        )
    origin = _Origin(path, endpoint_id, sources)
    return Endpoint(
        id=endpoint_id,
        provider=provider,
        model=model,
        effort=effort or None,
        upstream_model=raw.upstream_model,
        price=_price(raw.price),
        context_tokens=raw.context_tokens,
        max_output_tokens=raw.max_output_tokens,
        capabilities=frozenset(raw.capabilities),
        free_tier=raw.free_tier,
        abilities={name: origin.ability(name, raw.ability) for name in ABILITIES},
        first_token_s=origin.figure("first_token_s", raw.first_token_s),
        tokens_per_s=origin.figure("tokens_per_s", raw.tokens_per_s),
        thinking_tokens=origin.figure("thinking_tokens", raw.thinking_tokens),
    )


def _price(raw: _ListedPrice | _FixedPrice | Literal["free"] | None) -> ListedPrice | FixedPrice | None:
    match raw:
        case None:
            return None
        case _ListedPrice():
            return ListedPrice(raw.provider, raw.model)
        case _FixedPrice():
            return FixedPrice(raw.input, raw.input if raw.cached is None else raw.cached, raw.output)
        case _:
            return FixedPrice(0.0, 0.0, 0.0)


class _Origin:
    """Turns the figures of one endpoint into values that know where they come from."""

    def __init__(self, path: Path, endpoint_id: str, sources: Mapping[str, _Source]) -> None:
        self._where = f"{path}: endpoints.{endpoint_id}"
        self._sources = sources

    def figure(self, field: str, raw: _Figure) -> Figure:
        kind, source = self._source(field, raw)
        spread = _RELATIVE_INTERVAL[kind] * raw.value
        return self._bounded(field, raw, kind, source, spread)

    def ability(self, name: str, raw: _Ability) -> Figure:
        value = raw.values[name]
        if not isinstance(value, _Figure):
            group = raw.preference if name in ("chat", "multilingual", "creative") else raw.tests
            value = _Figure(value=value, source=group)
        kind, source = self._source(f"ability.values.{name}", value)
        return self._bounded(name, value, kind, source, _elo_interval(source, kind))

    def _source(self, field: str, raw: _Figure) -> tuple[Kind, _Source]:
        if raw.source not in self._sources:
            raise ConfigurationError(f"{self._where}.{field}: no source is called {raw.source!r}.", param=field)
        source = self._sources[raw.source]
        return raw.kind or source.kind, source

    def _bounded(self, field: str, raw: _Figure, kind: Kind, source: _Source, spread: float) -> Figure:
        low = raw.value - spread if raw.low is None else raw.low
        high = raw.value + spread if raw.high is None else raw.high
        if not low <= raw.value <= high:
            raise ConfigurationError(f"{self._where}.{field}: low ≤ value ≤ high must hold.", param=field)
        return Figure(raw.value, max(low, 0.0), high, kind, source.title, source.date)


def _elo_interval(source: _Source, kind: Kind) -> float:
    return _ELO_INTERVAL[kind] if source.elo_interval is None else source.elo_interval
