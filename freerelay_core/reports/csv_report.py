"""A report as CSV: one tidy table, a line for each value, that pandas and spreadsheets read without being told how.

    section,item,field,value,unit,basis
    ranking,1,endpoint,groq/llama-3.3-70b,,
    ranking,1,cost_usd_per_1000,0.13,USD,list price

`section` is a part of the report or the name of a table, `item` the number of the row in it, from 1.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from freerelay_core.reports.model import Cell, Figure, RankingReport

__all__ = ["write_csv"]

HEADER = ("section", "item", "field", "value", "unit", "basis")

_FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n", "\0")
"""A spreadsheet would run a text that starts so (OWASP ASVS 1.2.10; some take the wide signs for the narrow ones)."""

_Line = tuple[str, int | None, str, Cell, str, str]


def write_csv(report: RankingReport) -> bytes:
    """The report as UTF-8 CSV. A text that a spreadsheet would run gets an apostrophe in front."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(HEADER)
    writer.writerows([_harmless(cell) for cell in line] for line in _lines(report))
    return buffer.getvalue().encode()


def _lines(report: RankingReport) -> Iterator[_Line]:
    head = {"kind": report.kind, "title": report.title, "finding": report.finding, "sha256": report.sha256}
    yield from (("report", None, key, value, "", "") for key, value in head.items())
    yield from _figures("scope", report.scope)
    yield from _figures("summary", report.summary)
    for table in report.tables:
        for number, row in enumerate(table.rows, start=1):
            for column, cell in zip(table.columns, row, strict=True):
                yield table.name, number, column.key, cell, column.unit, table.basis(row, column)
    yield from _figures("provenance", report.provenance)


def _figures(section: str, figures: Sequence[Figure]) -> Iterator[_Line]:
    return ((section, None, figure.key, figure.value, figure.unit, figure.basis) for figure in figures)


def _harmless(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell
