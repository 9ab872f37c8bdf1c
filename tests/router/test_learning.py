"""What answers teach the fleet, and what they must not."""

from __future__ import annotations

import numpy as np
import pytest
from router_rig import BODY
from upstreams import (
    broken_stream,
    delta,
    saying,
    status,
)

pytestmark = pytest.mark.anyio


async def test_an_answered_stream_teaches_its_endpoint_alone_how_fast_it_is(rig, upstream):
    end = [delta(finish_reason="stop"), {"choices": [], "usage": {"prompt_tokens": 24, "completion_tokens": 4}}]
    upstream.plan("first", broken_stream(*end, cut=False))
    execution, _ = await rig.run(stream=True)
    rig.router.learn(execution, rig.body, tenant_id="t")
    counts = {health.endpoint: health.first_token_count for health in rig.fleet.health()}
    assert counts.pop("first/m") == 1
    assert set(counts.values()) == {0}


async def test_a_slow_down_under_answers_in_one_piece_is_noticed_at_that_endpoint_alone(rig, upstream):
    upstream.plan("first", saying("The quick brown fox", completion_tokens=50))
    before = rig.fleet.snapshot().behaviour
    for _ in range(20):
        execution, _ = await rig.run(only="first/m")
        execution.answering.duration_s = 10.0
        rig.router.learn(execution, rig.body, tenant_id="t")
    after = rig.fleet.snapshot().behaviour
    index = execution.answering.index
    assert after.first_token_median[index] > 3 * before.first_token_median[index]
    assert after.speed_median[index] < before.speed_median[index] / 3
    assert np.delete(after.speed_median, index) == pytest.approx(np.delete(before.speed_median, index))


CODE = [{"role": "user", "content": "Fix this:\n```python\ndef add(a, b):\n    return a - b\n```"}]


async def test_what_fails_in_one_family_is_not_held_against_the_others(rig, upstream):
    for _ in range(20):
        upstream.plan("first", status(500))
        await rig.run(only="first/m", messages=CODE)
        upstream.plan("first", saying("Hello"))
        await rig.run(only="first/m")
    code, chat, other = (
        rig.begin(only="first/m", messages=messages).decision.row(0).factors["success"][0]
        for messages in (CODE, BODY["messages"], [{"role": "user", "content": "Translate into French: good morning"}])
    )
    assert code < other - 0.1 < chat - 0.2


async def test_a_form_that_one_family_breaks_lowers_its_quality_at_that_endpoint(rig, upstream):
    form, before = {"type": "json_object"}, {}
    for messages, text in ((CODE, "Sure! Here:"), (BODY["messages"], '{"ok": true}')) * 20:
        key = messages is CODE
        before.setdefault(key, rig.begin(only="first/m", messages=messages).decision.row(0).quality)
        upstream.plan("first", saying(text))
        execution, _ = await rig.run(only="first/m", messages=messages, response_format=form)
        rig.router.learn(execution, rig.body, tenant_id="t")
    after = {
        messages is CODE: rig.begin(only="first/m", messages=messages).decision.row(0).quality
        for messages in (CODE, BODY["messages"])
    }
    assert after[True] < 0.95 * before[True]
    assert after[False] >= before[False]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("several", [False, True])
async def test_several_answers_side_by_side_teach_no_times_and_no_lengths(rig, upstream, stream, several):
    usage = {"prompt_tokens": 24, "completion_tokens": 50}
    end = [delta(finish_reason="stop"), {"choices": [], "usage": usage}]
    upstream.plan("first", broken_stream(*end, cut=False) if stream else saying("The quick brown fox", **usage))
    before = rig.fleet.snapshot()
    execution, _ = await rig.run(stream=stream, only="first/m", n=2 if several else 1)
    assert execution.usage.output_tokens == 50
    rig.router.learn(execution, rig.body, tenant_id="t")
    after = rig.fleet.snapshot()
    moved = [
        not np.array_equal(getattr(old, name), getattr(new, name))
        for old, new, name in (
            (before.behaviour, after.behaviour, "first_token_median"),
            (before.learned, after.learned, "output_ratio"),
            (before.learned, after.learned, "usual_output_ratio"),
        )
    ]
    assert moved == [not several] * 3


@pytest.mark.parametrize(("limit", "learns"), [(50, False), (400, False), (4_000, True)])
async def test_a_limit_near_to_what_is_expected_teaches_no_length_whether_it_cut_off_or_not(
    rig, upstream, limit, learns
):
    upstream.plan("first", saying("The quick brown fox", prompt_tokens=24, completion_tokens=50))
    before = rig.fleet.snapshot().learned
    execution, _ = await rig.run(only="first/m", max_tokens=limit)
    rig.router.learn(execution, rig.body, tenant_id="t")
    after = rig.fleet.snapshot().learned
    assert (not np.array_equal(before.output_ratio, after.output_ratio)) == learns


@pytest.mark.parametrize(("limit", "learns"), [(50, False), (51, True)])
async def test_json_that_the_limit_broke_off_is_said_and_not_held_against_the_endpoint(rig, upstream, limit, learns):
    upstream.plan("first", saying('{"answer": "The quick', prompt_tokens=24, completion_tokens=50))
    execution, _ = await rig.run(only="first/m", max_tokens=limit, response_format={"type": "json_object"})
    rig.router.learn(execution, rig.body, tenant_id="t")
    assert execution.schema_pass is False
    assert rig.fleet.snapshot().learned.schema_seen.any() == learns


def ending(finish_reason, text, *, stream, **usage):
    """An answer with these counts, in one piece or as a stream."""
    if not stream:
        return saying(text, finish_reason, **usage)
    end = [delta(text), delta(finish_reason=finish_reason), {"choices": [], "usage": usage}, b"[DONE]"]
    return broken_stream(*end, cut=False)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("limit", [None, 4_000])
@pytest.mark.parametrize(("finish_reason", "cut_off"), [("stop", False), ("length", True)])
async def test_what_the_provider_says_it_cut_off_teaches_neither_lengths_nor_form(
    rig, upstream, finish_reason, cut_off, limit, stream
):
    """Without any limit of the request it is the endpoint's own that ended it."""
    usage = {"prompt_tokens": 24, "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 0}}
    upstream.plan("first", ending(finish_reason, '{"answer": "The quick', stream=stream, **usage))
    before = rig.fleet.snapshot()
    asked = {"messages": [{"role": "user", "content": "Hello, what is new? " * 9}]} | (
        {} if limit is None else {"max_tokens": limit}
    )
    execution, _ = await rig.run(only="first/m", stream=stream, response_format={"type": "json_object"}, **asked)
    rig.router.learn(execution, rig.body, tenant_id="t")
    after = rig.fleet.snapshot()
    moved = {
        name
        for name in ("output_ratio", "usual_output_ratio", "thinking_tokens", "schema_seen", "input_ratio")
        if not np.array_equal(getattr(before.learned, name), getattr(after.learned, name))
    }
    lessons_of_a_whole_one = {"output_ratio", "usual_output_ratio", "schema_seen"}
    assert moved == {"input_ratio"} | (set() if cut_off else lessons_of_a_whole_one)
    assert execution.schema_pass is False
    assert not np.array_equal(before.behaviour.first_token_median, after.behaviour.first_token_median)


async def test_thinking_of_what_was_cut_off_is_learned_where_it_is_longer_than_expected(rig, upstream):
    """It would have been longer still: whoever thinks all away would never be found out else."""
    learned = []
    for finish_reason, reasoning in (("length", 3_000), ("length", 10), ("stop", 10)):
        usage = {"completion_tokens": 3_000, "completion_tokens_details": {"reasoning_tokens": reasoning}}
        upstream.plan("first", saying("", finish_reason, **usage))
        execution, _ = await rig.run(only="first/m")
        rig.router.learn(execution, rig.body, tenant_id="t")
        learned.append(rig.fleet.snapshot().learned.thinking_tokens[:, execution.answering.index].max())
    assert learned[0] > 100
    assert learned[1] == learned[0]
    assert learned[2] < learned[1]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("finish_reason", "said"), [("stop", {}), ("length", {"cut_off": True})])
async def test_an_answer_that_was_cut_off_is_on_record_as_such(rig, upstream, finish_reason, said, stream):
    usage = {"prompt_tokens": 24, "completion_tokens": 50}
    upstream.plan("first", status(500))
    upstream.plan("second", ending(finish_reason, "The quick", stream=stream, **usage))
    execution, _ = await rig.run(stream=stream)
    failed, answered = rig.record(execution).outcome.attempts
    keys = {"endpoint", "status", "error", "first_token_s", "duration_s"}
    assert failed.keys() == keys
    assert {name: value for name, value in answered.items() if name not in keys} == said
