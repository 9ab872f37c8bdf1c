"""The live endpoint's rate beside a bare pass-through, on loopback, in one run.

    python benchmarks/gateway.py --bench DIR [--rounds 7] [--seconds 2] [--table] [--varied] [--litellm COMMAND]
        [--json]

All are loaded in turn, round after round, and figures are medians over the rounds: other work on the machine, which
comes and goes, then falls on all alike. `--table` adds the upstream asked directly, 64 connections, bursts of 200
requests at one instant, and streams whose chunks arrive 20 ms apart. The first of those holds no content, and FreeRelay
answers only once there is some, so its first byte comes a chunk later and its first word does not. `--litellm` names
the command of an installed LiteLLM proxy, which is loaded beside the others.

DIR holds `fake_upstream.py` (a fast upstream), `floor_asgi.py` (the floor: a pass-through that only checks a key) and
`loadgen.py` (the load). FreeRelay runs as `uvicorn freerelay_core.api:app` with authentication, 20 rules, ranking over
20 endpoints (each of them the fake upstream), and its decision log on PostgreSQL.

The load is one request again and again, so that its profile is known and nearly all share a ranking
(`benchmarks/alike.py` says how many of real ones do). With `--varied` no two requests are the same (`varied.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil

from freerelay_core.catalogue import ABILITIES

__all__ = ["Server", "servers"]

ROOT = Path(__file__).resolve().parents[1]
WARM_S = 1.0
ENDPOINTS = 20
RULES = 20
BURST, BURSTS = 200, 10
CHUNK_DELAY_MS = 20
UVICORN = ("--no-access-log", "--loop", "uvloop", "--log-level", "warning", "--http")
CONNECTION = "freerelay_core.api.connection:Connection"
"""As `freerelay serve` has it."""
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
    parser.add_argument("--table", action="store_true", help="more loads, more servers, as a table")
    parser.add_argument("--varied", action="store_true", help="no two requests are the same")
    parser.add_argument("--litellm", metavar="COMMAND", help="a LiteLLM proxy to load beside the others")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        started, environment = servers(stack, arguments.bench, litellm=arguments.litellm, direct=arguments.table)
        cold_start_s = _cold_start_s(environment)
        rounds = {
            (stream, connections): [
                _round(arguments, started, connections, stream=stream) for _ in range(arguments.rounds)
            ]
            for stream in (False, True)
            for connections in ((1, 16, 64) if arguments.table else (1, 16))
        }
        rss_mb = started["freerelay"].process.memory_info().rss / 1e6
        if arguments.table:
            _print_table(rounds)
            _print_bursts(started)
    if arguments.table:
        with ExitStack() as stack:
            started, _ = servers(stack, arguments.bench, chunk_delay_ms=CHUNK_DELAY_MS, direct=True)
            _print_slow_streams(arguments, started)
    _report(rounds, {"rss_mb": rss_mb, "cold_start_s": cold_start_s}, as_json=arguments.json)


def _print_table(rounds: Mapping[tuple[bool, int], list[dict[str, dict[str, Any]]]]) -> None:
    """Medians over the rounds of each load, a row a server."""
    print(f"{'':18}{'requests/s':>12}{'p50, ms':>10}{'p99, ms':>10}{'CPU, us':>10}", file=sys.stderr)
    for (stream, connections), loads in rounds.items():
        for name in loads[0]:
            rate, p50, p99, cpu = (
                median(each[name][key] for each in loads) for key in ("rps", "p50_ms", "p99_ms", "cpu_us")
            )
            kind = f"{'stream' if stream else 'json'} c={connections}"
            print(f"{kind:12} {name:10}{rate:9.0f}{p50:10.2f}{p99:10.2f}{cpu:10.0f}", file=sys.stderr)


def _print_bursts(servers: Mapping[str, Server]) -> None:
    """How long the requests of a burst take, ms, over ten bursts."""
    print(f"{f'burst of {BURST}':18}{'p50, ms':>12}{'p99, ms':>10}", file=sys.stderr)
    for name, server in servers.items():
        times = sorted(time for _ in range(BURSTS) for time in asyncio.run(_burst(server)))
        print(f"{name:18}{times[len(times) // 2]:12.1f}{times[int(0.99 * len(times))]:10.1f}", file=sys.stderr)


async def _burst(server: Server) -> list[float]:
    """One burst over connections that are open already: from its instant to each answer, ms."""
    host, port, path = _address(server.url)
    body = json.dumps({"model": "freerelay/auto", "messages": [{"role": "user", "content": "Hello"}]})
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {server.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    request = f"{head}{body}".encode()
    connections = [await asyncio.open_connection(host, port) for _ in range(BURST)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, began: float) -> float:
        writer.write(request)
        status = await reader.readline()
        if b" 200 " not in status:
            sys.exit(f"{server.url} answered {status!r} to a burst")
        length = 0
        while (line := await reader.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        await reader.readexactly(length)
        took_ms = (time.perf_counter() - began) * 1e3
        writer.close()
        return took_ms

    began = time.perf_counter()
    return await asyncio.gather(*(answer(*connection, began) for connection in connections))


def _print_slow_streams(arguments: argparse.Namespace, servers: Mapping[str, Server]) -> None:
    """First byte and end of streams whose chunks arrive apart, one at a time and 64 at once."""
    print(
        f"{f'chunks {CHUNK_DELAY_MS} ms apart':18}{'first, ms':>12}{'p99':>8}{'end, ms':>10}{'p99':>8}", file=sys.stderr
    )
    for connections in (1, 64):
        for name, server in servers.items():
            load = _load(arguments, server, connections, stream=True)
            first = f"{load['ttfb_p50_ms']:8.2f}{load['ttfb_p99_ms']:8.2f}"
            print(f"c={connections:<3} {name:13}{first}{load['p50_ms']:10.1f}{load['p99_ms']:8.1f}", file=sys.stderr)


def _address(url: str) -> tuple[str, int, str]:
    parts = urllib.parse.urlsplit(url)
    return str(parts.hostname), int(parts.port or 80), parts.path


class Server(NamedTuple):
    """Where a server answers, and who it is."""

    url: str
    key: str
    process: psutil.Process


def servers(
    stack: ExitStack, bench: Path, *, litellm: str | None = None, direct: bool = False, chunk_delay_ms: int = 0
) -> tuple[dict[str, Server], dict[str, str]]:
    """Start all servers; returns them by name, and FreeRelay's environment."""
    upstream, floor, freerelay = _free_port(), _free_port(), _free_port()
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freerelay-bench-")))
    home.chmod(0o711)
    (home / "catalogue.yaml").write_text(json.dumps(_catalogue(upstream)))
    (home / "rules.yaml").write_text(json.dumps(_rules()))
    completions = "http://127.0.0.1:{}/v1/chat/completions"
    delay = ["--chunk-delay-ms", str(chunk_delay_ms)]
    fake = stack.enter_context(_process([str(bench / "fake_upstream.py"), str(upstream), *delay], {}, bench))
    floor_process = stack.enter_context(
        _process(
            ["-m", "uvicorn", "floor_asgi:app", "--port", str(floor), *UVICORN, "httptools"],
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
    made = {"direct": Server(completions.format(upstream), "any", fake)} if direct else {}
    made["floor"] = Server(completions.format(floor), "sk-tenant", floor_process)
    made["freerelay"] = Server(completions.format(freerelay), found[1].strip("'\""), process)
    if litellm is not None:
        made["litellm"] = _litellm(stack, litellm, home, upstream)
    return made, environment


def _litellm(stack: ExitStack, command: str, folder: Path, upstream: int) -> Server:
    """A LiteLLM proxy with one worker, a master key and one model, without a database."""
    port = _free_port()
    target = {"model": "openai/fake-gpt", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "sk-upstream"}
    models = [{"model_name": "freerelay/auto", "litellm_params": target}]
    settings = {"model_list": models, "general_settings": {"master_key": "sk-bench"}}
    (folder / "litellm.yaml").write_text(json.dumps(settings))
    options = ["--config", str(folder / "litellm.yaml"), "--port", str(port), "--host", "127.0.0.1"]
    process = stack.enter_context(_process(options, {"LITELLM_TELEMETRY": "False"}, folder, command=command))
    _wait(f"http://127.0.0.1:{port}/health/liveliness")
    return Server(f"http://127.0.0.1:{port}/v1/chat/completions", "sk-bench", process)


def _freerelay(port: int) -> list[str]:
    return ["-m", "uvicorn", "freerelay_core.api:app", "--port", str(port), *UVICORN, CONNECTION]


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
def _process(
    arguments: list[str], environment: Mapping[str, str], folder: Path, *, command: str = sys.executable
) -> Iterator[psutil.Process]:
    process = subprocess.Popen(
        [command, *arguments], cwd=folder, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
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
    load = Path(__file__).with_name("varied.py") if arguments.varied else arguments.bench / "loadgen.py"
    command = [sys.executable, str(load), server.url, "--key", server.key]
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
