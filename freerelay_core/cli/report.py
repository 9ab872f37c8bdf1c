"""`freerelay report`: a trace under the routing preferences as a file, without a running server."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from freerelay_core.cli.configuration import SnapshotChoice, load_configuration
from freerelay_core.cli.inputs import read_input
from freerelay_core.clock import SystemClock
from freerelay_core.errors import InvalidRequest
from freerelay_core.preference import RoutingPreference
from freerelay_core.reports import ReportFormat, file_name, report_of_simulation
from freerelay_core.simulation import read_trace
from freerelay_core.simulation import simulate as simulate_trace

__all__ = ["report"]


def report(
    trace: Annotated[
        Path, typer.Argument(help="CSV file with the time and the tokens of each request.", readable=False)
    ],
    *,
    form: Annotated[
        ReportFormat | None, typer.Option("--format", help="Of the file; by default as --out ends, html without --out.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; by default ranking-<date>.<format>, here.")] = None,
    preference: Annotated[RoutingPreference | None, typer.Option(help="Only this preference, not all three.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sampled durations.", min=0)] = 0,
    snapshot: Annotated[
        SnapshotChoice, typer.Option(help="Rank by the catalogue alone, or by what a running server saw last.")
    ] = SnapshotChoice.CATALOGUE,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where there is one.")] = False,
) -> None:
    """Write the ranking of a trace, with all that it rests on, to a file."""
    if form is None:
        form = ReportFormat.HTML if out is None else ReportFormat.of_file(out)
    clock = SystemClock()
    configuration = load_configuration()
    simulation = simulate_trace(
        read_trace(read_input(trace), origin=trace.name),
        configuration.snapshot(snapshot, clock),
        policy=configuration.policy,
        preferences=tuple(RoutingPreference) if preference is None else (preference,),
        seed=seed,
    )
    made = report_of_simulation(simulation, made_at=clock.now())
    path = out or Path(file_name(made, form))
    _write(path, form.write(made), force=force)
    typer.echo(path)


def _write(path: Path, content: bytes, *, force: bool) -> None:
    """Write the file whole or not at all. Raises `InvalidRequest` when it is there already, or cannot be written."""
    if path.exists() and not force:
        raise InvalidRequest(f"{path}: is there already. Name another file with --out, or replace it with --force.")
    part = path.with_name(f".freerelay-{secrets.token_hex(6)}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InvalidRequest(f"{path}: cannot be written ({error.strerror}).") from None
