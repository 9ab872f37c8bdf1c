"""The live endpoint's rate beside a bare pass-through, on loopback, in one run.

    python benchmarks/gateway.py --bench DIR [--rounds 7] [--seconds 2] [--json]

Both are loaded in turn, round after round, and figures are medians over the rounds: other work on the machine, which
comes and goes, then falls on both alike.

DIR holds `fake_upstream.py` (a fast upstream), `floor_asgi.py` (the floor: a pass-through that only checks a key) and
`loadgen.py` (the load). FreeRelay runs as `uvicorn freerelay_core.api:app` with authentication, 20 rules, ranking over
20 endpoints (each of them the fake upstream), and its decision log on PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil

from freerelay_core.catalogue import ABILITIES

ROOT = Path(__file__).resolve().parents[1]
WARM_S = 1.0
ENDPOINTS = 20
RULES = 20
UVICORN = ("--no-access-log", "--loop", "uvloop", "--http", "httptools", "--log-level", "warning")
AIMS = {
    "gateway_ratio_c16": (0.7, "least"),
    "gateway_stream_ratio_c16": (0.7, "least"),
    "gateway_added_ms_c1": (0.7, "most"),
    "gateway_cpu_added_us": (150.0, "most"),
    "rss_mb": (120.0, "most"),
    "cold_start_s": (1.5, "most"),
}
"""0.5 is the least acceptable ratio."""


def main() -> None:
    """Start the three servers, load each in turn, print rates and ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--bench",
        type=lambda text: Path(text).resolve(),
        required=True,
        help="folder of the load generator and its peers",
    )
    parser.add_argument("--rounds", type=int, default=7, help="loads of each server; figures are medians over them")
    parser.add_argument("--seconds", type=float, default=2.0, help="measured time of each load")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        servers, environment = _servers(stack, arguments.bench)
        cold_start_s = _cold_start_s(environment)
        rounds = {
            (stream, connections): [
                _round(arguments, servers, connections, stream=stream) for _ in range(arguments.rounds)
            ]
            for stream in (False, True)
            for connections in (1, 16)
        }
        rss_mb = servers["freerelay"].process.memory_info().rss / 1e6
    _report(rounds, {"rss_mb": rss_mb, "cold_start_s": cold_start_s}, as_json=arguments.json)


class Server(NamedTuple):
    """Where a server answers, and who it is."""

    url: str
    key: str
    process: psutil.Process


def _servers(stack: ExitStack, bench: Path) -> tuple[dict[str, Server], dict[str, str]]:
    """Start all servers; returns them by name, and FreeRelay's environment."""
    upstream, floor, freerelay = _free_port(), _free_port(), _free_port()
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freerelay-bench-")))
    home.chmod(0o711)
    (home / "catalogue.yaml").write_text(json.dumps(_catalogue(upstream)))
    (home / "rules.yaml").write_text(json.dumps(_rules()))
    completions = "http://127.0.0.1:{}/v1/chat/completions"
    stack.enter_context(_process([str(bench / "fake_upstream.py"), str(upstream)], {}, bench))
    floor_process = stack.enter_context(
        _process(
            ["-m", "uvicorn", "floor_asgi:app", "--port", str(floor), *UVICORN],
            {"UPSTREAM": completions.format(upstream)},
            bench,
        )
    )
    state = home / "home"
    environment = {
        "FREERELAY_HOME": str(state),
        "FREERELAY_CATALOGUE": str(home / "catalogue.yaml"),
        "FREERELAY_RULES": str(home / "rules.yaml"),
    }
    process = stack.enter_context(_process(_freerelay(freerelay), environment, ROOT))
    _wait(f"http://127.0.0.1:{freerelay}/readyz")
    found = re.search(r"OPENAI_API_KEY=(\S+)", (state / "credentials").read_text())
    if found is None:
        sys.exit("no demo key in the credentials")
    return {
        "floor": Server(completions.format(floor), "sk-tenant", floor_process),
        "freerelay": Server(completions.format(freerelay), found[1].strip("'\""), process),
    }, environment


def _freerelay(port: int) -> list[str]:
    return ["-m", "uvicorn", "freerelay_core.api:app", "--port", str(port), *UVICORN]


def _cold_start_s(environment: Mapping[str, str]) -> float:
    """From its start until one more worker is ready, beside the first, which has the database."""
    port = _free_port()
    started = time.perf_counter()
    with _process(_freerelay(port), environment, ROOT):
        _wait(f"http://127.0.0.1:{port}/readyz")
        return time.perf_counter() - started


def _catalogue(upstream: int) -> dict[str, Any]:
    """Twenty endpoints of four providers, all of them the fake upstream; each a little dearer and abler."""
    source = {"title": "benchmark", "date": "2026-11-25", "kind": "published"}
    rated = {"preference": "benchmark", "tests": "benchmark"}
    figures = {"first_token_s": 0.4, "tokens_per_s": 90, "thinking_tokens": 0}
    endpoints = {
        f"fake{n % 4}/model-{n}": {
            "upstream_model": "fake-gpt",
            "price": {"input": 0.1 * (n + 1), "cached": 0.05 * (n + 1), "output": 0.4 * (n + 1)},
            "context_tokens": 128_000,
            "max_output_tokens": 16_000,
            "capabilities": ["tools", "json_mode", "streaming"],
            "facts": "benchmark",
            "ability": {**rated, "values": dict.fromkeys(ABILITIES, 1200 + 10 * n)},
            **{name: {"value": value, "source": "benchmark"} for name, value in figures.items()},
        }
        for n in range(ENDPOINTS)
    }
    url = f"http://127.0.0.1:{upstream}/v1"
    providers = {f"fake{n}": {"base_url": url} for n in range(4)}
    return {"replace": True, "sources": {"benchmark": source}, "providers": providers, "endpoints": endpoints}


def _rules() -> dict[str, Any]:
    """Twenty rules that read tenant and request, of which the last matches."""
    never = [
        {"name": f"r{n}", "when": f'tier == "gold" && input_tokens > {90_000 + n}', "prefer": ["*"]}
        for n in range(RULES - 1)
    ]
    return {"rules": [*never, {"name": "last", "when": "input_tokens > 1", "prefer": ["fake1/*"]}]}


@contextmanager
def _process(command: list[str], environment: Mapping[str, str], folder: Path) -> Iterator[psutil.Process]:
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(url: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - this file wrote the URL
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    sys.exit(f"{url} does not answer")


def _round(
    arguments: argparse.Namespace, servers: Mapping[str, Server], connections: int, *, stream: bool
) -> dict[str, dict[str, Any]]:
    """One load of each server, by name."""
    loads = {}
    for name, server in servers.items():
        loads[name] = _load(arguments, server, connections, stream=stream)
        print(_line({"server": name, **loads[name]}), file=sys.stderr)
    return loads


def _load(arguments: argparse.Namespace, server: Server, connections: int, *, stream: bool) -> dict[str, Any]:
    """What the load generator says, and `cpu_us`, the server's CPU time a request."""
    command = [sys.executable, str(arguments.bench / "loadgen.py"), server.url, "--key", server.key]
    command += ["--model", "freerelay/auto", "-c", str(connections), "-d", str(arguments.seconds)]
    command += ["--warm", str(WARM_S), *(["--stream"] if stream else [])]
    before = server.process.cpu_times()
    result: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    after = server.process.cpu_times()
    if result["errors"]:
        sys.exit(f"{server.url} failed {result['errors']} times: {result.get('first_error')}")
    requests = result["rps"] * (result["secs"] + WARM_S)  # warming up costs the same
    result["cpu_us"] = (after.user + after.system - before.user - before.system) / requests * 1e6
    return result


def _line(row: Mapping[str, Any]) -> str:
    kind = "stream" if row["stream"] else "json"
    rate = f"{row['rps']:>9.1f} requests/s"
    times = f"p50 {row['p50_ms']} ms  p99 {row['p99_ms']} ms  CPU {row['cpu_us']:.0f} us"
    return f"{row['server']:>10} {kind:>6} c={row['c']:<3} {rate}  {times}"


def _report(
    rounds: Mapping[tuple[bool, int], list[dict[str, dict[str, Any]]]], single: Mapping[str, float], *, as_json: bool
) -> None:
    def over(stream: bool, connections: int, how: Callable[[Any, Any], float]) -> float:  # noqa: FBT001
        return median(how(each["freerelay"], each["floor"]) for each in rounds[stream, connections])

    values = {
        "gateway_ratio_c16": (over(False, 16, lambda ours, floor: ours["rps"] / floor["rps"]), "of the floor's rate"),
        "gateway_stream_ratio_c16": (
            over(True, 16, lambda ours, floor: ours["rps"] / floor["rps"]),
            "of the floor's rate",
        ),
        "gateway_added_ms_c1": (over(False, 1, lambda ours, floor: ours["p50_ms"] - floor["p50_ms"]), "ms"),
        "gateway_cpu_added_us": (over(False, 16, lambda ours, floor: ours["cpu_us"] - floor["cpu_us"]), "us a request"),
        "floor_cpu_us": (over(False, 16, lambda _, floor: floor["cpu_us"]), "us a request"),
        "rss_mb": (single["rss_mb"], "MB after the load"),
        "cold_start_s": (single["cold_start_s"], "s"),
    }
    figures = []
    for name, (value, unit) in values.items():
        aim, bound = AIMS.get(name, (None, ""))
        met = None if aim is None else (value >= aim if bound == "least" else value <= aim)
        figures.append({"name": name, "value": round(value, 3), "unit": unit, "aim": aim, "met": met})
    if as_json:
        print(json.dumps(figures))
        return
    for figure in figures:
        print(f"{figure['name']}: {figure['value']} {figure['unit']} (aim {figure['aim']})")


if __name__ == "__main__":
    main()
