"""Whatever is sent: an error in OpenAI's shape, with the right status, and never what was sent."""

from __future__ import annotations

import json
import socket

import pytest
from api_server import BODY

from freerelay_core.api.border import MAX_BODY_BYTES, MAX_MESSAGES, parse_object
from freerelay_core.errors import InvalidRequest

CHAT = "/v1/chat/completions"
WHOLE = json.dumps(BODY).encode()


def shape(answer, status, code=None):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "code", "param"}
    assert error["message"]
    assert error["code"]
    if code:
        assert error["code"] == code
    return error


def nested(depth):
    return b'{"model": "m", "messages": ' + b"[" * depth + b"]" * depth + b"}"


MALFORMED = {
    "empty": b"",
    "no JSON": b"hello",
    "truncated": WHOLE[:-3],
    "trailing": WHOLE + b"x",
    "two values": WHOLE + WHOLE,
    "null": b"null",
    "array": b"[]",
    "number": b"1",
    "text": b'"x"',
    "lone surrogate": b'{"model": "\\ud800"}',
    "reversed surrogates": b'{"model": "\\udc00\\ud800"}',
    "raw surrogate": b'{"model": "\xed\xa0\x80"}',
    "NaN": b'{"temperature": NaN}',
    "Infinity": b'{"temperature": Infinity}',
    "minus Infinity": b'{"temperature": -Infinity}',
    "1e400": b'{"temperature": 1e400}',
    "5000 digits": b'{"n": ' + b"9" * 5000 + b"}",
    "beyond 64 bits": b'{"seed": 18446744073709551616}',
    "beyond 64 bits, negative": b'{"metadata": {"n": [-9223372036854775809]}}',
    "latin-1": b'{"model": "\xff"}',
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "UTF-32": WHOLE.decode().encode("utf-32"),
    "BOM": b"\xef\xbb\xbf" + WHOLE,
    "NUL": b'{"model": "a\\u0000b"}',
    "NUL in a key": b'{"a\\u0000": 1}',
    "raw NUL": b'{"model": "a\x00b"}',
    "deep": nested(64),
    "very deep": nested(20_000),
    "never closed": b"[" * 100_000,
    "single quotes": b"{'model': 'm'}",
    "form": b"model=m",
    "too many messages": json.dumps({"messages": [{"role": "user", "content": "x"}] * (MAX_MESSAGES + 1)}).encode(),
}


@pytest.mark.parametrize("path", [CHAT, "/v1/router/decide", "/v1/tenant/settings"])
@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_sound_json_object_is_400(server, path, raw):
    with server.http() as client:
        error = shape(client.post(path, content=raw, headers={"content-type": "application/json"}), 400)
    assert error["type"] == "invalid_request_error"
    assert "hello" not in error["message"]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": "123456789012345678901234567890", "b": 0.12345678901234567890123, "c": -9223372036854775808}',
        nested(63),
        b'{"a": "\\\\u0000"}',
        b'{"a": "\\ud83d\\ude00"}',
        b'{"a": 18446744073709551615}',
        b'{"a": "[["}',
    ],
)
def test_what_only_looks_suspicious_is_accepted(raw):
    assert parse_object(raw) == json.loads(raw)


@pytest.mark.parametrize("path", [CHAT, "/v1/router/decide", "/v1/tenant/settings"])
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_5_mb_is_too_large_before_it_is_parsed(server, path, announced):
    raw = b'{"model": "' + b"a" * 5_000_000 + b'"'
    assert len(raw) > MAX_BODY_BYTES
    with server.http() as client:
        answer = client.post(path, content=raw if announced else iter([raw[:2_500_000], raw[2_500_000:]]))
        shape(answer, 413, "request_too_large")
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Basic eDp5"},
        {"authorization": "Token fr_live_x"},
        {"authorization": "Bearer fr_live_" + "x" * 49},
        {"authorization": "Bearer " + "x" * 4000},
        {"authorization": b"Bearer \xff\xfe\xed"},
        {"authorization": "Bearer ' or 1=1 --"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", CHAT),
        ("POST", "/v1/router/decide"),
        ("GET", "/v1/tenant/settings"),
        ("POST", "/v1/tenant/settings"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/freerelay/auto"),
        ("GET", "/v1/decisions/01a20f74-94c2-7351-8caf-6dd1590f93d3"),
    ],
)
def test_without_a_good_key_there_is_nothing(server, method, path, headers):
    with server.http("") as client:
        answer = client.request(method, path, headers=headers, content=WHOLE if method == "POST" else None)
    assert shape(answer, 401)["type"] == "authentication_error"
    assert answer.headers["www-authenticate"] == "Bearer"


def test_two_keys_are_none(server):
    with server.http("") as client:
        twice = [("authorization", f"Bearer {server.key}")] * 2
        shape(client.post(CHAT, content=WHOLE, headers=twice), 401)


def test_a_revoked_key_answers_as_an_unknown_one(server):
    tenant, key = server.tenant()
    with server.http(key) as client:
        assert client.get("/v1/models").status_code == 200
        store = server.application.store
        (info,) = server.run(store.list_keys(tenant.id))
        server.run(store.revoke_key(tenant.id, info.id))
        server.application.loop.call_soon_threadsafe(server.application.identities.reconnected)
        revoked = client.get("/v1/models")
    with server.http("fr_live_" + "x" * 49) as client:
        assert (revoked.status_code, revoked.content) == (401, client.get("/v1/models").content)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1"),
        ("GET", "/v1/"),
        ("GET", "/v1/none"),
        ("POST", "/v1/completions"),
        ("GET", "/v1/models/"),
        ("GET", "/docs"),
        ("GET", "/v1/%ff%fe"),
        ("DELETE", "/nothing"),
    ],
)
def test_an_unknown_route_is_404(server, method, path):
    with server.http() as client:
        shape(client.request(method, path), 404)


@pytest.mark.parametrize("path", ["/chat/completions", "/models", "/completions"])
def test_a_base_url_without_v1_is_told_so(server, path):
    with server.http() as client:
        error = shape(client.post(path, json=BODY), 404)
    assert "must end in /v1" in error["message"]
    assert f"/v1{path}" in error["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", CHAT), ("PUT", CHAT), ("POST", "/v1/models"), ("DELETE", "/v1/tenant/settings"), ("GET", "/session")],
)
def test_a_wrong_method_is_405(server, method, path):
    with server.http() as client:
        shape(client.request(method, path), 405, "method_not_allowed")


def test_a_fault_of_our_own_is_500_in_the_same_shape_and_tells_nothing(server, monkeypatch):
    def broken(*_args, **_options):
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(server.application, "decide_body", broken)
    with server.http() as client:
        for path in (CHAT, "/v1/router/decide"):
            error = shape(client.post(path, json=BODY), 500, "internal_error")
            assert "secret" not in error["message"]


def test_health_and_readiness(server):
    with server.http("") as client:
        for path in ("/healthz", "/readyz"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
            assert answer.headers["x-request-id"]


RAW = {
    "negative length": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length and chunks": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "NUL in the path": b"GET /v1/%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
def test_odd_http_is_never_a_fault_of_ours(server, raw):
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert not answer or answer.split(b" ")[1][:1] == b"4"


def test_messages_say_what_is_wrong():
    with pytest.raises(InvalidRequest, match="line 1, column 2"):
        parse_object(b"{x")
    with pytest.raises(InvalidRequest, match="deeper than 64"):
        parse_object(nested(64))
