"""`freerelay key`: makes the keys of a tenant, lists and revokes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table
from rich.text import Text

from freerelay_core.cli.accounts import with_accounts
from freerelay_core.cli.options import AsJson, Email
from freerelay_core.cli.output import output
from freerelay_core.clock import SystemClock
from freerelay_core.composition.accounts import OPERATOR, Accounts, CreatedKey, key_state
from freerelay_core.errors import Conflict, NotFound
from freerelay_core.store import KeyInfo

__all__ = ["key"]

key = typer.Typer(help="Make the keys of a tenant, list and revoke them.", no_args_is_help=True)


@key.command()
def create(
    email: Email,
    *,
    name: Annotated[str, typer.Option(help="Label by which people know the key.")] = "default",
    expires_in_days: Annotated[
        int | None, typer.Option(help="Days until the key ends by itself; without this it does not.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it: alone on standard output, this once and never again."""
    made = with_accounts(lambda accounts: _create(accounts, email, name, expires_in_days))
    if as_json:
        typer.echo(orjson.dumps({"secret": made.secret, **_shape(made.info)}, option=orjson.OPT_INDENT_2))
        return
    typer.echo(f"A key for {email.strip()}, {_end(made.info)}. Store it now: it is shown this once.", err=True)
    typer.echo(made.secret)


@key.command("list")
def list_keys(email: Email, *, as_json: AsJson = False) -> None:
    """List the tenant's keys, those that have ended too, newest first; no key is shown whole."""
    found = with_accounts(lambda accounts: _keys(accounts, email))
    if as_json:
        typer.echo(orjson.dumps([_shape(each) for each in found], option=orjson.OPT_INDENT_2))
    elif found:
        _draw(found)
    else:
        typer.echo("This tenant has no key yet. Make one: freerelay key create EMAIL")


@key.command()
def revoke(
    email: Email,
    which: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, or its beginning as the list shows it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """End a key: requests with it are refused by every server within a second."""
    ended = with_accounts(lambda accounts: _revoke(accounts, email, which))
    if as_json:
        typer.echo(orjson.dumps(_shape(ended), option=orjson.OPT_INDENT_2))
    else:
        typer.echo(f"{ended.prefix}… ({ended.name}) is revoked, and the dashboard sessions opened with it have ended.")


async def _create(accounts: Accounts, email: str, name: str, lifetime_days: int | None) -> CreatedKey:
    tenant = await accounts.tenant_by_email(OPERATOR, email)
    return await accounts.create_key(OPERATOR, tenant.id, name=name, lifetime_days=lifetime_days)


async def _keys(accounts: Accounts, email: str) -> list[KeyInfo]:
    tenant = await accounts.tenant_by_email(OPERATOR, email)
    return await accounts.keys(OPERATOR, tenant.id)


async def _revoke(accounts: Accounts, email: str, which: str) -> KeyInfo:
    tenant = await accounts.tenant_by_email(OPERATOR, email)
    meant = _meant(await accounts.keys(OPERATOR, tenant.id), which.strip().removesuffix("…"))
    return await accounts.revoke_key(OPERATOR, tenant.id, meant.id)


def _meant(keys: list[KeyInfo], which: str) -> KeyInfo:
    """The key with this id or shown beginning. What was typed is not repeated: it may be a whole key."""
    named = [each for each in keys if which in (each.id, each.prefix)]
    found = [each for each in named if each.revoked_at is None] or named
    if not found:
        raise NotFound("No key of this tenant has this id or beginning; see `freerelay key list EMAIL`.")
    if len(found) > 1:
        raise Conflict(
            f"{len(found)} keys of this tenant begin so: name one by its id; see `freerelay key list EMAIL --json`."
        )
    return found[0]


def _draw(found: list[KeyInfo]) -> None:
    now = SystemClock().now()
    begin = Column("key", no_wrap=True)
    table = Table(begin, "label", "created (UTC)", "last used", "ends", "state", box=SIMPLE_HEAD, padding=0)
    for each in found:
        table.add_row(
            f"{each.prefix}…",
            Text(each.name),
            _time(each.created_at),
            _time(each.last_used_at),
            _time(each.expires_at),
            key_state(each, now),
        )
    output().print(table)


def _time(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _end(of: KeyInfo) -> str:
    return "which does not expire" if of.expires_at is None else f"which ends on {_time(of.expires_at)} UTC"


def _shape(of: KeyInfo) -> dict[str, Any]:
    return {
        "id": of.id,
        "name": of.name,
        "prefix": of.prefix,
        "state": key_state(of, SystemClock().now()),
        "created_at": of.created_at,
        "last_used_at": of.last_used_at,
        "expires_at": of.expires_at,
        "revoked_at": of.revoked_at,
    }
