"""The OpenAI adapter against real servers on loopback."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import builders
import pytest
from upstreams import Hanging, broken_stream, closed_at_once, garbage, good, refused_url, status, upstream_server

from freerelay_core.catalogue import Provider, Waits
from freerelay_core.profile import RequestProfile
from freerelay_core.providers import OpenAIWire, UpstreamError, UpstreamRequest

pytestmark = pytest.mark.anyio


@pytest.fixture
def upstream():
    with upstream_server() as server:
        yield server


@pytest.fixture
async def wire(upstream, anyio_backend):
    opened = OpenAIWire(providers(upstream), {"a": "sk-secret"})
    yield opened
    await opened.close()


def providers(upstream):
    return {
        "a": Provider("a", "A", upstream.url, "A_KEY", own=True),
        "open": Provider("open", "Open", upstream.url, None, own=True),
        "refused": Provider("refused", "Refused", refused_url(), None, own=True),
    }


def request(provider="a", model="m", *, stream=False, **limits):
    body = json.dumps({"model": model, "messages": [], "stream": stream}).encode()
    made = UpstreamRequest(
        endpoint=builders.endpoint("a/m"), index=0, provider=Provider(provider, "", "http://unused.invalid", None),
        body=body, stream=stream, profile=RequestProfile(), thinking_tokens=0.0, decision_id="d", attempt=1,
        first_byte_limit_s=10.0, total_limit_s=20.0,
    )  # fmt: skip
    return replace(made, **limits)


async def test_the_body_goes_out_as_it_is_with_the_vendor_s_key(upstream, wire):
    sent = request()
    answer = await wire.send(sent)
    await answer.body()
    await answer.close()
    (received,) = upstream.received
    assert received.raw == sent.body
    assert received.headers["authorization"] == "Bearer sk-secret"
    assert received.headers["content-type"] == "application/json"
    assert "cookie" not in received.headers


async def test_a_provider_without_key_gets_no_authorization(upstream, wire):
    await (await wire.send(request("open"))).body()
    assert "authorization" not in upstream.received[0].headers


async def test_connections_are_used_again_after_whole_answers_and_streams(upstream, wire):
    for stream in (False, True, False, True):
        answer = await wire.send(request(stream=stream))
        if stream:
            async for _ in answer.chunks():
                pass
        else:
            await answer.body()
        await answer.close()
    assert upstream.connections == 1


@pytest.mark.parametrize(
    "told", ["sk-secret/of-the-vendor", "sk-secret\\/of-the-vendor", "sk-secret/o***", "***the-vendor"]
)
async def test_an_error_that_repeats_the_vendor_s_key_or_a_piece_of_it_is_empty(upstream, anyio_backend, told):
    upstream.plan("m", status(400, b'{"error": {"message": "Authorization: Bearer %s"}}' % told.encode()))
    wire = OpenAIWire(providers(upstream), {"a": "sk-secret/of-the-vendor"})
    answer = await wire.send(request())
    assert (answer.status, await answer.body()) == (400, b"")
    await wire.close()


@pytest.mark.parametrize("key", ["sk-secret/of-the-vendor", "ollama"])
async def test_other_errors_keep_their_words(upstream, anyio_backend, key):
    words = b'{"error": {"message": "ollama/sk-secre of the vendor: no such thing"}}'
    upstream.plan("m", status(400, words))
    wire = OpenAIWire(providers(upstream), {"a": key})
    answer = await wire.send(request())
    assert await answer.body() == words
    await wire.close()


async def test_an_error_status_is_an_answer(upstream, wire):
    upstream.plan("m", status(429, retry_after="3"))
    answer = await wire.send(request())
    assert answer.status == 429
    assert answer.headers["retry-after"] == "3"
    assert json.loads(await answer.body())["error"]["message"] == "upstream says 429"


async def test_redirects_and_cookies_are_not_followed(upstream, wire):
    upstream.plan("m", status(307, location=refused_url(), set_cookie="a=b"), good)
    assert (await wire.send(request())).status == 307
    await (await wire.send(request())).body()
    assert "cookie" not in upstream.received[1].headers


@pytest.mark.parametrize(
    ("plan", "kind"), [(garbage, "malformed"), (closed_at_once, "disconnected"), (Hanging(), "timeout")]
)
async def test_no_answer_is_an_error_of_its_kind(upstream, wire, plan, kind):
    upstream.plan("m", plan)
    with pytest.raises(UpstreamError) as error:
        await wire.send(request(first_byte_limit_s=0.2))
    assert error.value.kind == kind


async def malformed_chunk(received):
    await received.head(200, "text/event-stream", transfer_encoding="chunked")
    await received.event({"choices": []})
    await asyncio.sleep(0.05)
    received.writer.write(b"zz\r\nno length of a chunk\r\n")
    await received.gone()


async def read_to_its_end(answer):
    async for _ in answer.chunks():
        pass


@pytest.mark.parametrize("stream", [False, True])
async def test_a_malformed_chunk_ends_the_answer_at_once(upstream, wire, stream):
    upstream.plan("m", malformed_chunk)
    answer = await wire.send(request(stream=stream))
    reading = read_to_its_end(answer) if stream else answer.body()
    with pytest.raises(UpstreamError) as error:
        await asyncio.wait_for(reading, 5)
    assert error.value.kind == "disconnected"
    await answer.close()


async def test_nobody_listening_is_unreachable(wire):
    with pytest.raises(UpstreamError) as error:
        await wire.send(request("refused"))
    assert error.value.kind == "unreachable"


async def test_a_cut_stream_is_an_error_after_what_had_come(upstream, wire):
    upstream.plan("m", broken_stream())
    answer = await wire.send(request(stream=True))
    got = bytearray()

    async def read():
        async for chunk in answer.chunks():
            got.extend(chunk)
            upstream.read_on.set()

    with pytest.raises(UpstreamError) as error:
        await read()
    assert error.value.kind == "disconnected"
    assert b"quick" in got


async def test_a_provider_may_have_an_idle_limit_of_its_own(upstream, wire):
    upstream.plan("m", Hanging("one"))
    sent = request(stream=True)
    answer = await wire.send(replace(sent, provider=replace(sent.provider, waits=Waits(idle_s=0.1))))
    with pytest.raises(UpstreamError) as error:
        await read_to_its_end(answer)
    assert error.value.kind == "timeout"
    await answer.close()


async def test_the_total_limit_ends_a_stream_that_drags_on(upstream, wire):
    upstream.plan("m", Hanging("one", "two"))
    answer = await wire.send(request(stream=True, total_limit_s=0.3))
    with pytest.raises(UpstreamError) as error:
        async for _ in answer.chunks():
            pass
    assert error.value.kind == "timeout"


async def test_letting_go_of_an_unfinished_answer_ends_the_work_upstream(upstream, wire):
    plan = Hanging("one")
    upstream.plan("m", plan)
    answer = await wire.send(request(stream=True))
    async for _ in answer.chunks():
        break
    await answer.close()
    assert await asyncio.to_thread(plan.left.wait, 10)


async def test_cancelling_the_wait_for_an_answer_ends_the_work_upstream(upstream, wire):
    plan = Hanging()
    upstream.plan("m", plan)
    task = asyncio.create_task(wire.send(request()))
    assert await asyncio.to_thread(plan.began.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(plan.left.wait, 10)
