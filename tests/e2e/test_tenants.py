"""The tenants page in a real browser: a tenant is added, signs in, and the operator's changes are in force at once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

NewPage = Callable[..., Page]


@pytest.fixture
def tenants_page(new_page: NewPage, sign_in: Any, product: Any) -> Callable[..., Page]:
    """Opens the page at a query, signed in as the operator, in a fresh browser."""

    def open_at(query: str = "", **options: Any) -> Page:
        page = new_page(**options)
        sign_in(page, product.exports["FREERELAY_OPERATOR_KEY"], f"/tenants{query}")
        expect(page.get_by_role("heading", level=1)).to_have_text("Tenants")
        return page

    return open_at


def add(page: Page, email: str) -> str:
    """Add a tenant; returns its first key."""
    page.get_by_label("E-mail address").fill(email)
    page.get_by_role("button", name="Add tenant and first key").click()
    expect(page.get_by_role("heading", name="Store this key now")).to_be_visible()
    return page.locator(".st-key-new-key code").inner_text()


def test_an_ordinary_address_stands_in_the_table_unbroken(tenants_page: Any) -> None:
    page = tenants_page(viewport={"width": 1280, "height": 900})
    cell = page.get_by_role("rowheader", name="demo@freerelay.local")
    lines = cell.evaluate(
        "cell => { const all = document.createRange(); all.selectNodeContents(cell);"
        " return all.getClientRects().length }"
    )
    assert lines == 1
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 1280


def test_a_tenant_is_added_signs_in_and_follows_a_change_at_once(
    tenants_page: Any, new_page: NewPage, sign_in: Any, product: Any, violations: Any, wait_ready: Any
) -> None:
    page, email = tenants_page(), f"{secrets.token_hex(4)}@example.com"
    wait_ready(page)
    assert violations(page) == []
    key = add(page, email)
    expect(page.get_by_role("heading", name=email)).to_be_visible()
    wait_ready(page)
    assert violations(page) == []

    other = new_page()
    sign_in(other, key, "/settings")
    expect(other.get_by_text(email).first).to_be_attached()

    def override() -> int:
        return httpx.post(
            f"{product.url}/v1/chat/completions",
            headers={"Authorization": f"Bearer {key}", "X-FreeRelay-Preference": "cost-optimized"},
            json={"model": "freerelay/auto", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 1},
            timeout=30,
        ).status_code

    assert override() == 403
    page.get_by_text("A single request may choose another preference").click()
    expect(page.get_by_text("Saving changes override not allowed → allowed")).to_be_visible()
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_test_id("stAlert").filter(has_text="Saved:")).to_contain_text("override allowed")
    assert override() == 200
    wait_ready(page)
    assert violations(page) == []

    other.reload()
    expect(other.get_by_role("table", name="Changes of the settings")).to_contain_text("operatorallow_override")


def test_the_view_of_one_tenant_stands_in_the_url(tenants_page: Any, tenant: Any) -> None:
    page = tenants_page(f"?search={tenant.email}&tenant={tenant.tenant_id}")
    expect(page.get_by_role("heading", name=tenant.email)).to_be_visible()
    expect(page.get_by_role("table", name="Tenants").get_by_role("row")).to_have_count(2)
    other = tenants_page()
    other.get_by_label("Search by address").fill(tenant.email)
    other.keyboard.press("Enter")
    expect(other.get_by_role("table", name="Tenants").get_by_role("row")).to_have_count(2)
    other.get_by_role("combobox", name="Tenant to look at").fill(tenant.email)
    other.keyboard.press("Enter")
    other.wait_for_url(lambda url: f"tenant={tenant.tenant_id}" in url)


def test_a_phone_shows_title_answer_and_search_without_scrolling_sideways(
    tenants_page: Any, tenant: Any, wait_ready: Any, violations_light_and_dark: Any
) -> None:
    page = tenants_page(f"?tenant={tenant.tenant_id}", viewport={"width": 390, "height": 844})
    expect(page.get_by_role("heading", name=tenant.email)).to_be_visible()
    wait_ready(page)
    heights = [
        page.locator(selector).first.bounding_box()["y"]
        for selector in ("h1", ".fr-answer", 'input[aria-label="Search by address"]')
    ]
    assert heights == sorted(heights)
    assert heights[-1] < 844
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert violations_light_and_dark(page) == []
