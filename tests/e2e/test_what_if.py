"""What-if in a real browser: a scenario put together, run on a trace file, saved, shared by link and cancelled."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

PHONE = {"width": 390, "height": 844}
ROW = "2026-11-24 {hour:02}:15:46,{tokens},300\n"
OTHERS = "[!x]*"
"""Every provider but x-ai, which is never the cheapest."""
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
ROWS = "".join(ROW.format(hour=number % 24, tokens=500 + number) for number in range(500))


@pytest.fixture
def trace(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of 500 requests, or of so many times as many: a browser reads one quicker than it is told it."""

    def write(times: int = 1) -> Path:
        file = tmp_path / "trace.csv"
        file.write_text(HEADER + ROWS * times, encoding="utf-8")
        return file

    return write


@pytest.fixture
def what_if(new_page: Callable[..., Page], sign_in: Any, product: Any) -> Callable[..., Page]:
    """Opens the page at a query, signed in as the operator, in a fresh browser."""

    def open_at(query: str = "", **options: Any) -> Page:
        page = new_page(**options)
        sign_in(page, product.exports["FREERELAY_OPERATOR_KEY"], f"/what-if{query}")
        expect(page.get_by_role("heading", level=1)).to_have_text("What-if")
        return page

    return open_at


def put_together(page: Page, name: str, changes: str) -> None:
    """State a scenario as YAML."""
    page.get_by_text("As YAML").click()
    # What lies below moves until it is open; a click that begins on a button and ends beside it is none.
    page.wait_for_function("() => document.querySelector('details[open]').getAnimations({subtree: true}).length === 0")
    page.get_by_role("textbox", name="Scenario", exact=True).fill(f"name: {name}\nchanges: {changes}")
    page.get_by_role("button", name="Take it over").click()
    # What is clicked before the page has come to the button makes it begin anew, and the first click is forgotten.
    expect(page.get_by_label("Name of the scenario")).to_have_value(name)


def run_on_a_file(page: Page, file: Path) -> None:
    page.get_by_text("trace", exact=True).click()
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Run", exact=True).click()


def test_a_scenario_is_put_together_by_hand_run_saved_and_shared(what_if, trace, violations, wait_ready):
    page = what_if()
    page.get_by_label("Name of the scenario").fill("Only xAI left")
    page.get_by_role("button", name="Add a change").click()
    page.get_by_role("combobox", name="What changes").click()
    page.get_by_role("option", name="Withdrawal").click()
    page.get_by_role("combobox", name="Endpoint or provider").fill(OTHERS)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text(f"{OTHERS} is withdrawn").first).to_be_visible()
    page.keyboard.press("Escape")
    run_on_a_file(page, trace())
    expect(page.get_by_role("heading", level=2).first).to_have_text(re.compile("Only xAI left: .*becomes .*"))
    expect(page.get_by_role("heading", name="What this rests on")).to_be_visible()
    wait_ready(page)
    assert violations(page) == []

    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(re.compile("scenario="))
    link = page.evaluate("location.search")
    other = what_if(link)
    expect(other.get_by_role("heading", level=2).first).to_have_text(re.compile("Only xAI left: .*becomes .*"))
    expect(other.get_by_text(f"{OTHERS} is withdrawn").first).to_be_visible()

    with other.expect_download() as waiting:
        other.get_by_role("button", name="Download difference (CSV)").click()
    with Path(waiting.value.path()).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[1][:3] == ["Figure", "Now", "Scenario"]
    assert float(rows[2][2]) > float(rows[2][1]), "what is left is dearer than what wins"


def test_a_long_run_shows_progress_survives_a_reload_and_is_cancelled(what_if, trace):
    page = what_if()
    put_together(page, "Slow", "[{traffic: {times: 2}}]")
    expect(page.get_by_text("2 times as many requests").first).to_be_visible()
    run_on_a_file(page, trace(2000))
    expect(page.get_by_role("heading", name="Running Slow")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Running Slow")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Slow was cancelled")).to_be_visible()


def test_the_form_for_a_change_can_be_read_and_used_by_keyboard(what_if, violations_light_and_dark, wait_ready):
    page = what_if()
    page.get_by_role("button", name="Add a change").focus()
    page.keyboard.press("Enter")
    add = page.get_by_role("button", name="Add", exact=True)
    expect(add).to_be_visible()
    wait_ready(page)
    assert violations_light_and_dark(page) == []
    page.get_by_role("combobox", name="Endpoint or provider").focus()
    page.keyboard.type("grok/*")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").first).to_contain_text(
        "'grok/*' matches no endpoint of the catalogue; did you mean"
    )
    expect(add).to_be_disabled()
    page.get_by_role("combobox", name="Endpoint or provider").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("groq/*")
    page.keyboard.press("Enter")
    expect(add).to_be_enabled()
    for _ in range(2):  # past the multiple of the price
        page.keyboard.press("Tab")
    expect(add).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("groq/* costs 1.3 times as much").first).to_be_visible()


def test_a_menu_link_shows_that_it_has_the_focus(what_if):
    page = what_if()
    link = page.get_by_test_id("stSidebarNavLink").filter(has_text="Fleet")
    page.keyboard.press("Tab")  # from here on the keyboard is in use
    link.focus()
    assert link.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"


def test_it_fits_a_phone_in_the_dark(what_if, trace, violations, wait_ready):
    page = what_if(viewport=PHONE, color_scheme="dark")
    put_together(page, "Rise", "[{price: {endpoints: 'openai/*', times: 2}}]")
    run_on_a_file(page, trace())
    expect(page.get_by_role("heading", name="What this rests on")).to_be_visible()
    wait_ready(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert violations(page) == []
