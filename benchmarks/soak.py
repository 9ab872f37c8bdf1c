"""Does the live endpoint keep its memory and its files under steady load?

    python benchmarks/soak.py --bench DIR [--minutes 15] [--rate 1900] [--json]

Half of the requests stream, at an even rate, about half of what the endpoint can do on two cores where `gateway.py`
finds 5,100 whole answers and 3,800 streams a second; state half of what it finds elsewhere. DIR is that of
`gateway.py`; the server is started as there, with the decision log on PostgreSQL. Memory is read every five seconds.
What counts is the median of the last fifth beside that of the second: during the first, pools, caches and windows fill.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gateway import Server, servers

EVERY_S = 5.0
AIM_GROWTH = 0.05


def main() -> None:
    """Load, watch, print a table; the status says whether every aim is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bench", type=lambda text: Path(text).resolve(), required=True, help="as of gateway.py")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rate", type=float, default=1900.0, help="requests a second, streams and others together")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        started, _ = servers(stack, arguments.bench)
        figures = _soak(arguments, started["freerelay"])
    for each in figures:
        print(f"{each['name']:24} {each['value']:12} {each['unit']:12} {each['aim']} {each['met']}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(figures))
    if any(each["met"] is False for each in figures):
        sys.exit(1)


def _soak(arguments: argparse.Namespace, server: Server) -> list[dict[str, Any]]:
    loads = [_load(arguments, server, stream=stream) for stream in (False, True)]
    rss_mb, files = [], []
    ends = time.monotonic() + 60 * arguments.minutes
    while time.monotonic() < ends:
        time.sleep(EVERY_S)
        rss_mb.append(server.process.memory_info().rss / 1e6)
        files.append(server.process.num_fds())
        if len(rss_mb) % 12 == 0:
            print(f"{len(rss_mb) * EVERY_S / 60:4.0f} min {rss_mb[-1]:8.1f} MB {files[-1]:5} files", file=sys.stderr)
    results = [json.loads(load.communicate(timeout=60)[0]) for load in loads]
    fifth = max(1, len(rss_mb) // 5)
    before, after = median(rss_mb[fifth : 2 * fifth]), median(rss_mb[-fifth:])
    growth, errors = after / before - 1.0, sum(result["errors"] for result in results)
    more_files = median(files[-fifth:]) - median(files[fifth : 2 * fifth])
    return [
        _figure("soak_requests", sum(result["n"] for result in results), "requests"),
        _figure("soak_errors", errors, "requests", 0, errors == 0),
        _figure("soak_p99_ms", max(result["p99_ms"] for result in results), "ms"),
        _figure("soak_rss_mb", round(after, 1), "MB"),
        _figure("soak_rss_growth", round(growth, 4), "share", AIM_GROWTH, growth <= AIM_GROWTH),
        _figure("soak_more_files", more_files, "files", 8, more_files <= 8),
    ]


def _load(arguments: argparse.Namespace, server: Server, *, stream: bool) -> subprocess.Popen[str]:
    command = [sys.executable, str(arguments.bench / "loadgen.py"), server.url, "--key", server.key, "--warm", "1"]
    command += ["--model", "freerelay/auto", "--rate", str(arguments.rate / 2), "-d", str(60 * arguments.minutes)]
    return subprocess.Popen([*command, *(["--stream"] if stream else [])], stdout=subprocess.PIPE, text=True)


def _figure(name: str, value: float, unit: str, aim: float | None = None, met: bool | None = None) -> dict[str, Any]:  # noqa: FBT001
    return {"name": name, "value": value, "unit": unit, "aim": aim, "met": met}


if __name__ == "__main__":
    main()
