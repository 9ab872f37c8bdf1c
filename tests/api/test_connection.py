"""Clients that send or read too slowly, as raw sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import psutil
import pytest
from api_server import BODY
from serving import eventually
from upstreams import Hanging, delta, opened, saying

from freerelay_core.api import border, connection

CHAT = "/v1/chat/completions"
HEALTHZ = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
BUFFERED = 16 * 1024 * 1024
"""More than the kernel takes of what nobody reads."""


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(connection, "HEAD_LIMIT_S", 0.3)
    monkeypatch.setattr(connection, "UNREAD_LIMIT_S", 0.3)


@pytest.fixture
def to(calm, impatient):
    with socket.create_connection(("127.0.0.1", calm.port), timeout=20) as client:
        yield client


def rest_of(client):
    """What the server sends until it closes the connection."""
    parts = []
    while part := client.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def drip_until_ended(client, data):
    """Send a byte after the other until the server has ended the connection, which it must before the last."""
    client.settimeout(0.02)
    for number in range(len(data)):
        try:
            client.send(data[number : number + 1])
            if not client.recv(1 << 16):
                return
        except TimeoutError:
            continue
        except ConnectionError:
            return
    raise AssertionError("the server waited for all of it")


def chat_head(server, length):
    lines = [f"POST {CHAT} HTTP/1.1", "host: x", f"authorization: Bearer {server.key}", f"content-length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def is_connected(server, client):
    """Whether the server holds its end of this connection open."""
    ours = client.getsockname()[1]
    return any(
        (end.laddr[1], end.raddr[1:], end.status) == (server.port, (ours,), psutil.CONN_ESTABLISHED)
        for end in psutil.Process().net_connections("tcp")
    )


@pytest.mark.parametrize("before", [b"", HEALTHZ], ids=["first", "second"])
def test_half_a_head_is_answered_with_408_and_the_connection_ends(to, before):
    if before:
        to.sendall(before)
        assert b" 200 " in to.recv(1 << 16)
    to.sendall(HEALTHZ[:-2])
    top, _, body = rest_of(to).rpartition(b"\r\n\r\n")
    assert b"HTTP/1.1 408 " in top
    assert json.loads(body)["error"]["code"] == "request_timeout"


@pytest.mark.parametrize("more", [b"x-a: y\r\n", b"y"], ids=["many headers", "one header"])
def test_a_head_without_end_is_answered_with_431_and_the_connection_ends(to, more):
    head = HEALTHZ[:-2] + b"x: y" + more * connection.MAX_HEAD_BYTES
    to.sendall(head[: connection.MAX_HEAD_BYTES + 1])
    top, _, body = rest_of(to).partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 431 ")
    assert b"\r\nx-request-id: req_" in top
    assert json.loads(body)["error"]["code"] == "headers_too_large"


@pytest.mark.parametrize("data", [HEALTHZ[:-2] + b"x-a: y\r\n" * 100, b"\r\n" * 500], ids=["headers", "empty lines"])
def test_what_drips_in_gives_a_head_no_more_time(to, data):
    drip_until_ended(to, data)


@pytest.mark.parametrize(
    "raw",
    [
        b"no HTTP at all\r\n\r\n",
        b"GET /v1/\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v1/router/decide HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"POST /session HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nxx\r\nzz\r\n",
    ],
    ids=["no HTTP", "no ASCII", "two lengths", "no chunk"],
)
def test_what_is_no_http_is_answered_in_the_shape_of_every_error(to, raw):
    to.sendall(raw)
    top, _, body = rest_of(to).partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\ncontent-type: application/json\r\n" in top
    assert b"\r\nx-request-id: req_" in top
    assert b"\r\nconnection: close" in top
    assert json.loads(body)["error"]["code"] == "malformed_http"


def test_what_is_no_http_is_no_answer_to_the_request_before_it(calm, upstream, to):
    plan = Hanging()
    upstream.plan("first", plan)
    body = json.dumps(BODY).encode()
    to.sendall(chat_head(calm, len(body)) + body)
    assert plan.began.wait(10)
    to.sendall(b"no HTTP at all\r\n\r\n")
    assert rest_of(to) == b""
    assert plan.left.wait(10)


def test_a_connection_on_which_nothing_is_said_ends_without_a_word(to):
    assert rest_of(to) == b""


def test_a_request_that_takes_longer_than_its_head_may_is_answered(calm, upstream, to):
    async def late(request):
        await asyncio.sleep(0.6)
        await saying("Late")(request)

    upstream.plan("first", late)
    body = json.dumps(BODY).encode()
    to.sendall(chat_head(calm, len(body)) + body)
    assert b" 200 " in to.recv(1 << 16)


def test_what_drips_in_gives_a_body_no_more_time(calm, to, monkeypatch):
    monkeypatch.setattr(border, "BODY_PAUSE_S", 0.3)
    to.sendall(chat_head(calm, 100_000))
    drip_until_ended(to, b" " * 1000)


async def endless(request):
    """A stream that goes on as long as somebody takes it."""
    await opened(request)
    while True:
        await request.event(delta("x" * 100_000))


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_never_reads_is_ended_and_its_place_and_its_provider_are_free(calm, upstream, to, streamed):
    upstream.plan("first", endless if streamed else saying("x" * BUFFERED))
    body = json.dumps(BODY | {"stream": streamed}).encode()
    to.sendall(chat_head(calm, len(body)) + body)
    eventually(lambda: calm.application.admission.open == 1)
    eventually(lambda: not is_connected(calm, to))
    eventually(lambda: calm.application.admission.open == 0)
    answer = rest_of(to)
    assert b" 200 " in answer[:20]
    assert not answer.endswith(b"0\r\n\r\n") if streamed else len(answer) < BUFFERED


def test_a_client_that_reads_slowly_gets_all_of_a_large_answer(calm, upstream, to):
    upstream.plan("first", saying("x" * BUFFERED))
    body = json.dumps(BODY).encode()
    to.sendall(chat_head(calm, len(body)) + body)
    got = 0
    while got < BUFFERED:
        time.sleep(0.01)
        part = to.recv(1 << 20)
        assert part
        got += len(part)


H2C = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAARAAAAAAAIAAAAA")
"""What Java's HttpClient asks of every server without TLS; the server may go on as if it had not."""


def asking_for_h2c(server, body, *, chunked):
    framing = "transfer-encoding: chunked" if chunked else f"content-length: {len(body)}"
    lines = [f"POST {CHAT} HTTP/1.1", "host: x", f"authorization: Bearer {server.key}", framing, *H2C]
    data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    return "\r\n".join([*lines, "", ""]).encode(), data


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_the_body_of_a_request_that_asks_for_another_protocol_is_its_body(calm, upstream, to, chunked, pieces):
    body = json.dumps(BODY | {"seed": 7}).encode()
    head, data = asking_for_h2c(calm, body, chunked=chunked)
    if pieces == 1:
        to.sendall(head + data)
    else:
        to.sendall(head)
        for start in range(pieces):
            time.sleep(0.02)
            to.sendall(data[len(data) * start // pieces : len(data) * (start + 1) // pieces])
    answer = rest_of(to)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nconnection: close\r\n" in answer
    assert [received.body["seed"] for received in upstream.received] == [7]


@pytest.mark.parametrize("apart", [False, True])
def test_a_body_that_looks_like_a_request_is_none(calm, to, apart):
    head, data = asking_for_h2c(calm, HEALTHZ, chunked=False)
    if apart:
        to.sendall(head)
        time.sleep(0.05)
        to.sendall(data + HEALTHZ)
    else:
        to.sendall(head + data + HEALTHZ)
    answer = rest_of(to)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_what_follows_a_request_without_body_that_asks_for_another_protocol_is_answered_too(to):
    asks = b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + "\r\n".join([*H2C, "", ""]).encode()
    to.sendall(asks * 3 + HEALTHZ[:-2] + b"connection: close\r\n\r\n")
    assert rest_of(to).count(b"HTTP/1.1 200 ") == 4


WEBSOCKET = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
NONCE = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


@pytest.mark.parametrize("key", [NONCE, ""], ids=["sound", "without its key"])
@pytest.mark.parametrize(
    ("path", "status"), [(CHAT, 405), ("/v1/realtime?model=freerelay/auto", 404), ("/v1/models", 401), ("/none", 404)]
)
def test_a_websocket_is_refused_as_any_other_request_is(to, path, status, key):
    to.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n{WEBSOCKET}{key}\r\n".encode())
    to.sendall(HEALTHZ[:-2] + b"connection: close\r\n\r\n")
    head, _, rest = rest_of(to).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nx-request-id: req_" in head
    assert rest.startswith(b'{"error":')
    assert rest.count(b"HTTP/1.1 200 ") == 1, "the connection goes on"


def test_a_body_that_comes_with_a_handshake_is_read(calm, to):
    body = json.dumps(BODY).encode()
    to.sendall(chat_head(calm, len(body))[:-2] + (WEBSOCKET + NONCE + "\r\n").encode() + body)
    assert rest_of(to).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_leaves_ends_the_work_on_its_first_request_even_where_others_wait_behind_it(calm, upstream, to):
    plan = Hanging()
    upstream.plan("first", plan)
    body = json.dumps(BODY).encode()
    to.sendall(chat_head(calm, len(body)) + body + HEALTHZ + HEALTHZ)
    assert plan.began.wait(10)
    to.close()
    assert plan.left.wait(10)
