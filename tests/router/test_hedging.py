"""Hedging: a second endpoint beside a slow first one, against real providers on loopback."""

from __future__ import annotations

import asyncio
import json

import builders
import pytest
from hypothesis import given
from hypothesis import strategies as st
from upstreams import WORDS, Hanging, completion, good, status

from freerelay_core.decision import decide
from freerelay_core.policy import read_policy
from freerelay_core.profile import Depth
from freerelay_core.router.hedging import HedgeBudget, patience_s
from tests.router.test_router import rigged, text, tried

pytestmark = pytest.mark.anyio

RULE = {"rules": [{"name": "quick", "require_hedging": True}]}


@pytest.fixture
async def rig(upstream, anyio_backend, monkeypatch):
    """A router whose rule asks for hedging, whose budget allows it, and which waits a tenth of a second."""
    monkeypatch.setattr("freerelay_core.router.attempts.patience_s", lambda *_, **__: 0.1)
    async with rigged(upstream) as made:
        made.policy = read_policy(RULE, made.fleet.snapshot().endpoint_ids, source="test")
        for _ in range(20):
            made.router._hedges.earn()
        yield made


def costs(outcome):
    return [attempt["cost_usd"] for attempt in outcome.attempts]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_slow_first_endpoint_is_overtaken_cancelled_and_on_record_with_its_cost(rig, upstream, stream):
    slow = Hanging()
    upstream.plan("first", slow)
    execution, sent = await rig.run(stream=stream)
    assert (execution.status, execution.endpoint) == (200, "second/m")
    assert text(sent) == "".join(WORDS) if stream else json.loads(execution.body) == completion()
    assert await asyncio.to_thread(slow.left.wait, 10), "the slow one was not cancelled upstream"
    outcome = rig.record(execution).outcome
    lost, won = outcome.attempts
    assert (lost["endpoint"], lost["error"]) == ("first/m", "cancelled: second/m was quicker")
    assert (won["endpoint"], won["error"], won["hedge_after_s"]) == ("second/m", None, 0.1)
    assert lost["cost_estimated"] is True
    assert lost["cost_usd"] > 0
    assert outcome.cost_usd == pytest.approx(sum(costs(outcome)))


async def test_a_first_endpoint_that_is_in_time_is_asked_alone(rig, upstream):
    execution, _ = await rig.run()
    assert tried(execution) == ["first/m"]
    assert upstream.models() == ["first"]
    assert "cost_usd" not in rig.record(execution).outcome.attempts[0]


async def test_the_first_still_wins_when_it_is_quicker_in_the_end(rig, upstream):
    slower = Hanging()

    async def once_another_is_asked(request):
        assert await asyncio.to_thread(slower.began.wait, 10)
        await good(request)

    upstream.plan("first", once_another_is_asked)
    upstream.plan("second", slower)
    execution, sent = await rig.run(stream=True)
    assert execution.endpoint == "first/m"
    assert text(sent) == "".join(WORDS)
    assert await asyncio.to_thread(slower.left.wait, 10)
    outcome = rig.record(execution).outcome
    assert (outcome.endpoint, [bool(a.get("error")) for a in outcome.attempts]) == ("first/m", [False, True])
    assert outcome.cost_usd == pytest.approx(sum(costs(outcome)))


async def test_without_a_rule_nobody_is_hedged(rig, upstream):
    rig.policy = read_policy({}, rig.fleet.snapshot().endpoint_ids, source="test")

    async def after_a_while(request):
        await asyncio.sleep(0.3)
        await good(request)

    upstream.plan("first", after_a_while)
    execution, _ = await rig.run()
    assert tried(execution) == ["first/m"]


async def test_over_the_budget_nobody_is_hedged(rig, upstream):
    async def after_a_while(request):
        await asyncio.sleep(0.2)
        await good(request)

    upstream.plan("first", after_a_while)
    hedges = []
    for _ in range(3):
        execution, _ = await rig.run()
        hedges.append(len(execution.attempts) == 2)
    assert hedges == [True, False, False]


async def test_a_failing_pair_is_made_good_by_the_third_and_no_more_than_three_are_asked(rig, upstream):
    async def late_failure(request):
        await asyncio.sleep(0.2)
        await status(500)(request)

    upstream.plan("first", late_failure)
    upstream.plan("second", status(500))
    execution, _ = await rig.run()
    assert (tried(execution), execution.endpoint) == (["first/m", "second/m", "third/m"], "third/m")
    upstream.plan("third", status(500))
    execution, _ = await rig.run()
    assert (len(execution.attempts), execution.error.status) == (3, 502)


async def test_a_hedge_that_is_refused_does_not_take_the_answer_away(rig, upstream):
    async def after_a_while(request):
        await asyncio.sleep(0.3)
        await good(request)

    upstream.plan("first", after_a_while)
    upstream.plan("second", status(400))
    execution, _ = await rig.run()
    assert (execution.status, execution.endpoint) == (200, "first/m")
    assert [a["error"] for a in rig.record(execution).outcome.attempts] == [None, "status 400"]


async def test_a_refusal_is_passed_on_when_the_other_fails(rig, upstream):
    async def late_refusal(request):
        await asyncio.sleep(0.2)
        await status(400)(request)

    upstream.plan("first", late_refusal)
    upstream.plan("second", status(500))
    execution, _ = await rig.run()
    assert (execution.status, execution.endpoint) == (400, "first/m")


async def test_a_client_that_leaves_ends_both_attempts(rig, upstream):
    both = Hanging(), Hanging()
    for model, plan in zip(("first", "second"), both, strict=True):
        upstream.plan(model, plan)
    execution = rig.begin()
    task = asyncio.create_task(rig.router.execute(execution, rig.body))
    assert await asyncio.to_thread(both[1].began.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    execution.interrupt(499, "client_left")
    for plan in both:
        assert await asyncio.to_thread(plan.left.wait, 10)
    outcome = rig.record(execution).outcome
    assert [a["error"] for a in outcome.attempts] == ["client_left", "client_left"]


async def test_a_stream_is_waited_for_less_long_than_a_whole_answer(rig):
    decision = rig.begin().decision
    first = decision.order[0]
    to_content = patience_s(decision, first, streaming=True)
    whole = patience_s(decision, first, streaming=False)
    assert whole == decision.latencies_s[1][first]
    assert decision.snapshot.behaviour.first_token_median[first] < to_content < whole


def test_a_limited_stream_of_a_long_thinker_is_waited_for_no_longer_than_its_whole_answer():
    snapshot = builders.snapshot(builders.endpoint("a/thinks", thinking_tokens=2000), builders.endpoint("b/y"))
    profile = builders.request(depth=Depth.EXPERT, output_tokens=100, answer_limit=100, stream=True)
    decision = decide(snapshot, profile, decision_id="d")
    assert patience_s(decision, 0, streaming=True) <= patience_s(decision, 0, streaming=False)


@given(st.lists(st.booleans(), max_size=500))
def test_at_most_one_request_in_twenty_is_hedged(slow):
    budget, hedges = HedgeBudget(), 0
    for number, is_slow in enumerate(slow, start=1):
        budget.earn()
        if is_slow and budget.allows:
            budget.spend()
            hedges += 1
        assert hedges <= number * 0.05


async def test_simulated_attempts_are_hedged_and_on_record_in_unscaled_time(upstream, monkeypatch):
    monkeypatch.setattr("freerelay_core.behaviour.FAILURE_RATE", 0.0)
    async with rigged(upstream, real=frozenset()) as rig:
        rig.policy = read_policy(RULE, rig.fleet.snapshot().endpoint_ids, source="test")
        for _ in range(30):
            execution, _ = await rig.run(stream=True)
            if any(attempt.hedge_after_s is not None for attempt in execution.attempts):
                break
        outcome = rig.record(execution).outcome
        first, hedge = outcome.attempts
        assert outcome.basis == "simulated"
        assert hedge["hedge_after_s"] > 0.5
        won = hedge if outcome.endpoint == hedge["endpoint"] else first
        assert outcome.duration_s == pytest.approx(won.get("hedge_after_s", 0.0) + won["duration_s"])
