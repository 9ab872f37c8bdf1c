"""Figures read as a person would write them, and no page writes its own."""

from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages import _format

PAGES = sorted((Path(__file__).parents[2] / "pages").glob("*.py"))


def plain(text: str) -> str:
    """With ordinary spaces."""
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "$0"),
        (1e-9, "< $0.0000001"),
        (0.0000123, "$0.000012"),
        (0.0031, "$0.0031"),
        (0.43, "$0.43"),
        (0.994, "$0.99"),
        (0.996, "$1.00"),
        (1.644, "$1.64"),
        (1234.4, "$1,234"),
        (-0.2, "-$0.20"),
        (None, "unknown"),
        (float("nan"), "unknown"),
    ],
)
def test_an_amount_has_as_many_digits_as_matter(amount: float | None, shown: str) -> None:
    assert plain(_format.usd(amount)) == shown


def test_an_amount_for_a_thousand_requests_says_so() -> None:
    assert _format.usd_per_1000(1.64) == "$1.64 per 1,000 requests"
    assert _format.usd_per_1000(None) == "unknown"


@pytest.mark.parametrize(
    ("duration", "shown"),
    [
        (0, "0 s"),
        (0.043, "43 ms"),
        (0.4, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (27.6, "28 s"),
        (59.6, "1 min"),
        (65, "1 min 5 s"),
        (3599.7, "1 h"),
        (7500, "2 h 5 min"),
        (None, "unknown"),
    ],
)
def test_a_duration_is_in_the_units_that_one_would_say(duration: float | None, shown: str) -> None:
    assert plain(_format.seconds(duration)) == shown


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [
        (0, "0 %"),
        (0.0004, "< 0.1 %"),
        (0.0123, "1.2 %"),
        (0.05, "5 %"),
        (0.38, "38 %"),
        (0.994, "99.4 %"),
        (0.99999, "> 99.9 %"),
        (1, "100 %"),
        (None, "unknown"),
    ],
)
def test_a_share_is_never_all_or_nothing_unless_it_is(fraction: float | None, shown: str) -> None:
    assert plain(_format.percent(fraction)) == shown


@given(st.floats(0, 1))
def test_only_nothing_is_0_percent_and_only_all_is_100_percent(fraction: float) -> None:
    shown = plain(_format.percent(fraction))
    assert (shown == "0 %") == (fraction == 0)
    assert (shown == "100 %") == (fraction == 1)


@given(st.floats(0, 1e9))
def test_every_amount_and_duration_has_a_form(value: float) -> None:
    assert _format.usd(value).startswith(("$", "<"))
    assert _format.seconds(value).endswith(("s", "min", "h"))


def test_a_count_has_its_noun_in_the_right_number() -> None:
    assert plain(_format.count(19366)) == "19,366"
    assert plain(_format.count(1, "request")) == "1 request"
    assert plain(_format.count(1200, "request")) == "1,200 requests"


@pytest.mark.parametrize(
    ("new", "old", "kind", "words"),
    [
        (0.62, 1.0, "cost", "38 % less"),
        (1.2, 1.0, "cost", "20 % more"),
        (2.6, 1.0, "cost", "2.6 times as much"),
        (1.01, 1.0, "cost", "same"),
        (0.0, 1.0, "cost", "free"),
        (0.5, 0.0, "cost", "$0.50 more"),
        (1.4, 1.0, "time", "0.4 s slower"),
        (1.01, 1.0, "time", "same"),
        (27.6, 37.2, "time", "9 s faster"),
        (0.78, 0.80, "quality", "2 of 100 answers worse"),
        (0.9, 0.8, "quality", "10 of 100 answers better"),
        (0.801, 0.802, "quality", "same"),
    ],
)
def test_a_difference_is_said_in_words(new: float, old: float, kind: str, words: str) -> None:
    assert plain(_format.difference(new, old, kind)) == words  # type: ignore[arg-type]


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_difference_of_qualities_is_that_of_the_figures_shown(new: float, old: float) -> None:
    shown = [int(plain(_format.quality(value)).split()[0]) for value in (new, old)]
    words = plain(_format.difference(new, old, "quality"))
    assert words == "same" if shown[0] == shown[1] else words.startswith(f"{abs(shown[0] - shown[1])} of 100")


def test_a_moment_names_its_zone() -> None:
    at = datetime(2026, 11, 24, 20, 30, tzinfo=UTC)
    assert plain(_format.moment(at)) == "24 Nov 2026, 20:30 UTC"
    assert _format.moment(at.astimezone(timezone(timedelta(hours=5)))) == _format.moment(at)
    assert plain(_format.date_range(at - timedelta(days=7), at)) == "17 Nov 2026, 20:30 to 24 Nov 2026, 20:30 UTC"
    assert plain(_format.second(at + timedelta(seconds=7))) == "24 Nov 2026, 20:30:07"


def test_what_a_figure_rests_on_is_said_in_words() -> None:
    assert [_format.basis(kind) for kind in ("measured", "prior", "simulated")] == [
        "measured on live traffic",
        "assumed (catalogue prior)",
        "simulated",
    ]


def test_text_of_others_is_no_markdown() -> None:
    assert _format.markdown(f" {_format.count(5, 'request')}  of them ") == "5\u00a0requests of them"
    assert _format.markdown("$1 and $2 *x*\n[a](b) :red[y]") == r"\$1 and \$2 \*x\* \[a\]\(b\) \:red\[y\]"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "_format.py"], ids=lambda page: page.name)
def test_no_page_formats_a_figure_by_itself(page: Path) -> None:
    found = [
        node.lineno
        for node in ast.walk(ast.parse(page.read_text(encoding="utf-8")))
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None
    ]
    assert not found, f"{page.name}, lines {found}: use a function of pages/_format.py"
