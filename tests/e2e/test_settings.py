"""Choosing a routing preference in a real browser, and the next request following it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import openai
import pytest
from playwright.sync_api import Page, expect

NewPage = Callable[..., Page]

HARD = "Write a Python function that merges two sorted lists, with tests."


def in_force(page: Page, preference: str) -> None:
    """Waits until the page says that this preference is in force."""
    expect(page.locator(".fr-answer-value")).to_have_text(re.compile(f"^{preference} is in force", re.IGNORECASE))


def choose(page: Page, preference: str) -> None:
    page.get_by_role("radio", name=preference).click()
    expect(page.get_by_role("heading", name=f"What {preference} would change")).to_be_visible()


def save(page: Page, preference: str) -> None:
    page.get_by_role("button", name=f"Save {preference}").click()
    expect(page.get_by_test_id("stAlert")).to_contain_text(f"Saved. {preference} is in force")


class Caller:
    """Calls the endpoint with the unmodified client of OpenAI."""

    def __init__(self, product: Any, key: str) -> None:
        self._client = openai.OpenAI(base_url=product.exports["OPENAI_BASE_URL"], api_key=key)

    def ask(self) -> tuple[str, str]:
        """The preference that decided a hard request, and the endpoint that won it."""
        answer = self._client.chat.completions.with_raw_response.create(
            model="freerelay/auto",
            messages=[{"role": "user", "content": HARD}],
        )
        return answer.headers["x-freerelay-preference"], answer.headers["x-freerelay-reason"].partition(" over ")[0]

    def greet(self, *, again: int = 2) -> None:
        """A request that takes no time; sent again where the providers, simulated as they are, all failed."""
        try:
            self._client.chat.completions.create(
                model="freerelay/auto", messages=[{"role": "user", "content": "Hello!"}], max_tokens=1
            )
        except openai.InternalServerError:
            if not again:
                raise
            self.greet(again=again - 1)

    def write_settings(self, preference: str) -> None:
        self._client.post("/tenant/settings", cast_to=object, body={"routing_preference": preference})


@pytest.fixture
def caller(product: Any, tenant: Any) -> Caller:
    return Caller(product, tenant.key)


def test_the_very_next_request_follows_a_saved_preference(tenant_page: Page, caller: Caller) -> None:
    in_force(tenant_page, "balanced")
    assert caller.ask()[0] == "balanced; level=default"
    choose(tenant_page, "cost-optimized")
    assert caller.ask()[0] == "balanced; level=default", "choosing saves nothing"
    save(tenant_page, "cost-optimized")
    preference, cheap = caller.ask()
    assert preference == "cost-optimized; level=tenant"
    choose(tenant_page, "performance-first")
    save(tenant_page, "performance-first")
    preference, able = caller.ask()
    assert preference == "performance-first; level=tenant"
    assert able != cheap, "another endpoint wins"


def test_everything_can_be_done_with_the_keyboard_alone(tenant_page: Page, caller: Caller) -> None:
    def tab_to(target: Any) -> None:
        for _ in range(40):
            if target.evaluate("element => element === document.activeElement"):
                return
            tenant_page.keyboard.press("Tab")
        pytest.fail("the focus never came there")

    tab_to(tenant_page.get_by_role("radio", name="cost-optimized"))
    tenant_page.keyboard.press("Space")
    expect(tenant_page.get_by_role("radio", name="cost-optimized")).to_be_checked()
    button = tenant_page.get_by_role("button", name="Save cost-optimized")
    expect(button).to_be_visible()
    tab_to(button)
    tenant_page.keyboard.press("Enter")
    expect(tenant_page.get_by_test_id("stAlert")).to_contain_text("Saved. cost-optimized is in force")
    assert caller.ask()[0] == "cost-optimized; level=tenant"


def test_a_preview_stands_in_the_url_and_a_save_outlives_a_reload(tenant_page: Page, query: Any, tenant: Any) -> None:
    choose(tenant_page, "performance-first")
    query(tenant_page, "?preference=performance-first")
    tenant_page.reload()
    expect(tenant_page.get_by_role("heading", name="What performance-first would change")).to_be_visible()
    in_force(tenant_page, "balanced")
    tenant_page.get_by_role("button", name="Keep balanced").click()
    query(tenant_page, "")
    tenant_page.go_back()
    expect(tenant_page.get_by_role("heading", name="What performance-first would change")).to_be_visible()
    save(tenant_page, "performance-first")
    query(tenant_page, "")
    tenant_page.reload()
    in_force(tenant_page, "performance-first")
    expect(tenant_page.locator(".fr-levels [aria-current]")).to_have_text("tenant")
    expect(tenant_page.get_by_role("table", name="Changes of the settings")).to_contain_text(
        f"{tenant.email} (dashboard)default → performance-first"
    )


def test_a_choice_is_taken_back_with_the_keyboard_and_again_undone(
    tenant_page: Page, caller: Caller, query: Any, wait_ready: Any, violations: Any
) -> None:
    caller.write_settings("cost-optimized")
    tenant_page.reload()
    tenant_page.get_by_role("radio", name="Use the default (balanced)").focus()
    tenant_page.keyboard.press("Space")
    query(tenant_page, "?preference=default")
    tenant_page.reload()
    expect(tenant_page.get_by_role("heading", name="What the default (balanced) would change")).to_be_visible()
    wait_ready(tenant_page)
    assert violations(tenant_page) == []
    tenant_page.get_by_role("button", name="Save the default (balanced)").focus()
    tenant_page.keyboard.press("Enter")
    expect(tenant_page.get_by_test_id("stAlert")).to_contain_text("Saved. The default (balanced) is in force")
    expect(tenant_page.get_by_role("radio", name="Use the default (balanced)")).to_have_count(0)
    query(tenant_page, "")
    assert caller.ask()[0] == "balanced; level=default"
    tenant_page.get_by_role("button", name="Undo", exact=True).click()
    expect(tenant_page.get_by_test_id("stAlert")).to_contain_text("Undone. cost-optimized is in force")
    assert caller.ask()[0] == "cost-optimized; level=tenant"


def test_the_preview_compares_now_and_then(tenant_page: Page) -> None:
    choose(tenant_page, "cost-optimized")
    table = tenant_page.get_by_role("table", name="What would change")
    for row, wanted in {
        "Cost per 1,000 requests": r"\$\S+ \$\S+ .*(less|more|as much|same|free)",
        "Half done in (p50)": r"\S+ m?s \S+ m?s .*(faster|slower|same)",
        "95 % done in (p95)": r"\S+ m?s \S+ m?s .*(faster|slower|same)",
        "Good answers": r"\d+ of 100 \d+ of 100 .*(worse|better|same)",
        "First choices changed": r"\d+ of 600 [\d.]+ %",
    }.items():
        cells = table.get_by_role("row").filter(has=tenant_page.get_by_role("rowheader", name=row, exact=True))
        expect(cells).to_be_visible()  # the heading stands a moment before the table
        texts = [text.replace("\u00a0", " ") for text in cells.get_by_role("cell").all_inner_texts()]
        assert re.fullmatch(wanted, " ".join(texts).strip()), (row, texts)
    expect(tenant_page.get_by_role("table", name="Endpoints won and lost").get_by_role("row")).not_to_have_count(0)


def test_two_tabs_do_not_overwrite_each_other_unseen(
    new_page: NewPage, sign_in: Any, wait_ready: Any, tenant: Any
) -> None:
    first = new_page()
    second = first.context.new_page()
    sign_in(first, tenant.key, "/settings?preference=cost-optimized")
    second.goto("/settings?preference=performance-first")
    wait_ready(second)
    expect(second.get_by_role("button", name="Save performance-first")).to_be_visible()
    save(first, "cost-optimized")
    second.get_by_role("button", name="Save performance-first").click()
    alert = second.get_by_test_id("stAlert")
    expect(alert).to_contain_text(f"Not saved: these settings were changed meanwhile by {tenant.email}")
    in_force(second, "cost-optimized")
    second.get_by_role("button", name="Reload").click()
    expect(second.get_by_role("radio", name="cost-optimized")).to_be_checked()
    choose(second, "performance-first")
    save(second, "performance-first")


def test_a_choice_in_a_tab_left_open_is_not_saved_over_a_change_unseen(tenant_page: Page, caller: Caller) -> None:
    caller.write_settings("cost-optimized")
    choose(tenant_page, "performance-first")
    tenant_page.get_by_role("button", name="Save performance-first").click()
    alert = tenant_page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("Not saved: these settings were changed meanwhile by API key test")
    expect(alert).to_contain_text("The preference is cost-optimized now. Save again to replace it")
    assert caller.ask()[0] == "cost-optimized; level=tenant"
    save(tenant_page, "performance-first")
    assert caller.ask()[0] == "performance-first; level=tenant"


def test_a_change_by_the_api_is_on_the_page(tenant_page: Page, caller: Caller) -> None:
    caller.write_settings("performance-first")
    tenant_page.reload()
    in_force(tenant_page, "performance-first")
    expect(tenant_page.get_by_role("table", name="Changes of the settings")).to_contain_text(
        "default → performance-first"
    )


def test_a_tenants_own_traffic_replaces_the_standard_workload(
    tenant_page: Page, tenant: Any, with_store: Any, caller: Caller
) -> None:
    heading = tenant_page.get_by_role("heading", level=2)
    expect(heading.filter(has_text="a standard workload")).to_be_visible()
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(lambda _: caller.greet(), range(100)))

    async def all_logged(store: Any) -> None:
        since = datetime.now(UTC) - timedelta(hours=1)
        async with asyncio.timeout(30):
            while len(await store.recent_decisions(tenant.tenant_id, since=since, limit=200)) < 100:  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # the log is written beside the requests, by a process that sends no event

    with_store(all_logged)
    choose(tenant_page, "cost-optimized")
    save(tenant_page, "cost-optimized")
    expect(heading.filter(has_text="your requests")).to_be_visible()
    expect(tenant_page.locator(".fr-basis")).to_contain_text("your own newest 100 requests of the last 7 days")


def test_one_tenants_preview_in_the_url_is_anothers_own_preview(
    new_page: NewPage, sign_in: Any, tenant: Any, product: Any
) -> None:
    page = new_page()
    sign_in(page, product.exports["OPENAI_API_KEY"], f"/settings?preference=cost-optimized&tenant={tenant.tenant_id}")
    expect(page.get_by_role("heading", name="What cost-optimized would change")).to_be_visible()
    assert tenant.email not in page.content()


def test_a_preference_that_does_not_exist_falls_back_and_says_so_until_another_is_chosen(
    tenant_page: Page, query: Any
) -> None:
    tenant_page.goto("/settings?preference=fastest")
    alert = tenant_page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("“fastest”, which does not exist")
    expect(tenant_page.get_by_role("radio", name="balanced")).to_be_checked()
    choose(tenant_page, "cost-optimized")
    query(tenant_page, "?preference=cost-optimized")
    expect(alert).to_have_count(0)


def test_the_way_back_from_a_preference_that_does_not_exist_leads_to_the_page_before(
    tenant_page: Page, wait_ready: Any
) -> None:
    tenant_page.goto("/keys")
    tenant_page.goto("/settings?preference=fastest")
    expect(tenant_page.get_by_test_id("stAlert")).to_contain_text("“fastest”, which does not exist")
    wait_ready(tenant_page)
    tenant_page.go_back()
    expect(tenant_page.get_by_role("heading", name="API keys")).to_be_visible()


def test_the_page_is_accessible_in_each_state(
    new_page: NewPage, sign_in: Any, tenant: Any, violations_light_and_dark: Any, wait_ready: Any
) -> None:
    page = new_page()
    sign_in(page, tenant.key, "/settings")
    assert violations_light_and_dark(page) == []
    choose(page, "performance-first")
    wait_ready(page)
    assert violations_light_and_dark(page) == []
    save(page, "performance-first")
    wait_ready(page)  # what is below the words is drawn after them, and closed
    page.get_by_text("The same from a shell").click()
    expect(page.get_by_text("OPENAI_BASE_URL/tenant/settings")).to_be_visible()
    wait_ready(page)
    assert violations_light_and_dark(page) == []


def test_a_phone_shows_title_answer_and_action_without_scrolling_sideways(
    new_page: NewPage, sign_in: Any, tenant: Any, wait_ready: Any
) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    sign_in(page, tenant.key, "/settings?preference=cost-optimized")
    heights = [
        page.locator(selector).first.bounding_box()["y"]
        for selector in ("h1", ".fr-answer", '[role="radio"]', 'button:has-text("Save cost-optimized")')
    ]
    assert heights == sorted(heights)
    assert heights[-1] < 844
    for state in ("preview", "saved"):
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390, state
        if state == "preview":
            save(page, "cost-optimized")
            wait_ready(page)


def test_the_answer_is_above_the_fold(tenant_page: Page) -> None:
    cards = tenant_page.locator(".fr-card dl")
    expect(cards).to_have_count(3)
    for card in cards.all():
        box = card.bounding_box()
        assert box["y"] + box["height"] < 900
