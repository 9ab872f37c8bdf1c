"""Reports in a real browser: the page that makes them, and the HTML file alone, with no network at all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from freerelay_core.catalogue import load_catalogue
from freerelay_core.reports import BarChart, RankingReport, ReportFormat
from tests.reports.samples import reports

REPORTS = reports()
PHONE = {"width": 390, "height": 844}
TRACE = b"TIMESTAMP,ContextTokens,GeneratedTokens\n" + b"2026-11-24 09:15:46,374,44\n" * 120


@pytest.fixture
def open_offline(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a file in a browser without network. Nothing but the file may be asked for, and nothing may complain."""
    contexts, asked, said = [], [], []

    def open_file(path: Path, **options: Any) -> Page:
        context = chromium.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("dialog", lambda dialog: said.append(dialog.message) or dialog.dismiss())
        page.goto(path.as_uri())
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert all(url.startswith("file:///") and url.endswith(".html") for url in asked), asked
    assert not said


def html_file(report: RankingReport, folder: Path) -> Path:
    path = folder / "report.html"
    path.write_bytes(ReportFormat.HTML.write(report))
    return path


def numbers(page: Page, table: str) -> list[list[float]]:
    """The numbers of a table as the browser finds them, row by row."""
    found: list[list[float]] = page.locator(f"table[data-name='{table}'] tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('data')].map(data => Number(data.value)))"
    )
    return found


def of_model(table: Any) -> list[list[float]]:
    return [[float(cell) for cell in row if isinstance(cell, (int, float))] for row in table.rows]


@pytest.mark.parametrize("name", ["request", "hostile trace", "what-if"])
def test_the_file_opens_offline_and_a_browser_finds_the_model_s_numbers(
    name: str, open_offline: Callable[..., Page], tmp_path: Path
) -> None:
    report = REPORTS[name]
    page = open_offline(html_file(report, tmp_path))
    for table in report.tables:
        assert numbers(page, table.name) == (of_model(table) if table.rows else []), table.name
    assert page.title() == f"{report.title} · FreeRelay"
    assert page.get_by_role("heading", level=1).inner_text() == " ".join(report.title.split())
    images = page.get_by_role("img")
    assert images.count() == len(report.charts) > 0
    assert page.evaluate("getComputedStyle(document.querySelector('table')).borderCollapse") == "collapse"  # the style


def test_no_name_of_a_shipped_endpoint_is_cut_in_a_chart(open_offline: Callable[..., Page], tmp_path: Path) -> None:
    names = [endpoint.id for endpoint in load_catalogue().endpoints]
    chart = BarChart("Shares", "Bars of shares.", "%", [(name, 100.0) for name in names], digits=2)
    page = open_offline(html_file(replace(REPORTS["request"], charts=(chart,)), tmp_path), bypass_csp=True)
    page.add_style_tag(content="svg text { font-family: 'DejaVu Sans', sans-serif !important }")  # a wide one
    assert set(names) <= set(page.locator("figure svg text").all_text_contents())
    boxes = page.locator("figure svg text").evaluate_all(
        "all => all.map(text => text.getBBox()).map(box => [box.x, box.x + box.width])"
    )
    assert min(left for left, _ in boxes) >= 0
    assert max(right for _, right in boxes) <= 640


@pytest.mark.parametrize("name", ["hostile request", "hostile trace"])
def test_hostile_names_are_text_and_nothing_else(name: str, open_offline: Callable[..., Page], tmp_path: Path) -> None:
    page = open_offline(html_file(REPORTS[name], tmp_path))
    assert page.locator("script, iframe, object, embed, link, form, a, [onload], [onerror], [src], [href]").count() == 0
    assert page.locator("bdi", has_text="<script>document.title='run'</script>").count() > 0
    assert page.title() != "run"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_file_is_accessible_and_fits_a_phone(
    scheme: str, open_offline: Callable[..., Page], tmp_path: Path, violations: Any
) -> None:
    page = open_offline(html_file(REPORTS["request"], tmp_path), viewport=PHONE, color_scheme=scheme, bypass_csp=True)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert violations(page) == []


def test_a_number_and_its_unit_stay_in_one_line_where_the_page_is_narrow(
    open_offline: Callable[..., Page], tmp_path: Path
) -> None:
    page = open_offline(html_file(REPORTS["trace"], tmp_path), viewport={"width": 250, "height": 844})
    lines = page.locator(".figures td", has_text=re.compile(r"^[\d.,]+\s+(tokens|s)$")).evaluate_all(
        "cells => cells.map(cell => { const range = document.createRange(); range.selectNodeContents(cell);"
        " return new Set([...range.getClientRects()].map(box => Math.round(box.bottom))).size; })"
    )
    assert set(lines) == {1}


def test_on_paper_it_is_light(open_offline: Callable[..., Page], tmp_path: Path) -> None:
    page = open_offline(html_file(REPORTS["request"], tmp_path), color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(23, 22, 20)"
    page.emulate_media(media="print")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


# -- the page


@pytest.fixture
def reports_page(new_page: Callable[..., Page], sign_in: Any, tenant: Any) -> Callable[..., Page]:
    """Opens the reports at a query, signed in as the test's tenant."""

    def open_at(query: str = "", **options: Any) -> Page:
        page = new_page(**options)
        sign_in(page, tenant.key, f"/reports{query}")
        expect(page.get_by_role("heading", level=1)).to_have_text("Reports")
        return page

    return open_at


def saved(page: Page, button: str) -> tuple[str, bytes]:
    """The name and the content of a download."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button).click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def test_the_preview_is_the_file_and_every_format_has_the_same_hash(
    reports_page: Any, wait_ready: Any, open_offline: Callable[..., Page], tmp_path: Path
) -> None:
    page = reports_page()
    expect(page.get_by_role("heading", level=2).first).to_contain_text("Ranking of endpoints for 600 requests")
    name, html = saved(page, "Download ranking-")
    assert name.startswith("ranking-20")
    preview = page.frame_locator("iframe[src^='data:text/html']")
    expect(preview.get_by_role("heading", level=1)).to_contain_text("Ranking of endpoints for 600 requests")
    path = tmp_path / name
    path.write_bytes(html)
    alone = open_offline(path)
    hashes = {preview.locator("code").first.inner_text(), alone.locator("code").first.inner_text()}
    page.get_by_role("radio", name="json").check()
    expect(page.get_by_role("button", name=".json")).to_be_visible()
    wait_ready(page)
    _, content = saved(page, "Download ranking-")
    report = json.loads(content)
    assert hashes == {report["sha256"]}
    columns = [column["key"] for column in report["tables"]["preferences"]["columns"][1:]]
    assert numbers(alone, "preferences") == [
        [row[key] for key in columns] for row in report["tables"]["preferences"]["rows"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_preview_stands_on_the_page_s_own_ground(scheme: str, reports_page: Any) -> None:
    page = reports_page(color_scheme=scheme)
    preview = page.frame_locator("iframe[src^='data:text/html']")
    ground = "element => getComputedStyle(element).backgroundColor"
    assert preview.locator("body").evaluate(ground) == page.get_by_test_id("stApp").evaluate(ground)


def test_a_trace_is_reported_and_a_bad_one_named(reports_page: Any) -> None:
    page = reports_page("?question=trace&format=json")
    files = page.locator("input[type=file]")
    files.set_input_files({"name": "bad.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2\n"})
    page.get_by_role("button", name="Make the report").click()
    expect(page.get_by_role("alert").first).to_contain_text("bad.csv: line 1 lacks the columns")
    files.set_input_files({"name": "day.csv", "mimeType": "text/csv", "buffer": TRACE})
    expect(page.get_by_role("button", name="Remove day.csv")).to_be_visible()
    page.get_by_role("button", name="Make the report").click()
    expect(page.get_by_role("heading", level=2).first).to_contain_text("120 requests")
    report = json.loads(saved(page, "Download ranking-")[1])
    assert {"key": "origin", "label": "Requests", "value": "day.csv", "unit": "", "basis": ""} in report["scope"]


@pytest.mark.parametrize(("form", "scheme"), [("html", "dark"), ("csv", "light")])
def test_the_page_is_accessible_and_fits_a_phone(
    form: str, scheme: str, reports_page: Any, wait_ready: Any, violations: Any
) -> None:
    page = reports_page(f"?format={form}", viewport=PHONE, color_scheme=scheme)
    wait_ready(page)
    expect(page.get_by_role("button", name="Download ranking-")).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert violations(page) == []


def test_the_simulator_s_ranking_is_downloaded_as_a_report(
    new_page: Callable[..., Page], sign_in: Any, tenant: Any, wait_ready: Any
) -> None:
    page = new_page()
    sign_in(page, tenant.key, "/simulator?snapshot=catalogue&under=cost-optimized")
    expect(page.get_by_role("button", name="Report as JSON")).to_be_visible()
    wait_ready(page)
    name, content = saved(page, "Report as JSON")
    report = json.loads(content)
    assert name.endswith(".json")
    first = report["tables"]["ranking"]["rows"][0]["endpoint"]
    expect(page.get_by_role("heading", level=2).first).to_contain_text(f"{first} ranks first")
    assert saved(page, "Report as HTML")[1].startswith(b"<!doctype html>")
    assert saved(page, "Report as CSV")[1].startswith(b"section,item,field,value")


def test_a_ranked_trace_is_downloaded_as_a_report(
    new_page: Callable[..., Page], sign_in: Any, tenant: Any, wait_ready: Any
) -> None:
    page = new_page()
    sign_in(page, tenant.key, "/simulator?input=trace")
    page.locator("input[type=file]").set_input_files({"name": "day.csv", "mimeType": "text/csv", "buffer": TRACE})
    page.get_by_role("button", name="Rank this trace").click()
    expect(page.get_by_role("heading", level=2).first).to_contain_text("120\u00a0requests")
    wait_ready(page)
    report = json.loads(saved(page, "Report as JSON")[1])
    assert (report["kind"], report["summary"][0]["value"]) == ("trace", 120)
