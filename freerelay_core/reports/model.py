"""What a report says, whatever the format: figures and tables in which every number has its unit and its basis.

    report
    |-- scope        what was asked          figures
    |-- summary      the answer in figures   figures
    |-- tables       ranking, factors, ...   columns and rows; the ranking first
    |-- charts       drawn from the tables
    `-- provenance   what it rests on        figures

Names come from catalogues, traces and files of others. Whatever is put in, a report holds legible text and finite
numbers, so that no writer has to think of control characters, lone surrogates or NaN.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

__all__ = ["OF_ROW", "BarChart", "Cell", "Figure", "RankingReport", "ReportColumn", "ReportTable"]

Cell = str | int | float | None
"""What a place in a report holds; None is unknown."""

OF_ROW = "row"
"""Basis of a column whose numbers rest on what the `basis` column of their own row says."""

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Invisible characters that make a name look like another by turning its letters round."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One named value. `digits` are the decimals that people are shown; files hold all of them."""

    key: str
    label: str
    value: Cell
    unit: str = ""
    basis: str = ""
    digits: int = 0

    def as_dict(self) -> dict[str, Cell]:
        return {"key": self.key, "label": self.label, "value": self.value, "unit": self.unit, "basis": self.basis}


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """A column of a table. `key` names it for programs, `label` for people, and `digits` is as in `Figure`."""

    key: str
    label: str
    unit: str = ""
    basis: str = ""
    digits: int = 0

    def as_dict(self) -> dict[str, Cell]:
        return {"key": self.key, "label": self.label, "unit": self.unit, "basis": self.basis}


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Rows under columns; every row is as long as `columns`. `name` is unique in a report and names it for programs."""

    name: str
    title: str
    columns: tuple[ReportColumn, ...]
    rows: Sequence[Sequence[Cell]]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(column.key for column in self.columns)

    def basis(self, row: Sequence[Cell], column: ReportColumn) -> str:
        """What the number in this row and column rests on."""
        return str(row[self.keys.index("basis")]) if column.basis == OF_ROW else column.basis

    def as_dict(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "columns": [column.as_dict() for column in self.columns],
            "rows": [dict(zip(self.keys, row, strict=True)) for row in self.rows],
        }


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars of some column of a table. `alt` says to those who do not see it what it shows."""

    title: str
    alt: str
    unit: str
    bars: Sequence[tuple[str, float]]
    """Label and value, in the order in which they are drawn."""
    digits: int = 0


@dataclass(frozen=True)
class RankingReport:
    """A ranking, or the comparison of several, with everything that it rests on.

    Equal input gives equal bytes in every format: nothing here reads a clock.
    """

    kind: str
    """`request`, `trace` or `what-if`."""
    title: str
    finding: str
    """The answer in a sentence."""
    made_at: datetime
    """UTC."""
    scope: Sequence[Figure]
    summary: Sequence[Figure]
    tables: Sequence[ReportTable]
    provenance: Sequence[Figure]
    charts: Sequence[BarChart] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _legible(getattr(self, field.name)))

    def table(self, name: str) -> ReportTable:
        """The table of this name. Raises `KeyError`."""
        return {table.name: table for table in self.tables}[name]

    def as_dict(self) -> dict[str, Any]:
        """The content, without its hash; charts only draw what tables hold, and are left out."""
        return {
            "kind": self.kind,
            "title": self.title,
            "finding": self.finding,
            "made_at": self.made_at.isoformat(),
            "scope": [figure.as_dict() for figure in self.scope],
            "summary": [figure.as_dict() for figure in self.summary],
            "tables": {table.name: table.as_dict() for table in self.tables},
            "provenance": [figure.as_dict() for figure in self.provenance],
        }

    @cached_property
    def sha256(self) -> str:
        """Hash of the content; equal in every format of one report. `docs/reports.md` says how to compute it."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode("ascii")).hexdigest()


def _legible(value: Any) -> Any:
    """`value` with all that is in it fit to be written: text without invisible controls, numbers finite or None."""
    if isinstance(value, str):
        return "".join("\ufffd" if _hidden(character) else character for character in value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (tuple, list)):
        return tuple(_legible(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _legible(getattr(value, field.name)) for field in fields(value)})
    return value


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"} or character in _BIDI_CONTROLS
