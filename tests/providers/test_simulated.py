"""The simulated provider: honest about itself, repeatable, and as fast and as faulty as its catalogue entry."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
from dataclasses import replace
from datetime import UTC, datetime

import builders
import jsonschema
import pytest

from freerelay_core.behaviour import prior_behaviour
from freerelay_core.catalogue import Provider
from freerelay_core.profile import profile_request
from freerelay_core.providers import EventReader, SimulatedProvider, UpstreamRequest, read_answer

pytestmark = pytest.mark.anyio

PROVIDER = Provider("a", "A", "http://127.0.0.1:9/v1", None)
USER = {"role": "user", "content": "Tell me about the weather in Paris."}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
           "required": ["city", "days"], "additionalProperties": False}  # fmt: skip
TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}


class CountedClock:
    """Waits take no time and are added up."""

    def __init__(self):
        self.waited = 0.0

    def now(self):
        return datetime(2026, 11, 24, tzinfo=UTC)

    def monotonic(self):
        return self.waited

    async def sleep(self, seconds):
        self.waited += seconds


def request(body, *, number=1, endpoint=None, attempt=1, thinking=0.0):
    endpoint = endpoint or builders.endpoint("a/model")
    body = {"model": endpoint.upstream_model, "messages": [USER], **body}
    profile = profile_request(body)
    return UpstreamRequest(
        endpoint=endpoint, index=0, provider=PROVIDER, body=json.dumps(body).encode(), stream=bool(body.get("stream")),
        profile=profile, thinking_tokens=thinking,
        decision_id=f"01a20f74-94c2-7351-8caf-{number:012x}", attempt=attempt, first_byte_limit_s=30, total_limit_s=60,
    )  # fmt: skip


def provider(clock=None, *, scale=1.0, failures=0.0):
    behaviour = prior_behaviour([builders.endpoint("a/model")])
    behaviour = replace(behaviour, failure_rate=behaviour.failure_rate * 0 + failures)
    return SimulatedProvider(behaviour, clock or CountedClock(), time_scale=scale)


async def answer(body, **options):
    got = await provider().send(request(body, **options))
    assert got.status == 200
    return json.loads(await got.body())


async def events(body, **options):
    got = await provider().send(request({"stream": True, **body}, **options))
    data = b"".join([chunk async for chunk in got.chunks()])
    assert data.endswith(b"data: [DONE]\n\n")
    return [json.loads(event[6:]) for event in data.decode().split("\n\n")[:-2]]


async def test_an_answer_says_in_every_way_that_it_is_simulated():
    whole = await answer({})
    assert "simulated" in whole["choices"][0]["message"]["content"]
    assert whole["simulated"] is True
    assert whole["system_fingerprint"] == "simulated"
    assert all(event["simulated"] and event["system_fingerprint"] == "simulated" for event in await events({}))


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_it_stops_at_the_token_limit(name):
    whole = await answer({name: 7})
    assert whole["usage"]["completion_tokens"] == 7
    assert whole["choices"][0]["finish_reason"] == "length"
    assert len(whole["choices"][0]["message"]["content"].split()) == 7
    assert (await answer({name: 5000}))["choices"][0]["finish_reason"] == "stop"


async def test_an_answer_keeps_the_json_schema():
    form = {"type": "json_schema", "json_schema": {"name": "w", "strict": True, "schema": WEATHER}}
    content = (await answer({"response_format": form}))["choices"][0]["message"]["content"]
    jsonschema.validate(json.loads(content), WEATHER)
    streamed = await events({"response_format": form})
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in streamed)
    assert text == content


async def test_json_mode_gives_an_object():
    whole = await answer({"response_format": {"type": "json_object"}})
    assert isinstance(json.loads(whole["choices"][0]["message"]["content"]), dict)


async def test_a_tool_is_called_with_arguments_that_fit_it():
    whole = await answer({"tools": [TOOL]})
    (call,) = whole["choices"][0]["message"]["tool_calls"]
    assert whole["choices"][0]["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == "weather"
    jsonschema.validate(json.loads(call["function"]["arguments"]), WEATHER)
    parts = [event["choices"][0]["delta"].get("tool_calls", [{}])[0] for event in await events({"tools": [TOOL]})]
    named = [part for part in parts if part.get("id")]
    assert [part["function"]["name"] for part in named] == ["weather"]
    assert "".join(part["function"]["arguments"] for part in parts if part) == call["function"]["arguments"]


@pytest.mark.parametrize(
    ("options", "called"),
    [
        ({"tool_choice": "none"}, None),
        ({"messages": [USER, {"role": "tool", "content": "sunny", "tool_call_id": "1"}]}, None),
        ({"tool_choice": "required", "messages": [USER, {"role": "tool", "content": "x"}]}, "weather"),
        ({"tool_choice": {"type": "function", "function": {"name": "other"}}}, "other"),
    ],
)
async def test_a_tool_is_called_when_it_should_be(options, called):
    other = {"type": "function", "function": {"name": "other"}}
    message = (await answer({"tools": [TOOL, other], **options}))["choices"][0]["message"]
    calls = message.get("tool_calls")
    assert (calls[0]["function"]["name"] if calls else None) == called


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"n": 1000}, "n"),
        ({"temperature": 9}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"reasoning_effort": ["high"]}, "reasoning_effort"),
        ({"tools": "x"}, "tools"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": ["text"]}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
        ),
        ({"messages": [USER, {"role": "wizard", "content": "x"}]}, "messages[1].role"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "absent"}}}, "tool_choice"),
    ],
)
async def test_what_a_vendor_would_refuse_is_refused_naming_it(wrong, param):
    got = await provider().send(request(wrong))
    assert got.status == 400
    error = json.loads(await got.body())["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_value", param)
    assert error["message"].startswith(param)


@pytest.mark.parametrize(
    "right",
    [
        dict.fromkeys(["n", "temperature", "top_p", "reasoning_effort", "tools", "response_format"]),
        {"n": 16, "temperature": 2, "top_p": 0, "reasoning_effort": "xhigh", "tools": []},
        {"temperature": 0.0, "top_p": 1, "response_format": {"type": "text"}},
        {
            "messages": [
                {"role": r, "content": "x"} for r in ("system", "developer", "user", "assistant", "tool", "function")
            ]
        },
    ],
)
async def test_what_some_vendor_takes_is_taken(right):
    assert (await provider().send(request(right))).status == 200


@pytest.mark.parametrize("length", [10, 20, 150, 250, 400, 1500, 8000])
async def test_a_text_is_whole_sentences_of_about_the_expected_length_none_twice(length):
    asked = request({})
    asked.profile = asked.profile._replace(output_tokens=length)
    whole = json.loads(await (await provider().send(asked)).body())
    (choice,) = whole["choices"]
    text = choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    assert text.endswith(".")
    sentences = [sentence.strip() for sentence in re.split(r"(?<=\.)\s", text)]
    assert len(set(sentences)) == len(sentences)
    assert all(sentence[0].isupper() for sentence in sentences)
    assert abs(whole["usage"]["completion_tokens"] - length) <= 15


async def test_a_limit_a_little_above_the_expected_length_cuts_nothing_off():
    for limit in range(251, 270):
        whole = await answer({"max_tokens": limit})
        assert whole["usage"]["completion_tokens"] < limit
        assert whole["choices"][0]["finish_reason"] == "stop"


async def test_n_gives_as_many_choices_streamed_or_not():
    assert [choice["index"] for choice in (await answer({"n": 3}))["choices"]] == [0, 1, 2]
    assert {event["choices"][0]["index"] for event in await events({"n": 3})} == {0, 1, 2}


async def test_usage_is_streamed_when_asked_for_and_counts_thinking():
    assert all("usage" not in event for event in await events({}))
    last = (await events({"stream_options": {"include_usage": True}}, thinking=100.0))[-1]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens_details"]["reasoning_tokens"] == 100
    assert last["usage"]["completion_tokens"] > 100


@pytest.mark.parametrize(
    ("limit", "thought", "written", "reason"),
    [(150, 100, 50, "length"), (100, 100, 0, "length"), (60, 60, 0, "length"), (5000, 100, None, "stop")],
)
async def test_thinking_uses_up_the_limit_before_the_answer(limit, thought, written, reason):
    whole = await answer({"max_tokens": limit}, thinking=100.0)
    (choice,) = whole["choices"]
    usage = whole["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == thought
    assert usage["completion_tokens"] <= limit
    assert choice["finish_reason"] == reason
    assert written is None or len(choice["message"]["content"].split()) == written
    streamed = await events({"max_tokens": limit}, thinking=100.0)
    assert (
        "".join(event["choices"][0]["delta"].get("content", "") for event in streamed) == choice["message"]["content"]
    )
    assert streamed[-1]["choices"][0]["finish_reason"] == reason


async def test_the_same_key_meets_the_same_luck_and_another_attempt_another():
    async def luck(**key):
        got = await provider(failures=0.5).send(request({}, **key))
        return got.status, got.times

    assert await luck(number=3) == await luck(number=3)
    assert await luck(number=3) != await luck(number=4)
    assert await luck(number=3) != await luck(number=3, attempt=2)


async def test_times_spread_as_the_catalogue_says_and_waits_are_scaled():
    first, clock = [], CountedClock()
    simulated = provider(clock, scale=0.1)
    for number in range(400):
        got = await simulated.send(request({}, number=number))
        await got.body()
        first.append(got.times.first_token_s)
    median = builders.endpoint("a/model").first_token_s.value
    assert statistics.median(first) == pytest.approx(median, rel=0.1)
    assert min(first) < 0.8 * median < 1.25 * median < max(first)
    got = await provider(clock := CountedClock(), scale=0.1).send(request({}))
    await got.body()
    assert clock.waited == pytest.approx(0.1 * got.times.duration_s)


async def test_a_stream_takes_as_long_as_the_answer_and_arrives_bit_by_bit():
    clock = CountedClock()
    got = await provider(clock).send(request({"stream": True}))
    moments = [clock.waited async for _ in got.chunks()]
    assert len(set(moments)) > 20
    assert moments[0] == pytest.approx(got.times.first_token_s)
    assert moments[-1] == pytest.approx(got.times.duration_s, rel=0.05)


async def test_an_answer_that_is_left_half_read_took_no_longer_than_it_was_read():
    whole = await provider().send(request({"stream": True}))
    chunks = [chunk async for chunk in whole.chunks()]
    left = await provider().send(request({"stream": True}))
    reading = left.chunks()
    for _ in range(len(chunks) // 2):
        await anext(reading)
    await reading.aclose()
    decode_s = whole.times.duration_s - whole.times.first_token_s
    assert left.times.first_token_s == whole.times.first_token_s
    assert 0.3 * decode_s < left.times.duration_s - left.times.first_token_s < 0.7 * decode_s


async def test_a_body_that_nobody_waits_for_took_as_long_as_it_was_waited_for():
    class LeavingClock(CountedClock):
        left = False

        async def sleep(self, seconds):
            self.waited += seconds / 4 if self.left else seconds
            if self.left:
                raise asyncio.CancelledError

    clock = LeavingClock()
    left = await provider(clock).send(request({}))
    clock.left = True
    with pytest.raises(asyncio.CancelledError):
        await left.body()
    whole = await provider().send(request({}))
    await whole.body()
    decode_s = whole.times.duration_s - whole.times.first_token_s
    assert left.times.duration_s - left.times.first_token_s == pytest.approx(decode_s / 4)


async def test_thinking_delays_the_first_token():
    async def first(thinking):
        return (await provider().send(request({}, thinking=thinking))).times.first_token_s

    assert await first(1000.0) > await first(0.0) + 5


async def test_failures_come_as_often_as_the_catalogue_says_before_the_first_byte():
    simulated = provider(failures=0.2)
    answers = [await simulated.send(request({"stream": True}, number=number)) for number in range(500)]
    failed = [got for got in answers if got.status != 200]
    assert 60 < len(failed) < 140
    assert {got.status for got in failed} == {429, 503}
    assert all(got.headers["retry-after"] for got in failed if got.status == 429)
    assert "Simulated failure" in json.loads(await failed[0].body())["error"]["message"]


async def test_its_shapes_are_read_by_the_same_code_as_a_vendor_s():
    got = await provider().send(request({"stream": True, "stream_options": {"include_usage": True}}))
    reader = EventReader()
    async for chunk in got.chunks():
        assert reader.feed(chunk) == chunk
    assert reader.finished
    assert reader.done
    whole = await (await provider().send(request({}))).body()
    assert read_answer(whole).usage == reader.usage
