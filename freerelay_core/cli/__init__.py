"""The command `freerelay`: one file for each of its commands, and the one place where their errors become a line."""

from __future__ import annotations

import sys

import typer

from freerelay_core.cli.catalogue import catalogue
from freerelay_core.cli.decide import decide
from freerelay_core.cli.decision import decision
from freerelay_core.cli.key import key
from freerelay_core.cli.learned import learned
from freerelay_core.cli.policy import policy
from freerelay_core.cli.report import report
from freerelay_core.cli.serve import serve
from freerelay_core.cli.simulate import simulate
from freerelay_core.cli.tenant import tenant
from freerelay_core.errors import FreeRelayError

__all__ = ["main"]

# A traceback of typer's shows local variables, and those may be keys.
cli = typer.Typer(help="FreeRelay, an LLM router.", pretty_exceptions_enable=False, add_completion=False)
for command in (serve, decide, simulate, report, learned):
    cli.command()(command)
cli.add_typer(tenant, name="tenant")
cli.add_typer(key, name="key")
cli.add_typer(catalogue, name="catalogue")
cli.add_typer(decision, name="decision")
cli.add_typer(policy, name="policy")


@cli.callback()
def freerelay() -> None:
    """FreeRelay, an LLM router whose routing its tenants can choose, see and predict."""


def main() -> None:
    """Run the command that the arguments name. A failure is one line on standard error and exit status 1."""
    try:
        cli(prog_name="freerelay")
    except FreeRelayError as error:
        sys.exit(f"freerelay: {error.message}")
