"""What a check says of a catalogue."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from freerelay_core.catalogue import ABILITIES
from freerelay_core.catalogue.check import check_catalogue

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
VALUES = ", ".join(f"{name}: 1300" for name in ABILITIES)


def own(*, date="2026-11-01", price="free", speed="mine"):
    return f"""
replace: true
sources:
  mine: {{title: own tests, date: "{date}", kind: measured}}
  guess: {{title: a guess, date: "2026-11-01", kind: prior}}
providers: {{p: {{base_url: "https://example.org/v1"}}}}
endpoints:
  p/m:
    upstream_model: m
    price: {price}
    context_tokens: 8000
    max_output_tokens: 1000
    capabilities: [streaming]
    facts: mine
    first_token_s: {{value: 0.5, source: mine}}
    tokens_per_s: {{value: 50, source: {speed}}}
    thinking_tokens: {{value: 0, source: mine}}
    ability: {{preference: mine, tests: mine, values: {{{VALUES}}}}}
"""


@pytest.fixture
def report(tmp_path):
    def check(text):
        path = tmp_path / "catalogue.yaml"
        path.write_text(text, "utf-8")
        return check_catalogue(path, NOW)

    return check


def said(report, sort):
    return [f"{caution.subject}: {caution.text}" for caution in report.cautions if caution.sort == sort]


def test_fresh_measured_priced_figures_give_no_caution(report):
    found = report(own())
    assert (list(found.problems), list(found.cautions)) == ([], [])


@pytest.mark.parametrize(
    ("date", "stale"), [("2026-08-26", False), ("2026-08-25", True), ("2026-08", True), ("2026", True)]
)
def test_figures_older_than_ninety_days_are_stale_by_the_earliest_day_their_date_may_mean(report, date, stale):
    assert (said(report(own(date=date)), "stale") != []) is stale


def test_a_stale_source_says_how_much_rests_on_it(report):
    text, _ = said(report(own(date="2026-01-01")), "stale")
    assert text == "own tests: is of 2026-01-01, over 90 days ago; 1 endpoint rests on it"


OLD_SOURCES = """sources:
  old: {title: old, date: "2026-03", kind: measured}
  older: {title: older, date: "2026", kind: measured}
"""


def test_stale_fields_are_named_by_endpoint_and_date(report):
    text = own().replace("sources:\n", OLD_SOURCES).replace("facts: mine", "facts: older")
    text = text.replace("value: 50, source: mine", "value: 50, source: old")
    text = text.replace("code: 1300", "code: {value: 1300, source: old}")
    text = text.replace("agent: 1300", "agent: {value: 1300, source: older}")
    oldest = "2026: price, context_tokens, max_output_tokens, capabilities, ability (agent)"
    assert said(report(text), "stale") == [
        "older: is of 2026, over 90 days ago; 1 endpoint rests on it",
        "old: is of 2026-03, over 90 days ago; 1 endpoint rests on it",
        f"p/m: {oldest}; 2026-03: tokens_per_s, ability (code)",
    ]


def test_limits_and_a_price_that_nobody_stated_are_no_fields(report):
    text = own(date="2026-01-01", price="null")
    assert "price" not in said(report(text), "stale")[-1]
    assert "limits" not in said(report(text), "stale")[-1]
    assert "limits" in said(report(text.replace("facts:", "limits: {rpm: 5}\n    facts:")), "stale")[-1]


def test_assumptions_are_counted_in_all_and_named_by_endpoint(report):
    assert said(report(own(speed="guess")), "prior") == [
        "in all: 1 of 12 figures and 0 of 4 facts are assumptions",
        "p/m: 1 of 12 figures are assumptions: tokens_per_s",
    ]
    both = own(speed="guess").replace("preference: mine", "preference: guess")
    figures = "tokens_per_s, ability (chat, multilingual, creative)"
    facts = "context_tokens, max_output_tokens, capabilities"
    assert said(report(both.replace("facts: mine", "facts: {price: mine}")), "prior") == [
        "in all: 4 of 12 figures and 3 of 4 facts are assumptions",
        f"p/m: 4 of 12 figures are assumptions: {figures}; facts: {facts}",
    ]
    one_fact = own().replace("facts: mine", "facts: {capabilities: guess, rest: mine}")
    assert said(report(one_fact), "prior")[1:] == ["p/m: facts: capabilities"]


def test_abilities_that_are_all_assumed_are_named_as_one(report):
    text = own().replace("preference: mine, tests: mine", "preference: guess, tests: guess")
    assert said(report(text), "prior")[1:] == ["p/m: 9 of 12 figures are assumptions: ability"]


def test_an_endpoint_without_a_price_is_named(report):
    (text,) = said(report(own(price="null")), "unpriced")
    assert text.startswith("p/m: has no price")


def test_an_endpoint_of_ones_own_that_does_not_list_streaming_is_named_with_what_to_write(report):
    text = own().replace("[streaming]", "[tools]")
    gets = "gets no request with stream: true (no_streaming)"
    wanted = [f"p/m: {gets}; if it streams, add streaming to its capabilities"]
    found = report(text)
    assert (said(found, "no_streaming"), list(found.problems)) == (wanted, [])


def test_a_shipped_endpoint_whose_capabilities_one_restates_without_streaming_is_named(report):
    found = report("endpoints: {groq/llama-3.3-70b: {capabilities: [tools]}}")
    assert [caution.subject for caution in found.cautions if caution.sort == "no_streaming"] == ["groq/llama-3.3-70b"]


def test_a_price_that_the_list_does_not_know_is_a_problem_at_its_line(report):
    found = report(own(price="{provider: openai, model: gpt-nonsense}"))
    (problem,) = found.problems
    assert problem.field == "endpoints.p/m.price"
    assert problem.file.read_text("utf-8").splitlines()[problem.line - 1].strip().startswith("price:")
    assert "gpt-nonsense" in problem.reason


def test_every_problem_of_a_file_is_found_not_only_the_first(report):
    text = (
        own()
        .replace("8000", "-1")
        .replace("max_output_tokens: 1000", "max_output_tokens: many")
        .replace("value: 50", "value: .nan")
    )
    found = report(text)
    assert found.catalogue is None
    fields = {problem.field.removeprefix("endpoints.p/m.") for problem in found.problems}
    assert fields == {"context_tokens", "max_output_tokens", "tokens_per_s.value"}


def test_an_assumption_that_rests_on_another_effort_is_a_caution(report):
    found = report(own().replace("value: 50, source: mine", "value: 50, source: guess, mode: high"))
    assert said(found, "mode") == ["p/m: assumptions rest on the effort high"]


def test_a_source_that_does_not_name_the_effort_is_a_caution(report):
    found = report(own().replace("p/m:", "p/m@high:"))
    assert said(found, "mode") == ["p/m@high: 12 figures are of rows that do not name the effort"]


def test_the_shipped_catalogue_has_no_problem_and_every_endpoint_a_price():
    found = check_catalogue(None, NOW)
    assert found.problems == []
    assert said(found, "unpriced") == []
