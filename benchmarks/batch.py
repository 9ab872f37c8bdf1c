"""What ranking in batches does, beside a plain numpy kernel of the same arithmetic in the same run.

    python benchmarks/batch.py [--long] [--json]

`batch_rps_factors`: 20 endpoints, 3 preferences, factors computed, two threads, requests that lie in memory.
`batch_rps_mixed`: the same for a mixture of families, depths and needs. `batch_rps_parquet`: 10 million rows of a file,
two processes, start-up included. `batch_rss_growth`: how much more memory 1e7 rows take than 1e5 (1e8 with --long).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from freerelay_core.catalogue import Catalogue, load_catalogue
from freerelay_core.decision import choose, evaluate_batch
from freerelay_core.policy import NO_DIRECTIVE
from freerelay_core.preference import PREFERENCE_EXPONENTS
from freerelay_core.profile import LatencyClass, ProfileBatch, RequestProfile
from freerelay_core.simulation import standard_workload
from freerelay_core.simulation.stream import keep_freed_memory
from freerelay_core.snapshot import Snapshot, catalogue_snapshot

Floats = npt.NDArray[np.float64]

ENDPOINTS = 20
CHUNK = 8192
THREADS = 2
ROUNDS = 7
MEASURED = 24 * CHUNK
"""Requests a round."""
AIMS = {
    "batch_rps_factors": 2e6,
    "batch_factors_ratio": 0.8,
    "batch_rps_parquet": 1.2e6,
    "batch_rss_growth": 1.1,
}
_RANK = """
import resource, sys
from pathlib import Path
from freerelay_core.simulation import rank_file
from freerelay_core.snapshot import Snapshot
rank_file(Path(sys.argv[1]), Snapshot.load(Path(sys.argv[2]).read_bytes()), processes=int(sys.argv[3]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    """Measure in turn, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--long", action="store_true", help="memory at 1e8 rows, too")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    keep_freed_memory()
    snapshot = _snapshot()
    values = _in_memory(snapshot) | _from_files(snapshot, longest=10**8 if arguments.long else 10**7)
    _report(values, as_json=arguments.json)


def _snapshot() -> Snapshot:
    """Twenty of the shipped endpoints, every fourth or so, so that many providers are among them."""
    shipped = load_catalogue()
    step = len(shipped.endpoints) / ENDPOINTS
    endpoints = tuple(shipped.endpoints[int(number * step)] for number in range(ENDPOINTS))
    return catalogue_snapshot(Catalogue(shipped.providers, endpoints), datetime.now(UTC))


def _in_memory(snapshot: Snapshot) -> dict[str, float]:
    """Requests a second of the product and of the plain kernel, in turn: medians."""
    random = np.random.default_rng(0)
    input_tokens = np.rint(np.exp(6.5 + random.standard_normal(MEASURED)))
    output_tokens = np.rint(np.exp(5.0 + random.standard_normal(MEASURED)))
    alike = ProfileBatch.uniform(
        RequestProfile(latency_class=LatencyClass.INTERACTIVE),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        hour_utc=np.full(MEASURED, 12, dtype=np.intp),
    )
    mixed = standard_workload(MEASURED // 8).profiles
    plain = _PlainKernel(snapshot, input_tokens, output_tokens)
    kinds: dict[str, tuple[int, Callable[[int], object]]] = {
        "plain": (MEASURED, plain.rank),
        "factors": (MEASURED, lambda start: _rank(snapshot, alike[start : start + CHUNK])),
        "mixed": (len(mixed), lambda start: _rank(snapshot, mixed[start : start + CHUNK])),
    }
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in range(ROUNDS):
            for name, (count, rank) in kinds.items():
                started = time.perf_counter()
                for _ in threads.map(rank, range(0, count, CHUNK)):
                    pass
                rates[name].append(count / (time.perf_counter() - started))
    median = {name: float(np.median(values)) for name, values in rates.items()}
    return {
        "plain_kernel_rps": median["plain"],
        "batch_rps_factors": median["factors"],
        "batch_factors_ratio": median["factors"] / median["plain"],
        "batch_rps_mixed": median["mixed"],
    }


def _rank(snapshot: Snapshot, profiles: ProfileBatch) -> None:
    evaluation = evaluate_batch(snapshot, profiles, [NO_DIRECTIVE], np.zeros(len(profiles), dtype=np.intp))
    for exponents in PREFERENCE_EXPONENTS.values():
        choose(evaluation, exponents)


class _PlainKernel:
    """The arithmetic alone: two computed factors, six given ones, three winners; no exclusions, tiers, hours, ties."""

    def __init__(self, snapshot: Snapshot, input_tokens: Floats, output_tokens: Floats) -> None:
        self._input, self._output = input_tokens, output_tokens
        self._usd = snapshot.prices.rates[12, 0]
        self._first = snapshot.behaviour.first_token_p95
        self._speed = snapshot.behaviour.speed_median
        self._given = np.log(np.random.default_rng(0).uniform(0.5, 1.0, (6, ENDPOINTS)))

    def rank(self, start: int) -> list[npt.NDArray[np.intp]]:
        tokens_in = self._input[start : start + CHUNK, None]
        tokens_out = self._output[start : start + CHUNK, None]
        cost = tokens_in * self._usd[0] + tokens_out * self._usd[2]
        log_cost = -np.log1p(cost / (tokens_in * 1.75e-6 + tokens_out * 8.75e-6))
        seconds = self._first + tokens_in / 33_000.0 + tokens_out / self._speed
        log_latency = -np.log1p(seconds / (2.0 * (0.5 + tokens_in / 33_000.0 + tokens_out / 100.0)))
        winners = []
        for exponents in PREFERENCE_EXPONENTS.values():
            utility = self._given[0] * exponents[0]
            for factor, exponent in zip(
                (*self._given[1:4], log_cost, *self._given[4:], log_latency), exponents[1:], strict=True
            ):
                utility = utility + factor * exponent
            winner = utility.argmax(axis=1)
            winners.append(winner)
            cost[np.arange(len(winner)), winner].sum()
        return winners


def _from_files(snapshot: Snapshot, *, longest: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "snapshot"
        stored.write_bytes(snapshot.dump())
        short, ten_million = (_file(Path(folder), rows) for rows in (10**5, 10**7))
        started = time.perf_counter()
        _rank_apart(ten_million, stored, processes=THREADS)
        rate = 10**7 / (time.perf_counter() - started)
        least = _rank_apart(short, stored, processes=1)
        most = _rank_apart(ten_million if longest == 10**7 else _file(Path(folder), longest), stored, processes=1)
    return {"batch_rps_parquet": rate, "batch_rss_mb": most, "batch_rss_growth": most / least}


def _rank_apart(path: Path, stored: Path, *, processes: int) -> float:
    """Rank the file in a fresh interpreter; its largest memory, MB."""
    command = [sys.executable, "-c", _RANK, str(path), str(stored), str(processes)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _file(folder: Path, rows: int) -> Path:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    path, random = folder / f"{rows}.parquet", np.random.default_rng(1)
    names = ("timestamp", "input_tokens", "output_tokens")
    schema = pa.schema(zip(names, (pa.timestamp("ms"), pa.float64(), pa.float64()), strict=True))
    group = min(rows, 500_000)
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, group):
            times = (np.arange(start, start + group) * 36).astype("datetime64[ms]")
            tokens = (np.rint(np.exp(random.normal(mean, 1.0, group))) for mean in (6.5, 5.0))
            writer.write_table(pa.table([times, *tokens], schema=schema))
    return path


def _report(values: dict[str, float], *, as_json: bool) -> None:
    figures: list[dict[str, Any]] = []
    for name, value in values.items():
        aim = AIMS.get(name)
        met = None if aim is None else (value <= aim if name.endswith("growth") else value >= aim)
        unit = "requests/s" if "_rps" in name else "MB" if name.endswith("_mb") else "times"
        figures.append({"name": name, "value": round(value, 3), "unit": unit, "aim": aim, "met": met})
    for figure in figures:
        shown = f"{figure['value']:,.0f}" if figure["value"] > 100 else f"{figure['value']:.2f}"
        print(f"{figure['name']:22}{shown:>14} {figure['unit']:12} aim {figure['aim'] or '-'}", file=sys.stderr)
    if as_json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
