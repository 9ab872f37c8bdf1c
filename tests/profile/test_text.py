"""Token estimates are near the exact counts, and behave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.profile import AIMED_KINDS, TOKEN_AIM, token_errors
from freerelay_core.profile.text import CLASSES, TOKEN_WEIGHTS, estimate_tokens, pair_features

# Lone surrogates too: they come in as JSON escapes.
texts = st.text(alphabet=st.one_of(st.characters(), st.characters(categories=["Cs"]), st.sampled_from("aZ9 .\né中")))


@pytest.mark.parametrize("kind", AIMED_KINDS)
def test_tokens_are_near_the_exact_count_on_texts_that_the_weights_were_not_fitted_to(kind):
    assert abs(token_errors()[kind, "held-out"]) <= TOKEN_AIM


def test_long_unbroken_runs_are_many_tokens():
    errors = token_errors()
    for kind in ("Base64", "Hexadecimal", "Numbers, CSV"):
        assert abs(errors[kind, "held-out"]) <= TOKEN_AIM


def test_an_empty_text_is_no_token_and_any_other_at_least_one():
    assert estimate_tokens("") == 0
    assert estimate_tokens("\n") == estimate_tokens(" ") == estimate_tokens("a") == 1


@given(texts, texts)
def test_a_longer_text_is_never_fewer_tokens(first, second):
    together = estimate_tokens(first + second)
    assert together >= estimate_tokens(first) >= 0
    assert together >= estimate_tokens(second)


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
