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
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from freerelay_core.catalogue import ABILITIES

ROOT = Path(__file__).resolve().parents[1]
ENDPOINTS = 20
RULES = 20
UVICORN = ("--no-access-log", "--loop", "uvloop", "--http", "httptools", "--log-level", "warning")
AIM = 0.3


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
        urls = _servers(stack, arguments.bench)
        rounds = {
            (stream, connections): [
                _round(arguments, urls, connections, stream=stream) for _ in range(arguments.rounds)
            ]
            for stream in (False, True)
            for connections in (1, 16)
        }
    _report(rounds, as_json=arguments.json)


def _servers(stack: ExitStack, bench: Path) -> dict[str, tuple[str, str]]:
    """Start all servers; returns name -> (URL of the completions, key)."""
    upstream, floor, freerelay = _free_port(), _free_port(), _free_port()
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freerelay-bench-")))
    home.chmod(0o711)
    (home / "catalogue.yaml").write_text(json.dumps(_catalogue(upstream)))
    (home / "rules.yaml").write_text(json.dumps(_rules()))
    completions = "http://127.0.0.1:{}/v1/chat/completions"
    stack.enter_context(_process([str(bench / "fake_upstream.py"), str(upstream)], {}, bench))
    stack.enter_context(
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
    stack.enter_context(
        _process(["-m", "uvicorn", "freerelay_core.api:app", "--port", str(freerelay), *UVICORN], environment, ROOT)
    )
    _wait(f"http://127.0.0.1:{freerelay}/readyz")
    found = re.search(r"OPENAI_API_KEY=(\S+)", (state / "credentials").read_text())
    if found is None:
        sys.exit("no demo key in the credentials")
    return {
        "floor": (completions.format(floor), "sk-tenant"),
        "freerelay": (completions.format(freerelay), found[1].strip("'\"")),
    }


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
def _process(command: list[str], environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    try:
        yield
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
    arguments: argparse.Namespace, urls: Mapping[str, tuple[str, str]], connections: int, *, stream: bool
) -> dict[str, dict[str, Any]]:
    """One load of each server, by name."""
    loads = {}
    for name, (url, key) in urls.items():
        loads[name] = _load(arguments, url, key, connections, stream=stream)
        print(_line({"server": name, **loads[name]}), file=sys.stderr)
    return loads


def _load(arguments: argparse.Namespace, url: str, key: str, connections: int, *, stream: bool) -> dict[str, Any]:
    command = [sys.executable, str(arguments.bench / "loadgen.py"), url, "--key", key, "--model", "freerelay/auto"]
    command += ["-c", str(connections), "-d", str(arguments.seconds), *(["--stream"] if stream else [])]
    result: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if result["errors"]:
        sys.exit(f"{url} failed {result['errors']} times: {result.get('first_error')}")
    return result


def _line(row: Mapping[str, Any]) -> str:
    kind = "stream" if row["stream"] else "json"
    rate = f"{row['rps']:>9.1f} requests/s"
    return f"{row['server']:>10} {kind:>6} c={row['c']:<3} {rate}  p50 {row['p50_ms']} ms  p99 {row['p99_ms']} ms"


def _report(rounds: Mapping[tuple[bool, int], list[dict[str, dict[str, Any]]]], *, as_json: bool) -> None:
    figures = []
    for stream, name in ((False, "gateway_ratio_c16"), (True, "gateway_stream_ratio_c16")):
        ratio = median(each["freerelay"]["rps"] / each["floor"]["rps"] for each in rounds[stream, 16])
        figures.append({"name": name, "value": round(ratio, 3), "unit": "of the floor's rate", "aim": AIM})
    added = median(each["freerelay"]["p50_ms"] - each["floor"]["p50_ms"] for each in rounds[False, 1])
    figures.append({"name": "gateway_added_ms_c1", "value": round(added, 3), "unit": "ms over the floor", "aim": None})
    for figure in figures:
        figure["met"] = None if figure["aim"] is None else figure["value"] >= figure["aim"]
    if as_json:
        print(json.dumps(figures))
        return
    for figure in figures:
        print(f"{figure['name']}: {figure['value']} {figure['unit']} (aim {figure['aim']})")


if __name__ == "__main__":
    main()
