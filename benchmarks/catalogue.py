"""Processor time to load the shipped catalogue and to compile a day's prices, ms; the median of several runs.

python benchmarks/catalogue.py [--runs 15] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from freerelay_core.catalogue import compile_prices, load, load_catalogue

AIMS_MS = {"catalogue_load_ms": 100.0}


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    endpoints, today = load_catalogue().endpoints, datetime.now(UTC)
    compile_prices(endpoints, today)  # reads the price list, once a process
    values = {
        "catalogue_load_ms": _median_ms(_load_anew, arguments.runs),
        "catalogue_prices_ms": _median_ms(lambda: compile_prices(endpoints, today), arguments.runs),
    }
    figures = [_figure(name, value) for name, value in values.items()]
    print(f"{len(endpoints)} endpoints", file=sys.stderr)
    for name, value in values.items():
        print(f"{name:24}{value:8.1f}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(figures))


def _load_anew() -> None:
    load._shipped.cache_clear()  # noqa: SLF001  (as in a new process)
    load_catalogue()


def _median_ms(call: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return statistics.median(times) * 1000


def _figure(name: str, value: float) -> dict[str, object]:
    aim = AIMS_MS.get(name)
    met = None if aim is None else value <= aim
    return {"name": name, "value": round(value, 1), "unit": "ms", "aim": aim, "met": met}


if __name__ == "__main__":
    main()
