"""What an answer goes through on its way from a provider to the client: nothing."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from api_server import BODY, HELLO
from upstreams import USAGE, completion, delta

STREAM = BODY | {"stream": True}
ODD = [
    b": a comment\r\n\r\n",
    b'data:{"choices": [{"index": 0, "delta": {"content": "0"}}]}\n\n',
    b'event: chunk\r\nid: 7\r\ndata: {"choices":  [{"index":0,"delta":{"content":"1"}}]}\r\n\r\n',
    'data: {"choices": [{"index": 0, "delta": {"content": "2 漢字 🙂 ü"}}], "extra": [1.0, 1e3]}\n\n'.encode(),
    b'data: {"choices": [{"index": 0, "delta": {"content": "3 ' + b"x" * 1024 * 1024 + b'"}}]}\n\n',
    b'data: {"choices": [{"index": 0,\ndata: "delta": {"content": "4"}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n',
    b"data: [DONE]\n\n",
]


async def begin(request):
    await request.head(200, "text/event-stream", transfer_encoding="chunked")


@pytest.mark.parametrize("size", [7, 4099])
def test_every_byte_arrives_as_it_was_sent_however_it_was_cut(calm, upstream, size):
    data = b"".join(ODD)

    async def cut(request):
        await begin(request)
        small = data if size > 1000 else data.replace(b"x" * 1024 * 1024, b"x" * 1024)
        for at in range(0, len(small), size):
            await request.chunk(small[at : at + size])
            if at % 5 == 0:
                await asyncio.sleep(0)  # a TCP segment of its own, now and then
        request.writer.write(b"0\r\n\r\n")

    upstream.plan("first", cut)
    with calm.http() as client, client.stream("POST", "/v1/chat/completions", json=STREAM) as answer:
        got = b"".join(answer.iter_raw())
    assert got == (data if size > 1000 else data.replace(b"x" * 1024 * 1024, b"x" * 1024))


def test_each_event_reaches_the_client_before_the_provider_has_sent_the_next(calm, upstream):
    arrived = [threading.Event() for _ in range(20)]

    async def in_step(request):
        await begin(request)
        for number, seen in enumerate(arrived):
            await request.event(delta(str(number)))
            assert await asyncio.to_thread(seen.wait, 10)
        await request.event(delta(finish_reason="stop"))
        await request.event(b"[DONE]")
        request.writer.write(b"0\r\n\r\n")

    upstream.plan("first", in_step)
    words = []
    for chunk in calm.openai().chat.completions.create(**STREAM):
        if chunk.choices[0].delta.content:
            words.append(chunk.choices[0].delta.content)
            arrived[len(words) - 1].set()
    assert words == [str(number) for number in range(20)]


async def with_usage(request):
    """A provider that states the usage where it is asked to."""
    await begin(request)
    await request.event(delta("word", usage=None))
    await request.event(delta(finish_reason="stop", usage=None))
    if request.body.get("stream_options", {}).get("include_usage"):
        await request.event(delta(usage=USAGE) | {"choices": []})
    await request.event(b"[DONE]")
    request.writer.write(b"0\r\n\r\n")


@pytest.mark.parametrize(("asks", "model"), [(False, "second"), (True, "second"), (False, "first"), (True, "first")])
def test_usage_is_measured_where_the_provider_can_say_it_and_shown_to_whoever_asked(calm, upstream, asks, model):
    upstream.plan(model, with_usage)
    body = STREAM | {"model": f"{model}/m"} | ({"stream_options": {"include_usage": True}} if asks else {})
    with calm.http() as client, client.stream("POST", "/v1/chat/completions", json=body) as answer:
        got = b"".join(answer.iter_raw()).split(b"\n\n")
        identity = answer
    usages = [json.loads(event[6:])["usage"] for event in got if b'"usage": {' in event]
    assert usages == ([USAGE] if asks else [])
    assert got[-2:] == [b"data: [DONE]", b""]
    outcome = calm.decision(identity)["outcome"]
    known = asks or model == "second"
    assert outcome["usage_estimated"] is not known
    assert (outcome["output_tokens"] == USAGE["completion_tokens"]) == known


def test_log_probabilities_and_parallel_calls_come_back_as_the_provider_gave_them(calm, upstream):
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    call = {"id": "c", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call, call | {"id": "d"}]}
    scores = {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}], "refusal": None}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message, "logprobs": scores}

    async def plan(request):
        await request.answer(200, json.dumps(completion(choices=[choice])).encode())

    upstream.plan("second", plan)
    answer = calm.openai().chat.completions.create(
        model="second/m", messages=HELLO, tools=[tool], logprobs=True, top_logprobs=0, parallel_tool_calls=True
    )
    (received,) = upstream.received
    assert (received.body["logprobs"], received.body["parallel_tool_calls"]) == (True, True)
    assert [call.id for call in answer.choices[0].message.tool_calls] == ["c", "d"]
    assert answer.choices[0].logprobs.content[0].logprob == -0.5
