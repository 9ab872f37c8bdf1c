"""What one decision costs, µs, the request's profile excluded, beside a bare numpy product of the same size.

    python benchmarks/decision.py [--seconds 2] [--json]

Explained is why the winner won, in one sentence, as every answer's header has it; every factor is the whole ranking:
each endpoint's figures, and of each factor value, exponent and contribution.

Endpoints are the shipped ones, taken 20 at a time or repeated up to 100. Every figure is the median (p50) or the 99 %
quantile of single calls, measured in turn with the others, so that other work on the machine falls on all alike.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

import numpy as np

from freerelay_core.catalogue import Catalogue, load_catalogue
from freerelay_core.decision import decide
from freerelay_core.policy import Policy, read_policy
from freerelay_core.preference import EXPONENTS, FACTORS, RoutingPreference, exponent_array
from freerelay_core.profile import Depth, RequestProfile, TaskFamily
from freerelay_core.snapshot import Snapshot, catalogue_snapshot

PROFILE = RequestProfile(family=TaskFamily.RAG, depth=Depth.STANDARD, input_tokens=3000, output_tokens=300)
AIMS = {
    "decide_us_p50_20": 40.0,
    "decide_us_p50_100": 60.0,
    "rules20_added_us": 50.0,
    "rules20_again_added_us": 50.0,
    "explain_added_us": 40.0,
}
DISTINCT = 10_000
"""Requests that differ in what the rules read, more than a policy remembers: every one is evaluated anew."""
ROUND = 50
"""Calls of each kind in one turn."""


def main() -> None:
    """Measure in turn, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="time to measure, all kinds together")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    times = _measure(_kinds(), arguments.seconds)
    _report(times, as_json=arguments.json)


def _kinds() -> dict[str, Callable[[], object]]:
    small, large = shipped_snapshot(20), shipped_snapshot(100)
    rules, new = _rules(small), cycle([PROFILE._replace(input_tokens=1000 + n) for n in range(DISTINCT)])
    logs, exponents = np.log(np.random.default_rng(0).random((len(FACTORS), 20))), exponent_array(_BALANCED)
    return {
        "decide 20": lambda: decide(small, PROFILE, decision_id="d"),
        "decide 100": lambda: decide(large, PROFILE, decision_id="d"),
        "decide 20, 20 rules": lambda: decide(small, next(new), decision_id="d", policy=rules, tier="gold"),
        "the same request again": lambda: decide(small, PROFILE, decision_id="d", policy=rules, tier="gold"),
        "decide 20, explained": lambda: decide(small, PROFILE, decision_id="d").reason,
        "decide 20, every factor": lambda: decide(small, PROFILE, decision_id="d").ranking,
        "numpy product 20": lambda: (np.exp(logs) ** exponents[:, None]).prod(axis=0).argsort(),
    }


_BALANCED = EXPONENTS[RoutingPreference.BALANCED]


def shipped_snapshot(count: int) -> Snapshot:
    """So many of the shipped endpoints, repeated where they are fewer."""
    shipped = load_catalogue()
    copies = [
        replace(endpoint, id=f"{endpoint.id}-{number}" if number else endpoint.id)
        for number in range(-(-count // len(shipped.endpoints)))
        for endpoint in shipped.endpoints
    ]
    endpoints = tuple(sorted(copies[:count], key=lambda endpoint: endpoint.id))
    return catalogue_snapshot(Catalogue(shipped.providers, endpoints), datetime.now(UTC))


def _rules(snapshot: Snapshot) -> Policy:
    """Twenty rules, of which the last matches."""
    never = [
        {"name": f"r{n}", "when": f'tier == "gold" && input_tokens > {90_000 + n}', "prefer": ["*"]} for n in range(19)
    ]
    last = {"name": "last", "when": 'task == "rag" && depth <= 2', "prefer": [f"{snapshot.providers[0]}/*"]}
    return read_policy({"rules": [*never, last]}, snapshot.endpoint_ids, source="benchmark")


def _measure(kinds: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Seconds of single calls, by kind."""
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for call in kinds.values():
        for _ in range(ROUND):
            call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in kinds.items():
            for _ in range(ROUND):
                started = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - started)
    return times


def _report(times: dict[str, list[float]], *, as_json: bool) -> None:
    p50 = {name: float(np.median(values)) * 1e6 for name, values in times.items()}
    p99 = {name: float(np.quantile(values, 0.99)) * 1e6 for name, values in times.items()}
    floor = p50["numpy product 20"]
    print(f"{'':24}{'p50 µs':>9}{'p99 µs':>9}{'/ numpy':>9}", file=sys.stderr)
    for name in times:
        print(f"{name:24}{p50[name]:9.1f}{p99[name]:9.1f}{p50[name] / floor:9.2f}", file=sys.stderr)
    values = {
        "decide_us_p50_20": p50["decide 20"],
        "decide_us_p99_20": p99["decide 20"],
        "decide_us_p50_100": p50["decide 100"],
        "decide_us_p99_100": p99["decide 100"],
        "rules20_added_us": p50["decide 20, 20 rules"] - p50["decide 20"],
        "rules20_again_added_us": p50["the same request again"] - p50["decide 20"],
        "explain_added_us": p50["decide 20, explained"] - p50["decide 20"],
        "explain_all_added_us": p50["decide 20, every factor"] - p50["decide 20"],
    }
    figures: list[dict[str, Any]] = [_figure(name, value, "us") for name, value in values.items()]
    figures.append(_figure("kernel_ratio", p50["decide 20"] / floor, "times a bare numpy product"))
    if as_json:
        print(json.dumps(figures))
        return
    for figure in figures:
        print(f"{figure['name']}: {figure['value']} {figure['unit']} (aim {figure['aim']})")


def _figure(name: str, value: float, unit: str) -> dict[str, Any]:
    aim = AIMS.get(name)
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "aim": aim,
        "met": None if aim is None else value <= aim,
    }


if __name__ == "__main__":
    main()
