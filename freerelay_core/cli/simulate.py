"""`freerelay simulate`: what a trace would cost and gain, without a running server.

Under each routing preference, or with `--scenario` as it is now and as it would be.
"""

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
from freerelay_core.preference import DEFAULT_PREFERENCE, RoutingPreference
from freerelay_core.simulation import (
    PreferenceResult,
    Simulation,
    WhatIf,
    World,
    read_scenario,
    read_trace,
    traffic_of_trace,
    what_if,
)
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
    scenario: Annotated[
        Path | None, typer.Option(help="YAML file of changes: compare the trace as it is now with what they would do.")
    ] = None,
    preference: Annotated[
        RoutingPreference, typer.Option(help="Preference in force at present, for --scenario.")
    ] = DEFAULT_PREFERENCE,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Rank every request of a trace under all three preferences, or before and after the changes of a scenario."""
    configuration = load_configuration()
    requests = read_trace(read_input(trace), origin=trace.name)
    ranked_on = configuration.snapshot(snapshot, SystemClock())
    result: Simulation | WhatIf
    if scenario is None:
        result = simulate_trace(requests, ranked_on, policy=configuration.policy, seed=seed)
    else:
        result = what_if(
            traffic_of_trace(requests, preference=preference),
            World(ranked_on, configuration.policy),
            read_scenario(read_input(scenario), source=scenario.name),
            seed=seed,
        )
    if as_json:
        typer.echo(orjson.dumps(result.as_dict(), option=orjson.OPT_INDENT_2))
    elif isinstance(result, WhatIf):
        _draw_what_if(result)
    else:
        _draw(result)


def _draw_what_if(result: WhatIf) -> None:
    console = Console()
    console.print(
        f"{result.scenario.name}: {'; '.join(result.scenario.sentences()) or 'nothing changes'}. "
        f"{len(result.traffic):,} requests, simulated on snapshot {result.snapshot.id}"
    )
    table = Table("", *_NUMBERS, Column("most chosen", no_wrap=True), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, side in (("now", result.baseline), ("scenario", result.changed)):
        table.add_row(name, *_figures(side))
    console.print(table)
    moved, unserved = result.first_choices_changed, result.changed.unserved - result.baseline.unserved
    cost = result.total_usd(result.changed) - result.total_usd(result.baseline)
    share = moved / len(result.traffic)
    console.print(f"First choices that change: {moved:,} ({share:.1%}). Cost in all: {cost:+,.2f} USD.")
    if unserved:
        console.print(f"Requests that no endpoint can serve: {unserved:+,}.")


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
            *_figures(result),
        )
    console.print(table)
    unserved = {preference.value: result.unserved for preference, result in simulation.results.items()}
    if any(unserved.values()):
        console.print(
            "Requests that no endpoint can serve: " + ", ".join(f"{n} {name}" for name, n in unserved.items())
        )


def _figures(result: PreferenceResult) -> tuple[str, ...]:
    return (
        f"{result.cost_usd_per_1000:,.2f}",
        f"{result.latency_p50_s:.1f}",
        f"{result.latency_p95_s:.1f}",
        f"{result.quality:.0%}",
        "\n".join(f"{share:.0%} {name}" for name, share in list(result.share.items())[:_SHOWN_SHARES]),
    )
