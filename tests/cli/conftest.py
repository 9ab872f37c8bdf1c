"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import database_folder
from serving import Serving, serving


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that PostgreSQL's account can pass through where root runs the suite."""
    with database_folder() as folder:
        yield folder


@pytest.fixture
def home(folder: Path) -> Path:
    """Where a fresh install may keep its state; not there yet."""
    return folder / "home"


@pytest.fixture(scope="session")
def running() -> Iterator[Serving]:
    """One FreeRelay for the tests that only look, or add tenants."""
    with database_folder() as folder, serving(folder / "home") as it:
        yield it
