"""Amounts of money with the digits that matter: the pages, the command line and reports round alike."""

from __future__ import annotations

import math

__all__ = ["usd_figure"]

_LEAST = 1e-7
"""Smaller amounts are of no interest to anybody, USD."""


def usd_figure(amount: float) -> str:
    """An amount of USD without its unit: "1,234", "1.64", and below one two significant digits, "0.0031".

    Only 0 is "0"; what is too small to matter is "<0.0000001".
    """
    size, sign = abs(amount), "-" if amount < 0 else ""
    if size == 0:
        return "0"
    if size < _LEAST:
        return f"{sign}<{_LEAST:.7f}"
    if size >= 999.995:
        return f"{sign}{size:,.0f}"
    if size >= 0.995:
        return f"{sign}{size:.2f}"
    digits = 1 - math.floor(math.log10(size))
    return f"{sign}{size:.{digits}f}"
