"""What outcomes taught, in the store: sums of all workers, and one grade a decision."""

from __future__ import annotations

import asyncio

import pytest

from freerelay_core.clock import SystemClock, new_id
from freerelay_core.errors import Conflict, NotFound
from freerelay_core.store import Lesson

pytestmark = [pytest.mark.anyio, pytest.mark.every_store]

LESSON = Lesson("quality", "chat", "a/x", False, 1, 0.5, 1.0, 0.8, 0.6)


async def test_sums_are_added_to_those_before_which_count_less(store):
    assert await store.add_lessons([LESSON]) == [LESSON]
    two = Lesson("quality", "chat", "a/x", False, 2, 0.5, 1.5, 1.0, 0.9)
    (changed,) = await store.add_lessons([two])
    assert (changed.outcomes, changed.weight, changed.total, changed.expected) == pytest.approx((3, 1.75, 1.2, 1.05))
    assert await store.lessons() == [changed]


async def test_simulated_lessons_stand_apart(store):
    simulated = Lesson("quality", "chat", "a/x", True, 1, 0.5, 1.0, 0.0, 0.6)
    await store.add_lessons([LESSON, simulated])
    assert sorted(await store.lessons(), key=lambda lesson: lesson.simulated) == [LESSON, simulated]


async def test_workers_that_save_at_once_lose_nothing(store):
    whole = Lesson("success", "", "a/x", False, 1, 1.0, 1.0, 1.0, 0.0)
    await asyncio.gather(*(store.add_lessons([whole, LESSON]) for _ in range(12)))
    assert {lesson.kind: lesson.outcomes for lesson in await store.lessons()} == {"success": 12, "quality": 12}
    assert next(lesson.total for lesson in await store.lessons() if lesson.kind == "success") == 12


async def test_saving_nothing_still_says_what_others_learned(store):
    await store.add_lessons([LESSON])
    assert await store.add_lessons([]) == [LESSON]


async def test_a_decision_is_graded_once(store):
    tenant = await store.create_tenant("ann@x", tier="free", allow_override=False)
    decision_id = new_id(SystemClock())
    await store.add_feedback(tenant.id, decision_id, 0.5)
    with pytest.raises(Conflict, match="graded once"):
        await store.add_feedback(tenant.id, decision_id, 1.0)
    with pytest.raises(NotFound):
        await store.add_feedback(tenant.id, "no id", 1.0)
