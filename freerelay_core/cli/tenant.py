"""`freerelay tenant`: adds tenants, lists them, and sets their budgets."""

from __future__ import annotations

import math
import shlex
from typing import Annotated, Any

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table
from rich.text import Text

from freerelay_core.amounts import usd_figure
from freerelay_core.cli.accounts import with_accounts
from freerelay_core.cli.options import AsJson, Email
from freerelay_core.cli.output import output
from freerelay_core.composition.accounts import OPERATOR, Accounts
from freerelay_core.errors import UnprocessableRequest
from freerelay_core.preference import DEFAULT_PREFERENCE
from freerelay_core.store import LARGEST_BUDGET_USD, Tenant

__all__ = ["tenant"]

tenant = typer.Typer(help="Add tenants, list them, set their budgets.", no_args_is_help=True)


@tenant.command()
def add(
    email: Email,
    *,
    tier: Annotated[str, typer.Option(help="free, bronze, silver or gold.")] = "free",
    allow_override: Annotated[
        bool, typer.Option("--allow-override", help="Let a single request choose its own routing preference.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add a tenant; it can send nothing before it has a key."""
    made = with_accounts(
        lambda accounts: accounts.create_tenant(OPERATOR, email, tier=tier, allow_override=allow_override),
        may_create=True,
    )
    if as_json:
        typer.echo(orjson.dumps(_shape(made), option=orjson.OPT_INDENT_2))
        return
    typer.echo(f"{made.email}: tier {made.tier}, override {_override(made)}, id {made.id}")
    typer.echo(f"Make its first key: freerelay key create {shlex.quote(made.email)}")


@tenant.command("list")
def list_tenants(*, as_json: AsJson = False) -> None:
    """List every tenant."""
    found = with_accounts(lambda accounts: accounts.tenants(OPERATOR))
    if as_json:
        typer.echo(orjson.dumps([_shape(each) for each in found], option=orjson.OPT_INDENT_2))
    elif found:
        _draw(found)
    else:
        typer.echo("There is no tenant yet. Add one: freerelay tenant add EMAIL")


# An unknown option is taken for the amount: whoever writes -5 is told of budgets, not of options.
@tenant.command(context_settings={"ignore_unknown_options": True})
def budget(
    email: Email,
    usd: Annotated[str, typer.Argument(help="USD a calendar month (UTC), or none.", show_default=False)],
) -> None:
    """Set or clear what a tenant may spend in a month."""
    amount = _amount(usd)

    async def work(accounts: Accounts) -> Tenant:
        of = await accounts.tenant_by_email(OPERATOR, email)
        return await accounts.set_budget(OPERATOR, of.id, amount)

    typer.echo(f"{with_accounts(work).email}: budget {_budget(amount)}")


def _amount(usd: str) -> float | None:
    if usd.strip().lower() == "none":
        return None
    try:
        amount = float(usd)
    except ValueError:
        amount = math.nan
    if 0 <= amount <= LARGEST_BUDGET_USD:
        return amount
    raise UnprocessableRequest(
        f"{usd[:40]!r} is no budget: write USD a month, from 0 to {LARGEST_BUDGET_USD:,.0f}, or none to remove the "
        "budget.",
        param="budget_usd",
    )


def _budget(usd: float | None) -> str:
    if usd is None:
        return "none"
    return f"{usd_figure(usd) if usd < 1 else f'{usd:,.2f}'} USD a month"  # a large one keeps its cents


def _draw(found: list[Tenant]) -> None:
    names = ("tier", "preference", "override", "budget", "settings changed (UTC)")
    table = Table(Column("tenant", overflow="fold"), *names, box=SIMPLE_HEAD, padding=0)
    for each in found:
        table.add_row(
            Text(each.email),
            each.tier,
            each.routing_preference or f"default ({DEFAULT_PREFERENCE})",
            _override(each),
            _budget(each.budget_usd),
            f"{each.updated_at:%Y-%m-%d %H:%M}" if each.settings_version > 1 else "never",
        )
    output().print(table)


def _override(of: Tenant) -> str:
    return "allowed" if of.allow_override else "not allowed"


def _shape(of: Tenant) -> dict[str, Any]:
    return {
        "id": of.id,
        "email": of.email,
        "tier": of.tier,
        "routing_preference": of.routing_preference,
        "allow_override": of.allow_override,
        "budget_usd": of.budget_usd,
        "settings_version": of.settings_version,
        "updated_at": of.updated_at,
    }
