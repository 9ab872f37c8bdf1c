"""Carrying decisions out, against real providers on loopback that do not all behave."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from router_rig import BODY, DONE, rigged, said, text, tried
from upstreams import (
    WORDS,
    Hanging,
    body_of_200,
    broken_stream,
    closed_at_once,
    completion,
    delta,
    error_as_first_event,
    garbage,
    opened,
    refused_url,
    status,
)

from freerelay_core.clock import new_id
from freerelay_core.errors import NoEndpointLeft
from freerelay_core.policy import read_policy
from freerelay_core.router import attempts, decision_record
from freerelay_core.router.directed import directed_body
from freerelay_core.store.decision_rows import decision_as_row

pytestmark = pytest.mark.anyio


# -- the plain path


async def test_the_first_of_the_ranking_answers(rig, upstream):
    execution, _ = await rig.run(temperature=0.3)
    assert (execution.status, execution.endpoint, execution.error) == (200, "first/m", None)
    assert json.loads(execution.body) == completion()
    assert upstream.received[0].body == {**BODY, "model": "first", "stream": False, "temperature": 0.3}


async def test_a_stream_is_passed_on_unchanged(rig):
    execution, sent = await rig.run(stream=True)
    assert text(sent) == "".join(WORDS)
    assert sent.endswith(b"data: [DONE]\n\n")
    assert execution.attempts[0].first_token_s > 0


# -- fail-over before the first byte


FAILURES = [
    status(500),
    status(503),
    status(408),
    status(409),
    status(401),
    status(402),
    status(404),
    status(301),
    garbage,
    closed_at_once,
    body_of_200(b'{"error": {"message": "no"}}'),
    body_of_200(b"<html>"),
    body_of_200(b'{"choices": []}'),
]


@pytest.mark.parametrize("plan", FAILURES)
async def test_a_failure_is_made_good_by_the_next_provider(rig, upstream, plan):
    upstream.plan("first", plan)
    execution, _ = await rig.run()
    assert (execution.status, execution.endpoint) == (200, "second/m")
    assert tried(execution) == ["first/m", "second/m"]
    assert execution.attempts[0].error


@pytest.mark.parametrize("plan", [*FAILURES, error_as_first_event])
async def test_a_failure_before_the_first_content_of_a_stream_is_made_good_too(rig, upstream, plan):
    upstream.plan("first", plan)
    execution, sent = await rig.run(stream=True)
    assert execution.endpoint == "second/m"
    assert text(sent) == "".join(WORDS)


async def test_a_stream_that_ends_before_it_began_is_a_failure(rig, upstream):
    async def only_the_role(request):
        await request.head(200, "text/event-stream", transfer_encoding="chunked")
        await request.event({"choices": [{"index": 0, "delta": {"role": "assistant"}}]})
        request.writer.write(b"0\r\n\r\n")

    upstream.plan("first", only_the_role)
    execution, sent = await rig.run(stream=True)
    assert execution.endpoint == "second/m"
    assert len([event for event in said(sent) if event["choices"][0]["delta"].get("role")]) == 1


@pytest.mark.parametrize("words", [(), WORDS[:2]], ids=["nothing", "two words"])
async def test_a_done_without_finish_reason_is_no_answer(rig, upstream, words):
    async def done_too_early(request):
        await request.head(200, "text/event-stream", transfer_encoding="chunked")
        await request.chunk(b"".join(b"data: %s\n\n" % json.dumps(delta(word)).encode() for word in words) + DONE)
        request.writer.write(b"0\r\n\r\n")

    upstream.plan("first", done_too_early)
    execution, sent = await rig.run(stream=True)
    assert execution.endpoint == "second/m"
    assert text(sent) == "".join(WORDS)
    assert sent.count(DONE) == 1


async def test_an_unreachable_provider_is_passed_over(upstream):
    async with rigged(upstream, first=refused_url()) as rig:
        execution, _ = await rig.run()
    assert execution.endpoint == "second/m"
    assert execution.attempts[0].error == "no connection"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("code", "cools_down"), [(500, False), (404, False), (429, True)])
@pytest.mark.parametrize("then", ["silence", "end"])
async def test_of_a_failure_the_status_is_enough(rig, upstream, monkeypatch, stream, code, cools_down, then):
    monkeypatch.setattr(attempts, "LAST_WORDS_S", 0.05)

    async def half_an_error(request):
        await request.head(code, "application/json", content_length="1000", retry_after="9")
        await request.chunk(b'{"error": ')
        if then == "silence":
            await request.gone()
        request.writer.close()

    upstream.plan("first", half_an_error)
    execution, _ = await rig.run(stream=stream)
    assert execution.endpoint == "second/m"
    assert execution.attempts[0].error == f"status {code}"
    first = next(health for health in rig.fleet.health() if health.endpoint == "first/m")
    assert (first.cooling_s > 5.0) is cools_down
    assert (first.breaker.failures == 0) is cools_down


async def test_silence_is_a_failure_when_the_limit_is_reached(rig, upstream, monkeypatch):
    monkeypatch.setattr(attempts, "FIRST_BYTE_LIMIT_S", 0.1)
    monkeypatch.setattr(attempts, "FIRST_BYTE_FACTOR", 0.0)
    plan = Hanging()
    upstream.plan("first", plan)
    execution, _ = await rig.run()
    assert execution.endpoint == "second/m"
    assert await asyncio.to_thread(plan.left.wait, 10)


@pytest.mark.parametrize(
    ("body", "limit_s"),
    [
        ({"stream": True}, 30.0),
        ({}, 3 * 160.0),  # 16,000 tokens at 100 tokens/s, whatever is expected
        ({"max_tokens": 6000}, 3 * 60.0),
        ({"max_completion_tokens": 6000, "max_tokens": 9}, 3 * 60.0),
        ({"max_tokens": 100}, 30.0),
    ],
)
async def test_an_answer_in_one_piece_may_take_as_long_as_the_longest_that_is_allowed(rig, monkeypatch, body, limit_s):
    asked = []
    send = rig.wire.send

    async def noting(request):
        asked.append(request)
        return await send(request)

    monkeypatch.setattr(rig.wire, "send", noting)
    await rig.run(**body)
    assert asked[0].first_byte_limit_s == pytest.approx(limit_s, abs=3 * 2.0)


async def test_a_stream_of_comments_without_content_is_a_failure_when_the_limit_is_reached(rig, upstream, monkeypatch):
    monkeypatch.setattr(attempts, "FIRST_BYTE_LIMIT_S", 0.2)
    monkeypatch.setattr(attempts, "FIRST_BYTE_FACTOR", 0.0)

    async def comments(request):
        await opened(request)
        while True:
            await request.chunk(b": at work\n\n")
            await asyncio.sleep(0.01)

    upstream.plan("first", comments)
    execution, _ = await rig.run(stream=True)
    assert execution.attempts[0].error == "no content in time"
    assert execution.endpoint == "second/m"


async def test_what_comes_before_the_first_content_is_not_kept_without_end(rig, upstream, monkeypatch):
    monkeypatch.setattr(attempts, "MAX_OPENING_BYTES", 10_000)

    async def comments_without_end(request):
        await request.head(200, "text/event-stream", transfer_encoding="chunked")
        for _ in range(10_000):  # more than any buffer on the way holds
            await request.chunk(b": " + b"x" * 10_000 + b"\n\n")
        await request.event(delta("late"))

    upstream.plan("first", comments_without_end)
    execution, sent = await rig.run(stream=True)
    assert execution.endpoint == "second/m"
    assert "before its first content" in execution.attempts[0].error
    assert text(sent) == "".join(WORDS)


async def test_without_retry_budget_the_client_gets_the_first_failure(rig, upstream, monkeypatch):
    monkeypatch.setattr("freerelay_core.router.retries.RETRIES_A_SECOND", 0.0)
    rig.router._retries._left = 0.0
    upstream.plan("first", status(500))
    execution, _ = await rig.run()
    assert tried(execution) == ["first/m"]
    assert (execution.error.status, execution.gave_up) == (502, True)
    assert "too much fails at the moment" in execution.error.message


async def test_no_provider_is_asked_twice_and_no_more_than_three(rig, upstream):
    for model in ("first", "first-other", "second", "third", "fourth"):
        upstream.plan(model, status(500))
    execution, _ = await rig.run()
    assert tried(execution) == ["first/m", "second/m", "third/m"]
    assert (execution.status, execution.error.status, execution.gave_up) == (502, 502, True)
    assert execution.endpoint is None
    assert "first/m: status 500" in execution.error.message


async def test_a_pinned_endpoint_is_not_replaced(rig, upstream):
    upstream.plan("second", status(500))
    execution, _ = await rig.run(only="second/m")
    assert tried(execution) == ["second/m"]
    assert execution.error.status == 502


async def test_the_deadline_ends_the_attempts(rig, upstream, monkeypatch):
    monkeypatch.setattr(attempts, "TOTAL_LIMIT_S", 0.2)
    upstream.plan("first", Hanging())
    execution, _ = await rig.run()
    assert tried(execution) == ["first/m"]
    assert execution.error.status == 504


# -- rate limits and breakers


async def test_a_rate_limit_sends_the_next_requests_elsewhere(rig, upstream):
    upstream.plan("first", status(429, retry_after="60"))
    execution, _ = await rig.run()
    assert execution.endpoint == "second/m"
    second, _ = await rig.run()
    assert tried(second)[0] == "first/other"


async def test_when_all_are_rate_limited_the_smallest_wait_is_told(rig, upstream):
    for model, wait in (("first", "9"), ("second", "4"), ("third", "7")):
        upstream.plan(model, status(429, retry_after=wait))
    execution, _ = await rig.run()
    assert (execution.error.status, execution.error.retry_after_s) == (429, pytest.approx(4.0))


@pytest.mark.parametrize(("stated", "wait_s"), [("60", 5.0), ("999999999", 5.0), ("3", 3.0)])
async def test_a_provider_that_states_no_wait_has_the_usual_one(rig, upstream, stated, wait_s):
    for model, headers in (("first", {"retry_after": stated}), ("second", {}), ("third", {"retry_after": "soon"})):
        upstream.plan(model, status(429, **headers))
    execution, _ = await rig.run()
    assert (execution.error.status, execution.error.retry_after_s) == (429, pytest.approx(wait_s))


async def test_no_client_is_told_to_wait_for_longer_than_the_router_does(rig, upstream):
    upstream.plan("first", status(429, retry_after="999999999"))
    execution, _ = await rig.run(only="first/m")
    assert execution.error.retry_after_s == pytest.approx(3600.0)


async def test_after_five_failures_a_provider_is_asked_no_more(rig, upstream):
    upstream.plan("first", status(500))
    upstream.plan("first-other", status(500))
    for _ in range(10):
        await rig.run()
    asked = upstream.models()
    assert asked.count("first") == 5
    assert asked.count("second") == 10


async def test_a_refusal_says_nothing_about_health(rig, upstream):
    upstream.plan("first", status(400))
    for _ in range(7):
        execution, _ = await rig.run()
    assert execution.endpoint == "first/m"


# -- what the client did wrong


async def test_a_refusal_is_passed_on_as_it_is(rig, upstream):
    upstream.plan("first", status(400, {"error": {"message": "max_tokens too large", "code": "x", "extra": 1}}))
    execution, _ = await rig.run()
    assert tried(execution) == ["first/m"]
    assert execution.status == 400
    assert json.loads(execution.body) == {"error": {"message": "max_tokens too large", "code": "x", "extra": 1}}


async def test_a_refusal_in_another_shape_is_put_into_openai_s(rig, upstream):
    upstream.plan("first", status(422, b"<html>no</html>"))
    execution, _ = await rig.run(stream=True)
    error = json.loads(execution.body)["error"]
    assert execution.status == 422
    assert set(error) == {"message", "type", "code", "param"}
    assert "422" in error["message"]


# -- after the first byte


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (broken_stream(), "upstream_disconnected"),
        (broken_stream(cut=False), "upstream_disconnected"),
        (broken_stream(b"data: {not json\n\n"), "upstream_malformed"),
        (broken_stream({"error": {"message": "overloaded"}}, cut=False), "upstream_error"),
        (broken_stream(b'data: {"choices": [{"ind'), "upstream_disconnected"),
        (broken_stream(DONE), "upstream_disconnected"),
    ],
)
async def test_a_stream_that_breaks_off_ends_in_an_error_event_and_nobody_else_is_asked(rig, upstream, plan, code):
    upstream.plan("first", plan)
    execution, sent = await rig.run(stream=True)
    *words, last = said(sent)
    assert text(sent) == "".join(WORDS[:2])
    assert words
    assert last["error"]["code"] == code
    assert b"[DONE]" not in sent
    assert upstream.models() == ["first"]
    assert execution.status == 502
    outcome = rig.record(execution).outcome
    assert (outcome.status, outcome.attempts[0]["error"]) == (502, code)


async def test_a_stream_that_falls_silent_ends_in_an_error_event(rig, upstream, monkeypatch):
    monkeypatch.setattr("freerelay_core.providers.openai_wire.IDLE_LIMIT_S", 0.1)
    upstream.plan("first", Hanging("one", "two"))
    _, sent = await rig.run(stream=True)
    assert said(sent)[-1]["error"]["code"] == "upstream_idle_timeout"


@pytest.mark.parametrize("cut", [False, True])
async def test_a_complete_stream_without_done_is_complete_and_gets_it(rig, upstream, cut):
    upstream.plan("first", broken_stream(delta(finish_reason="stop"), cut=cut))
    execution, sent = await rig.run(stream=True)
    assert sent.endswith(b"data: [DONE]\n\n")
    assert execution.status == 200


async def test_a_complete_stream_that_falls_silent_is_complete(rig, upstream, monkeypatch):
    monkeypatch.setattr("freerelay_core.providers.openai_wire.IDLE_LIMIT_S", 0.1)

    async def silent_after_the_end(request):
        await opened(request)
        await request.event(delta("word"))
        await request.event(delta(finish_reason="stop"))
        await request.gone()

    upstream.plan("first", silent_after_the_end)
    execution, sent = await rig.run(stream=True)
    assert (execution.status, text(sent)) == (200, "word")
    assert sent.endswith(DONE)


async def test_a_client_that_stops_reading_ends_the_work_upstream(rig, upstream):
    plan = Hanging("one")
    upstream.plan("first", plan)
    execution = rig.begin(stream=True)
    await rig.router.execute(execution, rig.body)

    async def write(events):
        pass

    task = asyncio.create_task(execution.relay(write))
    assert await asyncio.to_thread(plan.began.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await execution.close()
    assert await asyncio.to_thread(plan.left.wait, 10)


# -- on record


async def test_usage_and_cost_are_those_of_the_endpoint_that_answered(rig, upstream):
    upstream.plan("first", status(500))
    execution, _ = await rig.run()
    outcome = rig.record(execution).outcome
    assert (outcome.endpoint, outcome.status, outcome.basis) == ("second/m", 200, "measured")
    assert (outcome.input_tokens, outcome.output_tokens, outcome.usage_estimated) == (24, 4, False)
    assert outcome.cost_usd == pytest.approx(28 * 50 / 1e6)
    assert [attempt["status"] for attempt in outcome.attempts] == [500, 200]


async def test_usage_that_nobody_stated_is_estimated_and_marked(rig, upstream):
    execution, sent = await rig.run(stream=True)
    assert "usage" not in said(sent)[-1]
    outcome = rig.record(execution).outcome
    assert outcome.usage_estimated
    assert 1 <= outcome.output_tokens <= 20
    assert outcome.cost_usd > 0


async def test_of_a_stream_without_end_all_is_estimated_though_its_beginning_is_kept(rig, upstream):
    def of(length):
        async def plan(request):
            await opened(request)
            for _ in range(length):
                await request.event(delta("word " * 2_000))
            await request.event(delta(finish_reason="stop"))
            await request.event(b"[DONE]")
            request.writer.write(b"0\r\n\r\n")

        return plan

    tokens = []
    for length in (10, 100):  # 100 kB, and 1 MB
        upstream.plan("first", of(length))
        execution, _ = await rig.run(stream=True)
        tokens.append(rig.record(execution).outcome.output_tokens)
    assert tokens[1] == pytest.approx(10 * tokens[0], rel=0.01)


async def test_a_failure_is_recorded_without_endpoint_and_cost(rig, upstream):
    for model in ("first", "second", "third"):
        upstream.plan(model, status(500))
    execution, _ = await rig.run()
    outcome = rig.record(execution).outcome
    assert (outcome.endpoint, outcome.status, outcome.cost_usd, len(outcome.attempts)) == (None, 502, None, 3)


async def test_the_record_holds_the_ranking_and_the_reasons_of_the_rest_and_no_text(rig):
    execution, _ = await rig.run(only="second/m", messages=[{"role": "user", "content": "a secret sentence"}])
    record = rig.record(execution)
    assert record.ranking.endpoint == ("second/m",)
    assert {len(column) for column in record.log_factors.values()} == {1}
    assert {row["reason"] for row in record.excluded} == {"not_requested"}
    assert len(record.excluded) == 4
    assert "secret sentence" not in repr(record)


async def test_simulated_outcomes_are_marked_and_in_unscaled_time(upstream):
    async with rigged(upstream, real=frozenset()) as rig:
        for _ in range(20):
            execution, _ = await rig.run(stream=True)
            outcome = rig.record(execution).outcome
            assert outcome.basis == "simulated"
            assert outcome.duration_s == sum(attempt["duration_s"] for attempt in outcome.attempts) > 0.5
        assert upstream.received == []


@pytest.mark.parametrize(("real", "basis"), [(frozenset(), "simulated"), (frozenset({"first"}), "measured")])
async def test_what_nobody_was_asked_is_of_the_fleet_that_could_have_been(upstream, real, basis):
    async with rigged(upstream, real=real) as rig:
        execution = rig.begin()
        execution.fail(NoEndpointLeft("none"))
        assert rig.record(execution).outcome.basis == basis


async def test_real_and_simulated_providers_serve_side_by_side(upstream):
    async with rigged(upstream, real=frozenset({"second"})) as rig:
        execution, _ = await rig.run(only="second/m")
        assert rig.record(execution).outcome.basis == "measured"
        execution, _ = await rig.run(only="third/m")
        assert rig.record(execution).outcome.basis == "simulated"


async def test_an_unpriced_endpoint_costs_nobody_knows_what(rig):
    execution, _ = await rig.run()
    prices = execution.decision.snapshot.prices
    unpriced = replace(prices, priced=prices.priced & False)
    decision = replace(execution.decision, snapshot=replace(execution.decision.snapshot, prices=unpriced))
    record = decision_record(decision, execution, tenant_id="t", request_id="r", model="m", duration_s=1.0)
    assert record.outcome.cost_usd is None


# -- what rules change in the request


def ruled(rig, **actions):
    content = {"rules": [{"name": "r", **actions}]}
    rig.policy = read_policy(content, rig.fleet.snapshot().endpoint_ids, source="test")


async def test_a_rule_sets_the_temperature_of_the_request_that_goes_upstream(rig, upstream):
    ruled(rig, set_temperature=0)
    upstream.plan("first", status(500))
    await rig.run(temperature=0.9)
    assert [request.body["temperature"] for request in upstream.received] == [0, 0]
    assert rig.body["temperature"] == 0.9


async def test_enforced_json_is_asked_for_upstream_in_words_too(rig, upstream):
    ruled(rig, enforce_mode="json")
    await rig.run()
    await rig.run(messages=[{"role": "system", "content": "Be brief."}, *BODY["messages"]])
    plain, instructed = (request.body for request in upstream.received)
    assert plain["response_format"] == instructed["response_format"] == {"type": "json_object"}
    assert plain["messages"] == [{"role": "system", "content": "Answer with one JSON object."}, *BODY["messages"]]
    assert instructed["messages"][0]["content"] == "Be brief.\n\nAnswer with one JSON object."
    assert rig.body["messages"][1:] == BODY["messages"], "the client's own body was changed"


async def test_json_in_a_name_or_a_picture_is_no_word_of_the_conversation(rig, upstream):
    ruled(rig, enforce_mode="json")
    named = {"role": "user", "name": "json_bot", "content": "Hello"}
    drawn = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAjSoNAA"}}
    picture = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, drawn]}
    for message in (named, picture):
        decision = rig.begin(messages=[message]).decision
        assert directed_body({"messages": [message]}, decision)["messages"] == [
            {"role": "system", "content": "Answer with one JSON object."},
            message,
        ]


async def test_a_client_that_asks_for_json_itself_gets_nothing_added(rig, upstream):
    ruled(rig, enforce_mode="json")
    asked = {"messages": [{"role": "user", "content": "As JSON please"}], "response_format": {"type": "json_object"}}
    await rig.run(**asked)
    assert upstream.received[0].body == {**BODY, "model": "first", "stream": False, **asked}


async def test_a_schema_is_made_strict_only_where_a_rule_says_so(rig, upstream):
    schema = {"name": "s", "schema": {"type": "object"}}
    asked = {"type": "json_schema", "json_schema": schema}
    ruled(rig, enforce_mode="json")
    await rig.run(response_format=asked)
    ruled(rig, enforce_mode="strict")
    await rig.run(response_format=asked)
    loose, strict = (request.body["response_format"] for request in upstream.received)
    assert loose == asked
    assert strict == {"type": "json_schema", "json_schema": {**schema, "strict": True}}


async def test_what_rules_did_is_on_record(rig):
    ruled(rig, set_temperature=0, require=["first/*"], max_cost_usd=1e-12)
    execution, _ = await rig.run()
    assert rig.record(execution).actions == (
        {"rule": "r", "action": "set_temperature", "value": 0},
        {"rule": "r", "action": "require", "value": ["first/*"], "fallback": "any", "dropped": False},
        {"rule": "r", "action": "max_cost_usd", "value": 1e-12, "fallback": "any", "dropped": True},
    )


async def test_what_requests_that_share_a_ranking_have_on_record_is_their_own(rig, upstream):
    ruled(rig, prefer=["second/*"])
    first, _ = await rig.run()
    upstream.plan("first", status(500))
    second = rig.router.begin(first.decision.again(new_id(rig.clock), None), stream=False)
    await rig.router.execute(second, rig.body)
    for execution in (first, second):
        record = rig.record(execution)
        assert record.shared is first.decision.shared["record"]["shared"]
        row = decision_as_row(record)
        assert json.loads(row.json) == json.loads(decision_as_row(record._replace(shared=None)).json)
    assert len(record.outcome.attempts) == 2
    assert first.decision.id != second.decision.id == record.id


# -- what only failing endpoints can serve


def broken(rig, name):
    index = rig.fleet.snapshot().endpoint_ids.index(name)
    for _ in range(5):
        rig.fleet.record(index, ok=False)


async def test_a_request_for_one_endpoint_is_answered_by_it_once_it_is_well_again(rig):
    broken(rig, "second/m")
    execution, _ = await rig.run(only="second/m")
    assert (execution.status, execution.endpoint) == (200, "second/m")
    assert execution.decision.despite_breakers
    again, _ = await rig.run(only="second/m")
    assert again.status == 200
    assert not again.decision.despite_breakers


async def test_a_dead_endpoint_gets_one_of_many_such_requests_at_a_time(rig, upstream):
    upstream.plan("second", status(500))
    broken(rig, "second/m")
    now = rig.clock.monotonic()
    rig.clock.monotonic = lambda: now  # all within the same second
    executions = [(await rig.run(only="second/m"))[0] for _ in range(5)]
    assert [tried(execution) for execution in executions] == [["second/m"], [], [], [], []]
    assert [execution.error.status for execution in executions] == [503] * 5
    assert executions[0].error.code == "every_endpoint_fails"
    assert "second/m: status 500" in executions[0].error.message
    assert executions[-1].error.retry_after_s == 1


@pytest.mark.parametrize("fault", [status(500), Hanging()], ids=["status 500", "hangs"])
async def test_while_the_whole_fleet_fails_clients_are_told_to_come_again(rig, upstream, monkeypatch, fault):
    monkeypatch.setattr(attempts, "FIRST_BYTE_LIMIT_S", 0.1)
    monkeypatch.setattr(attempts, "FIRST_BYTE_FACTOR", 0.0)
    for model in ("first", "first-other", "second", "third", "fourth"):
        upstream.plan(model, fault)
    seen = []
    for _ in range(12):
        execution, _ = await rig.run()
        seen.append(execution.error.status)
    assert seen[0] in (502, 504)  # some breakers are closed: who fails is not known yet
    assert seen[-1] == 503
    assert (execution.error.retry_after_s, execution.gave_up) == (1, True)
    upstream.plan_all_good()
    assert (await rig.run())[0].status == 200


async def test_the_record_of_such_a_decision_ranks_what_was_tried(rig):
    broken(rig, "second/m")
    execution, _ = await rig.run(only="second/m")
    record = rig.record(execution)
    assert record.ranking.endpoint == ("second/m",)
    assert {row["reason"] for row in record.excluded} == {"not_requested"}
