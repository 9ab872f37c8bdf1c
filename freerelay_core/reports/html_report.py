"""A report as one HTML page: no script, nothing fetched, light and dark, printable.

People see rounded numbers; each stands in a `<data value="...">` with all its digits, for programs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC

from freerelay_core.reports.bars import bars
from freerelay_core.reports.markup import Markup, element, joined
from freerelay_core.reports.model import OF_ROW, Cell, Figure, RankingReport, ReportColumn, ReportTable

__all__ = ["write_html"]

_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#151515, #f2f2f2); --quiet: light-dark(#4d4d4d, #bdbdbd);
  --line: light-dark(#d9d9d9, #403e3b); --ground: light-dark(#fff, #171614); --accent: light-dark(#0b5fa5, #7db8f0); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 3rem; color: var(--ink); background: var(--ground);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.finding { font-size: 1.1rem; margin: 0 0 .25rem; }
.quiet { color: var(--quiet); font-size: .87rem; margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; color: var(--quiet); padding: 0 0 .4rem; }
th, td { padding: .3rem .7rem .3rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th small { display: block; font-weight: 400; color: var(--quiet); }
.table th { overflow-wrap: normal; }
.table td { white-space: nowrap; }
.number { text-align: right; }
.figures th { font-weight: 400; color: var(--quiet); min-width: 8rem; overflow-wrap: normal; }
.figures td.quiet { overflow-wrap: normal; }
.figures .amount { white-space: nowrap; }
figure { margin: 0; }
svg { display: block; width: 100%; max-width: 44rem; height: auto; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
svg rect { fill: var(--accent); }
svg line { stroke: var(--quiet); }
@media print { :root { color-scheme: light; } body { max-width: none; padding: 0; font-size: 10pt; }
  .scroll { overflow: visible; } table { font-size: 7.5pt; } th, td { padding-right: .4rem; }
  .table td { white-space: normal; }
  thead { display: table-header-group; } tr, figure { break-inside: avoid; } h2 { break-after: avoid; } }
"""

# Only this very style may apply: no script, no picture, no address, no form, whatever a name may hold.
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"


def write_html(report: RankingReport) -> bytes:
    """The report as a page in UTF-8 that stands alone."""
    head = (
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="referrer" content="no-referrer">'),
        element("title", f"{report.title} · FreeRelay"),
        element("style", Markup(_STYLE)),
    )
    page = element("html", element("head", *head), element("body", element("main", *_sections(report))), lang="en")
    return f"<!doctype html>\n{page}\n".encode()


def _sections(report: RankingReport) -> list[Markup]:
    made_at = f"{report.made_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return [
        element("h1", report.title),
        element("p", report.finding, class_="finding"),
        element("p", f"Made {made_at}. Content SHA-256 ", element("code", report.sha256), class_="quiet"),
        _figures("Summary", "summary", report.summary),
        *(bars(chart, number) for number, chart in enumerate(report.charts, start=1)),
        *(_table(table) for table in report.tables),
        _figures("Scope", "scope", report.scope),
        _figures("What this rests on", "provenance", report.provenance),
    ]


def _figures(title: str, name: str, figures: Sequence[Figure]) -> Markup:
    rows = [
        element(
            "tr",
            element("th", figure.label, scope="row"),
            _amount(figure),
            element("td", figure.basis, class_="quiet"),
            data_key=figure.key,
        )
        for figure in figures
    ]
    table = element("table", element("tbody", *rows), class_="figures", data_name=name, aria_label=title)
    return joined(element("h2", title), table)


def _amount(figure: Figure) -> Markup:
    """The value; one with a unit stays in one piece where the page is narrow."""
    value = _shown(figure.value, figure.digits)
    if not figure.unit:
        return element("td", value)
    return element("td", value, Markup("&nbsp;"), figure.unit, class_="amount")


def _table(table: ReportTable) -> Markup:
    if not table.rows:
        return joined(element("h2", table.title), element("p", "None.", class_="quiet"))
    numeric = [any(isinstance(row[i], (int, float)) for row in table.rows) for i in range(len(table.columns))]
    header = element(
        "tr", *(_head(column, is_number) for column, is_number in zip(table.columns, numeric, strict=True))
    )
    rows = [
        element(
            "tr",
            *(
                element("td", _shown(cell, column.digits), **({"class_": "number"} if is_number else {}))
                for cell, column, is_number in zip(row, table.columns, numeric, strict=True)
            ),
        )
        for row in table.rows
    ]
    drawn = element(
        "table", element("thead", header), element("tbody", *rows), class_="table", data_name=table.name,
        aria_label=table.title,
    )  # fmt: skip
    # A wide table scrolls by itself, so it must be reachable by keyboard.
    return joined(
        element("h2", table.title),
        element("div", drawn, class_="scroll", tabindex="0", role="region", aria_label=table.title),
    )


def _head(column: ReportColumn, is_number: bool) -> Markup:  # noqa: FBT001 - private
    basis = "see basis" if column.basis == OF_ROW else column.basis
    small = ", ".join(part for part in (column.unit, basis) if part)
    return element(
        "th",
        column.label,
        element("small", small) if small else "",
        scope="col",
        data_key=column.key,
        **({"class_": "number"} if is_number else {}),
    )


def _shown(cell: Cell, digits: int) -> Markup:
    """A cell for people; a number carries itself in full."""
    if cell is None:
        return Markup("unknown")
    if isinstance(cell, str):
        return element("bdi", cell)
    written = f"{cell:,}" if isinstance(cell, int) else f"{cell:z,.{digits}f}"
    return element("data", written, value=repr(cell))
