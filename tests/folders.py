"""Folders for what a test leaves on no disk: the homes of databases."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - only where to look for room; the folder itself is made by `mkdtemp`
_NEEDED_BYTES = 2 << 30
"""What the databases of the whole suite may take at one time, with their write-ahead logs."""


@contextmanager
def database_folder() -> Iterator[Path]:
    """An empty folder that every account can pass through, with a path short enough for a socket.

    It lies in memory where there is room: on a disk the copy of a database takes half a second, in memory 0.03.
    """
    folder = Path(tempfile.mkdtemp(prefix="fr-", dir=_MEMORY if _has_room() else None))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _has_room() -> bool:
    return os.access(_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(_MEMORY).free > _NEEDED_BYTES
