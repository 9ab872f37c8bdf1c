"""`freerelay simulate`: what a trace would cost and gain, without a running server.

Under each routing preference, or with `--scenario` as it is now and as it would be.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from freerelay_core.amounts import usd_figure
from freerelay_core.cli.configuration import Configuration, SnapshotChoice, load_configuration
from freerelay_core.cli.inputs import read_input
from freerelay_core.cli.output import output
from freerelay_core.clock import SystemClock
from freerelay_core.errors import UnprocessableRequest
from freerelay_core.preference import DEFAULT_PREFERENCE, RoutingPreference
from freerelay_core.simulation import (
    PreferenceResult,
    Simulation,
    WhatIf,
    World,
    rank_file,
    read_scenario,
    read_trace,
    traffic_of_trace,
    what_if,
)
from freerelay_core.simulation import simulate as simulate_trace

__all__ = ["simulate"]

_SHOWN_SHARES = 3
_NUMBERS = [Column(name, justify="right", no_wrap=True) for name in ("USD/\n1,000", "p50 s", "p95 s", "quality")]
"""Where the terminal is narrow the names of endpoints are folded, so that no figure is cut."""


def simulate(
    trace: Annotated[
        Path, typer.Argument(help="CSV or Parquet file with the time and the tokens of each request.", readable=False)
    ],
    seed: Annotated[int, typer.Option(help="Seed of the sampled durations.", min=0)] = 0,
    snapshot: Annotated[
        SnapshotChoice, typer.Option(help="Rank by the catalogue alone, or by what a running server saw last.")
    ] = SnapshotChoice.CATALOGUE,
    scenario: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of changes: compare the trace as it is now with what they would do.", readable=False
        ),
    ] = None,
    preference: Annotated[
        RoutingPreference, typer.Option(help="Preference in force at present, for --scenario.")
    ] = DEFAULT_PREFERENCE,
    *,
    processes: Annotated[int, typer.Option(help="Processes that share the work on a Parquet file.", min=1)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Rank every request of a trace under all three preferences, or before and after the changes of a scenario."""
    configuration = load_configuration()
    if trace.suffix == ".parquet":
        _simulate_file(trace, configuration, snapshot, scenario, processes, as_json=as_json)
        return
    requests = read_trace(read_input(trace), origin=trace.name)
    ranked_on = configuration.snapshot(snapshot, SystemClock())
    result: Simulation | WhatIf
    if scenario is None:
        result = simulate_trace(requests, ranked_on, policy=configuration.policy, seed=seed)
    else:
        world = World(ranked_on, configuration.policy)
        changes = read_scenario(read_input(scenario), source=scenario.name, world=world)
        result = what_if(traffic_of_trace(requests, preference=preference), world, changes, seed=seed)
    if as_json:
        typer.echo(orjson.dumps(result.as_dict(), option=orjson.OPT_INDENT_2))
    elif isinstance(result, WhatIf):
        _draw_what_if(result)
    else:
        _draw(result)


def _simulate_file(
    path: Path,
    configuration: Configuration,
    snapshot: SnapshotChoice,
    scenario: Path | None,
    processes: int,
    *,
    as_json: bool,
) -> None:
    """Rank a file that may be longer than memory: expectations, without rules and scenarios."""
    if scenario is not None or configuration.policy:
        what = "scenario" if scenario is not None else "rules of FREERELAY_RULES"
        raise UnprocessableRequest(f"{path.name}: a Parquet file is ranked without {what}; use CSV.", param="trace")
    terminal = Console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(path.name)
        result = rank_file(
            path,
            configuration.snapshot(snapshot, SystemClock()),
            processes=processes,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        ).as_dict()
    if as_json:
        typer.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2))
        return
    console = output()
    console.print(f"{result['requests']:,} requests; expected on snapshot {result['snapshot']['id']}")
    _say_read_as(console, result["trace"]["read_as"])
    columns = [Column(name, justify="right", no_wrap=True) for name in ("USD/\n1,000", "mean s", "quality", "unserved")]
    table = Table(
        Column("preference", no_wrap=True), *columns, Column("most chosen", overflow="fold"), box=SIMPLE_HEAD, padding=0
    )
    for preference, figures in result["preferences"].items():
        table.add_row(
            preference,
            usd_figure(figures["cost_usd_per_1000"]),
            f"{figures['latency_s']['mean']:.1f}",
            f"{figures['quality']:.0%}",
            f"{figures['unserved']:,}",
            _most_chosen(figures["share"]),
        )
    console.print(table)


def _draw_what_if(result: WhatIf) -> None:
    console = output()
    console.print(
        f"{result.scenario.name}: {'; '.join(result.scenario.sentences()) or 'nothing changes'}. "
        f"{len(result.traffic):,} requests, simulated on snapshot {result.snapshot.id}"
    )
    _say_read_as(console, result.traffic.trace.read_as)
    table = Table(
        Column("", no_wrap=True), *_NUMBERS, Column("most chosen", overflow="fold"), box=SIMPLE_HEAD, padding=0
    )
    for name, side in (("now", result.baseline), ("scenario", result.changed)):
        table.add_row(name, *_figures(side))
    console.print(table)
    moved, unserved = result.first_choices_changed, result.changed.unserved - result.baseline.unserved
    cost = result.total_usd(result.changed) - result.total_usd(result.baseline)
    share = moved / len(result.traffic)
    console.print(f"First choices that change: {moved:,} ({share:.1%}). Cost in all: {_change(cost)} USD.")
    if unserved:
        console.print(f"Requests that no endpoint can serve: {unserved:+,}.")
    if result.unpriced:
        console.print(f"{result.unpriced:,} requests go to endpoints without a price: what they cost is not known.")


def _draw(simulation: Simulation) -> None:
    console = output()
    profiles = simulation.trace.profiles
    console.print(
        f"{len(simulation.trace):,} requests, {profiles.input_tokens.sum():,.0f} tokens in, "
        f"{profiles.output_tokens.sum():,.0f} out; simulated on snapshot {simulation.snapshot.id}"
    )
    _say_read_as(console, simulation.trace.read_as)
    table = Table(
        Column("preference", no_wrap=True),
        *_NUMBERS,
        Column("most chosen", overflow="fold"),
        box=SIMPLE_HEAD,
        padding=0,
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


def _say_read_as(console: Console, read_as: str | None) -> None:
    if read_as is not None:
        console.print(f"Every request taken as {read_as}: the file does not say.")


def _figures(result: PreferenceResult) -> tuple[str, ...]:
    return (
        usd_figure(result.cost_usd_per_1000),
        f"{result.latency_p50_s:.1f}",
        f"{result.latency_p95_s:.1f}",
        f"{result.quality:.0%}",
        _most_chosen(result.share),
    )


def _change(usd: float) -> str:
    return f"{'+' if usd > 0 else ''}{usd_figure(usd)}"


def _most_chosen(share: Mapping[str, float]) -> str:
    return "\n".join(f"{part:.0%} {name}" for name, part in list(share.items())[:_SHOWN_SHARES])
