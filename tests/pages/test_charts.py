"""Charts say what they find, name the first three without covering them, and lose nothing in the download."""

import csv
import io
from math import log10

import pytest
from builders import endpoint, endpoints, profiles, request, snapshot
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.decision import Decision, decide
from freerelay_core.preference import FACTORS
from pages import _charts
from pages._simulator_scatter import MARGIN, cost_against_time, frontier
from pages._simulator_tables import Column, Table, csv_text

points = st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 100)), min_size=1, max_size=20)


@given(points)
def test_the_frontier_holds_what_nothing_undercuts(these):
    edge = frontier(these)
    assert [these[i] for i in edge] == sorted(these[i] for i in edge)
    for i, (cost, time) in enumerate(these):
        beaten = any(c <= cost and t <= time and (c, t) != (cost, time) for c, t in these)
        assert (i in edge) <= (not beaten)
        assert any(these[e][0] <= cost and these[e][1] <= time for e in edge)


def decision(*these) -> Decision:
    return decide(snapshot(*these), request(), decision_id="d")


def trace_named(chart: _charts.Chart, name: str):
    return next(trace for trace in chart.figure.data if trace.name == name)


def test_what_another_beats_in_cost_time_and_quality_is_faded():
    best = endpoint("a/best", ability=1400.0)
    worse = endpoint("b/worse", ability=1200.0, usd=(2.0, 0.2, 8.0), first_token_s=1.0)
    able = endpoint("c/able", ability=1500.0, usd=(5.0, 0.5, 25.0), first_token_s=2.0)
    chart = cost_against_time(decision(best, worse, able).ranking, "title")
    assert "b/worse" in trace_named(chart, "dearer, slower and worse than another").hovertext[0]
    assert "c/able" in trace_named(chart, "others").hovertext[0]
    assert "a/best" in trace_named(chart, "ranked first").hovertext[0]


def test_a_free_endpoint_has_its_place_left_of_all_that_cost_something():
    chart = cost_against_time(decision(endpoint("a/free", usd=(0, 0, 0)), endpoint("b/paid")).ranking, "title")
    assert chart.figure.layout.xaxis.ticktext[0] == "free"
    positions = {trace.hovertext[0].split()[1].split("<")[0]: trace.x[0] for trace in chart.figure.data[1:]}
    assert positions["a/free"] == chart.figure.layout.xaxis.tickvals[0] < positions["b/paid"]
    assert chart.figure.layout.xaxis.type == chart.figure.layout.yaxis.type == "log"


def boxes(chart: _charts.Chart, width: float) -> list[tuple[float, float, float, float]]:
    """Where the direct labels lie, px from the upper left corner of the plot."""
    layout = chart.figure.layout
    height = layout.height - MARGIN["t"] - MARGIN["b"]
    found = []
    for label in layout.annotations:
        (left, right), (bottom, top) = layout.xaxis.range, layout.yaxis.range
        x = (label.x - left) / (right - left) * width + label.ax
        y = (top - label.y) / (top - bottom) * height + label.ay
        reach = 6 * len(label.text)
        found.append((x, x + reach, y - 8, y + 8) if label.xanchor == "left" else (x - reach, x, y - 8, y + 8))
    return found


@pytest.mark.parametrize("width", [300, 950])
@given(endpoints(minimum=3), profiles)
def test_the_labels_of_the_first_three_never_cover_each_other(width, these, profile):
    ranked = decide(snapshot(*these), profile, decision_id="d").ranking
    drawn = boxes(cost_against_time(ranked, "title"), width)
    assert len(drawn) == min(3, len(ranked))
    for i, a in enumerate(drawn):
        for b in drawn[:i]:
            assert a[0] >= b[1] or b[0] >= a[1] or a[2] >= b[3] or b[2] >= a[3]


@given(endpoints(minimum=2), profiles)
def test_every_point_lies_inside_the_axes(these, profile):
    ranked = decide(snapshot(*these), profile, decision_id="d").ranking
    layout = (chart := cost_against_time(ranked, "title")).figure.layout
    drawn = [(x, y) for trace in chart.figure.data[1:] for x, y in zip(trace.x, trace.y, strict=True)]
    assert len(drawn) == len(ranked)
    for x, y in drawn:
        assert layout.xaxis.range[0] <= log10(x) <= layout.xaxis.range[1]
        assert layout.yaxis.range[0] <= log10(y) <= layout.yaxis.range[1]


@given(endpoints(minimum=1), profiles)
def test_contributions_stand_in_the_order_of_the_factors_and_sum_to_the_log_utility(these, profile):
    made = decide(snapshot(*these), profile, decision_id="d")
    chart = _charts.contributions(made.row(0))
    bars = chart.figure.data[0]
    assert tuple(bars.y) == (*FACTORS, "ln U")
    assert sum(bars.x[:-1]) == pytest.approx(bars.x[-1], abs=1e-12)
    assert bars.x[-1] == pytest.approx(made.log_utilities[made.order[0]], abs=1e-12)
    assert all(name in chart.alt for name in FACTORS)


def test_a_contribution_title_names_the_factor_that_costs_most():
    slow = endpoint("a/slow", first_token_s=60.0, ability=2000.0, usd=(0, 0, 0))
    assert "latency" in _charts.contributions(decision(slow).row(0)).title


def test_differences_point_to_the_better_endpoint():
    chart = _charts.difference_bars("title", "a/x", "b/y", {"cost": 0.5, "latency": -0.25})
    bars = chart.figure.data[0]
    assert list(bars.x) == [0.5, -0.25]
    assert bars.marker.color[0] != bars.marker.color[1]
    assert "cost +0.5, latency -0.25" in chart.alt


def test_shares_fill_each_bar_and_the_small_ones_stand_together():
    share = {f"p/m{i}": 0.1 for i in range(10)}
    chart = _charts.shares("title", {"balanced": share, "cost-optimized": {"p/m0": 1.0}})
    for row in range(2):
        assert sum(trace.x[row] for trace in chart.figure.data) == pytest.approx(100)
    assert trace_named(chart, "others").x[0] == pytest.approx(30)
    assert "cost-optimized: p/m0" in chart.alt


def test_each_chart_keeps_the_theme_s_colour_for_text_and_ground():
    row = decision(endpoint()).row(0)
    for chart in (
        cost_against_time([row], "title"),
        _charts.contributions(row),
        _charts.difference_bars("title", "a", "b", {"cost": 0.5}),
        _charts.shares("title", {"balanced": {"a/model": 1.0}}),
    ):
        layout = chart.figure.layout
        assert layout.font.color is layout.paper_bgcolor is layout.plot_bgcolor is None


cells = st.one_of(st.text(max_size=20), st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.none())


@given(st.lists(st.tuples(cells, cells), max_size=5))
def test_a_download_holds_what_the_table_shows(rows):
    table = Table("rows", "What it is", (Column("A"), Column("B")), rows)
    title, labels, *lines = csv.reader(io.StringIO(csv_text(table), newline=""))
    assert (title, labels) == (["What it is"], ["A", "B"])
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        for read, cell in zip(line, row, strict=True):
            if isinstance(cell, float):
                assert float(read) == cell
            else:
                shown = "" if cell is None else str(cell)
                assert read in {shown, f"'{shown}"}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\0"])
def test_no_text_in_a_download_is_run_as_a_formula(start):
    attack = f"{start}HYPERLINK(1)"
    table = Table("rows", attack, (Column(attack),), [(attack,), (-1.5,)])
    title, label, cell, number = csv.reader(io.StringIO(csv_text(table), newline=""))
    assert title == label == cell == [f"'{attack}"]
    assert number == ["-1.5"]
