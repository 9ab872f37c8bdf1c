"""Numbers, times and differences as people read them: every figure on a page goes through here.

A figure and its unit are joined by a no-break space. `None` and NaN are "unknown": a missing value is never shown as 0.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Literal

from freerelay_core.amounts import usd_figure
from freerelay_core.scoring.explain import SAME_RATIO, SAME_SECONDS

__all__ = [
    "basis",
    "contribution",
    "count",
    "date_range",
    "difference",
    "markdown",
    "moment",
    "percent",
    "quality",
    "second",
    "seconds",
    "times",
    "usd",
    "usd_per_1000",
]

UNKNOWN = "unknown"
_JOIN = "\u00a0"

_BASES = {
    "measured": "measured on live traffic",
    "published": "published by the named source",
    "prior": "assumed (catalogue prior)",
    "simulated": "simulated",
}


def usd(amount: float | None) -> str:
    """An amount of USD: "$1,234", "$1.64", and below one dollar two significant digits, "$0.0031"."""
    if amount is None or math.isnan(amount):
        return UNKNOWN
    figure, sign = usd_figure(abs(amount)), "-" if amount < 0 else ""
    least = f"<{_JOIN}" if figure.startswith("<") else ""
    return f"{sign}{least}${figure.removeprefix('<')}"


def usd_per_1000(amount: float | None) -> str:
    """`amount` USD for a thousand requests, with its unit: "$1.64 per 1,000 requests"."""
    return UNKNOWN if amount is None or math.isnan(amount) else f"{usd(amount)} per 1,000 requests"


def seconds(duration: float | None) -> str:
    """A duration in s: "43 ms", "0.4 s", "28 s", "1 min 5 s", "2 h 5 min"."""
    if duration is None or math.isnan(duration):
        return UNKNOWN
    if duration < 0.0995:
        return f"{duration * 1000:.0f}{_JOIN}ms" if duration else f"0{_JOIN}s"
    if duration < 9.95:
        return f"{duration:.1f}{_JOIN}s"
    whole = round(duration)
    if whole < 60:
        return f"{whole}{_JOIN}s"
    if whole < 3600:
        return _two_units(whole, 60, "min", "s")
    return _two_units(round(duration / 60), 60, "h", "min")


def _two_units(smaller: int, size: int, large: str, small: str) -> str:
    whole, rest = divmod(smaller, size)
    return f"{whole:,}{_JOIN}{large}" + (f"{_JOIN}{rest}{_JOIN}{small}" if rest else "")


def percent(fraction: float | None) -> str:
    """A fraction as per cent: "38 %"; one decimal below 10 % and above 99 %, and never 0 % or 100 % unless it is."""
    if fraction is None or math.isnan(fraction):
        return UNKNOWN
    if 0 < fraction < 0.001:
        return f"<{_JOIN}0.1{_JOIN}%"
    if 0.999 < fraction < 1:
        return f">{_JOIN}99.9{_JOIN}%"
    fine = abs(fraction) < 0.0995 or 0.99 <= fraction < 1
    number = f"{fraction * 100:,.1f}".removesuffix(".0") if fine else f"{fraction * 100:,.0f}"
    return f"{number}{_JOIN}%"


def contribution(value: float) -> str:
    """A contribution to ln U: "+0.211", "-0.05", "0"."""
    rounded = round(value, 3)
    return f"{rounded:+}" if rounded else "0"


def count(number: float, noun: str = "") -> str:
    """A whole number, "19,366", with its noun in the right number where one is given: "1 request", "2 requests"."""
    shown = f"{number:,.0f}"
    if not noun:
        return shown
    return f"{shown}{_JOIN}{noun}{'' if shown == '1' else 's'}"


def times(ratio: float) -> str:
    """How many times as much: "3 times"."""
    return f"{ratio:g} times"


def quality(fraction: float | None) -> str:
    """The expected share of good answers: "78 of 100"."""
    if fraction is None or math.isnan(fraction):
        return UNKNOWN
    return f"{fraction * 100:.0f}{_JOIN}of{_JOIN}100"


def difference(new: float, old: float, kind: Literal["cost", "time", "quality"]) -> str:
    """`new` against `old` in words: "38 % less", "2.6 times as much", "0.4 s slower", "3 of 100 answers better".

    Cost in USD, time in s, quality as the expected share of good answers; "same" where a reader would see none.
    """
    return {"cost": _cost_difference, "time": _time_difference, "quality": _quality_difference}[kind](new, old)


def _cost_difference(new: float, old: float) -> str:
    if new == old or (min(new, old) > 0 and max(new, old) / min(new, old) < SAME_RATIO):
        return "same"
    if min(new, old) == 0:
        return "free" if new == 0 else f"{usd(new)} more"
    if new / old >= 2:
        return f"{new / old:.1f} times as much"
    return f"{percent(abs(new / old - 1))} {'less' if new < old else 'more'}"


def _time_difference(new: float, old: float) -> str:
    gap = _as_shown(new) - _as_shown(old)
    if abs(gap) < SAME_SECONDS:
        return "same"
    shown = seconds(abs(gap)).replace(f".0{_JOIN}", _JOIN)
    return f"{shown} {'faster' if gap < 0 else 'slower'}"


def _as_shown(duration: float) -> float:
    """Rounded as `seconds` shows it: a difference must be that of the two figures beside it."""
    return round(duration, 3 if duration < 0.0995 else 1 if duration < 9.95 else 0)


def _quality_difference(new: float, old: float) -> str:
    gap = round(new * 100) - round(old * 100)  # of the figures as shown
    if gap == 0:
        return "same"
    return f"{abs(gap)}{_JOIN}of{_JOIN}100 answers {'better' if gap > 0 else 'worse'}"


def basis(kind: str) -> str:
    """What a figure rests on, in words; `kind` is measured, published, prior or simulated."""
    return _BASES[kind]


def moment(at: datetime) -> str:
    """A point in time with its zone: "24 Nov 2026, 20:30 UTC"."""
    local = at.astimezone(UTC)
    return f"{local.day}{_JOIN}{local:%b}{_JOIN}{local:%Y}, {local:%H:%M}{_JOIN}UTC"


def second(at: datetime) -> str:
    """A moment to the second, UTC without saying so: "24 Nov 2026, 20:30:07"."""
    return f"{moment(at).removesuffix(f'{_JOIN}UTC')}:{at.astimezone(UTC):%S}"


def date_range(start: datetime, end: datetime) -> str:
    """A span of time with its zone: "17 Nov 2026, 20:30 to 24 Nov 2026, 20:30 UTC"."""
    return f"{moment(start).removesuffix(f'{_JOIN}UTC')} to {moment(end)}"


_SPACES = re.compile(rf"[^\S{_JOIN}]+")
"""All but those that join a figure and its unit."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~$:])")


def markdown(text: str) -> str:
    r"""`text` shown as it is by Streamlit's Markdown: no formula between two `$`, no link, icon or emphasis."""
    return _MARKDOWN.sub(r"\\\1", _SPACES.sub(" ", text).strip())
