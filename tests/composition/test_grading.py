"""Grades that come again with their key: the fleet learns from each once, whatever answer of the database is lost."""

from __future__ import annotations

import builders
import pytest

from freerelay_core.clock import SystemClock
from freerelay_core.composition.grading import Grading
from freerelay_core.errors import StoreUnavailable
from freerelay_core.fleet import Fleet
from freerelay_core.store import DecisionLog, PostgresStore
from tests.store.line import line_to_database

pytestmark = pytest.mark.anyio

COMMITTED = b"C\0\0\0\x0bCOMMIT\0"
"""What PostgreSQL says of a transaction that it has committed."""


class Process:
    """What one process of the server grades with, on a store that others share."""

    def __init__(self, store):
        base = builders.snapshot(builders.endpoint("a/b"))
        self.fleet = Fleet(base, SystemClock(), worker="w", epoch_s=0.1, prices_on=lambda _: base.prices)
        self.log = DecisionLog(store, SystemClock())
        self.grading = Grading(store, self.log, self.fleet, {"a/b": 0})
        self._learned = 0.0

    def decided(self, tenant):
        """A decision that was answered a moment ago, and is not in the database yet."""
        made = builders.logged_decision(SystemClock(), tenant.id, basis="simulated")
        self.log.record(made.id, lambda: made)
        return made

    def learned(self):
        """How many grades the fleet has learned from so far; of many the older ones count less."""
        self._learned += sum(lesson.weight for lesson in self.fleet.lessons.take_unsaved() if lesson.kind == "quality")
        return self._learned


@pytest.fixture
async def line(database):
    async with line_to_database(database) as made:
        yield made


@pytest.fixture
async def store(line):
    opened = PostgresStore(line.address, clock=SystemClock())
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def process(store):
    return Process(store)


@pytest.fixture
async def ann(store):
    return await store.create_tenant("ann@x", tier="free", allow_override=False)


async def grade(process, ann, decision):
    """Whether the answer was that of an earlier request."""
    answered = await process.grading.grade_once(ann, decision.id, 1.0, key="k", answer=lambda graded: graded.endpoint)
    return answered.replayed


async def grade_unheard(line, process, ann, decision):
    """The database commits, and its answer is lost."""
    line.cut_at = COMMITTED
    with pytest.raises(StoreUnavailable):
        await grade(process, ann, decision)
    line.cut_at = None
    line.mend()


async def test_a_grade_whose_commit_was_not_heard_of_is_learned_when_it_comes_again_and_once(line, process, ann):
    decision = process.decided(ann)
    await grade_unheard(line, process, ann, decision)
    assert process.learned() == 0
    assert [await grade(process, ann, decision) for _ in range(3)] == [True] * 3
    assert process.learned() == 1


async def test_a_grade_that_was_not_written_is_learned_once_when_it_is(line, process, ann):
    decision = process.decided(ann)
    line.cut()
    with pytest.raises(StoreUnavailable):
        await grade(process, ann, decision)
    line.mend()
    assert [await grade(process, ann, decision) for _ in range(2)] == [False, True]
    assert process.learned() == 1


async def test_a_grade_that_was_learned_is_not_learned_again_when_a_repetition_is_not_heard_of(line, process, ann):
    decision = process.decided(ann)
    await grade(process, ann, decision)
    await grade_unheard(line, process, ann, decision)
    assert await grade(process, ann, decision)
    assert process.learned() == 1


async def test_a_grade_that_another_process_made_teaches_this_one_nothing(store, process, ann):
    other, decision = Process(store), process.decided(ann)
    other.log.record(decision.id, lambda: decision)
    await grade(other, ann, decision)
    assert await grade(process, ann, decision)
    assert (other.learned(), process.learned()) == (1, 0)


async def test_what_was_not_heard_of_is_remembered_for_the_last_thousand_decisions(line, process, ann):
    lost, *others = (process.decided(ann) for _ in range(1001))
    await grade_unheard(line, process, ann, lost)
    for decision in others:
        await grade(process, ann, decision)
    before = process.learned()
    assert await grade(process, ann, lost)
    assert process.learned() == before
