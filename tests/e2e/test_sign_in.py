"""Signing in and out in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

NewPage = Callable[..., Page]


def on_sign_in(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to FreeRelay")


def fill_in(page: Page, key: str, path: str) -> None:
    """Sign in with the form, as a person would, at a path."""
    page.goto(path)
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out", include_hidden=True)).to_be_attached()


def test_a_stranger_is_asked_for_a_key_and_nothing_else_is_shown(new_page: NewPage, wait_ready: Any) -> None:
    page = new_page()
    for path in ("/", "/settings", "/simulator"):
        page.goto(path)
        wait_ready(page)
        on_sign_in(page)
        expect(page.get_by_role("button", name="Sign out", include_hidden=True)).to_have_count(0)


def test_signing_in_leads_to_the_page_and_query_that_were_asked_for(new_page: NewPage, tenant: Any, query: Any) -> None:
    page = new_page()
    fill_in(page, tenant.key, "/settings?preference=performance-first")
    expect(page.get_by_role("heading", level=1)).to_have_text("Routing settings")
    query(page, "?preference=performance-first")
    expect(page.get_by_role("radio", name="performance-first")).to_be_checked()
    expect(page.get_by_test_id("stSidebar")).to_contain_text(tenant.email)
    expect(page.get_by_test_id("stSidebar")).to_contain_text(f"key {tenant.key[:12]}…")


@pytest.mark.parametrize("wrong", ["<b>nonsense</b>", "fr_live_" + "0" * 49])
def test_a_wrong_key_is_refused_in_words_that_tell_nothing(
    new_page: NewPage, wait_ready: Any, tenant: Any, wrong: str
) -> None:
    page = new_page()
    page.goto("/simulator")
    page.get_by_label("API key").fill(wrong)
    page.get_by_role("button", name="Sign in").click()
    alert = page.get_by_role("alert")
    expect(alert).to_have_text(
        "This key is not valid. Check that it is whole, and that it was not revoked and has not expired."
    )
    wait_ready(page)
    assert page.evaluate("location.pathname") == "/simulator"
    assert wrong not in page.evaluate("location.search"), "a key is never in a URL"
    expect(page.get_by_label("API key")).to_have_value("")
    page.get_by_label("API key").fill(tenant.key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Simulator")
    assert "sign_in" not in page.evaluate("location.search")


def test_the_browser_never_holds_the_key(new_page: NewPage, wait_ready: Any, tenant: Any) -> None:
    page = new_page()
    fill_in(page, tenant.key, "/settings")
    wait_ready(page)
    (cookie,) = (c for c in page.context.cookies() if c["name"] == "freerelay_session")
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    held = str(page.context.storage_state()) + page.content()
    assert tenant.key not in held


def test_signing_out_ends_the_session_for_good(tenant_page: Page, new_page: NewPage, wait_ready: Any) -> None:
    cookies = tenant_page.context.cookies()
    tenant_page.get_by_role("button", name="Sign out").click()
    on_sign_in(tenant_page)
    replay = new_page()
    replay.context.add_cookies(cookies)
    replay.goto("/settings")
    wait_ready(replay)
    on_sign_in(replay)


def test_a_made_up_session_is_nobodys(new_page: NewPage, wait_ready: Any, product: Any) -> None:
    page = new_page()
    page.context.add_cookies([{"name": "freerelay_session", "value": "a" * 43, "url": product.url}])
    page.goto("/settings")
    wait_ready(page)
    on_sign_in(page)


def test_a_form_on_another_site_signs_nobody_out(tenant_page: Page, product: Any) -> None:
    answer = tenant_page.request.post("/session/end", headers={"origin": "https://evil.example"}, max_redirects=0)
    assert answer.status == 403
    tenant_page.reload()
    expect(tenant_page.get_by_role("heading", level=1)).to_have_text("Routing settings")


def test_a_page_of_another_role_is_refused_by_name(operator_page: Page, wait_ready: Any) -> None:
    operator_page.goto("/settings")
    wait_ready(operator_page)
    expect(operator_page.get_by_role("alert")).to_contain_text("Routing settings is a page for tenants")
    assert operator_page.evaluate("location.pathname") == "/settings"
    operator_page.get_by_role("link", name="Go to Overview").click()
    expect(operator_page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_an_address_that_does_not_exist_says_so(tenant_page: Page) -> None:
    tenant_page.goto("/no-such-page")
    expect(tenant_page.get_by_role("dialog")).to_contain_text("Page not found")


def test_sign_in_is_accessible_before_and_after_a_wrong_key(
    new_page: NewPage, wait_ready: Any, violations_light_and_dark: Any
) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    page.goto("/settings")
    wait_ready(page)
    assert violations_light_and_dark(page) == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    page.get_by_label("API key").focus()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    wait_ready(page)
    assert violations_light_and_dark(page) == []
