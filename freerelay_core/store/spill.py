"""Decisions that wait for the database in files, where memory is not the place for them.

    <folder>/<id>.jsonl      0600; a decision a line: ["its id", "its tenant's id", [its row]]

A file belongs to the process that holds its lock (flock), and the kernel ends that with the process: what a dead
process left is adopted by a living one, and two living ones never meet. Files are filled up to 16 MiB and removed when
all they held is in the database, so a crash repeats little, and rows that come twice are written once.

Each batch is synced to the disk before it leaves memory: no end of a process loses it, nor a power cut. A line that was
being written then is torn; it is passed over and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from freerelay_core.clock import Clock, new_id
from freerelay_core.store.decision_rows import DecisionRow

__all__ = ["Spill"]

_LIMIT_BYTES = 1 << 30
"""For one process, about 60,000 decisions over 90 endpoints: five minutes at 200 requests/s."""
_FILE_BYTES = 16 << 20
_SUFFIX = ".jsonl"
_LINE = re.compile(rb'\["([0-9A-Za-z-]+)","([0-9A-Za-z-]+)",\[.*\]\]', re.DOTALL)


@dataclass(slots=True, eq=False)
class _File:
    """An open, locked file. `left` counts its lines that are not in the database yet."""

    path: Path
    descriptor: int
    size: int = 0
    left: int = 0

    def append(self, data: bytes) -> None:
        """Write at the end, all of it or nothing, and sync. Raises `OSError`."""
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(self.descriptor, data[done:], self.size + done)
            os.fdatasync(self.descriptor) if hasattr(os, "fdatasync") else os.fsync(self.descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self.descriptor, self.size)
            raise
        self.size += len(data)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


class _Line(NamedTuple):
    """Where a decision stands, and whose it is."""

    tenant_id: str
    file: _File
    offset: int
    length: int


class Spill:
    """The decisions of this process, and of dead ones, that wait in `folder`. For one event loop, one call at a time
    of those that are awaited.
    """

    def __init__(
        self, folder: Path, clock: Clock, *, limit_bytes: int = _LIMIT_BYTES, file_bytes: int = _FILE_BYTES
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._file_bytes = file_bytes
        self._files: list[_File] = []
        self._filled: _File | None = None
        self._lines: dict[str, _Line] = {}

    @property
    def count(self) -> int:
        """How many decisions wait."""
        return len(self._lines)

    def oldest(self, count: int) -> list[str]:
        """Ids of those that have waited longest."""
        return list(islice(self._lines, count))

    def tenant_of(self, decision_id: str) -> str | None:
        """Whose decision waits here under this id, if one does."""
        line = self._lines.get(decision_id)
        return None if line is None else line.tenant_id

    def read(self, decision_id: str) -> DecisionRow:
        """A decision that waits, as it was written. Raises `OSError`."""
        line = self._lines[decision_id]
        text = os.pread(line.file.descriptor, line.length, line.offset)
        row = text[len(_before(decision_id, line.tenant_id)) : -len(_AFTER)]
        return DecisionRow(decision_id, line.tenant_id, row.decode())

    async def add(self, rows: Iterable[DecisionRow]) -> None:
        """Take the decisions. Raises `OSError`, and has taken none, when the folder cannot be written or is full."""
        lines = {row.id: (row.tenant_id, _before(row.id, row.tenant_id) + row.json.encode() + _AFTER) for row in rows}
        if lines:
            await self._append(lines)

    def discard(self, decision_id: str) -> None:
        """This one is in the database, or never will be. A file that holds nothing else is removed."""
        line = self._lines.pop(decision_id, None)
        if line is not None:
            line.file.left -= 1
            if not line.file.left:
                self._remove(line.file)

    async def adopt(self) -> int:
        """Take over what dead processes left. Returns how many torn lines were passed over. Raises `OSError`."""
        torn = 0
        for path in await asyncio.to_thread(self._left_behind):
            found = await asyncio.to_thread(_adopted, path)
            if found is None:
                continue
            file, lines, torn_here = found
            torn += torn_here
            self._files.append(file)
            for decision_id, line in lines.items():
                if decision_id not in self._lines:
                    self._lines[decision_id] = line
                    file.left += 1
            if not file.left:
                self._remove(file)
        return torn

    def close(self) -> None:
        """Let go of the files: what waits in them is the next process's."""
        for file in self._files:
            os.close(file.descriptor)
        self._files.clear()
        self._lines.clear()
        self._filled = None

    # -- inside

    async def _append(self, lines: dict[str, tuple[str, bytes]]) -> None:
        data = b"".join(text for _, text in lines.values())
        if sum(file.size for file in self._files) + len(data) > self._limit_bytes:
            raise OSError(errno.ENOSPC, f"it holds {self._limit_bytes >> 20} MiB already", str(self.folder))
        file = self._filled
        if file is None or file.size >= self._file_bytes:
            file = self._filled = await asyncio.to_thread(self._new_file)
            self._files.append(file)
        offset = file.size
        file.left += len(lines)  # from here on, so that nobody removes the file
        try:
            await asyncio.to_thread(file.append, data)
        except OSError:
            file.left -= len(lines)
            if not file.left:
                self._remove(file)
            raise
        for decision_id, (tenant_id, text) in lines.items():
            self._lines[decision_id] = _Line(tenant_id, file, offset, len(text))
            offset += len(text)

    def _new_file(self) -> _File:
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        while True:
            path = self.folder / f"{new_id(self._clock)}{_SUFFIX}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            if _locked(path, descriptor):
                return _File(path, descriptor)
            os.close(descriptor)  # another process took it, empty, for a dead one's

    def _left_behind(self) -> list[Path]:
        """The files that are not ours, oldest first."""
        ours = {file.path for file in self._files}
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == _SUFFIX and path not in ours)
        except FileNotFoundError:
            return []

    def _remove(self, file: _File) -> None:
        self._files.remove(file)
        if file is self._filled:
            self._filled = None
        file.remove()


def _before(decision_id: str, tenant_id: str) -> bytes:
    """What stands before the row in its line."""
    return f'["{decision_id}","{tenant_id}",['.encode()


_AFTER = b"]]\n"


def _locked(path: Path, descriptor: int) -> bool:
    """Lock the file, unless a process holds it or has removed it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _adopted(path: Path) -> tuple[_File, dict[str, _Line], int] | None:
    """A dead process's file with its lines and the number of torn ones; None where its process lives."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if not _locked(path, descriptor):
        os.close(descriptor)
        return None
    file = _File(path, descriptor, size=os.fstat(descriptor).st_size)
    lines, torn, offset = {}, 0, 0
    for text in _content(file).splitlines(keepends=True):
        match = _LINE.fullmatch(text.removesuffix(b"\n")) if text.endswith(b"\n") else None
        if match is None:
            torn += 1
        else:
            lines[match[1].decode()] = _Line(match[2].decode(), file, offset, len(text))
        offset += len(text)
    return file, lines, torn


def _content(file: _File) -> bytes:
    parts, offset = [], 0
    while part := os.pread(file.descriptor, 1 << 24, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)
