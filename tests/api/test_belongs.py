"""Which requests are the API's when a dashboard stands on the same port."""

from __future__ import annotations

import pytest

from freerelay_core.api import belongs_to_api


def scope(method, path, *headers, kind="http"):
    return {"type": kind, "method": method, "path": path, "headers": list(headers)}


BEARER = (b"authorization", b"Bearer fr_live_x")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1"),
        ("GET", "/v1/"),
        ("GET", "/v1/none"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/session"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("POST", "/chat/completions"),
        ("DELETE", "/settings"),
        ("OPTIONS", "/"),
    ],
)
def test_what_a_program_asks_is_the_api_s(method, path):
    assert belongs_to_api(scope(method, path))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/settings"),
        ("GET", "/v1beta"),
        ("GET", "/static/js/index.js"),
        ("PUT", "/_stcore/upload_file/a/b"),
        ("POST", "/settings/_stcore/upload_file/a/b"),
        ("OPTIONS", "/_stcore/health"),
    ],
)
def test_what_a_browser_asks_is_the_dashboard_s(method, path):
    assert not belongs_to_api(scope(method, path))


def test_whatever_carries_a_bearer_token_is_the_api_s():
    assert belongs_to_api(scope("GET", "/models", BEARER))
    assert belongs_to_api(scope("GET", "/", (b"authorization", b"bearer x")))
    assert not belongs_to_api(scope("GET", "/", (b"authorization", b"Basic eDp5")))


def test_websockets_and_lifespan_are_the_dashboard_s():
    assert not belongs_to_api(scope("GET", "/_stcore/stream", kind="websocket"))
    assert not belongs_to_api({"type": "lifespan"})
