"""`freerelay learned`: what the database knows beyond the catalogue."""

from __future__ import annotations

import asyncio
import json

from freerelay_core.clock import SystemClock
from freerelay_core.store import Lesson, PostgresStore
from tests.cli.shell import printed


async def add(dsn, *lessons):
    store = PostgresStore(dsn, clock=SystemClock())
    await store.open()
    await store.add_lessons(lessons)
    await store.close()


def test_what_was_learned_is_listed_with_its_weight_and_basis(database):
    where = {"DATABASE_URL": database}
    assert "Nothing yet" in printed("learned", **where)
    graded = Lesson(
        "quality", "chat", "a/x", simulated=False, outcomes=3, decay=0.9, weight=2.0, total=1.5, expected=1.8
    )
    asyncio.run(add(database, graded))
    (row,) = json.loads(printed("learned", "--json", **where))
    assert (row["kind"], row["scope"], row["endpoint"], row["outcomes"], row["mean"]) == (
        "quality",
        "chat",
        "a/x",
        3,
        0.75,
    )
    assert (row["prior_weight"], row["half_life"]) == (10, 500)
    drawn = printed("learned", **where)
    assert "measured" in drawn
    assert "0.75" in drawn
    assert " 500 " in drawn


def test_an_ordinary_terminal_shows_whole_words_and_plain_numbers(database):
    tenant = "a451910e-7a6d-48f0-8a3e-0123456789ab"
    taught = [
        Lesson(kind, scope, "openrouter-free/nemotron-3-super", True, 1, 0.9, 1.0, total, expected=1.0)
        for kind, scope, total in (("thinking_tokens", "chat", 2048.0), ("cached_share", tenant, 0.25))
    ]
    asyncio.run(add(database, *taught))
    drawn = printed("learned", DATABASE_URL=database, COLUMNS="80")
    whole_words = ("thinking_tokens", "cached_share", "openrouter-free/nemotron-3-super", "outcomes", "simulated")
    for whole in (*whole_words, " 2,048 ", " 0.25 "):
        assert whole in drawn, whole
    assert "…" not in drawn
