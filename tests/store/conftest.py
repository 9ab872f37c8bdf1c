"""Fixtures of the store's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from folders import database_folder

from freerelay_core.store import DecisionRecord, Tenant
from tests.store.embedded_server import stop_left_over
from tests.store.helpers import ManualClock, Sql, decision

_numbers = count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Declare what modules here say of themselves."""
    config.addinivalue_line("markers", "every_store: what every store promises, on PostgreSQL and on Supabase's wire")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of such modules with each store."""
    if "store_kind" in metafunc.fixturenames and metafunc.definition.get_closest_marker("every_store"):
        metafunc.parametrize("store_kind", ["postgresql", "supabase"])


@pytest.fixture
def sql(database: str) -> Iterator[Sql]:
    """Raw SQL on the test's database."""
    opened = Sql(database)
    yield opened
    opened.close()


@pytest.fixture
def blank(databases: Any) -> Iterator[str]:
    """Connection string of an empty database."""
    name = f"blank_{next(_numbers)}"
    yield databases.create(name)
    databases.drop(name)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock()


@pytest.fixture
def make_decision() -> Callable[..., DecisionRecord]:
    """Maker of decision records."""
    return decision


@pytest.fixture
def home() -> Iterator[Path]:
    """A home (not made yet) with a short path that every account can reach."""
    with database_folder() as folder:
        yield folder / "home"
        stop_left_over(folder / "home")


@pytest.fixture(params=["reachable", "private"])
def any_home(request: pytest.FixtureRequest, home: Path) -> Path:
    """The same twice: root's server runs as a lent account where that can reach the home, else in a namespace."""
    home.parent.chmod(0o711 if request.param == "reachable" else 0o700)
    return home


@pytest.fixture
async def tenant(store: Any) -> Tenant:
    """A tenant of the module's store."""
    made: Tenant = await store.create_tenant("ann@x", tier="free", allow_override=False)
    return made
