"""Each format, opened by a reader that is not ours, holds the model's numbers; no name is run, loaded or lost."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from html.parser import HTMLParser

import pandas as pd
import pytest

from freerelay_core.reports import RankingReport, ReportFormat
from tests.reports.samples import HOSTILE, reports

REPORTS = reports()
PARTS = ("scope", "summary", "provenance")


@pytest.fixture(params=REPORTS)
def report(request: pytest.FixtureRequest) -> RankingReport:
    return REPORTS[request.param]


def cells(report: RankingReport) -> dict[tuple[str, int | None, str], object]:
    """Every value of the model by section, number of the row and field."""
    found = {(part, None, figure.key): figure.value for part in PARTS for figure in getattr(report, part)}
    for table in report.tables:
        for number, row in enumerate(table.rows, start=1):
            found |= {(table.name, number, key): cell for key, cell in zip(table.keys, row, strict=True)}
    return found


def as_in(cell: object, text: str) -> object:
    """What a reader makes of the text that stands for this cell; an unknown one is empty, or called so."""
    return {"": None, "unknown": None}.get(text, text) if cell is None else type(cell)(text)


# -- CSV


def read_csv(report: RankingReport) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(ReportFormat.CSV.write(report)), keep_default_na=False)


def test_pandas_reads_the_csv_and_finds_every_number_to_the_last_bit(report):
    table = read_csv(report)
    assert list(table.columns) == ["section", "item", "field", "value", "unit", "basis"]
    assert not table.duplicated(["section", "item", "field"]).any()
    read = {
        (row.section, int(row.item) if row.item else None, row.field): row.value
        for row in table[table.section != "report"].itertuples()
    }
    model = cells(report)
    assert read.keys() == model.keys()
    for place, cell in model.items():
        assert as_in(cell, read[place].removeprefix("'") if isinstance(cell, str) else read[place]) == cell


def test_a_table_of_the_csv_is_one_pivot_away():
    table = read_csv(REPORTS["request"])
    ranking = table[table.section == "ranking"].pivot(index="item", columns="field", values="value")  # noqa: PD010 - text
    assert list(ranking.score.astype(float)) == [row[2] for row in REPORTS["request"].table("ranking").rows]
    cost = table[(table.section == "ranking") & (table.field == "cost_usd_per_1000")]
    assert set(zip(cost.unit, cost.basis, strict=True)) == {("USD", "list price")}


def test_no_text_in_the_csv_is_run_as_a_formula(report):
    numbers = {repr(cell) for cell in cells(report).values() if not isinstance(cell, str)}
    for line in csv.reader(io.StringIO(ReportFormat.CSV.write(report).decode())):
        for cell in line:
            assert cell in numbers or not cell.startswith(("=", "+", "-", "@", "＝", "\t", "\r", "\n", "\0")), cell


# -- JSON


def test_the_json_is_the_model(report):
    content = json.loads(ReportFormat.JSON.write(report))
    assert content.pop("sha256") == report.sha256
    assert content == report.as_dict()
    frame = pd.DataFrame(content["tables"][report.tables[0].name]["rows"])
    assert [tuple(row) for row in frame.itertuples(index=False)] == list(report.tables[0].rows)


def test_whoever_has_the_json_can_compute_its_hash(report):
    content = json.loads(ReportFormat.JSON.write(report))
    stated = content.pop("sha256")
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == stated


# -- HTML


class Page(HTMLParser):
    """Every value of a page by section, number of the row and field, as the markup alone tells it."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: dict[str, list[dict[str, str | None]]] = {}
        self.values: dict[tuple[str, int | None, str], str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self._cell: list[str] | None = None
        self._table = ""
        self.feed(content.decode())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.setdefault(tag, []).append(attributes)
        if tag == "table":
            self._table = attributes["data-name"]
            self.tables[self._table] = []
        elif tag == "tr":
            self.tables[self._table].append([attributes["data-key"]] if "data-key" in attributes else [])
        elif tag == "th" and "data-key" in attributes:
            self.tables[self._table][-1].append(attributes["data-key"])
        elif tag == "td":
            self._cell = []
        elif tag == "data":
            self._cell.append(attributes["value"])
            self._number = True

    def handle_endtag(self, tag):
        if tag == "td":
            self.tables[self._table][-1].append("".join(self._cell))
            self._cell = None
        elif tag == "data":
            self._number = False

    _number = False

    def handle_data(self, data):
        if self._cell is not None and not self._number:
            self._cell.append(data)


def test_the_html_holds_every_number_in_full_and_every_name_as_it_is(report):
    page = Page(ReportFormat.HTML.write(report))
    for table in (table for table in report.tables if table.rows):
        header, *rows = page.tables[table.name]
        assert header == list(table.keys)
        for row, expected in zip(rows, table.rows, strict=True):
            assert [as_in(cell, text) for text, cell in zip(row, expected, strict=True)] == list(expected)
    for part in PARTS:
        shown = {key: value.split("\xa0")[0] for key, value, *_ in page.tables[part]}
        assert shown == {figure.key: str(figure.value) for figure in getattr(report, part)}


def test_the_html_has_no_script_and_names_no_address(report):
    page = Page(ReportFormat.HTML.write(report))
    assert set(page.tags) <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "code", "figure", "svg", "desc",
        "text", "rect", "line", "div", "table", "thead", "tbody", "tr", "th", "td", "small", "data", "bdi",
    }  # fmt: skip
    for attributes in (attributes for tag in page.tags.values() for attributes in tag):
        assert not any(name.startswith("on") or name in {"src", "href", "style", "action"} for name in attributes)
    (policy,) = (meta["content"] for meta in page.tags["meta"] if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


def test_hostile_names_are_kept_where_they_are_legible():
    names = {row[1].rpartition("/")[0] for row in REPORTS["hostile request"].table("ranking").rows}
    legible = {name for name in HOSTILE if name.isprintable()}
    assert len(legible) > 8
    assert legible <= names
    assert {
        "nul\ufffd and lone \ufffd",
        "turned \ufffdgnp.exe",
        'two\ufffd\ufffdlines, and "quotes"',
        "\ufffdTAB",
    } <= names
