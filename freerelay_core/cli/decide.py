"""`freerelay decide`: the ranking of one request, without calling anybody and without a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from freerelay_core.amounts import usd_figure
from freerelay_core.cli.configuration import SnapshotChoice, load_configuration
from freerelay_core.cli.inputs import read_object
from freerelay_core.cli.names import known_endpoint
from freerelay_core.cli.output import output
from freerelay_core.clock import SystemClock, new_id
from freerelay_core.composition.wishes import read_wishes
from freerelay_core.decision import Decision
from freerelay_core.decision import decide as decide_request
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import profile_request

__all__ = ["decide"]

_SHOWN_ROWS = 15
_NUMBERS = [
    Column(name, justify="right", no_wrap=True) for name in ("score", "USD/\n1,000", "p50 s", "p95 s", "quality")
]
"""Where the terminal is narrow the names of endpoints are folded, so that no figure is cut."""


def decide(
    request: Annotated[
        Path, typer.Argument(help="File with the body of a chat completion; - is standard input.", readable=False)
    ],
    preference: Annotated[RoutingPreference | None, typer.Option(help="Rank under this routing preference.")] = None,
    task: Annotated[str | None, typer.Option(help="Task family, where the request does not tell.")] = None,
    depth: Annotated[str | None, typer.Option(help="How hard the request is, where it does not tell.")] = None,
    snapshot: Annotated[
        SnapshotChoice, typer.Option(help="Rank by the catalogue alone, or by what a running server saw last.")
    ] = SnapshotChoice.CATALOGUE,
    *,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Say how far each figure is from changing the winner.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole decision as JSON.")] = False,
) -> None:
    """Rank the endpoints for one request; nobody is called."""
    clock = SystemClock()
    configuration = load_configuration()
    body = read_object(request, "the body of a chat completion")
    wishes = read_wishes(body, preference=preference, task=task, depth=depth)
    if wishes.endpoint is not None:
        known_endpoint(configuration.catalogue, wishes.endpoint, of_request=True)
    decision = decide_request(
        configuration.snapshot(snapshot, clock),
        profile_request(body, hour_utc=clock.now().hour, task=wishes.task, depth=wishes.depth),
        decision_id=new_id(clock),
        policy=configuration.policy,
        request_preference=wishes.preference,
        only=wishes.endpoint,
    )
    if as_json:
        typer.echo(orjson.dumps(decision.as_dict(clock.now()) | {"dry_run": True}, option=orjson.OPT_INDENT_2))
    else:
        _draw(decision)
        if sensitivity and decision.sensitivity:
            for sentence in decision.sensitivity.sentences():
                typer.echo(f"{sentence}.")


def _draw(decision: Decision) -> None:
    console = output()
    profile = decision.profile
    limit = "" if profile.answer_limit is None else f", limited to {profile.answer_limit:,}"
    console.print(
        f"{profile.family.value}, {profile.depth.label}, {profile.input_tokens:,} tokens in, "
        f"{profile.output_tokens:,} expected out{limit}; {decision.preference}; snapshot {decision.snapshot.id}"
    )
    if decision.order:
        console.print(decision.reason)
        table = Table(
            Column("", no_wrap=True),
            Column("endpoint", overflow="fold"),
            *_NUMBERS,
            Column("basis", no_wrap=True),
            box=SIMPLE_HEAD,
            padding=0,
        )
        for position, row in enumerate(decision.ranking[:_SHOWN_ROWS], start=1):
            table.add_row(
                str(position),
                row.endpoint,
                f"{row.score:.1f}",
                usd_figure(row.cost_usd * 1000),
                f"{row.latency_p50_s:.1f}",
                f"{row.latency_p95_s:.1f}",
                f"{row.quality:.0%}",
                row.basis,
            )
        console.print(table)
    console.print(
        f"{len(decision.order)} ranked, {len(decision.excluded)} excluded; --json shows all of them with their reasons."
    )
