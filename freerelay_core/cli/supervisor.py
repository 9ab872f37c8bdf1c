"""Keeps the processes of one FreeRelay together: PostgreSQL comes first and goes last, the server lives in between.

    database started -> server started -> ready -> first signal: the server drains -> database stopped
                                                -> second signal: the server ends at once -> database stopped

The server is in a session of its own, so that Ctrl-C in a terminal reaches the supervisor alone, which passes it on
once. A database that dies is started again; one whose folder is removed, and a server that dies, end everything.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from freerelay_core.errors import ConfigurationError, FreeRelayError
from freerelay_core.store.embedded import DatabaseLease, acquire_database

__all__ = ["Plan", "supervise"]

log = logging.getLogger(__name__)

_READY_POLL_S = 0.05
_READY_ANSWER_S = 2.0
_DATABASE_POLL_S = 0.1
_RESTART_AGAIN_S = 1.0
"""How long a database that did not start is left alone."""
_STUCK_S = 10.0
"""How long the server may take after its drain, to let browsers go and to write its log, before it is killed."""
_GOODBYE_S = 2.0
"""How long the server has after the second signal, to tell its clients, before it is killed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run and how to know it. `database_home` is None where the database is somebody else's."""

    database_home: Path | None
    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    host: str
    """Where the server answers `/readyz`, with `port`."""
    port: int
    drain_s: float


async def supervise(plan: Plan, on_ready: Callable[[], None]) -> None:
    """Run the plan until a stop signal; `on_ready` is called once the server answers.

    Returns when a signal asked for the stop. Raises `ConfigurationError` when the database does not start or its folder
    is removed, and `FreeRelayError` when the server ends by itself. Nothing is left running either way.
    """
    signals = _StopSignals()
    asked = asyncio.create_task(signals.first.wait())
    async with _database(plan.database_home) as lost:
        if asked.done():
            return
        async with _server(plan, signals) as server:
            ended = asyncio.create_task(server.wait())
            ready = asyncio.create_task(_until_ready(plan.host, plan.port))
            await _first_of(ready, ended, asked, lost)
            if ready.done():
                on_ready()
                await _first_of(ended, asked, lost)
            ready.cancel()
            if lost.done():
                raise lost.result()
            if not asked.done():
                raise FreeRelayError(f"The server ended by itself ({_how_it_ended(ended.result())}).")


async def _first_of(*awaited: asyncio.Future[Any]) -> None:
    await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)


class _StopSignals:
    """The first and the second stop signal that this process receives, as events."""

    def __init__(self) -> None:
        self.number = signal.SIGTERM
        """What the server is to be told: Ctrl-C where that is what came, else SIGTERM."""
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        # A closed terminal is a wish to stop, too, unless `nohup` said otherwise.
        hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
        for number in (signal.SIGINT, signal.SIGTERM, *hangup):
            asyncio.get_running_loop().add_signal_handler(number, self._received, number)

    def _received(self, number: signal.Signals) -> None:
        if number == signal.SIGINT and not self.first.is_set():
            self.number = number
        (self.second if self.first.is_set() else self.first).set()


# -- the server


@asynccontextmanager
async def _server(plan: Plan, signals: _StopSignals) -> AsyncIterator[Process]:
    """The server process; stopped on leaving, however that comes about."""
    process = await asyncio.create_subprocess_exec(
        *plan.command,
        cwd=plan.folder,
        env=plan.environment,
        stdin=asyncio.subprocess.PIPE,  # never written to: it ends when this process does
        stdout=sys.stderr,  # standard output is for the lines that a shell can read
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await _stop_server(process, signals, plan.drain_s)


async def _stop_server(process: Process, signals: _StopSignals, drain_s: float) -> None:
    """Ask once; ask again on the second signal; kill what does not listen."""
    ended = asyncio.create_task(process.wait())
    hurry = asyncio.create_task(signals.second.wait())
    _tell(process, signals.number)
    await asyncio.wait({ended, hurry}, timeout=drain_s + _STUCK_S, return_when=asyncio.FIRST_COMPLETED)
    if hurry.done():
        _tell(process, signals.number)
        await asyncio.wait({ended}, timeout=_GOODBYE_S)
    hurry.cancel()
    if not ended.done():
        with suppress(ProcessLookupError):
            process.kill()
        await ended


def _tell(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has ended already
        process.send_signal(number)


def _how_it_ended(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"


async def _until_ready(host: str, port: int) -> None:
    while not await _is_ready(host, port):  # noqa: ASYNC110 - another process: there is no event to wait for
        await asyncio.sleep(_READY_POLL_S)


async def _is_ready(host: str, port: int) -> bool:
    """Whether `/readyz` answers 200."""
    try:
        async with asyncio.timeout(_READY_ANSWER_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = await reader.readline()
            finally:
                writer.close()
    except OSError:  # not listening yet, or too busy; a timeout is one, too
        return False
    return answer.split()[1:2] == [b"200"]


# -- the database


@asynccontextmanager
async def _database(home: Path | None) -> AsyncIterator[asyncio.Future[ConfigurationError]]:
    """The embedded database of `home`, owned and kept alive. Gives what is done once it is lost for good."""
    lost = asyncio.get_running_loop().create_future()
    if home is None:
        yield lost
        return
    lease = await asyncio.to_thread(acquire_database, home, require_ownership=True)
    stopping = asyncio.Event()
    keeper = asyncio.create_task(_keep_alive(lease, stopping, lost))
    try:
        yield lost
    finally:
        stopping.set()
        await asyncio.wait({keeper})  # not cancelled: it may be in the middle of a restart
        await asyncio.to_thread(lease.release)


async def _keep_alive(lease: DatabaseLease, stopping: asyncio.Event, lost: asyncio.Future[ConfigurationError]) -> None:
    """Start the database again whenever it has died. A failed attempt is reported once and tried again.

    Ends with the word in `lost` where its folder is gone: then it lives on for a minute, and answers no more.
    """
    reported, pause_s = "", _DATABASE_POLL_S
    while not stopping.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause_s)
        pause_s = _DATABASE_POLL_S
        if stopping.is_set():
            return
        if lease.folder_gone():
            lost.set_result(
                ConfigurationError(
                    f"The folder {lease.folder} was removed while FreeRelay ran, and the database in it: start again "
                    "for a fresh install, or put the folder back first.",
                    param="FREERELAY_HOME",
                )
            )
            return
        if lease.alive():
            continue
        try:
            await asyncio.to_thread(lease.restart)
        except FreeRelayError as error:
            message, pause_s = error.message, _RESTART_AGAIN_S
        else:
            message = "PostgreSQL ended unexpectedly and was started again."
        if message != reported:
            log.warning(message)
            reported = message
