"""Tables as the simulator shows them: labels with units, and the same rows as a CSV file that is safe to open."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st

__all__ = ["Column", "Table", "csv_text", "show_table"]

Cell = str | float | int | None

ROW_PX, HEADER_PX = 33, 36
"""Heights inside `st.dataframe`, px."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its label with the unit, and how its numbers are written (printf style)."""

    label: str
    format: str | None = None
    """None for text."""
    width: Literal["small", "medium", "large"] | int | None = None
    help: str | None = None
    bar: bool = False
    """Numbers from 0 to 100 that are also drawn as a bar."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns."""

    name: str
    """What it holds, in a word or two: "ranking"."""
    title: str
    """Says it in full, with what it rests on; heads the file, and is read to those who do not see the table."""
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Cell]]

    def as_columns(self) -> dict[str, list[Cell]]:
        """The cells by label of their column."""
        return {column.label: [row[i] for row in self.rows] for i, column in enumerate(self.columns)}


def show_table(table: Table, *, rows: int | None = None, selectable: bool = False) -> int | None:
    """Draw the table, at most `rows` of it at a time (the rest scrolls), with its download.

    Returns the place of the row that the reader has selected, where it is `selectable` and there is one.
    """
    slug = table.name.replace(" ", "-")
    on_select: Any = "rerun" if selectable else "ignore"
    shown: Any = st.dataframe(
        table.as_columns(),
        hide_index=True,
        height="content" if rows is None or len(table.rows) <= rows else HEADER_PX + rows * ROW_PX,
        row_height=ROW_PX,
        placeholder="",
        column_config={column.label: _config(column) for column in table.columns},
        alt=table.title,
        key=f"table_{slug}",
        on_select=on_select,
        selection_mode="single-row",
    )
    st.download_button(
        f"Download {table.name} (CSV)",
        csv_text(table),
        file_name=f"freerelay-{slug}.csv",
        mime="text/csv",
        key=f"csv_{slug}",
        on_click="ignore",
        type="tertiary",
        icon=":material/download:",
    )
    return next(iter(shown.selection.rows), None) if selectable else None


def csv_text(table: Table) -> str:
    """The table as CSV: one line that says what it is, the labels, the rows with all digits.

    A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow([_harmless(table.title)])
    writer.writerow([_harmless(column.label) for column in table.columns])
    writer.writerows([[_harmless(cell) for cell in row] for row in table.rows])
    return buffer.getvalue()


def _harmless(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\0")) else cell


def _config(column: Column) -> Any:
    if column.bar:
        return st.column_config.ProgressColumn(
            column.label, format=column.format, min_value=0, max_value=100, width=column.width, help=column.help
        )
    if column.format is not None:
        return st.column_config.NumberColumn(column.label, format=column.format, width=column.width, help=column.help)
    return st.column_config.TextColumn(column.label, width=column.width, help=column.help)
