"""The simulator in a real browser: form, pasted body and trace; its links, downloads, keyboard and accessibility."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import endpoint, request, snapshot
from playwright.sync_api import Download, Page, expect

from freerelay_core.decision import decide
from pages._simulator_request import ranking_table

AZURE = Path(__file__).parents[3] / "shared" / "data" / "azure-llm-2023" / "AzureLLMInferenceTrace_conv.csv"
NewPage = Callable[..., Page]
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def simulator(new_page: NewPage, sign_in: Any, tenant: Any) -> Callable[..., Page]:
    """Opens the simulator at a query, signed in as the test's tenant, in a fresh browser, and waits for controls."""

    def open_at(query: str = "", **options: Any) -> Page:
        page = new_page(**options)
        sign_in(page, tenant.key, f"/simulator{query}")
        expect(page.get_by_role("heading", level=1)).to_have_text("Simulator")
        expect(page.get_by_role("radiogroup", name="Snapshot")).to_be_visible()
        return page

    return open_at


def answer(page: Page) -> Any:
    """The heading that gives the first answer."""
    return page.get_by_role("heading", level=2).first


def link_holds(page: Page, **parameters: str) -> None:
    """Wait until the link has these parameters."""
    page.wait_for_function(
        "wanted => Object.entries(wanted).every(([k, v]) => new URLSearchParams(location.search).get(k) === v)",
        arg=parameters,
    )


def saved(page: Page, name: str) -> list[list[str]]:
    """The rows of a download, without the line that says what it is."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name=f"Download {name} (CSV)").click()
    download: Download = waiting.value
    with Path(download.path()).open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def upload(page: Page, name: str, content: bytes) -> None:
    choose_and_rank(page, {"name": name, "mimeType": "text/csv", "buffer": content})


def choose_and_rank(page: Page, file: Any) -> None:
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_role("button", name="Rank this trace")).to_be_enabled()
    page.get_by_role("button", name="Rank this trace").click()


def trace(rows: int) -> bytes:
    """A trace that spans a day and differs in size."""
    lines = [f"2026-11-23 {i * 24 // rows:02d}:{i % 60:02d}:00,{50 + i * 7 % 4000},{5 + i % 700}" for i in range(rows)]
    return "\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]).encode()


def test_the_answer_and_the_ranking_are_seen_before_anything_is_scrolled(simulator: Any) -> None:
    page = simulator()
    expect(answer(page)).to_contain_text("ranks first")
    table = page.get_by_role("region", name="Ranking of ")
    expect(table).to_be_visible()
    box = table.bounding_box()
    assert box["y"] + box["height"] <= 900
    # All but those whose small quota other tests have used up.
    expect(page.get_by_role("figure", name=re.compile(r"^Scatter of \d+ endpoints"))).to_be_attached()


@pytest.mark.parametrize("width", [1280, 390])
def test_every_choice_of_a_row_is_seen_without_scrolling_sideways(simulator: Any, wait_ready: Any, width: int) -> None:
    page = simulator(viewport={"width": width, "height": 900})
    for path in ("/simulator", "/activity"):
        if not page.url.endswith(path):
            page.goto(path)
        wait_ready(page)
        rows = page.get_by_test_id("stButtonGroup").locator("[role=toolbar], [role=radiogroup]")
        expect(rows.first).to_be_visible()
        cut = rows.evaluate_all("all => all.filter(row => row.scrollWidth > row.clientWidth).map(row => row.innerText)")
        assert cut == [], path


def test_a_row_of_choices_that_wraps_draws_every_border(simulator: Any) -> None:
    page = simulator(viewport={"width": 1200, "height": 900})
    segments = page.get_by_role("radiogroup", name="Preference").get_by_role("radio")
    expect(segments).to_have_count(3)
    assert len({box["y"] for box in (segment.bounding_box() for segment in segments.all())}) == 2, "it wraps"
    for chosen in ("cost-optimized", "balanced", "performance-first"):
        page.get_by_role("radio", name=chosen).click(force=True)
        expect(page.get_by_role("radio", name=chosen)).to_be_checked()
        colours = segments.evaluate_all(
            "all => all.flatMap(each => ['Top', 'Right', 'Bottom', 'Left'].map("
            "side => getComputedStyle(each)[`border${side}Color`]))"
        )
        assert "rgba(0, 0, 0, 0)" not in colours, chosen


def test_a_laptop_shows_the_ranking_s_figures_and_the_preferences_in_one_row(simulator: Any) -> None:
    page = simulator(viewport={"width": 1280, "height": 900})
    decision = decide(snapshot(endpoint()), request(), decision_id="d")
    segments = page.get_by_role("radiogroup", name="Preference").get_by_role("radio")
    expect(segments).to_have_count(3)
    assert len({segment.bounding_box()["y"] for segment in segments.all()}) == 1
    table = page.get_by_role("region", name="Ranking of ")
    expect(table).to_be_visible()
    shown = sum(column.width for column in ranking_table(decision, "").columns[:7])
    assert table.bounding_box()["width"] >= shown, "from rank to quality"


def test_a_phone_shows_the_answer_first_and_never_scrolls_sideways(simulator: Any) -> None:
    page = simulator("?needs=vision", viewport=PHONE)
    heights = [
        place.bounding_box()["y"]
        for place in (
            page.get_by_role("heading", level=1),
            answer(page),
            page.get_by_role("region", name="Ranking of "),
            page.get_by_role("radiogroup", name="Preference"),
            page.get_by_role("figure", name=re.compile("^Scatter")),
        )
    ]
    assert heights == sorted(heights)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_the_keyboard_alone_changes_the_request_and_the_link_follows(simulator: Any) -> None:
    page = simulator()
    page.get_by_role("radio", name="balanced").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(page.get_by_role("radio", name="performance-first")).to_be_checked()
    link_holds(page, under="performance-first")
    page.get_by_role("spinbutton", name="Output tokens").fill("1200")
    page.keyboard.press("Enter")
    link_holds(page, under="performance-first", out="1200")
    page.get_by_role("combobox", name="Task family").focus()
    page.keyboard.type("code")
    page.keyboard.press("Enter")
    link_holds(page, under="performance-first", out="1200", task="code")
    expect(page.get_by_text("Under performance-first it costs")).to_be_visible()


def test_a_link_gives_somebody_else_of_the_tenant_the_same_ranking(simulator: Any) -> None:
    link = (
        "?under=cost-optimized&task=code&depth=hard&in=2500&out=1200&needs=tools&snapshot=catalogue&a=deepseek/v4-flash"
    )
    first, second = saved(simulator(link), "ranking"), saved(simulator(link), "ranking")
    assert first == second
    assert first[0][:3] == ["Rank", "Endpoint", "Score, 0-100"]
    assert [row[0] for row in first[1:]] == [str(rank) for rank in range(1, len(first))]


def test_a_link_that_cannot_be_followed_falls_back_and_says_so(simulator: Any, query: Any) -> None:
    page = simulator("?under=fastest&out=many&in=900")
    expect(page.get_by_role("alert")).to_contain_text(
        "under=fastest (can be cost-optimized, balanced, performance-first)"
    )
    expect(page.get_by_role("alert")).to_contain_text("out=many")
    expect(page.get_by_role("radio", name="balanced")).to_be_checked()
    query(page, "?in=900")


def test_the_chosen_two_are_explained_and_their_differences_sum_to_the_gap(simulator: Any, wait_ready: Any) -> None:
    page = simulator("?snapshot=catalogue&a=openai/gpt-4o-mini&b=groq/llama-3.1-8b")
    wait_ready(page)
    header, *factors, total = saved(page, "comparison")
    assert (header, total[0]) == (["Factor", "A", "B", "A - B"], "sum")
    for column in (1, 2, 3):
        assert sum(float(row[column]) for row in factors) == pytest.approx(float(total[column]))
    assert float(total[1]) - float(total[2]) == pytest.approx(float(total[3]))
    for name in ("Waterfall of the contributions", "Bars by factor, openai/gpt-4o-mini against groq/llama-3.1-8b"):
        expect(page.get_by_role("figure", name=name)).to_be_attached()


def test_a_pasted_body_is_read_corrected_and_its_text_kept_out_of_the_link(simulator: Any, wait_ready: Any) -> None:
    page = simulator("?input=body")
    body = {
        "messages": [{"role": "user", "content": "Translate my secret letter into French."}],
        "response_format": {"type": "json_object"},
        "routing": {"preference": "cost-optimized", "task": "translate"},
    }
    field = page.get_by_role("textbox", name="Chat-completions request body (JSON)")
    field.fill("{not json")
    page.get_by_role("button", name="Read this request").click()
    expect(page.get_by_role("alert")).to_contain_text("The body is not JSON: line 1, column 2")
    field.fill(json.dumps(body))
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Read as translate (stated by the caller)")).to_be_visible()
    wait_ready(page)
    link_holds(page, input="body", task="translate", form="json", under="cost-optimized")
    assert "secret" not in page.url
    ranked = saved(page, "ranking")
    mark = page.locator("#rev")
    run = mark.get_attribute("data-rev")
    page.get_by_role("combobox", name="Depth").focus()
    page.keyboard.type("expert")
    page.keyboard.press("Enter")
    link_holds(page, depth="expert")
    expect(mark).not_to_have_attribute("data-rev", run)  # the link changes before the page knows of it
    wait_ready(page)
    assert saved(page, "ranking") != ranked


def test_a_trace_is_ranked_under_all_preferences_and_outlives_a_reload(
    simulator: Any, wait_ready: Any, new_page: NewPage, sign_in: Any, with_store: Any
) -> None:
    page = simulator("?input=trace")
    upload(page, "day.csv", trace(20_000))
    expect(answer(page)).to_contain_text("20,000 requests: $")
    wait_ready(page)
    link = page.evaluate("location.pathname + location.search")
    assert re.fullmatch(r"/simulator\?input=trace&job=[0-9a-f-]{36}", link)
    figures = saved(page, "preferences")
    assert [row[0] for row in figures] == ["Preference", "cost-optimized", "balanced", "performance-first"]
    shares = saved(page, "shares")[1:]
    for column in (1, 2, 3):
        assert sum(float(row[column]) for row in shares) == pytest.approx(100)
    said = page.get_by_test_id("stMain")
    for part in ("File day.csv, SHA-256 ", "20,000 rows", "seed 0", "Snapshot "):
        expect(said).to_contain_text(part.replace(" rows", "\u00a0rows"))
    page.reload()
    expect(answer(page)).to_contain_text("20,000 requests: $")
    wait_ready(page)
    assert saved(page, "preferences") == figures


def test_a_trace_is_easy_chat_also_for_whoever_comes_from_the_form(simulator: Any, wait_ready: Any) -> None:
    page = simulator()
    expect(answer(page)).to_contain_text("ranks first")
    wait_ready(page)
    page.get_by_role("radiogroup", name="Ask with a").get_by_text("trace", exact=True).click()
    upload(page, "mine.csv", trace(50))
    expect(page.get_by_text("Every request taken as chat, easy, interactive, text")).to_be_visible()


@pytest.mark.shared
@pytest.mark.skipif(not AZURE.exists(), reason="the Azure trace is not beside the project")
def test_the_azure_conversation_trace_is_ranked(simulator: Any) -> None:
    page = simulator("?input=trace&depth=easy&class=interactive")
    upload(page, AZURE.name, AZURE.read_bytes())
    expect(answer(page)).to_contain_text("19,366 requests: $")
    expect(page.get_by_test_id("stMain")).to_contain_text("22,361,870 input and 4,088,665 output tokens")
    expect(page.get_by_role("figure", name=re.compile("^Stacked bars of each endpoint's share"))).to_be_attached()


def test_a_trace_can_be_cancelled_while_it_is_ranked(
    simulator: Any, wait_ready: Any, violations: Any, tmp_path: Path
) -> None:
    page = simulator("?input=trace")
    file = tmp_path / "long.csv"  # the browser reads a file much quicker than it is told its content
    file.write_bytes(b"timestamp,input_tokens,output_tokens\n" + b"2026-11-23 10:00:00,900,200\n" * 600_000)
    choose_and_rank(page, file)
    progress = page.get_by_role("progressbar")
    expect(progress).to_be_visible()
    expect(page.get_by_role("button", name="Rank this trace")).to_be_disabled()
    expect(page.get_by_role("button", name="Cancel")).to_contain_text("Alt + X")
    page.get_by_role("combobox", name="Task family").focus()
    page.keyboard.press("Escape")  # closes lists, and no more
    expect(progress).to_be_visible()
    page.keyboard.press("Alt+x")
    expect(answer(page)).to_have_text("long.csv was cancelled")
    wait_ready(page)
    expect(progress).to_have_count(0)
    assert violations(page) == []
    page.reload()
    expect(answer(page)).to_have_text("long.csv was cancelled")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"when,ContextTokens\n1,2\n", "lacks the columns TIMESTAMP, GeneratedTokens"),
        (trace(50) + b"\n2026-11-23 10:00:00,lots,10", "line 52: ContextTokens must be a number of tokens"),
        (b"TIMESTAMP,ContextTokens,GeneratedTokens\n", "has a header and no requests"),
        (b"\xff\xfe\x00", "line 1 is not UTF-8 text"),
    ],
)
def test_a_bad_file_is_refused_naming_columns_or_line(simulator: Any, content: bytes, says: str) -> None:
    page = simulator("?input=trace", viewport=PHONE)
    upload(page, "bad.csv", content)
    expect(answer(page)).to_have_text("bad.csv could not be ranked")
    expect(page.get_by_role("alert")).to_contain_text(says)


def test_another_tenant_s_job_cannot_be_told_from_an_unknown_one(
    simulator: Any, new_page: NewPage, sign_in: Any, product: Any
) -> None:
    page = simulator("?input=trace")
    upload(page, "mine.csv", trace(100))
    expect(answer(page)).to_contain_text("100 requests: $")
    other, said = new_page(), []
    for job in (page.evaluate("new URLSearchParams(location.search).get('job')"), "unknown"):
        sign_in(other, product.exports["FREERELAY_OPERATOR_KEY"], f"/simulator?input=trace&job={job}")
        expect(other.get_by_role("alert")).to_contain_text("There is no such job")
        said.append(other.get_by_role("alert").inner_text())
    assert said[0] == said[1]


def test_the_simulator_is_accessible_before_and_after_it_is_used(
    simulator: Any, wait_ready: Any, violations: Any, violations_light_and_dark: Any
) -> None:
    page = simulator("?needs=vision&out=many")
    assert violations(page) == []
    page.get_by_role("radio", name="cost-optimized").click(force=True)
    expect(page.get_by_text("Under cost-optimized it costs")).to_be_visible()
    expect(page.get_by_text("headroom: Is there quota and budget left?")).to_be_attached()
    wait_ready(page)
    assert violations_light_and_dark(page) == []  # it adds colours
    page.get_by_role("radio", name="body").click(force=True)
    page.get_by_role("button", name="Read this request").click()
    expect(page.get_by_role("alert")).to_contain_text("Paste the JSON body")
    wait_ready(page)
    assert violations(page) == []
    page.get_by_role("radio", name="trace").click(force=True)
    upload(page, "day.csv", trace(500))
    expect(answer(page)).to_contain_text("500 requests: $")
    wait_ready(page)
    assert violations_light_and_dark(page) == []
