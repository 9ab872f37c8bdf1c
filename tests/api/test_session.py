"""Signing in with a form and out again, as a browser does it."""

from __future__ import annotations

from http.cookies import SimpleCookie
from itertools import count

import httpx
import pytest
from api_server import OPERATOR_KEY

from freerelay_core.api.session import COOKIE
from freerelay_core.store import key_digest

_hosts = count(2)


@pytest.fixture
def browser(server):
    """A client without key, from an address of its own."""
    address = f"127.0.0.{next(_hosts)}"
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(base_url=server.root, transport=transport, timeout=20) as client:
        yield client


def sign_in(client, key, next_="/settings", **headers):
    headers = {"origin": str(client.base_url).rstrip("/")} | headers
    return client.post("/session", data={"api_key": key, "next": next_}, headers=headers)


def holder(server, answer):
    session = SimpleCookie(answer.headers["set-cookie"])[COOKIE].value
    return server.run(server.application.store.session(key_digest(session)))


def test_a_tenant_signs_in_and_returns_to_where_it_was(server, browser):
    tenant, key = server.tenant()
    answer = sign_in(browser, key, "/settings?preference=balanced")
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings?preference=balanced")
    cookie = SimpleCookie(answer.headers["set-cookie"])[COOKIE]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"], cookie["max-age"]) == ("lax", "/", str(12 * 3600))
    assert not cookie["secure"]
    assert key not in answer.headers["set-cookie"]
    assert holder(server, answer).tenant.id == tenant.id


def test_the_operator_signs_in(server, browser):
    assert holder(server, sign_in(browser, OPERATOR_KEY)).is_operator


def test_each_session_has_an_id_of_its_own_and_the_store_knows_only_its_digest(server, browser):
    first, second = (SimpleCookie(sign_in(browser, server.key).headers["set-cookie"])[COOKIE].value for _ in range(2))
    assert first != second
    assert server.run(server.application.store.session(first)) is None


def test_under_https_the_cookie_is_secure(server, browser):
    answer = sign_in(
        browser, server.key, **{"x-forwarded-proto": "https", "origin": f"https://127.0.0.1:{server.port}"}
    )
    assert SimpleCookie(answer.headers["set-cookie"])[COOKIE]["secure"]


@pytest.mark.parametrize("key", ["", "fr_live_" + "x" * 49, "nonsense", "fr_live_ü"])
def test_a_wrong_key_leads_back_with_the_reason_and_without_cookie(browser, key):
    answer = sign_in(browser, key, "/settings?a=1&sign_in=old")
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings?a=1&sign_in=failed")
    assert "set-cookie" not in answer.headers


def test_too_many_wrong_keys_from_one_address_are_stopped_even_a_right_one(server, browser):
    for _ in range(10):
        assert sign_in(browser, "wrong").headers["location"].endswith("sign_in=failed")
    answer = sign_in(browser, server.key)
    assert answer.headers["location"] == "/settings?sign_in=limited"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example/",
        "https://evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "evil.example",
        "/a\r\nset-cookie: x=y",
        "/ a",
        "",
        "//[",
        "/\x00",
    ],
)
def test_a_target_elsewhere_leads_to_the_front_page(server, browser, target):
    assert sign_in(browser, server.key, target).headers["location"] == "/"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", ""])
@pytest.mark.parametrize("path", ["/session", "/session/end"])
def test_a_form_of_another_site_is_refused(server, browser, path, origin):
    answer = browser.post(path, data={"api_key": server.key}, headers={"origin": origin})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
    assert "set-cookie" not in answer.headers


def test_signing_out_ends_the_session_and_takes_the_cookie(server, browser):
    signed_in = sign_in(browser, server.key)
    answer = browser.post("/session/end", headers={"origin": server.root})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert SimpleCookie(answer.headers["set-cookie"])[COOKIE].value == ""
    assert holder(server, signed_in) is None


def test_signing_out_without_session_is_no_error(server, browser):
    assert browser.post("/session/end").status_code == 303


@pytest.mark.parametrize("raw", [b"api_key=" + b"a" * 20_000, b"\xff\xfe", b"&".join(b"a=1" for _ in range(99))])
def test_a_form_that_is_none_is_refused(browser, raw):
    assert browser.post("/session", content=raw).status_code in (400, 413)
