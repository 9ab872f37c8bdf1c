"""Whether the shipped times follow from the list that they are said to come from, as docs/catalogue.md explains."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from freerelay_core.catalogue import load_catalogue

LISTS = Path(__file__).parents[3] / "shared/data"
OF_THE_LIST = "Artificial Analysis, medians per model"


def rows():
    """By row of the newest list: time to the first token, to the first token of the answer (s), and tokens/s."""
    with (max(LISTS.glob("model-figures-*")) / "figures.csv").open(encoding="utf-8") as file:
        names = ("ttft_s", "time_to_first_answer_token_s", "output_tokens_per_second")
        return {
            row["slug"]: tuple(float(row[name]) for name in names)
            for row in csv.DictReader(file)
            if all(row[name] for name in names)
        }


def rounded(value):
    return float(f"{value:.2g}")


@pytest.mark.shared
@pytest.mark.skipif(not LISTS.is_dir(), reason="needs the published lists beside the project")
def test_first_token_speed_and_thinking_are_those_of_the_row():
    listed, seen = rows(), 0
    for endpoint in load_catalogue().endpoints:
        first, speed, thinking = endpoint.first_token_s, endpoint.tokens_per_s, endpoint.thinking_tokens
        if first.source != OF_THE_LIST or first.row not in listed:
            continue
        seen += 1
        until_token, until_answer, per_s = listed[first.row]
        apart = until_token < until_answer
        if apart or not thinking.value:
            assert first.value == pytest.approx(rounded(until_token), abs=0.011), endpoint.id
        if speed.source == OF_THE_LIST:
            assert speed.value == rounded(per_s), endpoint.id
        if thinking.value and thinking.source == OF_THE_LIST:
            silent = until_answer - (until_token if apart else first.value)
            assert thinking.value == pytest.approx(silent * per_s, rel=0.05, abs=1), endpoint.id
        if thinking.value and not apart:
            assert first.kind == "prior", endpoint.id
            assert first.via or first.high <= until_answer, endpoint.id
    assert seen > 30


def test_published_thinking_is_not_moved_out_of_its_interval_by_what_is_assumed_of_the_first_token():
    split = [e for e in load_catalogue().endpoints if e.first_token_s.kind == "prior" != e.thinking_tokens.kind]
    assert len(split) > 10
    for endpoint in split:
        first, thinking = endpoint.first_token_s, endpoint.thinking_tokens
        if thinking.value and first.source == thinking.source:
            moved = (first.high - first.value) * endpoint.tokens_per_s.value
            assert moved <= thinking.high - thinking.value, endpoint.id
