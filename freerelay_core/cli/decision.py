"""`freerelay decision`: a decision on record, computed again from its log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table
from rich.text import Text

from freerelay_core.cli.inputs import read_object
from freerelay_core.cli.output import output
from freerelay_core.cli.store import with_store
from freerelay_core.clock import SystemClock
from freerelay_core.config import load_settings
from freerelay_core.errors import NotFound
from freerelay_core.router.recompute import Recomputed, recompute, recompute_document
from freerelay_core.store import DecisionRecord

__all__ = ["decision"]

decision = typer.Typer(help="Look into decisions on record.", no_args_is_help=True)


@decision.callback()
def _decision() -> None:
    """Keeps `replay` a command of its own name."""


@decision.command()
def replay(
    identifier: Annotated[str | None, typer.Argument(metavar="[ID]", help="Id of a decision in the log.")] = None,
    *,
    file: Annotated[
        Path | None, typer.Option(help="A decision or a request's report as JSON; - is stdin.", readable=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rank again from the log alone; exit status 1 where order or bits differ."""
    if (identifier is None) == (file is None):
        raise typer.BadParameter("name either the id of a decision or, with --file, a file that holds one.")
    if file is not None:
        again = recompute_document(read_object(file, "a decision"), source=str(file))
    else:
        again = recompute(_logged(str(identifier)))
    if as_json:
        typer.echo(orjson.dumps(_shape(again), option=orjson.OPT_INDENT_2))
    else:
        _draw(again)
    if not again.agrees:
        raise typer.Exit(1)


def _logged(identifier: str) -> DecisionRecord:
    """The record in the store, whoever's it is. Raises `NotFound`."""
    try:
        return with_store(load_settings(), SystemClock(), lambda store: store.decision(None, identifier))
    except NotFound:
        raise NotFound(f"There is no decision {identifier!r} in the log.") from None


def _shape(again: Recomputed) -> dict[str, Any]:
    return {
        "decision_id": again.decision_id,
        "same_order": again.same_order,
        "same_bits": again.same_bits,
        "ranking": [{"endpoint": endpoint, "log_utility": value} for endpoint, value in again.ranking],
    }


def _draw(again: Recomputed) -> None:
    table = Table("", Column("endpoint", no_wrap=True), Column("ln U", justify="right"), box=SIMPLE_HEAD, padding=0)
    for position, (endpoint, value) in enumerate(again.ranking, start=1):
        table.add_row(str(position), Text(endpoint), repr(value))
    output().print(table)
    order = "the same order" if again.same_order else "ANOTHER ORDER"
    bits = {
        True: "the same scores to the last bit",
        False: "OTHER SCORES",
        None: "no scores on record to compare (an older release wrote none)",
    }[again.same_bits]
    typer.echo(f"Computed again from the log: {order} of {len(again.ranking)} endpoints, {bits}.")
