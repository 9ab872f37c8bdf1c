"""`freerelay learned`: what answers have taught, as every worker shares it."""

from __future__ import annotations

from dataclasses import asdict

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table
from rich.text import Text

from freerelay_core.cli.options import AsJson
from freerelay_core.cli.output import output
from freerelay_core.cli.store import with_store
from freerelay_core.clock import SystemClock
from freerelay_core.config import load_settings
from freerelay_core.fleet.lessons import KINDS
from freerelay_core.store import Lesson

__all__ = ["learned"]


def learned(*, as_json: AsJson = False) -> None:
    """List what answers have taught, beside the weight of the prior that it corrects (docs/learning.md).

    After a half-life of newer outcomes one counts half.
    """
    lessons = with_store(load_settings(), SystemClock(), lambda store: store.lessons())
    lessons.sort(key=lambda lesson: (lesson.kind, lesson.scope, lesson.endpoint, lesson.simulated))
    if as_json:
        rows = [asdict(lesson) | {"mean": lesson.total / lesson.weight} | _prior(lesson) for lesson in lessons]
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    elif lessons:
        _draw(lessons)
    else:
        typer.echo("Nothing yet: no request has been answered.")


def _draw(lessons: list[Lesson]) -> None:
    names = ("outcomes", "weight", "prior\nweight", "half-\nlife", "mean")
    numbers = [Column(name, justify="right", no_wrap=True) for name in names]
    # In columns of their own the long words of a lesson would be broken on a terminal of 80 columns.
    table = Table(
        Column("what, by what\n endpoint", overflow="fold"),
        *numbers,
        Column("basis", no_wrap=True),
        box=SIMPLE_HEAD,
        padding=0,
    )
    for lesson in lessons:
        table.add_row(
            Text(f"{lesson.kind} {lesson.scope}\n {lesson.endpoint}"),
            f"{lesson.outcomes:,}",
            f"{lesson.weight:,.1f}",
            *("" if figure is None else f"{figure:.0f}" for figure in _prior(lesson).values()),
            _mean(lesson.total / lesson.weight),
            "simulated" if lesson.simulated else "measured",
        )
    output().print(table)


def _prior(lesson: Lesson) -> dict[str, float | None]:
    """How much the prior weighs against it, and after how many newer outcomes one counts half.

    None for what another release learns.
    """
    kind = KINDS.get(lesson.kind)
    weighs, half_life = (None, None) if kind is None else (kind.prior_weight, kind.half_life)
    return {"prior_weight": weighs, "half_life": half_life}


def _mean(mean: float) -> str:
    """Three digits, and never an exponent: some means are shares, some are tokens."""
    return f"{mean:,.0f}" if mean >= 100 else f"{mean:.3g}"
