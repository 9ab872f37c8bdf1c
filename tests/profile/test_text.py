"""Token estimates are near the exact counts, and behave."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.profile import AIMED_KINDS, TOKEN_AIM, token_errors
from freerelay_core.profile.text import BEFORE, CLASSES, TOKEN_WEIGHTS, estimate_tokens, pair_features

# Lone surrogates too: they come in as JSON escapes.
texts = st.text(alphabet=st.one_of(st.characters(), st.characters(categories=["Cs"]), st.sampled_from("aZ9 .\n\té中")))

LAYOUTS = {
    "compact": {"separators": (",", ":")},
    "one line": {},
    "indented by 1": {"indent": 1},
    "indented by 2": {"indent": 2},
    "indented by 4": {"indent": 4},
    "tabs": {"indent": "\t"},
}
# len(tiktoken.get_encoding("o200k_base").encode(shelves(layout))) by layout, tiktoken 0.14.
EXACT = {
    "compact": 614, "one line": 793, "indented by 1": 1094, "indented by 2": 1118, "indented by 4": 1118, "tabs": 1298,
}  # fmt: skip


def shelves(layout):
    """Nested records as `json.dumps` lays them out; of none the weights know."""
    records = [
        {
            "shelf": f"A{number}",
            "book": {
                "title": "The long winter",
                "year": 1940 + number,
                "lent": number % 2 == 0,
                "borrower": None,
                "copies": [{"code": 3 * number, "worn": False}, {"code": 3 * number + 1, "worn": True}],
            },
        }
        for number in range(12)
    ]
    return json.dumps(records, **LAYOUTS[layout])


@pytest.mark.parametrize("kind", AIMED_KINDS)
def test_tokens_are_near_the_exact_count_on_texts_that_the_weights_were_not_fitted_to(kind):
    assert abs(token_errors()[kind, "held-out"]) <= TOKEN_AIM


def test_long_unbroken_runs_are_many_tokens():
    errors = token_errors()
    for kind in ("Base64", "Hexadecimal", "Numbers, CSV"):
        assert abs(errors[kind, "held-out"]) <= TOKEN_AIM


@pytest.mark.parametrize("layout", LAYOUTS)
def test_json_is_near_the_exact_count_in_every_layout(layout):
    assert estimate_tokens(shelves(layout)) == pytest.approx(EXACT[layout], rel=TOKEN_AIM)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "compact"])
def test_a_layout_adds_to_compact_json_about_what_it_adds_exactly(layout):
    added = estimate_tokens(shelves(layout)) - estimate_tokens(shelves("compact"))
    assert added == pytest.approx(EXACT[layout] - EXACT["compact"], rel=TOKEN_AIM)


def test_a_line_indented_further_is_hardly_more_tokens():
    near, far = (estimate_tokens(f"\n{' ' * width}return total" * 100) for width in (4, 16))
    assert near <= far <= 1.2 * near


def test_the_end_of_a_line_costs_after_a_word_but_not_after_a_sign():
    lines, words = estimate_tokens("total\n" * 100), estimate_tokens("total" * 100)
    calls, signs = estimate_tokens("total;\n" * 100), estimate_tokens("total;" * 100)
    assert lines - words > 2 * (calls - signs)


@pytest.mark.parametrize("character", ["\n", "\t", " ", "a", "A", "7", "-", "\u201c", "é", "ế", "я", "ع", "ह", "中"])
def test_no_run_of_one_character_is_for_nothing(character):
    assert estimate_tokens(character * 10_000) >= 150


def test_an_empty_text_is_no_token_and_any_other_at_least_one():
    assert estimate_tokens("") == 0
    assert estimate_tokens("\n") == estimate_tokens(" ") == estimate_tokens("a") == 1


@given(texts, texts)
def test_a_longer_text_is_never_fewer_tokens(first, second):
    together = estimate_tokens(first + second)
    assert together >= estimate_tokens(first) >= 0
    assert together >= estimate_tokens(second)


def test_what_is_put_before_a_text_never_makes_it_cheaper():
    def cost(previous, current):
        return sum(TOKEN_WEIGHTS[name] for name in pair_features(previous, current))

    for put_before in CLASSES:
        for first in CLASSES:
            assert cost(BEFORE, first) <= cost(BEFORE, put_before) + cost(put_before, first) + 1e-9


@given(texts, texts)
def test_parts_are_about_as_many_tokens_as_the_whole(first, second):
    parts, whole = estimate_tokens(first) + estimate_tokens(second), estimate_tokens(first + second)
    assert abs(parts - whole) <= 3


@given(st.text(alphabet=st.characters(max_codepoint=127), min_size=1))
def test_ascii_counts_the_same_beside_another_character(text):
    assert abs(estimate_tokens(text + "中") - estimate_tokens(text)) <= 2


def test_every_weight_is_used_and_none_is_negative():
    used = {name for previous in CLASSES for current in CLASSES for name in pair_features(previous, current)}
    assert used == set(TOKEN_WEIGHTS)
    assert min(TOKEN_WEIGHTS.values()) >= 0
