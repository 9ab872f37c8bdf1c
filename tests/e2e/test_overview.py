"""Overview and Activity in a real browser: the first request from a snippet, and a decision opened."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

PHONE = {"width": 390, "height": 844}


def snippet(page: Page, tab: str) -> str:
    """The code in a tab, as its copy button gives it."""
    page.get_by_role("tab", name=tab).click()
    return page.get_by_role("tabpanel", name=tab).locator("code").inner_text()


def run(command: list[str], text: str, key: str) -> str:
    """Run a snippet as it stands, with only the key in the environment."""
    environment = {"PATH": os.environ["PATH"], "OPENAI_API_KEY": key}
    done = subprocess.run([*command, text], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("tab", "command"), [("curl", ["bash", "-c"]), ("Python", [sys.executable, "-c"])])
def test_a_snippet_sends_the_first_request_and_the_page_turns_over(
    new_page: Callable[..., Page], sign_in: Any, tenant: Any, tab: str, command: list[str]
) -> None:
    page = new_page()
    sign_in(page, tenant.key)
    expect(page.get_by_role("heading", name="Send your first request")).to_be_visible()
    assert run(command, snippet(page, tab), tenant.key)
    expect(page.get_by_role("heading", name=re.compile("1 request in the last 24 hours"))).to_be_visible()


def test_the_overview_is_accessible_and_fits_a_phone(
    new_page: Callable[..., Page], sign_in: Any, product: Any, violations_light_and_dark: Any, wait_ready: Any
) -> None:
    """The demo tenant has its demo week, so every part of the page is there."""
    page = new_page(viewport=PHONE)
    sign_in(page, product.exports["OPENAI_API_KEY"])
    expect(page.get_by_text("Demo data: generated, not yours.")).to_be_visible()
    wait_ready(page)
    assert violations_light_and_dark(page) == []
    page.get_by_role("button", name="Remove the demo data …").click()
    expect(page.get_by_role("button", name="Remove the demo data for good")).to_be_visible()
    assert violations_light_and_dark(page) == []
    page.keyboard.press("Escape")
    for tab in ("Python", "JavaScript"):
        page.get_by_role("tab", name=tab).click()
        assert violations_light_and_dark(page) == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_a_demo_decision_is_found_opened_recomputed_and_simulated(
    new_page: Callable[..., Page], sign_in: Any, product: Any, violations: Any, wait_ready: Any
) -> None:
    page = new_page()
    sign_in(page, product.exports["OPENAI_API_KEY"], "/activity?range=7+days")
    expect(page.get_by_role("heading", name=re.compile("The newest 200 decisions"))).to_be_visible()
    wait_ready(page)
    assert violations(page) == []
    box = page.get_by_role("combobox", name="Open a decision")
    box.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("decision="))
    page.get_by_role("button", name="Recompute").click()
    expect(page.get_by_text(re.compile("the same order of"))).to_be_visible()
    wait_ready(page)
    assert violations(page) == []
    page.get_by_role("link", name="Simulate this one").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Simulator")
    expect(page).to_have_url(re.compile("task="))


def test_a_row_opens_its_decision_and_the_way_back_keeps_the_filters(
    new_page: Callable[..., Page], sign_in: Any, product: Any, wait_ready: Any
) -> None:
    page = new_page()
    sign_in(page, product.exports["OPENAI_API_KEY"], "/activity?range=7+days&family=code")
    wait_ready(page)
    page.locator(".dvn-scroller").click(position={"x": 15, "y": 52})
    page.wait_for_url(re.compile("decision="))
    expect(page.get_by_text(re.compile("code, hard, about"))).to_be_visible()
    page.get_by_role("link", name="All decisions").click()
    page.wait_for_url(re.compile("family=code"))
    expect(page.get_by_role("radio", name="7 days")).to_be_checked()
    assert "decision=" not in page.url


def test_the_activity_fits_a_phone(new_page: Callable[..., Page], sign_in: Any, product: Any) -> None:
    page = new_page(viewport=PHONE)
    sign_in(page, product.exports["OPENAI_API_KEY"], "/activity")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
