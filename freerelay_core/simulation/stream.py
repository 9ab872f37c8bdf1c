"""Ranks a Parquet file of any length, block by block: what it costs and who wins, in memory that does not grow.

Each row group is ranked by itself and its sums are joined in the order of the file, so that the result is the same for
any number of processes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import reduce
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from freerelay_core.behaviour import PREFILL_TOKENS_PER_S
from freerelay_core.decision import Choice, choose, evaluate_batch
from freerelay_core.errors import UnprocessableRequest
from freerelay_core.policy import NO_DIRECTIVE
from freerelay_core.preference import PREFERENCE_EXPONENTS, RoutingPreference
from freerelay_core.profile import ProfileBatch, RequestProfile
from freerelay_core.simulation.trace import MAX_TOKENS, USUAL_REQUEST, trace_columns, words_of
from freerelay_core.snapshot import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FileRanking", "PreferenceSums", "keep_freed_memory", "rank_file"]

Floats = npt.NDArray[np.float64]

_CHUNK = 8192
"""Requests ranked at once. No live request waits beside, so more than `replay.CHUNK`."""
_BLOCK = 8 * _CHUNK
"""Rows read at once, 1.5 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class PreferenceSums:
    """Sums over requests under one preference; those of two parts of a file add up to those of the whole."""

    requests: int
    wins: npt.NDArray[np.int64]
    """Requests that each endpoint wins, shape (E,); the rest of `requests` cannot be served."""
    cost_usd: float
    quality: float
    """Sum of the expected shares of good answers."""
    duration_s: float
    """Sum of the median durations."""

    def __add__(self, other: PreferenceSums) -> PreferenceSums:
        return PreferenceSums(
            self.requests + other.requests,
            self.wins + other.wins,
            self.cost_usd + other.cost_usd,
            self.quality + other.quality,
            self.duration_s + other.duration_s,
        )


@dataclass(frozen=True, slots=True, eq=False)
class FileRanking:
    """A file under several preferences. Expectations only: durations are not sampled."""

    origin: str
    read_as: str
    """What every request was taken for, for people."""
    snapshot: Snapshot
    sums: Mapping[RoutingPreference, PreferenceSums]

    def as_dict(self) -> dict[str, Any]:
        """The shape of `freerelay simulate FILE.parquet --json`."""
        return {
            "requests": next(iter(self.sums.values())).requests,
            "preferences": {name.value: self._figures(sums) for name, sums in self.sums.items()},
            "trace": {"origin": self.origin, "read_as": self.read_as},
            "snapshot": {"id": self.snapshot.id, "created_at": self.snapshot.created_at.isoformat()},
            "basis": "simulated",
        }

    def _figures(self, sums: PreferenceSums) -> dict[str, Any]:
        served = int(sums.wins.sum())
        some = max(served, 1)
        ranked = sorted(np.flatnonzero(sums.wins), key=lambda e: (-sums.wins[e], e))
        return {
            "cost_usd": sums.cost_usd,
            "cost_usd_per_1000": sums.cost_usd / some * 1000,
            "latency_s": {"mean": sums.duration_s / some},
            "quality": sums.quality / some,
            "share": {self.snapshot.endpoint_ids[e]: float(sums.wins[e]) / some for e in ranked},
            "unserved": sums.requests - served,
        }


def rank_file(
    path: Path,
    snapshot: Snapshot,
    *,
    like: RequestProfile | None = None,
    preferences: Sequence[RoutingPreference] = tuple(RoutingPreference),
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> FileRanking:
    """Rank every request of a Parquet file under each preference, without rules.

    The file has the columns of a CSV trace; what it does not say is as in `like` (by default `USUAL_REQUEST`). More
    than one process needs a main program that can be imported again. `progress` is told the rows done and the rows
    there are, after each row group.
    Raises `UnprocessableRequest` naming the missing columns, or the row group that holds what is no number of tokens.
    """
    like = like or USUAL_REQUEST
    parquet = _open(path)
    columns = trace_columns(path.name, parquet.schema_arrow.names)
    groups, rows = range(parquet.num_row_groups), parquet.metadata.num_rows
    if not rows:
        raise UnprocessableRequest(f"{path.name}: holds no requests.", param="trace")
    task = _Task(path, [columns[role] for role in ("time", "input", "output")], snapshot.dump(), like, preferences)
    parts = []
    for group, part in zip(groups, _ranked(task, groups, processes), strict=True):
        parts.append(part)
        if progress is not None:
            done = sum(parquet.metadata.row_group(number).num_rows for number in range(group + 1))
            progress(done, rows)
    sums = {
        preference: reduce(PreferenceSums.__add__, (part[preference] for part in parts)) for preference in preferences
    }
    return FileRanking(path.name, words_of(like), snapshot, sums)


Sums = dict[RoutingPreference, PreferenceSums]


@dataclass(frozen=True, slots=True)
class _Task:
    """What a process needs to rank a row group of the file."""

    path: Path
    columns: list[str]
    """Names of the times, of the tokens in, and of those out."""
    snapshot: bytes
    like: RequestProfile
    preferences: Sequence[RoutingPreference]


def _ranked(task: _Task, groups: Sequence[int], processes: int) -> Iterator[Sums]:
    if processes == 1:
        keep_freed_memory()
        snapshot = Snapshot.load(task.snapshot)
        yield from (_rank_group(task, group, snapshot) for group in groups)
        return
    # Forked processes would inherit locks of pyarrow's threads.
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_remember, initargs=(task,)
    ) as pool:
        yield from pool.map(_rank_group_here, groups)


def keep_freed_memory() -> None:
    """Let the C library keep what numpy frees, for the rest of this process.

    Otherwise the arrays of every chunk are returned to the system and asked for again, page by page, which costs more
    than the arithmetic. Where the C library is another one than glibc nothing happens.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
        set_option(option, _KEPT_BYTES)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_KEPT_BYTES = 64 * 1024 * 1024

_here: list[tuple[_Task, Snapshot]] = []
"""What this process, one of a pool, works on."""


def _remember(task: _Task) -> None:
    keep_freed_memory()
    _here[:] = [(task, Snapshot.load(task.snapshot))]


def _rank_group_here(group: int) -> Sums:
    task, snapshot = _here[0]
    return _rank_group(task, group, snapshot)


def _rank_group(task: _Task, group: int, snapshot: Snapshot) -> Sums:
    sums = {preference: _nothing(len(snapshot)) for preference in task.preferences}
    for batch in _open(task.path).iter_batches(_BLOCK, row_groups=[group], columns=task.columns):
        profiles = _profiles(task, group, batch)
        for start in range(0, len(profiles), _CHUNK):
            chunk = profiles[start : start + _CHUNK]
            everyone = np.zeros(len(chunk), dtype=np.intp)
            evaluation = evaluate_batch(snapshot, chunk, [NO_DIRECTIVE], everyone)
            for preference in task.preferences:
                choice = choose(evaluation, PREFERENCE_EXPONENTS[preference])
                sums[preference] += _summed(snapshot, chunk, choice)
    return sums


def _open(path: Path) -> Any:
    import pyarrow as pa  # noqa: PLC0415  (0.1 s: only where a file is read)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise UnprocessableRequest(f"{path}: there is no such file.", param="trace") from None
    except UnicodeEncodeError:
        raise UnprocessableRequest(f"{path}: a Parquet file needs a name that is UTF-8 text.", param="trace") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UnprocessableRequest(f"{path.name}: is no Parquet file: {str(error)[:200]}", param="trace") from None


def _profiles(task: _Task, group: int, batch: pa.RecordBatch) -> ProfileBatch:
    where = f"{task.path.name}: row group {group}"
    times, input_tokens, output_tokens = (batch.column(name) for name in task.columns)
    return ProfileBatch.uniform(
        task.like,
        input_tokens=_tokens(where, task.columns[1], input_tokens),
        output_tokens=_tokens(where, task.columns[2], output_tokens),
        hour_utc=_hours(where, task.columns[0], times),
    )


def _tokens(where: str, name: str, column: pa.Array) -> Floats:
    import pyarrow as pa  # noqa: PLC0415

    try:
        tokens = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        tokens = np.array([np.nan])
    if not (np.isfinite(tokens).all() and (tokens >= 0).all() and (tokens <= MAX_TOKENS).all()):
        raise UnprocessableRequest(
            f"{where}: {name} must hold numbers of tokens from 0 to {MAX_TOKENS:,.0f}, one a row.", param="trace"
        )
    return np.asarray(tokens, dtype=np.float64)


def _hours(where: str, name: str, column: pa.Array) -> npt.NDArray[np.intp]:
    import pyarrow as pa  # noqa: PLC0415

    try:
        seconds = column.cast(pa.timestamp("ns", tz="UTC")).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        seconds = np.array(["NaT"], dtype="datetime64[ns]")
    if np.isnat(seconds).any():
        raise UnprocessableRequest(f"{where}: {name} must hold times, one a row.", param="trace")
    return np.asarray(seconds.astype("datetime64[h]").astype(np.int64) % 24, dtype=np.intp)


def _nothing(endpoints: int) -> PreferenceSums:
    return PreferenceSums(0, np.zeros(endpoints, dtype=np.int64), 0.0, 0.0, 0.0)


def _summed(snapshot: Snapshot, profiles: ProfileBatch, choice: Choice) -> PreferenceSums:
    served = choice.endpoint >= 0
    winners = choice.endpoint[served]
    behaviour = snapshot.behaviour
    durations = (
        behaviour.first_token_median[winners]
        + profiles.input_tokens[served] / PREFILL_TOKENS_PER_S
        + choice.decoded_tokens[served] / behaviour.speed_median[winners]
    )
    return PreferenceSums(
        requests=len(profiles),
        wins=np.bincount(winners, minlength=len(snapshot)),
        cost_usd=float(choice.cost_usd.sum()),
        quality=float(choice.quality.sum()),
        duration_s=float(durations.sum()),
    )
