"""`freerelay catalogue`: checks the catalogue, lists its endpoints, shows where each figure comes from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table
from rich.text import Text

from freerelay_core.catalogue import Catalogue, Endpoint, compile_prices, load_catalogue
from freerelay_core.catalogue.check import Report, check_catalogue
from freerelay_core.catalogue.describe import (
    FieldRow,
    UsdPerMillion,
    describe,
    describe_wire,
    figures_of,
    stated,
    usd_per_million,
)
from freerelay_core.cli.names import known_endpoint
from freerelay_core.cli.options import AsJson
from freerelay_core.cli.output import output
from freerelay_core.clock import SystemClock
from freerelay_core.config import load_settings
from freerelay_core.errors import NotFound

__all__ = ["catalogue"]

catalogue = typer.Typer(help="Check the catalogue and see where its figures come from.", no_args_is_help=True)

_SUMMARY = ("chat", "code", "agent")
"""The abilities that the list shows; `show` has all of them."""

_KINDS = {"measured": "m", "published": "p", "prior": "a"}

_SORTS = {
    "stale": "Old figures",
    "unpriced": "Endpoints without a price",
    "no_streaming": "Your endpoints that do not stream",
    "mode": "Efforts",
    "prior": "Assumptions",
}


@catalogue.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A catalogue file of your own; the one in FREERELAY_CATALOGUE where left out.", readable=False
        ),
    ] = None,
) -> None:
    """Check the shipped catalogue with your file above it. Exit status 1 where something is wrong."""
    report = check_catalogue(file or load_settings().catalogue, SystemClock().now())
    for problem in report.problems:
        typer.echo(str(problem), err=True)
    if report.problems:
        count = len(report.problems)
        typer.echo(f"{count} problem{'s' if count > 1 else ''}.", err=True)
        raise typer.Exit(1)
    _say_cautions(report)


@catalogue.command("list")
def list_endpoints(
    *,
    provider: Annotated[str | None, typer.Option(help="Only the endpoints of this provider.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the endpoints with prices now, sizes, speeds, abilities and limits."""
    found, prices = _priced_now()
    if provider is not None and provider not in found.providers:
        known = ", ".join(sorted(found.providers))
        raise NotFound(f"No provider is called {provider!r}; known are {known}.", param="provider")
    shown = [e for e in found.endpoints if provider in (None, e.provider)]
    if as_json:
        typer.echo(orjson.dumps([_shape(e, prices[e.id]) for e in shown], option=orjson.OPT_INDENT_2))
    else:
        _draw_list(shown, prices)


@catalogue.command()
def show(
    endpoint: Annotated[str, typer.Argument(help="An endpoint as `list` names it.", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Show every field of one endpoint with its interval, kind, source and date."""
    found, prices = _priced_now()
    named = known_endpoint(found, endpoint)
    rows = describe(named, prices[named.id]) + describe_wire(found.providers[named.provider])
    if as_json:
        shape = _identity(named) | {"fields": [asdict(row) for row in rows]}
        typer.echo(orjson.dumps(shape, option=orjson.OPT_INDENT_2))
    else:
        _draw_fields(named, found.providers[named.provider].name, rows)


def _priced_now() -> tuple[Catalogue, dict[str, UsdPerMillion | None]]:
    """The catalogue in force, and by endpoint the prices at this hour."""
    found, now = load_catalogue(load_settings().catalogue), SystemClock().now()
    table = compile_prices(found.endpoints, now)
    return found, {e.id: usd_per_million(table, index, now.hour) for index, e in enumerate(found.endpoints)}


def _say_cautions(report: Report) -> None:
    if report.catalogue is None:
        return
    providers = {endpoint.provider for endpoint in report.catalogue.endpoints}
    typer.echo(f"No problems: {len(report.catalogue.endpoints)} endpoints of {len(providers)} providers.")
    for sort, title in _SORTS.items():
        found = [caution for caution in report.cautions if caution.sort == sort]
        if found:
            typer.echo(f"\n{title}:")
        for caution in found:
            typer.echo(f"  {caution.subject}: {caution.text}")


def _draw_list(shown: list[Endpoint], prices: dict[str, UsdPerMillion | None]) -> None:
    *first, last = _SUMMARY
    abilities = f"{'/'.join(first)}/\n{last}"
    numbers = ("USD\nin", "USD\nout", "con-\ntext", "first\ns", "tok\n/s", abilities)
    table = Table(
        Column("endpoint", overflow="fold"),
        *(Column(name, justify="right", no_wrap=True) for name in numbers),
        Column("fig-\nures", no_wrap=True),
        box=SIMPLE_HEAD,
        padding=0,
    )
    for endpoint in shown:
        price = prices[endpoint.id]
        limits = [f"{_short(limit)} {name}" for name, limit in stated(endpoint.limits).items()]
        table.add_row(
            Text("\n  ".join(filter(None, (endpoint.id, " ".join(limits[:2]), " ".join(limits[2:]))))),
            "unpriced" if price is None else f"{price.input:g}",
            "" if price is None else f"{price.output:g}",
            _short(endpoint.context_tokens),
            f"{endpoint.first_token_s.value:g}",
            f"{endpoint.tokens_per_s.value:g}",
            "/".join(f"{endpoint.abilities[name].value:.0f}" for name in _SUMMARY),
            " ".join(f"{count}{_KINDS[kind]}" for kind, count in _kinds(endpoint).items()),
        )
    output().print(table)
    typer.echo(
        "USD per million tokens at this hour. Figures: how many are measured (m), published (p), prior (a: assumed). "
        "Routing takes a prior at the slow or low end of its interval, which `freerelay catalogue show` has, so other "
        "figures may stand in the dashboard. Limits: requests (r) and tokens (t) a minute (pm) and a day (pd)."
    )


def _short(number: int) -> str:
    """A count in few characters: 131072 is 131k."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def _draw_fields(endpoint: Endpoint, provider: str, rows: list[FieldRow]) -> None:
    effort = f", effort {endpoint.mode}" if endpoint.mode else ""
    typer.echo(f"{endpoint.id}: {endpoint.upstream_model} at {provider}{effort}; quota {endpoint.quota_group}")
    sources = list(dict.fromkeys(map(_source, rows)))
    numbers = _fields(
        Column("value", justify="right", no_wrap=True),
        Column("unit", no_wrap=True),
        Column("interval", overflow="fold"),
    )
    # Apart from the numbers: in one column with them long words would be broken on a terminal of 80 columns.
    words = _fields(Column("value", overflow="fold"))
    for row in rows:
        whence = (row.kind, row.date, f"[{sources.index(_source(row)) + 1}]")
        if isinstance(row.value, str):
            words.add_row(row.field, Text(row.value), *whence)
        else:
            between = "" if row.low is None or row.high is None else f"{row.low:,.6g} – {row.high:,.6g}"
            numbers.add_row(row.field, f"{row.value:,.10g}", row.unit, between, *whence)
    output().print(numbers, words)
    for number, source in enumerate(sources, start=1):
        typer.echo(f"[{number}] {source}")


def _fields(*values: Column) -> Table:
    """An empty table of fields, with where each comes from."""
    origin = (Column(name, no_wrap=True) for name in ("kind", "date", "from"))
    return Table(Column("field", no_wrap=True), *values, *origin, box=SIMPLE_HEAD, padding=0)


def _source(row: FieldRow) -> str:
    """The source, the row there, the row's effort, and the endpoint that the figure was taken over from."""
    parts = (row.row and f"row {row.row}", row.mode and f"effort {row.mode}", row.via and f"taken over from {row.via}")
    return ", ".join([row.source, *(part for part in parts if part)])


def _kinds(endpoint: Endpoint) -> dict[str, int]:
    kinds = [figure.kind for _, _, figure in figures_of(endpoint)]
    return {kind: kinds.count(kind) for kind in _KINDS if kind in kinds}


def _identity(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "endpoint": endpoint.id,
        "provider": endpoint.provider,
        "upstream_model": endpoint.upstream_model,
        "effort": endpoint.mode,
        "free_tier": endpoint.free_tier,
        "quota_group": endpoint.quota_group,
    }


def _shape(endpoint: Endpoint, price: UsdPerMillion | None) -> dict[str, Any]:
    return _identity(endpoint) | {
        "usd_per_million": None if price is None else asdict(price),
        "context_tokens": endpoint.context_tokens,
        "max_output_tokens": endpoint.max_output_tokens,
        "capabilities": sorted(endpoint.capabilities),
        "first_token_s": endpoint.first_token_s.value,
        "tokens_per_s": endpoint.tokens_per_s.value,
        "thinking_tokens": endpoint.thinking_tokens.value,
        "abilities": {name: figure.value for name, figure in endpoint.abilities.items()},
        "limits": stated(endpoint.limits),
        "kinds": _kinds(endpoint),
    }
