"""What is refused by its headers or its pace, before anything is parsed."""

from __future__ import annotations

import json
import socket

import pytest
from api_server import BODY

from freerelay_core.api import border

CHAT = "/v1/chat/completions"
WHOLE = json.dumps(BODY).encode()


def sent(server, head, body=b""):
    """The status, headers and body answered to raw bytes on a connection that we never close."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(head + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    top, _, rest = answer.partition(b"\r\n\r\n")
    return int(top.split(b" ")[1]), top.lower(), rest


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ({f"x-{n}": "v" for n in range(80)}, 200),
        ({f"x-{n}": "v" for n in range(101)}, 431),
        ({"x-long": "v" * 15_000}, 200),
        ({"x-long": "v" * 16_385}, 431),
    ],
    ids=["80 headers", "101 headers", "15 KB", "over 16 KiB"],
)
def test_headers_have_a_limit_in_number_and_size(server, extra, status):
    answer = server.chat(**extra)
    assert answer.status_code == status, answer.text
    if status == 431:
        assert answer.json()["error"]["code"] == "headers_too_large"
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", [CHAT, "/v1/router/decide", "/v1/tenant/settings"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip"])
def test_a_compressed_body_is_refused_whatever_it_holds(server, path, encoding):
    with server.http() as client:
        answer = client.post(path, content=WHOLE, headers={"content-encoding": encoding})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_encoding")


def test_an_identity_encoding_is_none(server):
    assert server.chat(**{"content-encoding": "Identity"}).status_code == 200


def test_a_length_and_chunks_together_are_refused_and_the_connection_ends(server):
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nContent-Length: 5\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    smuggled = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    status, top, rest = sent(server, head.encode(), smuggled)
    assert status == 400
    assert b"connection: close" in top
    assert b"HTTP/1.1" not in rest


@pytest.mark.parametrize("begun", [b"", WHOLE[:10]], ids=["no body", "half a body"])
def test_a_body_that_stops_arriving_is_answered_and_the_connection_ends(server, monkeypatch, begun):
    monkeypatch.setattr(border, "BODY_PAUSE_S", 0.1)
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nContent-Length: {len(WHOLE)}\r\n\r\n"
    )
    status, top, rest = sent(server, head.encode(), begun)
    assert (status, json.loads(rest)["error"]["code"]) == (408, "request_timeout")
    assert b"connection: close" in top


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [("1.1", [], 400), ("1.1", ["a", "b"], 400), ("1.1", ["a"], 200), ("1.0", [], 200), ("1.0", ["a", "a"], 400)],
)
def test_one_host_is_named_where_http_asks_for_it(server, version, hosts, status):
    head = [f"GET /v1/models HTTP/{version}", f"Authorization: Bearer {server.key}", "Connection: close"]
    code, _, body = sent(server, "\r\n".join([*head, *(f"Host: {host}" for host in hosts), "", ""]).encode())
    assert code == status
    assert status == 200 or json.loads(body)["error"]["code"] == "malformed_http"


@pytest.mark.parametrize(("version", "stream"), [("1.0", False), ("1.0", True), ("2.0", True)])
def test_a_client_of_another_http_than_1_1_is_sent_no_chunks(server, version, stream):
    body = json.dumps(BODY | {"stream": stream}).encode()
    head = f"POST {CHAT} HTTP/{version}\r\nAuthorization: Bearer {server.key}\r\nContent-Length: {len(body)}\r\n"
    connection = "\r\n" if version == "1.0" else "Connection: keep-alive\r\n\r\n"
    status, top, answer = sent(server, (head + connection).encode(), body)
    assert status == 200
    assert b"transfer-encoding" not in top
    if stream:
        assert answer.startswith(b"data: {")
        assert answer.endswith(b"data: [DONE]\n\n")
    else:
        assert json.loads(answer)["object"] == "chat.completion"
