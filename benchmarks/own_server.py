"""The server in a process of its own, for those who attack it.

It is uvicorn with the connections of `freerelay serve`, an embedded PostgreSQL that goes with it, and simulated
providers that never fail.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from freerelay_core.store import load_or_create_credentials

__all__ = ["ROOT", "OwnServer", "own_server"]

ROOT = Path(__file__).resolve().parents[1]
START_LIMIT_S = 60.0

_SERVE = """
import sys
from freerelay_core import behaviour
behaviour.FAILURE_RATE = behaviour.FREE_TIER_FAILURE_RATE = 0.0
import uvicorn
uvicorn.run("freerelay_core.api:app", port=int(sys.argv[1]), loop="uvloop", log_level="error", access_log=False,
            http="freerelay_core.api.connection:Connection")
"""


class OwnServer(NamedTuple):
    """Where it listens on 127.0.0.1, the keys that it takes, and the id of its process."""

    port: int
    demo_key: str
    operator_key: str
    pid: int


@contextmanager
def own_server(**environment: str) -> Iterator[OwnServer]:
    """The server, ready, until the end of the block; `environment` holds settings beside the usual ones."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="freerelay-bench-") as folder:
        Path(folder).chmod(0o711)
        home = Path(folder) / "home"
        ours = {"FREERELAY_HOME": str(home), "FREERELAY_SIMULATED_TIME_SCALE": "0.001", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", _SERVE, str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **ours, **environment})
        try:
            _wait_until_ready(port)
            keys = load_or_create_credentials(home)
            yield OwnServer(port, keys.demo_key, keys.operator_key, process.pid)
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_ready(port: int) -> None:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):  # not yet
            return
        time.sleep(0.05)
    sys.exit("the server does not answer")
