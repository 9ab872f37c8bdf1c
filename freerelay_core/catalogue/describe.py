"""An endpoint field by field, each with value, unit, interval, kind, source and date: for people and for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields

from freerelay_core.catalogue.endpoint import ABILITIES, UNSOURCED, Endpoint, Figure, Kind, Limits, Origin, Provider
from freerelay_core.catalogue.prices import PriceTable

__all__ = [
    "FieldRow",
    "UsdPerMillion",
    "describe",
    "describe_wire",
    "facts_of",
    "figures_of",
    "stated",
    "usd_per_million",
]

_LIMIT_UNITS = {"rpm": "requests/min", "tpm": "tokens/min", "rpd": "requests/day", "tpd": "tokens/day"}


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field of an endpoint and where it comes from."""

    field: str
    value: float | str
    unit: str
    low: float | None
    high: float | None
    kind: Kind
    source: str
    date: str
    mode: str | None = None
    """The effort that the source's figure is of, where it says."""
    row: str | None = None
    via: str | None = None
    """The endpoint that the figure was taken over from."""


@dataclass(frozen=True, slots=True)
class UsdPerMillion:
    """What a million tokens cost at one hour, before any tier is crossed."""

    input: float
    cached: float
    output: float


def usd_per_million(prices: PriceTable, endpoint: int, hour: int) -> UsdPerMillion | None:
    """The prices of one endpoint of the table at this hour (UTC); None where it is unpriced."""
    if not prices.priced[endpoint]:
        return None
    return UsdPerMillion(*(round(float(usd) * 1e6, 6) for usd in prices.rates[hour, 0, :, endpoint]))


def figures_of(endpoint: Endpoint) -> Iterator[tuple[str, str, Figure]]:
    """Every figure that has an interval, as (field, unit, figure)."""
    yield "first_token_s", "s", endpoint.first_token_s
    yield "tokens_per_s", "tokens/s", endpoint.tokens_per_s
    yield "thinking_tokens", "tokens", endpoint.thinking_tokens
    for name in ABILITIES:
        yield f"ability.{name}", "Elo", endpoint.abilities[name]


def facts_of(endpoint: Endpoint) -> Iterator[tuple[str, Origin]]:
    """Every stated fact that is no figure, as (field, where it comes from)."""
    absent = {"price": endpoint.price is None, "limits": not stated(endpoint.limits)}
    for name in ("price", "context_tokens", "max_output_tokens", "capabilities", "limits"):
        if not absent.get(name):
            yield name, endpoint.origins.get(name, UNSOURCED)


def describe(endpoint: Endpoint, price: UsdPerMillion | None) -> list[FieldRow]:
    """Every field of the endpoint; `price` is what holds now."""
    rows = [
        _fact(endpoint, "price", f"price.{name}", "unpriced" if usd is None else usd, "USD/million")
        for name, usd in _prices(price)
    ]
    rows.append(_fact(endpoint, "context_tokens", "context_tokens", endpoint.context_tokens, "tokens"))
    rows.append(_fact(endpoint, "max_output_tokens", "max_output_tokens", endpoint.max_output_tokens, "tokens"))
    rows.append(_fact(endpoint, "capabilities", "capabilities", ", ".join(sorted(endpoint.capabilities)) or "none", ""))
    rows += [
        _fact(endpoint, "limits", f"limits.{name}", limit, _LIMIT_UNITS[name])
        for name, limit in stated(endpoint.limits).items()
    ]
    rows += [FieldRow(field=field, unit=unit, **asdict(figure)) for field, unit, figure in figures_of(endpoint)]
    return rows


def describe_wire(provider: Provider) -> list[FieldRow]:
    """What is stated of the provider's wire; a field that is not here is OpenAI's."""
    return [
        FieldRow(f"wire.{name}", _words(getattr(provider.wire, name)), "", None, None, at.kind, at.source, at.date)
        for name, at in provider.wire_origins.items()
    ]


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {text}" for name, text in value.items())
    return ", ".join(sorted(value)) if isinstance(value, frozenset) else str(value).lower()


def stated(limits: Limits) -> dict[str, int]:
    """The limits that there are, by name."""
    return {name: value for name in _LIMIT_UNITS if (value := getattr(limits, name)) is not None}


def _prices(price: UsdPerMillion | None) -> list[tuple[str, float | None]]:
    return list(asdict(price).items()) if price else [(each.name, None) for each in fields(UsdPerMillion)]


def _fact(endpoint: Endpoint, origin: str, field: str, value: float | str, unit: str) -> FieldRow:
    where = endpoint.origins.get(origin, UNSOURCED)
    return FieldRow(field, value, unit, None, None, where.kind, where.source, where.date)
