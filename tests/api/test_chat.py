"""Chat completions over providers that fail, stream, hang and lie; seen from the client."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from api_server import BODY, HELLO
from upstreams import WORDS, Hanging, broken_stream, delta, saying, status


def test_the_answer_is_the_provider_s_and_the_headers_say_how_it_was_chosen(calm, upstream):
    answer = calm.chat(BODY | {"seed": 7, "routing": {"task": "code"}})
    assert answer.json()["model"] == "upstream-model"
    assert upstream.received[-1].body == {"model": "first", "messages": HELLO, "seed": 7}
    assert upstream.received[-1].headers.get("authorization") is None
    assert answer.headers["x-freerelay-endpoint"] == "first/m"
    assert answer.headers["x-freerelay-preference"] == "balanced; level=default"
    assert answer.headers["x-freerelay-reason"].startswith("first/m over second/m: free")
    assert answer.headers["x-request-id"].startswith("req_")
    assert "x-freerelay-attempts" not in answer.headers


def test_a_failure_of_a_provider_is_not_the_client_s(calm, upstream):
    upstream.plan("first", status(500))
    answer = calm.chat()
    assert answer.status_code == 200
    assert answer.headers["x-freerelay-endpoint"] == "second/m"
    assert answer.headers["x-freerelay-attempts"] == "2"
    assert "first/m (status 500)" in answer.headers["x-freerelay-reason"]
    assert [attempt["status"] for attempt in calm.decision(answer)["outcome"]["attempts"]] == [500, 200]


def test_when_all_fail_the_client_is_told_once_and_not_to_retry(calm, upstream):
    upstream.plan("first", status(500))
    upstream.plan("second", status(503))
    with pytest.raises(openai.InternalServerError) as error:
        calm.openai(max_retries=2).chat.completions.create(**BODY)
    assert error.value.status_code == 502
    assert error.value.response.headers["x-should-retry"] == "false"
    assert upstream.models() == ["first", "second"]
    assert "x-freerelay-endpoint" not in error.value.response.headers
    outcome = calm.decision(error.value.response)["outcome"]
    assert (outcome["status"], outcome["endpoint"]) == (502, None)


def test_when_all_are_rate_limited_so_is_the_client_with_the_smallest_wait(calm, upstream):
    upstream.plan("first", status(429, retry_after="20"))
    upstream.plan("second", status(429, retry_after="10"))
    first = calm.chat()
    assert (first.status_code, first.headers["retry-after"]) == (429, "10")
    second = calm.chat()  # nobody is asked while they cool down
    assert second.status_code == 429
    assert 1 <= int(second.headers["retry-after"]) <= 10
    assert len(upstream.received) == 2
    assert calm.decision(second)["outcome"] | {"duration_s": 0} == {
        "endpoint": None, "status": 429, "attempts": [], "first_token_s": None, "duration_s": 0, "input_tokens": None,
        "output_tokens": None, "cached_tokens": None, "cost_usd": None, "usage_estimated": False, "schema_pass": None,
        "basis": "measured",
    }  # fmt: skip


def test_a_refusal_by_the_provider_reaches_the_client(calm, upstream):
    upstream.plan("first", status(400))
    with pytest.raises(openai.BadRequestError, match="upstream says 400"):
        calm.openai().chat.completions.create(**BODY)
    assert upstream.models() == ["first"]


def test_a_pinned_endpoint_answers_or_nobody_does(calm, upstream):
    assert calm.chat(BODY | {"model": "second/m"}).headers["x-freerelay-endpoint"] == "second/m"
    upstream.plan("second", status(500))
    assert calm.chat(BODY | {"model": "second/m"}).status_code == 502


@pytest.mark.parametrize("model", ["gpt-4", "first/absent", "openai/gpt-4o-mini", "freerelay/other", "/", "a" * 500])
def test_a_model_that_cannot_serve_is_not_found(calm, model):
    answer = calm.chat(BODY | {"model": model})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    message = answer.json()["error"]["message"]
    assert model[:100] in message
    assert len(message) < 300
    assert "freerelay/auto" in message
    assert "GET /v1/models" in message


def test_the_name_of_an_unknown_model_is_repeated_in_printable_characters(calm):
    message = calm.chat(BODY | {"model": "gpt\u202e-4\r\n\x1b[2J"}).json()["error"]["message"]
    assert message.isprintable()
    assert "gpt\\u202e-4" in message


def test_a_stream_that_breaks_off_raises_in_the_sdk_after_what_came(calm, upstream):
    upstream.plan("first", broken_stream())
    got = []
    with pytest.raises(openai.APIError) as error:  # noqa: PT012 - the stream is read to its end
        stream = calm.openai().chat.completions.create(**BODY, stream=True)
        for chunk in stream:
            got.append(chunk.choices[0].delta.content or "")
            upstream.read_on.set()
    assert "".join(got) == "".join(WORDS[:2])
    assert error.value.body["code"] == "upstream_disconnected"
    assert error.value.body["request_id"] == stream.response.headers["x-request-id"]
    assert upstream.models() == ["first"]


def test_of_several_choices_a_stream_that_is_cut_after_the_end_of_one_may_lack_some(calm, upstream):
    upstream.plan("first", broken_stream(delta(finish_reason="stop")))
    upstream.read_on.set()
    with pytest.raises(openai.APIError, match="broke off"):
        list(calm.openai().chat.completions.create(**BODY, stream=True, n=2))


def test_a_stream_fails_over_before_its_first_word(calm, upstream):
    upstream.plan("first", status(503))
    chunks = calm.openai().chat.completions.create(**BODY, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "".join(WORDS)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_before_the_answer_ends_the_work_of_the_provider(calm, upstream, stream):
    plan = Hanging()
    upstream.plan("first", plan)
    with calm.http() as client, pytest.raises(httpx.ReadTimeout):
        client.post("/v1/chat/completions", json=BODY | {"stream": stream}, timeout=0.3)
    assert plan.left.wait(10)
    assert upstream.models() == ["first"]


class HalfAnAnswer(Hanging):
    """Sends the beginning of an answer in one piece, and no more."""

    async def __call__(self, request):
        await request.head(200, "application/json", content_length="1000")
        request.writer.write(b'{"choices": [')
        await super().__call__(request)


@pytest.mark.parametrize(("first", "last"), [(None, HalfAnAnswer()), (status(503), Hanging())])
def test_a_client_that_leaves_in_the_middle_of_an_answer_or_of_failing_over_ends_the_work(calm, upstream, first, last):
    upstream.plan("first", first or last)
    upstream.plan("second", last)
    with calm.http() as client, pytest.raises(httpx.ReadTimeout):
        client.post("/v1/chat/completions", json=BODY, timeout=0.4)
    assert last.left.wait(10)
    assert upstream.models() == (["first", "second"] if first else ["first"]), "nobody else is asked afterwards"


def test_a_client_that_leaves_a_stream_ends_the_work_of_the_provider_and_is_recorded(calm, upstream):
    plan = Hanging("one", " two")
    upstream.plan("first", plan)
    with calm.http() as client, client.stream("POST", "/v1/chat/completions", json=BODY | {"stream": True}) as answer:
        assert b"one" in next(answer.iter_raw())
    assert plan.left.wait(10)
    outcome = calm.decision(answer)["outcome"]
    assert outcome["status"] == 499
    assert outcome["attempts"][0]["error"] == "client_left"
    assert outcome["usage_estimated"]


def test_twenty_requests_over_one_connection_do_not_wait_for_nagle(calm):
    with calm.http() as client:
        times = sorted(client.post("/v1/chat/completions", json=BODY).elapsed.total_seconds() for _ in range(20))
    assert times[10] < 0.030, "a median near 40 ms means that TCP_NODELAY is off"


def test_many_at_once_get_each_their_own(calm, upstream):
    async def echo(request):
        text = request.body["messages"][0]["content"]
        message = {"role": "assistant", "content": text}
        body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        await request.answer(200, json.dumps(body).encode())

    upstream.plan("first", echo)
    with calm.http() as client, ThreadPoolExecutor(16) as pool:

        def ask(number):
            body = BODY | {"messages": [{"role": "user", "content": f"number {number}"}]}
            return client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]

        assert list(pool.map(ask, range(200))) == [f"number {number}" for number in range(200)]


def test_traffic_goes_to_real_endpoints_alone_and_a_dry_run_ranks_all(calm):
    with calm.http() as client:
        shown = client.post("/v1/router/decide", json=BODY).json()
        listed = [model["id"] for model in client.get("/v1/models").json()["data"]]
    assert len(shown["ranking"]) > 30
    assert listed == ["freerelay/auto", "first/m", "second/m"]
    live = calm.decision(calm.chat())
    assert [row["endpoint"] for row in live["ranking"]] == ["first/m", "second/m"]
    assert {row["reason"] for row in live["excluded"]} == {"simulated"}


def test_duplicate_keys_have_one_meaning_for_us_and_the_provider(calm, upstream):
    raw = b'{"model": "absent", "model": "freerelay/auto", "messages": [{"role": "user", "content": "x"}]}'
    with calm.http() as client:
        assert client.post("/v1/chat/completions", content=raw).status_code == 200
    assert upstream.received[-1].raw.count(b'"model"') == 1


def test_what_nobody_will_ever_serve_is_the_client_s_to_mend_and_not_to_retry(calm, upstream):
    too_long = [{"role": "user", "content": "word " * 200_000}]
    with pytest.raises(openai.BadRequestError) as error:
        calm.openai(max_retries=2).chat.completions.create(**BODY | {"messages": too_long})
    assert (error.value.code, error.value.param) == ("context_length_exceeded", "messages")
    assert "retry-after" not in error.value.response.headers
    assert upstream.received == []
    assert calm.decision(error.value.response)["outcome"]["status"] == 400


def test_of_a_named_endpoint_the_answer_says_that_it_was_named_and_a_refusal_why_it_cannot(calm):
    reason = calm.chat(BODY | {"model": "second/m"}).headers["x-freerelay-reason"]
    assert reason == "second/m is the endpoint that the request names"
    too_long = BODY | {"model": "second/m", "messages": [{"role": "user", "content": "word " * 200_000}]}
    error = calm.chat(too_long).json()["error"]
    assert error["message"] == "second/m cannot serve this request: the request is longer than its context."


def test_a_schema_that_cannot_be_computed_with_costs_no_decision_its_place_in_the_log(calm, upstream):
    upstream.plan("first", saying('{"n": 3}'))
    schema = {"type": "object", "properties": {"n": {"multipleOf": 0}}}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert calm.decision(calm.chat(BODY | {"response_format": form}))["outcome"]["schema_pass"] is None
