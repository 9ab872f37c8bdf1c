"""`freerelay serve`: checks what can be checked, runs everything, and prints what a user needs as lines for a shell."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from freerelay_core.cli.configuration import Configuration, load_configuration
from freerelay_core.cli.supervisor import Plan, supervise
from freerelay_core.clock import SystemClock
from freerelay_core.composition.admission import Admission
from freerelay_core.composition.keys import own_keys, stated_operator_key
from freerelay_core.config import Settings, unknown_variables
from freerelay_core.errors import ConfigurationError
from freerelay_core.logs import set_up_logs
from freerelay_core.places import ROOT

__all__ = ["serve"]

log = logging.getLogger(__name__)

_CURL = (
    """curl "$OPENAI_BASE_URL/chat/completions" -H "Authorization: Bearer $OPENAI_API_KEY" """
    """-H "Content-Type: application/json" """
    """-d '{"model": "freerelay/auto", "messages": [{"role": "user", "content": "Hello!"}]}'"""
)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (FREERELAY_HOST, 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (FREERELAY_PORT, 8501).")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder of all state (FREERELAY_HOME, .freerelay).")] = None,
    demo: Annotated[bool | None, typer.Option("--demo", help="A demo tenant also with another database.")] = None,
) -> None:
    """Run the endpoint, the dashboard and the database until Ctrl-C."""
    configuration = load_configuration(host=host, port=port, home=home, demo=demo)
    settings = configuration.settings
    set_up_logs(settings.log, settings.log_level, access=settings.access_log)
    _warn_of_unknown_variables()
    _require_free_port(settings.host, settings.port)
    # What the server would only find out after its start is told here, in one line.
    stated_operator_key(settings)
    Admission(settings, SystemClock())
    asyncio.run(supervise(_plan(settings), lambda: _announce(configuration)))


def _warn_of_unknown_variables() -> None:
    """A limit or a key under a misspelt name is not there, and nothing else would tell. No value is shown."""
    for name, near in unknown_variables(os.environ):
        log.warning("%s is no setting, and does nothing.%s", name, f" Did you mean {near}?" if near else "")


def _plan(settings: Settings) -> Plan:
    # The server runs where `app.py` lies, so paths become absolute here. Secrets are in the environment, never in argv.
    paths = {"HOME": settings.home, "CATALOGUE": settings.catalogue, "RULES": settings.rules}
    chosen = {f"FREERELAY_{name}": str(path.absolute()) for name, path in paths.items() if path is not None}
    chosen |= {"FREERELAY_HOST": settings.host, "FREERELAY_PORT": str(settings.port)}
    chosen["FREERELAY_DEMO"] = str(settings.demo)
    return Plan(
        database_home=settings.home if settings.local else None,
        command=(sys.executable, "-m", "freerelay_core.cli.server", settings.host, str(settings.port)),
        folder=ROOT,
        environment=os.environ | chosen,
        host=_reachable(settings.host),
        port=settings.port,
        drain_s=settings.drain_s,
    )


def _require_free_port(host: str, port: int) -> None:
    """Raise `ConfigurationError` unless the server will be able to listen there."""
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in places:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"Port {port} on {host} is taken, perhaps by another FreeRelay: stop what listens there, "
                "or choose another port (make run PORT=8600, freerelay serve --port 8600).",
                param="FREERELAY_PORT",
            ) from None
        raise ConfigurationError(
            f"Cannot listen on port {port} of {host}: {error.strerror}. Set FREERELAY_HOST and FREERELAY_PORT, "
            "or --host and --port.",
            param="FREERELAY_HOST",
        ) from None


def _reachable(host: str) -> str:
    """The address at which a server that listens on `host` answers on this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound


def _announce(configuration: Configuration) -> None:
    """Print how to use what runs now: every line can be pasted into a shell, the last one says that it answers."""
    settings = configuration.settings
    host = _reachable(settings.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    typer.echo("# FreeRelay runs until Ctrl-C. Paste these lines into a shell to use it.")
    typer.echo(f"export OPENAI_BASE_URL={url}/v1")
    keys = own_keys(settings)
    if keys.demo_key is not None:
        typer.echo(f"export OPENAI_API_KEY={keys.demo_key}")
        typer.echo(f"export FREERELAY_OPERATOR_KEY={shlex.quote(keys.operator_key)}")
    typer.echo(f"export FREERELAY_DASHBOARD_URL={url}")
    typer.echo(_CURL)
    for line in _fleet_lines(configuration):
        typer.echo(f"# {line}")
    typer.echo("FREERELAY_READY=1")


def _fleet_lines(configuration: Configuration) -> Iterator[str]:
    """How many endpoints are real, and which vendor keys lie unused."""
    keys = configuration.vendor_keys
    endpoints = configuration.catalogue.endpoints
    real = sum(endpoint.provider in keys.enabled for endpoint in endpoints)
    providers = ", ".join(sorted(keys.enabled)) or "FREERELAY_PROVIDERS names none"
    yield f"{len(endpoints)} endpoints: {len(endpoints) - real} simulated, {real} real ({providers})"
    for variable in keys.idle:
        yield f"found {variable}, not enabled: FREERELAY_PROVIDERS does not name its provider"
