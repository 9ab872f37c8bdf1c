"""The command `freerelay`: one file for each of its commands, and the one place where their errors become a line."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from freerelay_core import __version__
from freerelay_core.errors import FreeRelayError

__all__ = ["main"]

COMMANDS = ("serve", "decide", "simulate", "report", "learned", "tenant", "key", "catalogue", "decision", "policy")
"""Each stands in the file of its name, as a function or a group of that name, and is loaded when it is asked for: all
together take a second."""


class _Commands(TyperGroup):
    """Loads them one by one."""

    def list_commands(self, _ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        what = getattr(import_module(f"freerelay_core.cli.{cmd_name}"), cmd_name)
        if isinstance(what, typer.Typer):
            group = get_group(what)
            group.name = cmd_name  # --help lists what has a name
            return group
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(what)
        return get_command(alone)


# A traceback of typer's shows local variables, and those may be keys.
cli = typer.Typer(cls=_Commands, pretty_exceptions_enable=False, add_completion=False)


def _tell_version(asked: bool) -> None:  # noqa: FBT001 - so it is called
    if asked:
        typer.echo(f"freerelay {__version__}")
        raise typer.Exit


@cli.callback()
def freerelay(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """FreeRelay, an LLM router whose routing its tenants can choose, see and predict."""


def main() -> None:
    """Run the command that the arguments name. A failure is one line on standard error and exit status 1."""
    try:
        cli(prog_name="freerelay")
    except FreeRelayError as error:
        sys.exit(f"freerelay: {error.message}")
