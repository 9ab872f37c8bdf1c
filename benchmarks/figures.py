"""How a benchmark states what it measured: a name, a value, and the aim that it meets or not."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["figure", "p99", "report"]


def figure(
    name: str, value: float, unit: str, *, least: float | None = None, most: float | None = None
) -> dict[str, Any]:
    """One row; `least` or `most` is the aim, where there is one."""
    aim = most if least is None else least
    met = None if aim is None else (value <= aim if least is None else value >= aim)
    return {"name": name, "value": round(value, 5), "unit": unit, "aim": aim, "met": met}


def p99(values: Sequence[float]) -> float:
    """The value that one in a hundred exceeds; 0 where there is none."""
    return sorted(values)[int(0.99 * len(values))] if values else 0.0


def report(figures: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print a table, and the rows as JSON where asked; exit with 1 where an aim is missed."""
    for each in figures:
        aim = "" if each["aim"] is None else f"aim {each['aim']:g}"
        print(f"{each['name']:34} {each['value']:12.4f} {each['unit']:10} {aim:10} {each['met']}", file=sys.stderr)
    if as_json:
        print(json.dumps(figures))
    if any(each["met"] is False for each in figures):
        sys.exit(1)
