"""A haproxy in front of some servers, set up as docs/operating.md advises."""

from __future__ import annotations

import csv
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Balancer", "balancer"]

_START_LIMIT_S = 10.0
_CONFIGURATION = """
global
  maxconn 4096
  stats socket {socket} mode 600
defaults
  mode http
  timeout connect 1s
  timeout client 120s
  timeout server 120s
  retries 3
  option redispatch 1
  retry-on conn-failure 503
frontend all
  bind 127.0.0.1:{port}
  default_backend freerelay
backend freerelay
  option httpchk GET /readyz
  default-server check inter 500ms fall 1 rise 1
"""


class Balancer:
    """A running haproxy, which looks at `/readyz` each 0.5 s: for so long it may not know that a server is stopping."""

    def __init__(self, port: int, control: Path) -> None:
        self.port = port
        self._control = control

    def ready(self) -> int:
        """How many servers it takes for ready."""
        return sum(row["status"].startswith("UP") for row in self._servers())

    def retried(self) -> int:
        """How many requests it has sent again or handed to another server."""
        return sum(int(row["wretr"] or 0) + int(row["wredis"] or 0) for row in self._servers())

    def _servers(self) -> list[dict[str, str]]:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self._control))
            control.sendall(b"show stat\n")
            with control.makefile() as answer:
                rows = csv.DictReader(answer.read().removeprefix("# ").splitlines())
        return [row for row in rows if row["svname"] not in ("FRONTEND", "BACKEND")]


@contextmanager
def balancer(servers: Mapping[str, int], folder: Path) -> Iterator[Balancer]:
    """Run haproxy over these servers, by name and port on 127.0.0.1; its files go to the folder."""
    command = shutil.which("haproxy")
    if command is None:
        sys.exit("The restart behind a balancer needs haproxy, of the package of that name.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    control, file = folder / "haproxy.socket", folder / "haproxy.cfg"
    lines = [f"  server {name} 127.0.0.1:{number}\n" for name, number in servers.items()]
    file.write_text(_CONFIGURATION.format(socket=control, port=port) + "".join(lines))
    process = subprocess.Popen([command, "-db", "-f", str(file)], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + _START_LIMIT_S
        while not control.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        yield Balancer(port, control)
    finally:
        process.terminate()
        process.wait()
