"""An embedded PostgreSQL and the processes around it, as the tests see them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from freerelay_core.store.embedded import DatabaseLease

IS_ROOT = os.geteuid() == 0
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
"""For other Python processes that import what this one imports."""


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for a change in another process; there is nothing to be notified by."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)


def processes() -> dict[int, str]:
    """The command line of every process that lives."""
    if not Path("/proc/self").is_dir():
        listing = subprocess.run(["/bin/ps", "-axww", "-o", "pid=,args="], capture_output=True, text=True, check=True)
        return {int(line.split()[0]): line for line in listing.stdout.splitlines() if "<defunct>" not in line}
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            if (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text(errors="replace")
    return found


def exists(pid: int) -> bool:
    return pid in processes()


def postmaster(home: Path) -> int:
    return int((home / "postgres" / "postmaster.pid").read_text().split()[0])


def stop_left_over(home: Path) -> None:
    """A test that kills owners, or fails, leaves its server behind."""
    if (home / "postgres" / "postmaster.pid").exists() and exists(pid := postmaster(home)):
        os.kill(pid, signal.SIGQUIT)
        wait_until(lambda: not exists(pid), "the server has stopped")


def rows(lease: DatabaseLease) -> int:
    with psycopg.connect(lease.dsn) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
        assert row is not None
        return int(row[0])


def keep_rows(lease: DatabaseLease, count: int) -> None:
    """Insert `count` rows, each acknowledged on its own."""
    with psycopg.connect(lease.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        for number in range(count):
            connection.execute("INSERT INTO kept VALUES (%s)", [number])


class Child:
    """Another process that acquires the database of `home`, tells what it got, and waits to be told to end."""

    SCRIPT = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        import psycopg
        from freerelay_core.store.embedded import acquire_database
        with acquire_database(Path(sys.argv[1])) as lease:
            with psycopg.connect(lease.dsn) as connection:
                connection.execute("SELECT 1")
            print("owner" if lease.owner else "guest", flush=True)
            sys.stdin.readline()
        """
    )

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.SCRIPT, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,
        )

    def role(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate("\n", timeout=30)
        assert self.process.returncode == 0

    def kill(self) -> None:
        """Kill it and what it started in its own session, as the kernel does when memory runs out."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
