"""Horizontal bars as SVG, drawn without a library: the table behind them stands beside them in the page."""

from __future__ import annotations

from freerelay_core.reports.markup import Markup, element, joined
from freerelay_core.reports.model import BarChart

__all__ = ["bars"]

WIDTH, LABELS, VALUES = 640, 270, 70
"""Width of the drawing, of the labels on its left and of the values on its right."""

ROW, BAR = 26, 16
MOST_LETTERS = 34
"""Letters of a label that fit, in wide fonts too; the table has it in full."""


def bars(chart: BarChart, number: int) -> Markup:
    """The chart under its title. `number` tells it from the others on the page."""
    if not chart.bars:
        return Markup("")
    low = min(0.0, *(value for _, value in chart.bars))
    high = max(0.0, *(value for _, value in chart.bars))
    scale = (WIDTH - LABELS - VALUES) / ((high - low) or 1.0)
    zero = LABELS - low * scale
    height = ROW * len(chart.bars) + 6
    name, alt = f"chart-{number}", f"chart-{number}-alt"
    drawn = element(
        "svg",
        element("title", chart.title, id=name),
        element("desc", chart.alt, id=alt),
        *(_bar(chart, index, zero, scale) for index in range(len(chart.bars))),
        element("line", x1=_px(zero), x2=_px(zero), y1=0, y2=height),
        view_box=f"0 0 {WIDTH} {height}",
        role="img",
        aria_labelledby=f"{name} {alt}",
    )
    return element("figure", joined(element("h2", chart.title), drawn))


def _bar(chart: BarChart, index: int, zero: float, scale: float) -> Markup:
    label, value = chart.bars[index]
    top, length = ROW * index + 4, abs(value) * scale
    left, middle = min(zero, zero + value * scale), top + BAR * 0.8
    shown = f"{label[: MOST_LETTERS - 1]}…" if len(label) > MOST_LETTERS else label
    unit = f" {chart.unit}" if chart.unit else ""
    return joined(
        element("text", shown, x=LABELS - 10, y=_px(middle), text_anchor="end"),
        element("rect", x=_px(left), y=_px(top), width=_px(length), height=BAR),
        element("text", f"{value:z,.{chart.digits}f}{unit}", x=_px(max(zero, left + length) + 6), y=_px(middle)),
    )


def _px(length: float) -> str:
    return f"{length:z.2f}"
