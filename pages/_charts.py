"""Charts: each answers one question, its title is the finding, and the table behind it stands beside it.

Colours stand on the traces (Okabe and Ito's, told apart by colour-blind readers, on light and dark ground); text takes
the theme's colour. plotly is loaded with the first figure, not with the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from typing import Any

import streamlit as st

from freerelay_core.decision import RankedEndpoint
from freerelay_core.preference import FACTORS
from pages._format import contribution, markdown, percent

__all__ = ["Chart", "contributions", "difference_bars", "shares", "show_chart"]

BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW, GREY = (
    "#2F8FCE",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#C9B800",
    "#8C8C8C",
)
SHARE_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW)


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure with its finding. `alt` says to those who do not see it what it shows."""

    title: str
    alt: str
    figure: Any
    """`plotly.graph_objects.Figure`."""


def show_chart(chart: Chart, *, key: str) -> None:
    """Draw the finding as a heading, and the figure under it."""
    st.subheader(markdown(chart.title), anchor=False)
    st.plotly_chart(chart.figure, config={"displayModeBar": False}, alt=chart.alt, key=f"chart_{key}")


def contributions(row: RankedEndpoint) -> Chart:
    """How each factor lowers an endpoint's utility, from 1 (best) down; lengths are exponent x ln value."""
    import plotly.graph_objects as go  # noqa: PLC0415  (see the module)

    parts = {name: row.factors[name][2] for name in FACTORS}
    worst = min(parts, key=lambda name: parts[name])
    title = (
        f"What holds {row.endpoint} back most is {worst}: it leaves {percent(exp(parts[worst]))} of the best utility"
        if parts[worst] < 0
        else f"Nothing holds {row.endpoint} back"
    )
    names = [*FACTORS, "ln U"]
    values = [*parts.values(), sum(parts.values())]
    figure = go.Figure(
        go.Waterfall(
            orientation="h",
            y=names,
            x=values,
            measure=["relative"] * len(FACTORS) + ["total"],
            text=[contribution(value) for value in values],
            textposition="outside",
            cliponaxis=False,
            increasing={"marker": {"color": BLUE}},
            decreasing={"marker": {"color": ORANGE}},
            totals={"marker": {"color": BLUE}},
            connector={"line": {"color": GREY, "width": 1, "dash": "dot"}},
            hoverinfo="skip",
        )
    )
    figure.update_layout(height=340, margin={"l": 70, "r": 12, "t": 8, "b": 44}, showlegend=False)
    figure.update_yaxes(autorange="reversed")
    lowest = min(values[-1], -1e-3)
    figure.update_xaxes(title="exponent x ln value; 0 is best", range=[lowest * 1.25, -lowest * 0.08], nticks=5)
    spoken = _spoken(dict(zip(names, values, strict=True)))
    return Chart(title, f"Waterfall of the contributions to ln U. {spoken}.", figure)


def difference_bars(title: str, a: str, b: str, by_factor: Mapping[str, float]) -> Chart:
    """What each factor adds to ln U of `a` over `b`: to the right speaks for `a`, to the left for `b`."""
    import plotly.graph_objects as go  # noqa: PLC0415  (see the module)

    values = list(by_factor.values())
    figure = go.Figure(
        go.Bar(
            orientation="h",
            y=list(by_factor),
            x=values,
            marker={"color": [BLUE if value >= 0 else ORANGE for value in values]},
            text=[contribution(value) for value in values],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    reach = max([abs(value) for value in values] + [1e-3]) * 1.35
    figure.update_layout(height=340, margin={"l": 70, "r": 12, "t": 8, "b": 44}, showlegend=False)
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title="speaks for B  |  speaks for A", range=[-reach, reach], nticks=5, zeroline=True)
    alt = f"Bars by factor, {a} against {b}; positive speaks for {a}. {_spoken(by_factor)}."
    return Chart(title, alt, figure)


def shares(title: str, by_row: Mapping[str, Mapping[str, float]]) -> Chart:
    """Which endpoints win which fraction of the requests: one bar a row, the same colour for the same endpoint."""
    import plotly.graph_objects as go  # noqa: PLC0415  (see the module)

    totals: dict[str, float] = {}
    for share in by_row.values():
        for endpoint, fraction in share.items():
            totals[endpoint] = totals.get(endpoint, 0.0) + fraction
    ranked = sorted(totals, key=lambda endpoint: -totals[endpoint])
    named, rest = ranked[: len(SHARE_COLOURS)], ranked[len(SHARE_COLOURS) :]
    figure = go.Figure()
    for endpoint, colour in [*zip(named, SHARE_COLOURS, strict=False), *([("others", GREY)] if rest else [])]:
        members = rest if endpoint == "others" else [endpoint]
        fractions = [sum(share.get(member, 0.0) for member in members) for share in by_row.values()]
        figure.add_bar(
            orientation="h",
            y=list(by_row),
            x=[fraction * 100 for fraction in fractions],
            name=endpoint,
            marker={"color": colour, "line": {"width": 1, "color": "rgba(128,128,128,.6)"}},
            hovertext=[f"{endpoint}: {percent(fraction)}" for fraction in fractions],
            hoverinfo="text",
        )
    lines = len(named) + bool(rest)
    figure.update_layout(
        barmode="stack",
        height=60 + 52 * len(by_row) + 22 * lines,
        margin={"l": 130, "r": 12, "t": 8, "b": 44},
        legend={"orientation": "v", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left", "traceorder": "normal"},
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title="share of the requests, %", range=[0, 100], nticks=6)
    said = "; ".join(
        f"{row}: {', '.join(f'{name} {percent(fraction)}' for name, fraction in share.items())}"
        for row, share in by_row.items()
    )
    return Chart(title, f"Stacked bars of each endpoint's share of the requests. {said}.", figure)


def _spoken(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {contribution(value)}" for name, value in values.items())
