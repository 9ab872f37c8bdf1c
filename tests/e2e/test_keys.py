"""The keys page in a real browser, and requests with the keys that are made and revoked on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from playwright.sync_api import Error, Locator, Page, expect

NewPage = Callable[..., Page]


@pytest.fixture
def status(product: Any) -> Callable[[str], int]:
    """How the endpoint answers a request with this key."""

    def ask(key: str) -> int:
        return httpx.get(f"{product.url}/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code

    return ask


@pytest.fixture
def keys_page(new_page: NewPage, sign_in: Any, tenant: Any) -> Page:
    page = new_page()
    sign_in(page, tenant.key, "/keys")
    return page


def create(page: Page, label: str) -> str:
    """Make a key; returns it as the page shows it."""
    page.get_by_label("Label of a new key").fill(label)
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_role("heading", name="Store this key now")).to_be_visible()
    return page.locator(".st-key-new-key code").inner_text()


def choose(page: Page, label: str) -> None:
    box = page.get_by_role("combobox", name="Key to rename or revoke")
    box.evaluate("box => box.scrollIntoView({block: 'center', behavior: 'instant'})")  # scrolling closes the list
    option = page.get_by_role("option", name=label)
    for _ in range(5):  # a page that is drawn anew at this moment closes the list, too
        box.fill("")  # the text that stands there already would not open it again
        box.fill(label)
        with suppress(Error):
            option.click(timeout=3_000)
            break
    expect(page.get_by_label("Its label")).to_have_value(label)


def row(page: Page, label: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=label))


def revoke(page: Page) -> None:
    page.get_by_role("button", name="Revoke …").click()
    page.get_by_role("button", name="for good").click()


def test_a_key_is_made_used_put_away_and_revoked(
    keys_page: Page, status: Callable[[str], int], violations: Any, wait_ready: Any
) -> None:
    assert violations(keys_page) == []
    secret = create(keys_page, "nightly job")
    assert status(secret) == 200
    assert secret not in keys_page.url
    wait_ready(keys_page)
    assert violations(keys_page) == []
    keys_page.get_by_role("button", name="I have stored it").click()
    expect(keys_page.locator(".st-key-new-key")).to_have_count(0)
    assert secret not in keys_page.content()

    choose(keys_page, "nightly job")
    keys_page.get_by_role("button", name="Revoke …").click()
    expect(keys_page.get_by_text("will be refused within a second")).to_be_visible()
    wait_ready(keys_page)
    assert violations(keys_page) == []
    keys_page.get_by_role("button", name="for good").click()
    expect(keys_page.get_by_test_id("stAlert")).to_contain_text("is revoked")
    deadline = time.monotonic() + 1
    while status(secret) != 401:
        assert time.monotonic() < deadline
    expect(row(keys_page, "nightly job")).to_contain_text("revoked")
    wait_ready(keys_page)
    assert violations(keys_page) == []


def test_the_secret_does_not_survive_a_reload(keys_page: Page, wait_ready: Any) -> None:
    secret = create(keys_page, "forgotten")
    keys_page.reload()
    expect(row(keys_page, "forgotten")).to_be_visible()
    wait_ready(keys_page)
    assert secret not in keys_page.content()


def test_the_copy_button_copies_the_whole_key(keys_page: Page) -> None:
    keys_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    secret = create(keys_page, "copied")
    keys_page.locator(".st-key-new-key code").hover()
    keys_page.get_by_role("button", name="Copy to clipboard").click()
    assert keys_page.evaluate("navigator.clipboard.readText()") == secret


def test_revoking_a_key_ends_the_dashboard_sessions_opened_with_it(
    keys_page: Page, new_page: NewPage, sign_in: Any
) -> None:
    other = new_page()
    sign_in(other, create(keys_page, "lost laptop"), "/keys")
    expect(row(other, "lost laptop")).to_contain_text("signed in with")
    choose(keys_page, "lost laptop")
    revoke(keys_page)
    expect(keys_page.get_by_test_id("stAlert")).to_contain_text("is revoked")
    other.reload()
    expect(other.get_by_role("heading", level=1)).to_have_text("Sign in to FreeRelay")


def test_a_key_is_made_with_the_keyboard_alone(keys_page: Page) -> None:
    keys_page.get_by_label("Label of a new key").focus()
    keys_page.keyboard.type("by hand")
    keys_page.keyboard.press("Enter")
    button = keys_page.get_by_role("button", name="I have stored it")
    expect(button).to_be_visible()
    button.focus()
    keys_page.keyboard.press("Enter")
    expect(keys_page.locator(".st-key-new-key")).to_have_count(0)
    expect(row(keys_page, "by hand")).to_be_visible()


def test_a_phone_shows_title_answer_and_action_without_scrolling_sideways(
    new_page: NewPage, sign_in: Any, tenant: Any, wait_ready: Any, violations_light_and_dark: Any
) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    sign_in(page, tenant.key, "/keys")
    heights = [
        page.locator(selector).first.bounding_box()["y"]
        for selector in ("h1", ".fr-answer", 'button:has-text("Create key")')
    ]
    assert heights == sorted(heights)
    assert heights[-1] < 844
    create(page, "a label of forty characters, for a phone")
    wait_ready(page)
    choose(page, "a label of forty characters, for a phone")
    wait_ready(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert violations_light_and_dark(page) == []
