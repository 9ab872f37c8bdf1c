"""A real `freerelay serve` in a process of its own, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

READY = "FREERELAY_READY=1"
START_LIMIT_S = 60
STOP_LIMIT_S = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(home: Path, **settings: str) -> dict[str, str]:
    """This process's environment without its own FreeRelay settings and vendor keys, and with these."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FREERELAY_", "SUPABASE_")) and not name.endswith("_API_KEY") and name != "DATABASE_URL"
    }
    checkout = str(Path(__file__).parents[1])
    return kept | {
        "PYTHONPATH": checkout,
        "FREERELAY_HOME": str(home),
        "FREERELAY_SIMULATED_TIME_SCALE": "0.01",
        "FREERELAY_EXPLORE_SHARE": "0",
        "FREERELAY_FAILED_KEYS_PER_MINUTE": "100000",
        **settings,
    }


def processes_of(home: Path) -> list[psutil.Process]:
    """Every living process that works for this home: by its environment, its arguments or its working directory."""
    found = []
    for process in psutil.process_iter():
        try:
            told = [process.environ().get("FREERELAY_HOME", ""), process.cwd(), *process.cmdline()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(word.startswith(str(home)) for word in told):
            found.append(process)
    return found


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for something in another process that sends no event."""
    deadline = time.monotonic() + STOP_LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Serving:
    """`freerelay serve` on `home`; `lines` are what it has printed when it is ready."""

    def __init__(self, home: Path, port: int | None = None, folder: Path | None = None, **settings: str) -> None:
        self.home = (folder or Path()).absolute() / home
        self.port = port or free_port()
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - read as long as this lives
        self.process = subprocess.Popen(
            [sys.executable, "-m", "freerelay_core.cli", "serve", "--port", str(self.port)],
            cwd=folder,
            env=environment(home, **settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def errors(self) -> str:
        """What it has printed on standard error so far."""
        self._errors.seek(0)
        return self._errors.read()

    @property
    def exports(self) -> Mapping[str, str]:
        """The variables that it has told a shell to export."""
        assignments = (line.removeprefix("export ").split("=", 1) for line in self.lines if line.startswith("export "))
        return dict(assignments)

    @property
    def server(self) -> psutil.Process:
        """The process that serves."""
        (server,) = (
            p for p in psutil.Process(self.process.pid).children() if "freerelay_core.cli.server" in p.cmdline()
        )
        return server

    @property
    def database(self) -> psutil.Process:
        """PostgreSQL's first process, which tells its id itself: one that it forks looks like it for a moment."""
        return psutil.Process(int((self.home / "postgres" / "postmaster.pid").read_text().split()[0]))

    def wait_until_ready(self) -> None:
        """Read what it prints up to the line that says it answers; fails with its errors when it ends before."""
        watchdog = threading.Timer(START_LIMIT_S, self.process.kill)
        watchdog.start()
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if self.lines[-1] == READY:
                break
        watchdog.cancel()
        assert self.lines[-1:] == [READY], self.errors

    def ends(self) -> int:
        """Wait for its end. Returns the exit status."""
        return self.process.wait(STOP_LIMIT_S)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait for the end. Returns the exit status."""
        self.process.send_signal(how)
        return self.ends()


@contextmanager
def serving(home: Path, **options: Any) -> Iterator[Serving]:
    """A `freerelay serve` that answers; nothing of it is left afterwards, whatever the test did to it."""
    it = Serving(home, **options)
    try:
        it.wait_until_ready()
        yield it
    finally:
        it.process.terminate()
        try:
            it.ends()
        finally:
            for process in processes_of(it.home):
                process.kill()
