"""Turns one endpoint or wire of a catalogue file into values that know where they come from, and of which effort."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

from freerelay_core.catalogue.endpoint import (
    ABILITIES,
    UNSOURCED,
    Endpoint,
    Figure,
    FixedPrice,
    Kind,
    Limits,
    ListedPrice,
    Origin,
)
from freerelay_core.catalogue.shapes import (
    FACTS,
    PREFERENCE_ABILITIES,
    RawAbility,
    RawEndpoint,
    RawFigure,
    RawFixedPrice,
    RawListedPrice,
    RawSource,
    RawWire,
)
from freerelay_core.catalogue.wire import REFUSABLE, WIRE_FIELDS, Wire
from freerelay_core.errors import ConfigurationError

__all__ = ["build_endpoint", "build_wire"]

# An interval where the file states none: relative to the value for times and speeds, in Elo for abilities.
_RELATIVE_INTERVAL: Mapping[Kind, float] = {"measured": 0.1, "published": 0.25, "prior": 0.5}
_ELO_INTERVAL: Mapping[Kind, float] = {"measured": 10.0, "published": 20.0, "prior": 60.0}

_PRICE_LIST = "genai-prices"
"""The distribution that list prices come from."""

_UNLESS_REFUSED = frozenset({"choices", "logit_bias"})
"""What every endpoint can do whose provider does not refuse it."""


def build_wire(name: str, raw: RawWire, sources: Mapping[str, RawSource]) -> tuple[Wire, Mapping[str, Origin]]:
    """The wire, and where each stated field comes from. Raises `ConfigurationError` with the field as `param`."""
    wire = Wire(
        name=name,
        output_limit=raw.output_limit,
        stream_usage=raw.stream_usage,
        developer_role=raw.developer_role,
        renames=raw.renames,
        drops=frozenset(raw.drops),
        drops_in_messages=frozenset(raw.drops_in_messages),
        refuses=frozenset(raw.refuses),
        headers=raw.headers,
    )
    stated = [field for field in WIRE_FIELDS if field in raw.model_fields_set]
    return wire, {field: _origin_in(raw.facts, field, sources) for field in stated}


def build_endpoint(endpoint_id: str, raw: RawEndpoint, sources: Mapping[str, RawSource], wire: Wire) -> Endpoint:
    """The endpoint of a provider with this wire. Raises `ConfigurationError` with the field as `param`."""
    provider, _, rest = endpoint_id.partition("/")
    model, _, effort = rest.partition("@")
    if effort and raw.mode and raw.mode != effort:
        raise ConfigurationError(f"the id says @{effort}; leave `mode` out.", param="mode")
    lists = {source.list for source in sources.values()}
    for name in raw.rows:
        if name not in lists:
            raise ConfigurationError(f"no source is of a list called {name!r}.", param=f"rows.{name}")
    figures = _Figures(raw, effort or raw.mode, sources)
    return Endpoint(
        id=endpoint_id,
        provider=provider,
        model=model,
        effort=effort or None,
        mode=effort or raw.mode,
        upstream_model=raw.upstream_model,
        price=_price(raw.price),
        context_tokens=raw.context_tokens,
        max_output_tokens=raw.max_output_tokens,
        capabilities=(frozenset(raw.capabilities) | _UNLESS_REFUSED) - {REFUSABLE[name] for name in wire.refuses},
        free_tier=raw.free_tier,
        limits=Limits(**raw.limits.model_dump()),
        quota_group=raw.quota_group or "",
        origins={name: _origin(name, raw, sources) for name in FACTS},
        rows={name: row.partition("@")[0] for name, row in raw.rows.items()},
        abilities={name: figures.ability(name, raw.ability) for name in ABILITIES},
        first_token_s=figures.figure("first_token_s", raw.first_token_s),
        tokens_per_s=figures.figure("tokens_per_s", raw.tokens_per_s),
        thinking_tokens=figures.thinking(raw.thinking_tokens),
    )


def _price(raw: object) -> ListedPrice | FixedPrice | None:
    match raw:
        case None:
            return None
        case RawListedPrice():
            return ListedPrice(raw.provider, raw.model)
        case RawFixedPrice():
            return FixedPrice(raw.input, raw.input if raw.cached is None else raw.cached, raw.output)
        case _:
            return FixedPrice(0.0, 0.0, 0.0)


def _origin(name: str, raw: RawEndpoint, sources: Mapping[str, RawSource]) -> Origin:
    if name == "price" and isinstance(raw.price, RawListedPrice):
        return _price_list(sources)
    return _origin_in(raw.facts, name, sources)


def _price_list(sources: Mapping[str, RawSource]) -> Origin:
    """The list as it is installed. It names no day itself: the source of its title does, where there is one."""
    title = f"{_PRICE_LIST} {_installed(_PRICE_LIST)}"
    return Origin("published", title, next((each.date for each in sources.values() if each.title == title), ""))


_installed = cache(version)


def _origin_in(facts: str | Mapping[str, str], name: str, sources: Mapping[str, RawSource]) -> Origin:
    source_id = facts if isinstance(facts, str) else facts.get(name, facts.get("rest"))
    if source_id is None:
        return UNSOURCED
    source = _known(source_id, "facts", sources)
    return Origin(source.kind, source.title, source.date)


def _known(source_id: str, field: str, sources: Mapping[str, RawSource]) -> RawSource:
    if source_id not in sources:
        raise ConfigurationError(f"no source is called {source_id!r}.", param=field)
    return sources[source_id]


class _Figures:
    """The figures of one endpoint, all of one mode.

    Effort changes ability, thinking tokens and times at once, so a figure that its source states for another effort is
    refused. Only an assumption may rest on one, and then it has the wider interval of a prior.
    """

    def __init__(self, raw: RawEndpoint, mode: str | None, sources: Mapping[str, RawSource]) -> None:
        self._rows = raw.rows
        self._mode = mode
        self._sources = sources

    def figure(self, field: str, raw: RawFigure) -> Figure:
        kind, source = self._kind(field, raw)
        return self._bounded(field, raw, kind, source, _RELATIVE_INTERVAL[kind] * raw.value)

    def thinking(self, raw: RawFigure) -> Figure:
        if self._mode == "none" and raw.value > 0:
            raise ConfigurationError(
                f"the mode is `none`, which does not think, and yet there are {raw.value:g} thinking tokens.",
                param="thinking_tokens",
            )
        return self.figure("thinking_tokens", raw)

    def ability(self, name: str, raw: RawAbility) -> Figure:
        value = raw.values[name]
        if not isinstance(value, RawFigure):
            value = RawFigure(value=value, source=raw.preference if name in PREFERENCE_ABILITIES else raw.tests)
        if raw.via is not None:
            value = RawFigure(value=value.value, source=value.source, kind="prior", via=raw.via)
        field = f"ability.values.{name}"
        kind, source = self._kind(field, value)
        spread = _ELO_INTERVAL[kind] if source.elo_interval is None or raw.via else source.elo_interval
        return self._bounded(field, value, kind, source, spread)

    def _kind(self, field: str, raw: RawFigure) -> tuple[Kind, RawSource]:
        source = _known(raw.source, field, self._sources)
        return raw.kind or source.kind, source

    def _bounded(self, field: str, raw: RawFigure, kind: Kind, source: RawSource, spread: float) -> Figure:
        usual_low, usual_high = raw.value - spread, raw.value + spread
        low = usual_low if raw.low is None else raw.low
        high = usual_high if raw.high is None else raw.high
        if not low <= raw.value <= high:
            raise ConfigurationError("low ≤ value ≤ high must hold.", param=field)
        if raw.via is not None:  # what is known of another endpoint narrows no assumption about this one
            low, high = min(low, usual_low), max(high, usual_high)
        row, of_mode = self._row(raw, source)
        if kind != "prior" and of_mode not in (None, self._mode):
            raise ConfigurationError(
                f"{row or raw.source} is of effort {of_mode!r}, and the endpoint's is {self._mode or 'not stated'!r}. "
                "Efforts must not be mixed: take a figure of the same one, mark it `kind: prior`, or state the `mode`.",
                param=field,
            )
        return Figure(raw.value, max(low, 0.0), high, kind, source.title, source.date, of_mode, row, raw.via)

    def _row(self, raw: RawFigure, source: RawSource) -> tuple[str | None, str | None]:
        """The source's row for this endpoint, and the effort that the figure is of, as far as they are stated."""
        row, _, mode = self._rows.get(source.list or "", "").partition("@")
        return row or None, raw.mode or mode or None
