"""The fleet page in a real browser: readable, and its filter outlives the page's own refresh."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect


@pytest.mark.parametrize(
    "options",
    [{}, {"viewport": {"width": 390, "height": 844}}],
    ids=["desktop", "phone"],
)
def test_the_fleet_is_readable_and_keeps_its_filter(
    new_page: Any, sign_in: Any, product: Any, wait_ready: Any, violations_light_and_dark: Any, options: Any
) -> None:
    page = new_page(**options)
    sign_in(page, product.exports["FREERELAY_OPERATOR_KEY"], "/fleet?provider=groq")
    expect(page.get_by_role("heading", level=1)).to_have_text("Fleet")
    expect(page.get_by_text("serve live traffic")).to_be_visible()
    expect(page.get_by_role("combobox", name="Provider")).to_have_value("groq")
    wait_ready(page)
    assert violations_light_and_dark(page) == []
    age = page.get_by_text("This worker: version")
    before = age.inner_text()
    expect(age).not_to_have_text(before)
    expect(page.get_by_role("combobox", name="Provider")).to_have_value("groq")
    assert "provider=groq" in page.url
    assert page.get_by_test_id("stAlert").count() == 0
    assert page.evaluate("document.scrollingElement.scrollWidth") <= page.viewport_size["width"]


def test_what_the_link_asks_in_vain_is_named_and_stands_while_the_page_refreshes(
    new_page: Any, sign_in: Any, product: Any, wait_ready: Any, violations: Any
) -> None:
    page = new_page()
    sign_in(page, product.exports["FREERELAY_OPERATOR_KEY"], "/fleet?provider=nope&state=foo")
    wait_ready(page)
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_have_text("Not usable in this link, so left out: provider=nope; state=foo.")
    assert violations(page) == []
    age = page.get_by_text("This worker: version")
    expect(age).not_to_have_text(age.inner_text())
    expect(alert).to_be_visible()


def test_a_state_stands_in_the_link_as_its_id_and_the_way_back_is_followed(
    new_page: Any, sign_in: Any, product: Any, wait_ready: Any, query: Any
) -> None:
    page = new_page()
    sign_in(page, product.exports["FREERELAY_OPERATOR_KEY"], "/fleet?state=serving&provider=groq")
    wait_ready(page)
    state = page.get_by_role("combobox", name="State")
    state.fill("budget used up")
    page.keyboard.press("Enter")
    query(page, "?state=provider_budget_gone&provider=groq")
    expect(page.get_by_text("No endpoint is of this provider and in this state.")).to_be_visible()
    age = page.get_by_text("This worker: version")
    expect(age).not_to_have_text(age.inner_text())
    expect(state).to_have_value("budget used up")
    page.go_back()
    query(page, "?state=serving&provider=groq")
    expect(state).to_have_value("serving")
