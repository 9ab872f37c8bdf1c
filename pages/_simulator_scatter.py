"""Cost against time of every ranked endpoint: the frontier, what another beats, and the first three named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor, log10
from typing import Any

from freerelay_core.decision import RankedEndpoint
from pages._charts import BLUE, GREY, VERMILION, Chart
from pages._format import percent, seconds, usd

__all__ = ["cost_against_time", "frontier"]

FREE_BELOW_USD = 1e-9
"""What costs less than this per 1,000 requests is drawn as free."""

HEIGHT = 400
MARGIN = {"l": 60, "r": 16, "t": 8, "b": 48}
WIDTHS = (950.0, 300.0)
"""Widths of the plot for which labels must not lie over each other, px: a desktop's and a phone's."""

LETTER_PX, LINE_PX = 6.6, 18.0
"""Room that a label's letter and line take, px."""

_OFFSETS = [(dx, dy) for dy in (-18, 18, -36, 36, -54, 54, -72) for dx in (18, -18)]
"""Where a label may stand from its point, best first, px."""


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the (cost, time) points that no other undercuts in both, in order of cost."""
    found: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: points[i]):
        if not found or points[index][1] < points[found[-1]][1]:
            found.append(index)
    return found


def cost_against_time(rows: Sequence[RankedEndpoint], title: str) -> Chart:
    """Where each ranked endpoint stands in cost and median time; what another beats in all respects is faded."""
    import plotly.graph_objects as go  # noqa: PLC0415  (see the module)

    costs = [cost if (cost := row.cost_usd * 1000) > FREE_BELOW_USD else 0.0 for row in rows]
    times = [row.latency_p50_s for row in rows]
    free_at = _free_position(costs)
    x = [cost or free_at for cost in costs]
    edge = frontier(list(zip(costs, times, strict=True)))
    worse = _dominated(rows)
    figure = go.Figure()
    figure.add_scatter(
        x=[x[i] for i in edge],
        y=[times[i] for i in edge],
        mode="lines",
        line={"color": GREY, "dash": "dot", "shape": "hv", "width": 1.5},
        name="nothing is both cheaper and faster",
        hoverinfo="skip",
    )
    groups = (
        ("ranked first", [0], {"color": VERMILION, "size": 13, "symbol": "diamond"}),
        ("others", [i for i in range(1, len(rows)) if not worse[i]], {"color": BLUE, "size": 10}),
        (
            "dearer, slower and worse than another",
            [i for i in range(1, len(rows)) if worse[i]],
            {"color": GREY, "size": 8},
        ),
    )
    for name, members, marker in groups:
        if members:
            figure.add_scatter(
                x=[x[i] for i in members],
                y=[times[i] for i in members],
                mode="markers",
                name=name,
                marker={**marker, "line": {"width": 1, "color": "rgba(128,128,128,.6)"}},
                opacity=0.7 if marker["color"] == GREY else 1,
                hovertext=[_hover(i, rows[i]) for i in members],
                hoverinfo="text",
            )
    x_range, y_range = _range(x), _range(times)
    figure.update_layout(height=HEIGHT, margin=MARGIN, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    axis = _log_axis(x, usd, free_at=free_at if 0 in costs else None)
    figure.update_xaxes(title="cost, USD per 1,000 such requests", range=x_range, **axis)
    figure.update_yaxes(title="median time", range=y_range, **_log_axis(times, seconds))
    texts = [f"{i + 1} {rows[i].endpoint}" for i in range(min(3, len(rows)))]
    places = [(_part(x[i], x_range), _part(times[i], y_range)) for i in range(len(rows))]
    for i, (dx, dy) in enumerate(_offsets(places, texts)):
        figure.add_annotation(
            x=log10(x[i]),
            y=log10(times[i]),
            text=texts[i],
            ax=dx,
            ay=dy,
            xanchor="left" if dx > 0 else "right",
            **_LINE,
        )
    alt = f"Scatter of {len(rows)} endpoints, cost per 1,000 requests against median time, both logarithmic. {title}"
    return Chart(title, alt, figure)


_LINE = {"showarrow": True, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": GREY, "standoff": 6}

Box = tuple[float, float, float, float]
"""Left, right, top, bottom, px."""


def _offsets(places: Sequence[tuple[float, float]], texts: Sequence[str]) -> list[tuple[int, int]]:
    """Where to put the labels of the first points: over no other label, and over as few points as can be.

    `places` are parts of the plot's width and height, from its lower left corner.
    """
    taken: dict[float, list[Box]] = {width: [] for width in WIDTHS}
    chosen = []
    for place, text in zip(places, texts, strict=False):
        boxes = {offset: {width: _box(place, text, offset, width) for width in WIDTHS} for offset in _OFFSETS}
        best = min(_OFFSETS, key=lambda o: sum(_harm(boxes[o][w], w, places, taken[w]) for w in WIDTHS))
        chosen.append(best)
        for width in WIDTHS:
            taken[width].append(boxes[best][width])
    return chosen


def _box(place: tuple[float, float], text: str, offset: tuple[int, int], width: float) -> Box:
    x, y = place[0] * width + offset[0], (1 - place[1]) * _plot_height() + offset[1]
    reach = len(text) * LETTER_PX
    left, right = (x, x + reach) if offset[0] > 0 else (x - reach, x)
    return left, right, y - LINE_PX / 2, y + LINE_PX / 2


def _harm(box: Box, width: float, places: Sequence[tuple[float, float]], taken: Sequence[Box]) -> float:
    """How bad a label is here: over another label, out of the plot, over points."""
    left, right, top, bottom = box
    over = sum(left < other[1] and other[0] < right and top < other[3] and other[2] < bottom for other in taken)
    outside = (
        max(0.0, -left - MARGIN["l"])
        + max(0.0, right - width - MARGIN["r"])
        + max(0.0, -top)
        + max(0.0, bottom - _plot_height())
    )
    points = sum(left - 6 < x * width < right + 6 and top < (1 - y) * _plot_height() < bottom for x, y in places)
    return 1000.0 * over + outside + points


def _plot_height() -> float:
    return HEIGHT - MARGIN["t"] - MARGIN["b"]


def _part(value: float, ends: Sequence[float]) -> float:
    """Where a value stands on a logarithmic axis, 0 to 1."""
    return (log10(value) - ends[0]) / (ends[1] - ends[0])


def _dominated(rows: Sequence[RankedEndpoint]) -> list[bool]:
    """Which endpoints another one beats or equals in cost, time and quality, beating it in one."""
    figures = [(row.cost_usd, row.latency_p50_s, -row.quality) for row in rows]
    return [any(b != a and all(p <= q for p, q in zip(b, a, strict=True)) for b in figures) for a in figures]


def _free_position(costs: Sequence[float]) -> float:
    """Where a logarithmic axis shows what is free: a third of a decade and more left of the cheapest."""
    paid = [cost for cost in costs if cost > 0]
    return min(paid) / 3 if paid else 1.0


def _range(values: Sequence[float]) -> list[float]:
    """Ends of a logarithmic axis, in decades, with room around the outermost points."""
    low, high = log10(min(values)), log10(max(values))
    room = 0.08 * max(high - low, 0.5)
    return [low - room, high + room]


def _log_axis(values: Sequence[float], say: Callable[[float], str], *, free_at: float | None = None) -> dict[str, Any]:
    """A logarithmic axis whose ticks at 1, 2 and 5 (or 1, where there are many) carry units."""
    low, high = _range(values)
    steps = (1.0,) if high - low > 3 else (1.0, 3.0) if high - low > 1.2 else (1.0, 2.0, 5.0)
    ticks = [step * 10.0**decade for decade in range(floor(low), ceil(high) + 1) for step in steps]
    ticks = [tick for tick in ticks if low <= log10(tick) <= high]
    text = [say(tick) for tick in ticks]
    if free_at is not None:
        kept = [i for i, tick in enumerate(ticks) if tick > free_at * 2]
        ticks, text = [free_at, *(ticks[i] for i in kept)], ["free", *(text[i] for i in kept)]
    return {"type": "log", "tickvals": ticks, "ticktext": text}


def _hover(position: int, row: RankedEndpoint) -> str:
    return (
        f"{position + 1} {row.endpoint}<br>{usd(row.cost_usd * 1000)} per 1,000, {seconds(row.latency_p50_s)}, "
        f"quality {percent(row.quality)}"
    )
