"""`freerelay tenant`, on another PostgreSQL and on a local install that is running or not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from serving import processes_of

from tests.cli.shell import freerelay, printed, refused


@pytest.fixture
def blank_database(databases: Any) -> Iterator[str]:
    """Connection string of an empty database, as somebody brings it along."""
    name = f"own_{os.getpid()}"
    yield databases.create(name)
    databases.drop(name)


def test_on_another_postgresql_tenants_are_added_and_listed(blank_database):
    assert "There is no tenant yet" in printed("tenant", "list", DATABASE_URL=blank_database)
    shown = printed("tenant", "add", "Ann@Example.com", "--tier", "gold", DATABASE_URL=blank_database)
    assert shown.startswith("ann@example.com: tier gold, override not allowed, id ")
    assert shown.splitlines()[1] == "Make its first key: freerelay key create ann@example.com"
    added = json.loads(
        printed("tenant", "add", "bob@example.com", "--allow-override", "--json", DATABASE_URL=blank_database)
    )
    assert (added["tier"], added["allow_override"], added["routing_preference"]) == ("free", True, None)
    listed = json.loads(printed("tenant", "list", "--json", DATABASE_URL=blank_database))
    assert [(each["email"], each["tier"]) for each in listed] == [
        ("ann@example.com", "gold"),
        ("bob@example.com", "free"),
    ]
    assert listed[1] == added
    table = printed("tenant", "list", DATABASE_URL=blank_database)
    assert "ann@example.com" in table
    assert "default (balanced)" in table


def test_what_cannot_be_added_is_refused_in_one_line(database):
    printed("tenant", "add", "ann@example.com", DATABASE_URL=database)
    assert "exists" in refused("tenant", "add", "ANN@example.com", DATABASE_URL=database)
    assert "no e-mail address" in refused("tenant", "add", "ann", DATABASE_URL=database)
    assert "free, bronze, silver, gold" in refused(
        "tenant", "add", "eve@example.com", "--tier", "platinum", DATABASE_URL=database
    )


def test_without_a_running_server_the_local_database_is_started_and_stopped_again(home):
    printed("tenant", "add", "ann@example.com", home=home)
    assert processes_of(home) == []
    (listed,) = json.loads(printed("tenant", "list", "--json", home=home))
    assert listed["email"] == "ann@example.com"
    assert processes_of(home) == []


def test_beside_a_running_server_its_database_is_joined_and_left_running(running):
    def emails() -> list[str]:
        return [each["email"] for each in json.loads(printed("tenant", "list", "--json", home=running.home))]

    before = emails()
    assert "demo@freerelay.local" in before
    printed("tenant", "add", f"ann{os.getpid()}@example.com", home=running.home)
    assert emails() == sorted([*before, f"ann{os.getpid()}@example.com"])
    assert running.database.is_running()


def test_a_budget_is_set_listed_and_taken_away(database):
    printed("tenant", "add", "ann@example.com", DATABASE_URL=database)
    shown = printed("tenant", "budget", "ann@example.com", "50", DATABASE_URL=database)
    assert shown == "ann@example.com: budget 50.00 USD a month\n"
    assert "budget 0.0045 USD" in printed("tenant", "budget", "ann@example.com", "0.0045", DATABASE_URL=database)
    assert "budget 1,234.56 USD" in printed("tenant", "budget", "ann@example.com", "1234.56", DATABASE_URL=database)
    printed("tenant", "budget", "ann@example.com", "50", DATABASE_URL=database)
    (listed,) = json.loads(printed("tenant", "list", "--json", DATABASE_URL=database))
    assert listed["budget_usd"] == 50.0
    assert "budget none" in printed("tenant", "budget", "ann@example.com", "none", DATABASE_URL=database)
    assert "budget 0 USD" in printed("tenant", "budget", "ann@example.com", "0", DATABASE_URL=database)
    assert "no tenant" in refused("tenant", "budget", "eve@example.com", "5", DATABASE_URL=database)


@pytest.mark.parametrize("wrong", ["-5", "-0.01", "-inf", "plenty", "nan", "1e12", "--all"])
def test_what_is_no_budget_is_refused_with_what_one_is_and_how_to_remove_it(wrong):
    line = refused("tenant", "budget", "ann@example.com", wrong)
    wanted = "write USD a month, from 0 to 1,000,000,000, or none to remove the budget."
    assert line == f"freerelay: {wrong!r} is no budget: {wanted}"


@pytest.mark.parametrize(
    "command",
    [
        ("tenant", "list"),
        ("tenant", "budget", "ann@example.com", "5"),
        ("key", "list", "ann@example.com"),
        ("key", "create", "ann@example.com"),
        ("key", "revoke", "ann@example.com", "fr_live_x"),
        ("learned",),
        ("decision", "replay", "01a21381-ebe3-7cea-81da-200f4055f1a6"),
    ],
    ids=" ".join,
)
def test_where_there_is_no_database_one_line_says_so_and_none_is_made(home, command):
    line = refused(*command, home=home)
    for word in ("no database", str(home), "FREERELAY_HOME"):
        assert word in line
    assert not home.exists()
    home.write_text("mine")
    assert f"{home} is a file" in refused(*command, home=home)


def test_the_first_tenant_makes_the_database_and_says_where(home):
    first = freerelay("tenant", "add", "ann@example.com", home=home)
    assert first.status == 0
    (line,) = first.stderr.splitlines()
    for word in ("new", str(home), "FREERELAY_HOME"):
        assert word in line
    assert freerelay("tenant", "add", "bob@example.com", home=home).stderr == ""
