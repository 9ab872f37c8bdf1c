"""What the tests of the command line share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving import Serving, serving


@contextmanager
def _reachable_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's account can pass through where root runs the suite; pytest's own are closed to it."""
    with tempfile.TemporaryDirectory(prefix="freerelay-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder."""
    with _reachable_folder() as folder:
        yield folder


@pytest.fixture
def home(folder: Path) -> Path:
    """Where a fresh install may keep its state; not there yet."""
    return folder / "home"


@pytest.fixture(scope="module")
def running() -> Iterator[Serving]:
    """One FreeRelay for the tests that only look."""
    with _reachable_folder() as folder, serving(folder / "home") as it:
        yield it
