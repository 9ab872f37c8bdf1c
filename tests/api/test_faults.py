"""Clients of a fleet that is partly ill, in short; `make faults` asks many more times and knows the aims."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from itertools import count

import pytest

from benchmarks import brownout, faults
from benchmarks.faulty import MID_STREAM

_numbers = count(1)


@contextmanager
def on_a_database(databases, template):
    """Settings of an application on a database of its own."""
    name = f"faults_{next(_numbers)}"
    yield {"database_url": databases.create(name, template=template), "operator_key": "k" * 40}
    databases.drop(name)


@pytest.fixture
def settings(databases, migrated_template):
    with on_a_database(databases, migrated_template) as made:
        yield made


def test_with_half_of_the_providers_ill_every_end_is_a_right_answer_or_a_clear_error(settings, tmp_path):
    seen = asyncio.run(faults.measure(tmp_path, requests=300, each=5, **settings))
    assert (seen.wrong, seen.silent) == ([], [])
    assert seen.answered + seen.refused.total() + seen.broken_off.total() == seen.requests == 300
    assert seen.attempts <= 1.2 * seen.requests
    assert seen.raised == seen.truncations == 5 * len(MID_STREAM)
    assert set(seen.left.values()) == {0}


def test_to_find_out_who_is_ill_costs_few_answers(databases, migrated_template, tmp_path):
    """However many requests follow: 8 in a run of 10,000. A single run of 300 loses 3 to 11, by chance."""
    lost = 0
    for number in range(3):
        home = tmp_path / f"{number}"
        with on_a_database(databases, migrated_template) as settings:
            seen = asyncio.run(faults.measure(tmp_path, requests=300, each=0, home=home, **settings))
        lost += seen.requests - seen.answered
    assert lost <= 3 * 10


def test_a_brown_out_of_the_best_provider_is_hardly_noticed_and_an_outage_of_all_is_clear(settings, tmp_path):
    figures = {
        each["name"]: each["value"] for each in asyncio.run(brownout.measure(tmp_path, requests=100, **settings))
    }
    assert figures["healthy_answered"] == 1.0
    assert figures["brownout_answered"] >= 0.99
    assert figures["brownout_calls_per_request"] <= 1.2
    assert figures["down_answered_503"] == 1.0
