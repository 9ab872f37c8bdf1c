"""Changes with an idempotency key: made once, remembered with the change or not at all, and forgotten after a day."""

# ruff: noqa: S608 -- the statements are this file's own

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace

import psycopg
import pytest
from conftest import open_store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freerelay_core.clock import SystemClock, new_id
from freerelay_core.errors import Conflict, NotFound, StoreUnavailable, UnprocessableRequest
from freerelay_core.preference import RoutingPreference
from freerelay_core.store import IdempotencyKey
from tests.store.helpers import until

pytestmark = [pytest.mark.anyio, pytest.mark.every_store]

COST, BALANCED, PERFORMANCE = RoutingPreference
ANSWER = '{"är": 1.50, "settings_version":"@settings_version","updated_at":"@updated_at"}'
DECISION = "0198c0de-0000-7000-8000-000000000000"


def named(tenant, key="k", request=("x",), use=("settings",)):
    return IdempotencyKey.of(key, tenant_id=tenant.id, use=use, request=request)


async def save(store, tenant, preference=COST, *, key="k", answer=ANSWER, **options):
    name = named(tenant, key, [preference, options.get("expected_version")])
    return await store.set_routing_preference_once(tenant.id, preference, actor="x", key=name, answer=answer, **options)


async def grade(store, tenant, score=0.5, *, decision_id=DECISION, answer="first"):
    name = named(tenant, request=[score], use=["feedback", decision_id])
    return await store.add_feedback_once(tenant.id, decision_id, score, key=name, answer=answer)


async def test_a_repetition_gets_the_answer_of_the_first_and_writes_nothing(store, tenant):
    first = await save(store, tenant)
    await store.set_routing_preference(tenant.id, BALANCED, actor="somebody else")

    again = await save(store, tenant, answer="{}")

    assert (first.replayed, again.replayed) == (False, True)
    assert again.answer == first.answer
    assert (first.tenant.routing_preference, first.tenant.settings_version) == (COST, 2)
    assert again.tenant == await store.tenant(tenant.id)  # who repeats it may have missed both changes
    written = f'"settings_version":2,"updated_at":"{first.tenant.updated_at.isoformat(timespec="microseconds")}"'
    assert first.answer == '{"är": 1.50, ' + written + "}"
    assert (await store.tenant(tenant.id)).routing_preference is BALANCED
    assert [change.new_value for change in await store.settings_history(tenant.id)] == ["balanced", "cost-optimized"]


async def test_the_audit_names_who_made_it(store, tenant):
    await store.set_routing_preference_once(tenant.id, COST, actor="key:1", key=named(tenant), answer=ANSWER)
    (change,) = await store.settings_history(tenant.id)
    assert (change.actor, change.old_value, change.new_value) == ("key:1", None, "cost-optimized")


async def test_what_changes_nothing_is_remembered_too(store, tenant):
    await store.set_routing_preference(tenant.id, COST, actor="x")
    first = await save(store, tenant)
    assert (first.replayed, first.tenant.settings_version) == (False, 2)
    assert await save(store, tenant) != first
    assert (await save(store, tenant)).answer == first.answer


async def test_taking_the_choice_back_is_made_once_as_well(store, tenant):
    await store.set_routing_preference(tenant.id, COST, actor="x")
    assert (await save(store, tenant, None)).tenant.routing_preference is None
    assert (await save(store, tenant, None)).replayed


async def test_the_same_key_for_something_else_is_refused_and_changes_nothing(store, tenant):
    first = await save(store, tenant)
    with pytest.raises(UnprocessableRequest, match="another request") as refused:
        await save(store, tenant, BALANCED)
    assert (refused.value.code, refused.value.param) == ("idempotency_key_reused", "Idempotency-Key")
    assert await store.tenant(tenant.id) == first.tenant


async def test_another_tenants_key_is_another_one(store, tenant):
    other = await store.create_tenant("bob@x", tier="free", allow_override=False)
    first, second = await save(store, tenant), await save(store, other, BALANCED)
    assert (first.replayed, second.replayed) == (False, False)
    assert second.tenant.id == other.id
    # Nor does the row of one answer the other, were the digests the same.
    same = {"key": named(tenant, request=[COST, None]), "answer": "{}", "actor": "x"}
    stranger = await store.create_tenant("cid@x", tier="free", allow_override=False)
    assert not (await store.set_routing_preference_once(stranger.id, COST, **same)).replayed


async def test_a_refusal_is_not_remembered(store, tenant, sql):
    with pytest.raises(Conflict, match="version 1, not 7") as stale:
        await save(store, tenant, expected_version=7)
    assert stale.value.code == "settings_changed"
    with pytest.raises(NotFound):
        await save(store, replace(tenant, id=DECISION))
    assert sql.value("select count(*) from remembered_answers") == 0
    assert not (await save(store, tenant, expected_version=1)).replayed


async def test_a_repetition_of_a_write_on_a_version_is_no_conflict(store, tenant):
    first = await save(store, tenant, expected_version=1)
    assert (await save(store, tenant, expected_version=1)).answer == first.answer


async def test_a_grade_is_kept_once_and_its_repetition_answered_alike(store, tenant, sql):
    first = await grade(store, tenant)
    again = await grade(store, tenant, answer="second")
    assert (first.answer, first.replayed, again.answer, again.replayed) == ("first", False, "first", True)
    with pytest.raises(UnprocessableRequest, match="another request"):
        await grade(store, tenant, 1.0)
    assert not (await grade(store, tenant, 1.0, decision_id=new_id(SystemClock()))).replayed
    assert sql.value("select score from feedback where decision_id = %s", DECISION) == 0.5


async def test_a_second_grade_under_a_key_is_refused_as_without_one(store, tenant, sql):
    await store.add_feedback(tenant.id, DECISION, 0.5)
    with pytest.raises(Conflict, match="graded once"):
        await grade(store, tenant)
    with pytest.raises(NotFound):
        await grade(store, tenant, decision_id="no id")
    assert sql.value("select count(*) from remembered_answers") == 0


@pytest.mark.parametrize(("age", "known"), [("23 hours 59 minutes", True), ("24 hours", False)])
async def test_a_key_is_new_again_after_a_day(store, tenant, sql, age, known):
    first = await save(store, tenant)
    sql.owner(f"update remembered_answers set at = at - interval '{age}'")

    again = await save(store, tenant, answer='"new"')

    assert (again.replayed, again.answer) == ((True, first.answer) if known else (False, '"new"'))
    if not known:
        assert (await save(store, tenant)).answer == '"new"'
        assert not (await save(store, tenant, BALANCED, key="other")).replayed


async def test_what_is_older_than_a_day_goes_with_the_next_write(store, tenant, sql):
    for key in "ab":
        await save(store, tenant, key=key)
    sql.owner("update remembered_answers set at = at - interval '24 hours'")

    last = await save(store, tenant, BALANCED, key="c")

    assert sql.owner("select answer from remembered_answers") == [(last.answer,)]


async def test_much_that_is_older_goes_bit_by_bit_and_holds_up_no_write(store, tenant, sql):
    sql.owner(
        "insert into remembered_answers (user_id, key_hash, request_hash, answer, at) "
        f"select '{tenant.id}', n, '', '', now() - interval '24 hours' - n * interval '1 second' "
        "from generate_series(1, 1500) n"
    )
    assert not (await save(store, tenant)).replayed
    assert sql.value("select count(*) from remembered_answers") == 501
    assert sql.value("select max(at) - min(at) < interval '24 hours 501 seconds' from remembered_answers")


async def test_what_is_older_than_a_day_goes_also_where_nobody_sends_keys(store, tenant, sql, make_decision):
    for key in "ab":
        await save(store, tenant, key=key)
    sql.owner(
        "update remembered_answers set at = at - interval '24 hours' where key_hash = %s", key_hash_of(tenant, "a")
    )

    await store.append_decisions([make_decision(tenant.id)])  # what a worker tidies once an hour comes first

    assert sql.owner("select key_hash from remembered_answers") == [(key_hash_of(tenant, "b"),)]


def key_hash_of(tenant, key):
    return named(tenant, key).key_hash


async def test_neither_key_nor_what_was_asked_is_stored(store, tenant, sql):
    await save(store, tenant, key="my-key-1234")
    (row,) = sql.owner("select user_id::text, key_hash, request_hash, answer from remembered_answers")
    assert "my-key-1234" not in "".join(row)
    assert {len(digest) for digest in row[1:3]} == {64}


async def test_a_key_that_another_transaction_holds_is_a_conflict_and_works_afterwards(store, tenant, database):
    name = named(tenant, request=[COST, None])
    with psycopg.connect(database) as other:
        other.execute("select recall_answer(%s, %s, %s)", [tenant.id, name.key_hash, name.request_hash])
        with pytest.raises(Conflict) as held:
            await save(store, tenant)
        assert held.value.code == "idempotency_key_in_use"
        assert not (await save(store, tenant, BALANCED, key="another")).replayed
    assert not (await save(store, tenant)).replayed


LOCKED_OUT = "from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


async def test_a_write_that_dies_on_the_way_has_neither_changed_nor_remembered_anything(store, tenant, database, sql):
    with psycopg.connect(database) as other:
        other.execute("select 1 from users for update")
        writing = asyncio.create_task(save(store, tenant))
        await until(lambda: writing.done() or sql.value(f"select count(*) {LOCKED_OUT}") == 1)
        sql.owner(f"select pg_terminate_backend(pid) {LOCKED_OUT}")
        with pytest.raises(StoreUnavailable):
            await writing
    assert sql.value("select count(*) from remembered_answers") == 0
    assert await store.tenant(tenant.id) == tenant

    again = await save(store, tenant)

    assert (again.replayed, again.tenant.settings_version) == (False, 2)


async def test_a_write_whose_answer_cannot_be_kept_is_none(store, tenant, sql):
    sql.owner("alter table remembered_answers add constraint short check (length(answer) < 500)")
    try:
        with pytest.raises(Exception, match="short"):
            await save(store, tenant, answer="x" * 500)
        with pytest.raises(Exception, match="short"):
            await grade(store, tenant, answer="x" * 500)
    finally:
        sql.owner("alter table remembered_answers drop constraint short")
    assert await store.tenant(tenant.id) == tenant
    assert sql.value("select count(*) from feedback") == 0


async def test_of_many_at_once_one_writes_and_all_are_answered_alike(store, store_kind, database, tenant):
    async with open_store(store_kind, database) as other:
        answers = await asyncio.gather(*(save(worker, tenant) for worker in [store, other] * 6))
        grades = await asyncio.gather(*(grade(w, tenant, answer=str(n)) for n, w in enumerate([store, other] * 6)))
    for found in (answers, grades):
        assert len({each.answer for each in found}) == 1
        assert sum(not each.replayed for each in found) == 1
    assert (await store.tenant(tenant.id)).settings_version == 2


# -- any order of repetitions ------------------------------------------------------------------------------------------

SENT = st.tuples(
    st.integers(0, 1),  # the worker that gets it
    st.sampled_from("abc"),  # its key
    st.sampled_from(RoutingPreference),
    st.one_of(st.none(), st.integers(0, 20)),  # after how many turns of the loop its client has left
)
AT_ONCE = st.lists(SENT, min_size=1, max_size=6)


def test_any_interleaving_of_repetitions_makes_each_change_once(database, store_kind):
    numbers = iter(range(10_000))

    with asyncio.Runner() as runner:
        running = AsyncExitStack()
        workers = [runner.run(running.enter_async_context(open_store(store_kind, database))) for _ in range(2)]

        @settings(max_examples=25, suppress_health_check=list(HealthCheck))
        @given(st.lists(AT_ONCE, min_size=1, max_size=4))
        def hold(rounds):
            runner.run(_each_key_writes_once(workers, f"t{next(numbers)}@x", rounds))

        try:
            hold()
        finally:
            runner.run(running.aclose())


async def _each_key_writes_once(workers, email, rounds):
    tenant = await workers[0].create_tenant(email, tier="free", allow_override=False)
    answers: dict[str, list] = {}
    wished: dict[str, RoutingPreference] = {}

    async def send(worker, key, preference, leaves_after=None):
        sent = asyncio.create_task(save(workers[worker], tenant, preference, key=key))
        if leaves_after is not None:
            for _ in range(leaves_after):
                await asyncio.sleep(0)
            sent.cancel()
        try:
            answered = await sent
        except asyncio.CancelledError:
            return
        except UnprocessableRequest as refused:
            if refused.code != "idempotency_key_reused":
                raise
            return
        assert wished.setdefault(key, preference) == preference
        answers.setdefault(key, []).append(answered)

    for requests in rounds:
        await asyncio.gather(*(send(*request) for request in requests))
    for key in sorted({key for requests in rounds for _, key, *_ in requests}):
        # Where every client left, nobody knows which of its wishes was heard.
        for preference in [wished[key]] if key in wished else RoutingPreference:
            await send(0, key, preference)

    history = await workers[1].settings_history(tenant.id)
    now = await workers[1].tenant(tenant.id)
    assert now.settings_version == 1 + len(history)
    assert len(history) <= len(answers), "a key changed the settings twice"
    for found in answers.values():
        assert len({each.answer for each in found}) == 1
        assert sum(not each.replayed for each in found) <= 1
        assert json.loads(found[0].answer)["settings_version"] <= now.settings_version
