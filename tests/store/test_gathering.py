"""Questions asked together: everybody who asked is answered, whatever becomes of the store."""

from __future__ import annotations

import asyncio

import pytest

from freerelay_core.errors import StoreUnavailable
from freerelay_core.store.gathering import Gathered

pytestmark = pytest.mark.anyio


class Asked:
    """What is asked waits in `open`, as its keys and a future that decides the answer."""

    def __init__(self):
        self.open = asyncio.Queue()

    async def __call__(self, keys):
        decided = asyncio.get_running_loop().create_future()
        self.open.put_nowait((list(keys), decided))
        return await decided


async def caller(gathered, key):
    task = asyncio.create_task(gathered.get(key))
    await asyncio.sleep(0)
    return task


async def ended(*tasks):
    """What the callers got; fails when one still waits."""
    async with asyncio.timeout(20):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def test_those_who_come_meanwhile_are_asked_for_together():
    asked = Asked()
    gathered = Gathered(asked)
    callers = [await caller(gathered, key) for key in "abcd"]
    (one, of_one), (other, of_other) = await asked.open.get(), await asked.open.get()
    assert (one, other) == (["a"], ["b"])

    of_one.set_result({"a": 1})
    together, of_both = await asked.open.get()
    of_both.set_result({"d": 4})
    of_other.set_result({"b": 2})

    assert together == ["c", "d"]
    assert await ended(*callers) == [1, 2, None, 4]


async def test_a_key_asked_for_again_behind_a_question_that_fails_fails_with_it():
    asked = Asked()
    gathered = Gathered(asked)
    first, other, again = [await caller(gathered, key) for key in "aba"]
    (_, of_first), (_, of_other) = await asked.open.get(), await asked.open.get()

    of_first.set_exception(StoreUnavailable("away"))

    for answer in await ended(first, again):
        assert isinstance(answer, StoreUnavailable)
    of_other.set_result({"b": 1})
    assert await ended(other) == [1]
