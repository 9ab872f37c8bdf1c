"""The HTTP client against servers that answer in every way that HTTP allows, and in some that it does not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upstreams import Hanging, refused_url, upstream_server

from freerelay_core.providers import UpstreamError, http_client, http_connection
from freerelay_core.providers.http_client import HttpClient, Target
from freerelay_core.providers.http_connection import Connection

pytestmark = pytest.mark.anyio

CERTIFICATE = Path(__file__).parents[1] / "data" / "localhost.pem"
"""Of "localhost", signed by itself; with its key, which is nobody's secret."""
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
def upstream():
    with upstream_server() as server:
        yield server


@pytest.fixture
async def client(anyio_backend):
    made = HttpClient()
    yield made
    await made.close()


@pytest.fixture
def target(upstream):
    return Target(f"{upstream.url}/chat/completions", {"X-Of": "ours"}, public=False)


def raw(*parts, ends=False):
    """An answer of these bytes, a little apart, after which the connection may end."""

    async def plan(request):
        for part in parts:
            request.writer.write(part)
            await request.writer.drain()
            await asyncio.sleep(0.02)
        if ends:
            request.writer.close()

    return plan


def post(client, target, *, silence_s=5.0, total_s=5.0):
    return client.post(target, b'{"model": "m"}', connect_s=2.0, silence_s=silence_s, total_s=total_s)


async def asked(client, target, **limits):
    exchange = await post(client, target, **limits)
    return exchange.status, await exchange.body()


async def failure_of(waiting):
    with pytest.raises(UpstreamError) as error:
        await asyncio.wait_for(waiting, 5)
    return error.value.kind


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        ((OK,), b"ok"),
        ((OK[:10], OK[10:30], OK[30:]), b"ok"),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), b""),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", OK), b"ok"),
        ((b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + OK,), b"ok"),
        ((CHUNKED, b"1\r\no\r\n1;x=y\r\nk\r\n0\r\na: trailer\r\n\r\n"), b"ok"),
    ],
)  # fmt: skip
async def test_an_answer_is_whole_however_it_is_framed_and_its_connection_is_used_again(
    upstream, client, target, parts, body
):
    upstream.plan("m", raw(*parts))
    for _ in range(3):
        assert (await asked(client, target))[1] == body
    assert upstream.connections == 1


class Nowhere:
    """A transport to nobody."""

    ended = False

    def writelines(self, parts):
        pass

    def is_closing(self):
        return self.ended

    def get_write_buffer_size(self):
        return 0

    def abort(self):
        self.ended = True


@given(
    st.sampled_from([OK, CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" + OK]),
    st.lists(st.integers(0, 120)),
)
def test_an_answer_may_come_in_any_pieces(answer, cuts):
    loop, freed = asyncio.new_event_loop(), []
    connection = Connection(loop, freed.append, lambda _: None)
    connection.connection_made(Nowhere())
    exchange = connection.ask(b"", b"", silence_s=5.0, total_s=5.0)
    edges = [0, *sorted(cut for cut in cuts if cut < len(answer)), len(answer)]
    for begin, end in pairwise(edges):
        if begin < end:
            connection.data_received(answer[begin:end])
    assert (exchange.status, loop.run_until_complete(exchange.body())) == (200, b"ok")
    assert freed == [connection]
    connection.connection_lost(None)
    loop.close()


async def test_headers_are_told_in_lower_case_and_those_that_come_twice_as_one(upstream, client, target):
    upstream.plan("m", raw(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"))
    exchange = await post(client, target)
    assert exchange.headers == {"x-a": "1, 2", "content-length": "0"}
    assert upstream.received[0].headers["x-of"] == "ours"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        OK + b"more than was asked for",
        OK + OK,
    ],
)
async def test_a_connection_that_cannot_be_trusted_any_more_is_not_used_again(upstream, client, target, answer):
    upstream.plan("m", raw(answer))
    for _ in range(2):
        assert await asked(client, target) == (200, b"ok")
    assert upstream.connections == 2


LAST = b"5\r\n[END]\r\n"


@pytest.mark.parametrize(
    ("after", "connections"),
    [((b"0\r\n\r\n",), 1), ((b"0\r\na: trailer\r\n", b"\r\n"), 1), ((b"4\r\nmore\r\n0\r\n\r\n",), 3), ((), 3)],
)
async def test_an_answer_that_was_read_as_far_as_it_matters_may_still_end_for_a_moment(
    upstream, client, target, monkeypatch, after, connections
):
    monkeypatch.setattr(http_connection, "END_LIMIT_S", 0.1)
    upstream.plan("m", raw(CHUNKED + LAST, *after))
    for _ in range(3):
        exchange = await post(client, target)
        assert await anext(exchange.chunks(5.0)) == b"[END]"
        exchange.close(finished=True)
        await asyncio.sleep(0.2)
    assert upstream.connections == connections
    assert len(target.idle) == (connections == 1)


async def test_what_comes_unasked_between_two_requests_is_never_an_answer(upstream, client, target):
    upstream.plan("m", raw(OK, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfake"), raw(OK))
    assert await asked(client, target) == (200, b"ok")
    await asyncio.sleep(0.1)
    assert await asked(client, target) == (200, b"ok")
    assert upstream.connections == 2


@pytest.mark.parametrize("ends_at_once", [True, False])
async def test_a_body_may_end_with_its_connection(upstream, client, target, ends_at_once):
    head, body = b"HTTP/1.1 200 OK\r\n\r\n", b"until the end"
    upstream.plan("m", raw(*((head + body,) if ends_at_once else (head, body)), ends=True))
    assert await asked(client, target) == (200, b"until the end")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", "disconnected"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "disconnected"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", "disconnected"),
        (CHUNKED + b"2\r\nok\r\n", "disconnected"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "malformed"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", "malformed"),
        (CHUNKED[:-2] + b"content-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n", "malformed"),
    ],
)  # fmt: skip
async def test_half_an_answer_and_no_http_are_errors(upstream, client, target, answer, kind):
    upstream.plan("m", raw(answer, ends=True))
    assert await failure_of(asked(client, target)) == kind


async def test_a_head_without_end_is_cut_off(upstream, client, target):
    async def endless(request):
        request.writer.write(b"HTTP/1.1 200 OK\r\n")
        while not request.writer.is_closing():
            request.writer.write(b"x-more: " + 1000 * b"a" + b"\r\n")
            await request.writer.drain()

    upstream.plan("m", endless)
    assert await failure_of(asked(client, target)) == "malformed"


async def test_a_body_without_end_is_cut_off(upstream, client, target, monkeypatch):
    monkeypatch.setattr(http_connection, "MAX_ANSWER_BYTES", 1_000_000)

    async def endless(request):
        request.writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not request.writer.is_closing():
            request.writer.write(bytes(65_536))
            await request.writer.drain()

    upstream.plan("m", endless)
    exchange = await post(client, target)
    assert await failure_of(exchange.body()) == "malformed"
    exchange.close()


async def test_a_large_answer_is_read_whole_even_when_nobody_reads_it_at_once(upstream, client, target):
    size = 8_000_000
    upstream.plan("m", raw(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size)))
    exchange = await post(client, target)
    await asyncio.sleep(0.2)
    assert len(await asyncio.wait_for(exchange.body(), 5)) == size


async def test_a_provider_that_is_quicker_than_its_reader_has_to_wait(upstream, client, target):
    offered, count = 0, 400

    async def plenty(request):
        nonlocal offered
        request.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (count * 65_536))
        for _ in range(count):
            request.writer.write(bytes(65_536))
            await request.writer.drain()
            offered += 1

    upstream.plan("m", plenty)
    exchange = await post(client, target, silence_s=0.2)
    chunks = exchange.chunks(0.2)
    size = len(await anext(chunks))
    await asyncio.sleep(0.5)  # longer than silence may last: it is ours, not the provider's
    assert offered < count / 2
    async for chunk in chunks:
        size += len(chunk)
    assert size == count * 65_536
    assert await asked(client, target)
    assert upstream.connections == 1


async def test_silence_has_its_limit_again_once_the_reader_has_caught_up(upstream, client, target):
    async def then_silent(request):
        request.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000001\r\n\r\n" + bytes(1_000_000))
        await request.gone()

    upstream.plan("m", then_silent)
    chunks = (await post(client, target, silence_s=0.1, total_s=600.0)).chunks(0.1)
    await anext(chunks)
    await asyncio.sleep(0.3)  # nothing is read, and longer than silence may last
    assert await failure_of(rest_of(chunks)) == "timeout"


async def rest_of(chunks):
    return b"".join([chunk async for chunk in chunks])


async def test_what_we_broke_off_ourselves_is_no_end_of_a_body(upstream, client, target):
    async def unfinished(request):
        await raw(b"HTTP/1.1 200 OK\r\n\r\nhalf an ans")(request)
        await request.gone()

    upstream.plan("m", unfinished)
    slow = await post(client, target, total_s=0.1)
    await asyncio.sleep(0.3)  # its reader is busy while its time runs out
    assert await failure_of(rest_of(slow.chunks(5.0))) == "timeout"

    cut = await post(client, target)
    await client.close()
    await asyncio.sleep(0.1)
    assert await failure_of(rest_of(cut.chunks(5.0))) == "disconnected"


async def test_a_connection_on_which_the_request_is_still_going_out_is_not_used_again(upstream, client, target):
    async def hasty(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await asyncio.sleep(10)

    server = await asyncio.start_server(hasty, "127.0.0.1", 0)
    target = Target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", {}, public=False)
    try:
        for _ in range(2):
            exchange = await client.post(target, bytes(30_000_000), connect_s=2.0, silence_s=5.0, total_s=5.0)
            assert await asyncio.wait_for(exchange.body(), 5) == b"ok"
    finally:
        server.close()


@pytest.mark.parametrize(("limits", "parts"), [
    ({"silence_s": 0.1}, ()),
    ({"total_s": 0.1}, ()),
    ({"silence_s": 0.1}, (OK[:-1],)),
    ({"total_s": 0.2}, (OK[:-7], *[b"1"] * 100)),
])  # fmt: skip
async def test_silence_and_length_have_limits(upstream, client, target, limits, parts):
    async def slow(request):
        await raw(*parts)(request)
        await request.gone()

    upstream.plan("m", raw(OK), slow)
    assert await asked(client, target) == (200, b"ok")  # its timer must not put off that of the next
    assert await failure_of(asked(client, target, **limits)) == "timeout"


async def test_a_connection_that_nobody_used_for_long_is_closed(upstream, client, target, monkeypatch):
    monkeypatch.setattr(http_connection, "KEPT_S", 0.05)
    upstream.plan("m", raw(OK))
    await asked(client, target)
    await asyncio.sleep(0.2)
    assert not target.idle
    await asked(client, target)
    assert upstream.connections == 2


async def test_a_connection_whose_request_might_wait_longer_is_kept_no_longer(upstream, client, target, monkeypatch):
    monkeypatch.setattr(http_connection, "KEPT_S", 0.2)
    upstream.plan("m", raw(OK[:-1], *10 * (b"",), OK[-1:]))  # by then the timer is set by the limits of the request
    await asked(client, target, silence_s=600.0, total_s=600.0)
    assert target.idle
    await asyncio.sleep(1.0)
    assert not target.idle


async def test_concurrent_requests_have_connections_of_their_own_and_one_look_up(upstream, client, monkeypatch):
    look_up, looked = socket.getaddrinfo, []

    def counted(name, *args, **options):
        looked.append(name)
        return look_up(name, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    target = Target(f"http://localhost:{upstream.port}/v1", {}, public=False)
    upstream.plan("m", raw(OK))
    assert await asyncio.gather(*(asked(client, target) for _ in range(20))) == [(200, b"ok")] * 20
    assert looked == ["localhost"]
    assert upstream.connections == 20
    assert await asyncio.gather(*(asked(client, target) for _ in range(20))) == [(200, b"ok")] * 20
    assert upstream.connections == 20


async def test_a_name_that_was_not_found_is_looked_up_again(upstream, client, monkeypatch):
    look_up, works = socket.getaddrinfo, False

    def failing(*args, **options):
        if not works:
            raise socket.gaierror(socket.EAI_AGAIN, "no name server")
        return look_up(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", failing)
    target = Target(f"http://localhost:{upstream.port}/v1", {}, public=False)
    upstream.plan("m", raw(OK))
    assert await failure_of(asked(client, target)) == "unreachable"
    works = True
    assert await asked(client, target) == (200, b"ok")


async def test_a_name_server_that_hangs_is_not_waited_for(client, monkeypatch):
    monkeypatch.setattr(http_client, "LOOK_UP_LIMIT_S", 0.05)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lambda *_, **__: asyncio.sleep(10))
    assert await failure_of(asked(client, Target("http://name.example/v1", {}, public=False))) == "unreachable"


async def test_a_hung_look_up_is_not_begun_a_second_time(client, monkeypatch):
    began = []

    async def hanging(*_, **__):
        began.append(1)
        await asyncio.sleep(10)

    monkeypatch.setattr(http_client, "LOOK_UP_LIMIT_S", 0.05)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hanging)
    target = Target("http://name.example/v1", {}, public=False)
    assert [await failure_of(asked(client, target)) for _ in range(3)] == ["unreachable"] * 3
    assert len(began) == 1


@pytest.mark.parametrize("ill", ["hangs", "fails"])
async def test_while_a_name_cannot_be_looked_up_its_last_addresses_are_used(upstream, client, monkeypatch, ill):
    look_up, well = asyncio.get_running_loop().getaddrinfo, True

    async def sometimes(*args, **options):
        if not well:
            if ill == "fails":
                raise socket.gaierror(socket.EAI_AGAIN, "no name server")
            await asyncio.sleep(10)
        return await look_up(*args, **options)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", sometimes)
    monkeypatch.setattr(http_client, "LOOK_UP_LIMIT_S", 0.05)
    monkeypatch.setattr(http_client, "ADDRESSES_KEPT_S", 0.0)
    target = Target(f"http://localhost:{upstream.port}/v1", {}, public=False)
    upstream.plan("m", raw(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"))
    assert await asked(client, target) == (200, b"ok")
    well = False
    assert [await asked(client, target) for _ in range(2)] == [(200, b"ok")] * 2
    assert upstream.connections == 3


async def test_the_way_to_a_provider_counts_to_the_whole(upstream, client, monkeypatch):
    look_up = asyncio.get_running_loop().getaddrinfo

    async def slow(*args, **options):
        await asyncio.sleep(0.3)
        return await look_up(*args, **options)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", slow)
    target = Target(f"http://localhost:{upstream.port}/v1", {}, public=False)
    upstream.plan("m", raw(OK))
    assert await failure_of(asked(client, target, total_s=0.1)) == "unreachable"
    assert not upstream.connections


async def test_nobody_there_is_unreachable(client):
    assert await failure_of(asked(client, Target(refused_url(), {}, public=False))) == "unreachable"


async def test_closing_the_client_ends_what_waits(upstream, client, target):
    plan = Hanging()
    upstream.plan("m", plan)
    waiting = asyncio.create_task(asked(client, target))
    assert await asyncio.to_thread(plan.began.wait, 10)
    await client.close()
    assert await failure_of(waiting) == "disconnected"
    assert await asyncio.to_thread(plan.left.wait, 10)


@pytest.fixture
async def over_tls():
    """The port of a server with a certificate of its own."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)

    async def serve(reader, writer):
        while await reader.readuntil(b'"m"}'):
            writer.write(OK)

    async def quietly(reader, writer):
        try:
            await serve(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(quietly, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.parametrize(("host", "trusted", "works"), [
    ("localhost", True, True), ("localhost", False, False), ("127.0.0.1", True, False),
])  # fmt: skip
async def test_a_certificate_must_be_trusted_and_be_of_the_host(over_tls, client, monkeypatch, host, trusted, works):
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    http_client._tls.cache_clear()
    target = Target(f"https://{host}:{over_tls}/v1", {}, public=False)
    try:
        if works:
            assert [await asked(client, target) for _ in range(2)] == [(200, b"ok")] * 2
        else:
            assert await failure_of(asked(client, target)) == "unreachable"
    finally:
        http_client._tls.cache_clear()


async def test_a_handshake_that_failed_leaves_nothing_behind(over_tls, client, monkeypatch):
    monkeypatch.setattr(http_connection, "KEPT_S", 0.05)
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    target = Target(f"https://localhost:{over_tls}/v1", {}, public=False)
    assert await failure_of(asked(client, target)) == "unreachable"
    await asyncio.sleep(0.3)
    assert faults == []


@pytest.mark.parametrize(
    ("url", "host", "port", "line"),
    [
        ("https://api.example.com/v1", "api.example.com", 443, b"POST /v1 HTTP/1.1\r\nHost: api.example.com\r\n"),
        ("http://[::1]:81/v1", "::1", 81, b"POST /v1 HTTP/1.1\r\nHost: [::1]:81\r\n"),
        ("http://user:word@host/v1", "host", 80, b"POST /v1 HTTP/1.1\r\nHost: host\r\n"),
        ("http://bücher.example/a", "xn--bcher-kva.example", 80, b"POST /a HTTP/1.1\r\nHost: xn--bcher-kva.example"),
    ],
)  # fmt: skip
def test_a_target_is_named_as_http_wants_it(url, host, port, line):
    target = Target(url, {}, public=True)
    assert (target.host, target.port) == (host, port)
    assert target.head.startswith(line)
