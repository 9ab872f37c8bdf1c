"""A trace: the requests of some past traffic as arrays, read from CSV, or made from profiles.

A CSV file needs a column of times and two of token counts; the names of public traces are understood (`COLUMNS`).
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.profile import LatencyClass, ProfileBatch, RequestProfile

__all__ = ["MAX_TOKENS", "USUAL_REQUEST", "Trace", "read_trace", "trace_columns", "trace_of", "words_of"]

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "time": ("timestamp", "time", "arrival_time", "created_at"),
    "input": ("contexttokens", "input_tokens", "prompt_tokens", "request tokens"),
    "output": ("generatedtokens", "output_tokens", "completion_tokens", "response tokens"),
}
"""Accepted names of each needed column, lower case, the first being the one named in messages."""

_SHOWN = {"time": "TIMESTAMP", "input": "ContextTokens", "output": "GeneratedTokens"}
MAX_TOKENS = 10_000_000.0

USUAL_REQUEST = RequestProfile(latency_class=LatencyClass.INTERACTIVE)
"""What a file's requests are taken for unless the reader says otherwise: easy chat that somebody waits for."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """R requests in the order of the file."""

    profiles: ProfileBatch
    sha256: str
    """Of the bytes it was read from, so that a result can name its input."""
    origin: str
    """What it is, for people: a file's name, or where the profiles come from."""
    read_as: str | None = None
    """What every request was taken for, for people: a file does not say; None where each has a profile of its own."""

    def __len__(self) -> int:
        return len(self.profiles)

    def as_dict(self) -> dict[str, str | None]:
        """How results in JSON name it."""
        return {"origin": self.origin, "sha256": self.sha256, "read_as": self.read_as}


def read_trace(content: bytes, *, origin: str, like: RequestProfile | None = None) -> Trace:
    """The trace in a CSV file. What the file does not say (family, depth, needs) is as in `like`
    (by default `USUAL_REQUEST`).

    Raises `UnprocessableRequest` naming the missing columns, or the first bad line and what is wrong with it.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnprocessableRequest(f"{origin}: line {line} is not UTF-8 text.", param="trace") from None
    header = next(csv.reader(io.StringIO(text[:10_000])), [])
    names = trace_columns(f"{origin}: line 1", header)
    columns = {role: header.index(name) for role, name in names.items()}
    like = like or USUAL_REQUEST
    times, input_tokens, output_tokens = _read(origin, content, header, columns)
    return Trace(
        profiles=ProfileBatch.uniform(
            like,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            hour_utc=(times.astype("datetime64[h]").astype(np.int64) % 24).astype(np.intp),
        ),
        sha256=hashlib.sha256(content).hexdigest(),
        origin=origin,
        read_as=words_of(like),
    )


def words_of(like: RequestProfile) -> str:
    """What a file's requests are taken for, for people."""
    needs = f", needs {', '.join(sorted(like.needs))}" if like.needs else ""
    return f"{like.family}, {like.depth.label}, {like.latency_class.label}, {like.contract.label}{needs}"


def trace_of(profiles: Sequence[RequestProfile], *, origin: str) -> Trace:
    """A trace of these profiles, in order."""
    digest = hashlib.sha256(repr([profile.as_dict() for profile in profiles]).encode()).hexdigest()
    return Trace(ProfileBatch.of(profiles), digest, origin)


def trace_columns(where: str, header: Sequence[str]) -> dict[str, str]:
    """Which columns of a trace hold the time, the tokens in (`input`) and those out (`output`).

    Raises `UnprocessableRequest` naming the missing ones.
    """
    names = [name.strip().lower() for name in header]
    found = {
        role: next((names.index(alias) for alias in aliases if alias in names), None)
        for role, aliases in COLUMNS.items()
    }
    missing = [_SHOWN[role] for role, index in found.items() if index is None]
    if missing:
        raise UnprocessableRequest(
            f"{where} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}. A trace needs "
            f"{', '.join(_SHOWN.values())} (or timestamp, input_tokens, output_tokens); it has "
            f"{', '.join(header)[:200] or 'nothing'}.",
            param="trace",
        )
    return {role: header[index] for role, index in found.items() if index is not None}


_Columns = tuple[npt.NDArray[np.datetime64], npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _read(origin: str, content: bytes, header: Sequence[str], columns: Mapping[str, int]) -> _Columns:
    """Times and token counts. The quick reader does all of a good file; a bad one is read again to find the line."""
    quickly = _read_quickly(content, [header[columns[role]] for role in ("time", "input", "output")])
    return quickly or _read_slowly(origin, content.decode("utf-8-sig"), columns)


def _read_quickly(content: bytes, names: Sequence[str]) -> _Columns | None:
    """The columns of these names; None where anything is wrong with them."""
    import pyarrow as pa  # noqa: PLC0415  (0.1 s: only where a file is read)
    import pyarrow.csv as pa_csv  # noqa: PLC0415

    types = dict(zip(names, (pa.timestamp("ns"), pa.float64(), pa.float64()), strict=True))
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(content),
            convert_options=pa_csv.ConvertOptions(column_types=types, include_columns=list(types)),
        )
    except pa.ArrowInvalid:
        return None
    times, input_tokens, output_tokens = (table.column(i).to_numpy() for i in range(3))
    if not len(times) or table.column(0).null_count or not (_plausible(input_tokens) and _plausible(output_tokens)):
        return None
    return times, input_tokens, output_tokens


def _plausible(tokens: npt.NDArray[np.float64]) -> bool:
    return bool(np.isfinite(tokens).all() and (tokens >= 0).all() and (tokens <= MAX_TOKENS).all())


def _read_slowly(origin: str, text: str, columns: Mapping[str, int]) -> _Columns:
    reader = csv.reader(io.StringIO(text))
    next(reader)
    times, tokens = [], []
    for row in reader:
        if not row:
            continue
        where = f"{origin}: line {reader.line_num}"
        if len(row) <= max(columns.values()):
            raise UnprocessableRequest(f"{where} has {len(row)} fields, too few.", param="trace")
        times.append(_time(where, row[columns["time"]]))
        tokens.append([_tokens(where, _SHOWN[role], row[columns[role]]) for role in ("input", "output")])
    if not times:
        raise UnprocessableRequest(f"{origin}: has a header and no requests.", param="trace")
    array = np.array(tokens, dtype=np.float64)
    return np.array(times, dtype="datetime64[ns]"), array[:, 0], array[:, 1]


def _time(where: str, value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value.strip())
    except ValueError:
        raise UnprocessableRequest(
            f"{where}: TIMESTAMP must be a time like 2023-11-16 18:15:46.68; got {value[:40]!r}.", param="trace"
        ) from None
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time


def _tokens(where: str, name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not 0 <= number <= MAX_TOKENS:
        raise UnprocessableRequest(
            f"{where}: {name} must be a number of tokens from 0 to {MAX_TOKENS:,.0f}; got {value[:40]!r}.",
            param="trace",
        )
    return number
