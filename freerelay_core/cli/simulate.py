"""`freerelay simulate`: what a trace would cost and gain under each routing preference, without a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from freerelay_core.cli.configuration import SnapshotChoice, load_configuration
from freerelay_core.cli.inputs import read_input
from freerelay_core.clock import SystemClock
from freerelay_core.simulation import Simulation, read_trace
from freerelay_core.simulation import simulate as simulate_trace

__all__ = ["simulate"]

_SHOWN_SHARES = 3
_NUMBERS = [Column(name, justify="right") for name in ("USD/1,000", "p50 s", "p95 s", "quality")]


def simulate(
    trace: Annotated[Path, typer.Argument(help="CSV file with the time and the tokens of each request.")],
    seed: Annotated[int, typer.Option(help="Seed of the sampled durations.", min=0)] = 0,
    snapshot: Annotated[
        SnapshotChoice, typer.Option(help="Rank by the catalogue alone, or by what a running server saw last.")
    ] = SnapshotChoice.CATALOGUE,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Rank every request of a trace under all three preferences."""
    configuration = load_configuration()
    simulation = simulate_trace(
        read_trace(read_input(trace), origin=trace.name),
        configuration.snapshot(snapshot, SystemClock()),
        policy=configuration.policy,
        seed=seed,
    )
    if as_json:
        typer.echo(orjson.dumps(simulation.as_dict(), option=orjson.OPT_INDENT_2))
    else:
        _draw(simulation)


def _draw(simulation: Simulation) -> None:
    console = Console()
    profiles = simulation.trace.profiles
    console.print(
        f"{len(simulation.trace):,} requests, {profiles.input_tokens.sum():,.0f} tokens in, "
        f"{profiles.output_tokens.sum():,.0f} out; simulated on snapshot {simulation.snapshot.id}"
    )
    table = Table(
        Column("preference", no_wrap=True),
        *_NUMBERS,
        Column("most chosen", no_wrap=True),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for preference, result in simulation.results.items():
        table.add_row(
            preference.value,
            f"{result.cost_usd_per_1000:,.2f}",
            f"{result.latency_p50_s:.1f}",
            f"{result.latency_p95_s:.1f}",
            f"{result.quality:.0%}",
            "\n".join(f"{share:.0%} {name}" for name, share in list(result.share.items())[:_SHOWN_SHARES]),
        )
    console.print(table)
    unserved = {preference.value: result.unserved for preference, result in simulation.results.items()}
    if any(unserved.values()):
        console.print(
            "Requests that no endpoint can serve: " + ", ".join(f"{n} {name}" for name, n in unserved.items())
        )
