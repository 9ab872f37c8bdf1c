"""Ability, thinking and times of an endpoint are of one effort; a file that mixes them is refused."""

from __future__ import annotations

import pytest

from freerelay_core.catalogue import ABILITIES, load_catalogue
from freerelay_core.errors import ConfigurationError

SOURCES = """
sources:
  people: {title: ratings, date: "2026-08-19", kind: published, list: people}
  tests: {title: tests, date: "2026-08-22", kind: published, list: tests}
  guess: {title: a guess, date: "2026-08-22", kind: prior}
providers: {p: {base_url: "https://example.org/v1"}}
"""
VALUES = ", ".join(f"{name}: 1300" for name in ABILITIES)


def entry(name="p/m@high", *, people="m-high@high", tests="m-high@high", speed="", thinking=500, preference="people"):
    """An endpoint whose rows state their effort; `speed` is added to the decode speed."""
    return f"""{SOURCES}
endpoints:
  {name}:
    upstream_model: m
    context_tokens: 8000
    max_output_tokens: 1000
    capabilities: [tools]
    rows: {{people: {people}, tests: {tests}}}
    first_token_s: {{value: 0.5, source: tests}}
    tokens_per_s: {{value: 50, source: tests{speed}}}
    thinking_tokens: {{value: {thinking}, source: tests}}
    ability: {{preference: {preference}, tests: tests, values: {{{VALUES}}}}}
"""


@pytest.fixture
def load(tmp_path):
    def read(text):
        path = tmp_path / "catalogue.yaml"
        path.write_text(text, "utf-8")
        return load_catalogue(path)

    return read


def test_figures_of_the_endpoints_own_effort_load_and_say_which_row_they_are(load):
    endpoint = load(entry()).endpoint("p/m@high")
    assert endpoint.mode == "high"
    assert (endpoint.tokens_per_s.row, endpoint.tokens_per_s.mode) == ("m-high", "high")
    assert endpoint.rows == {"people": "m-high", "tests": "m-high"}


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (entry(people="m-max@max"), "ability.values.chat"),
        (entry(tests="m-low@low"), "tokens_per_s|first_token_s|ability"),
        (entry(speed=", mode: low"), "tokens_per_s"),
        (entry("p/m"), "ability|first_token_s"),
        (entry("p/m@none", people="m@none", tests="m@none"), "thinking_tokens"),
    ],
)
def test_a_figure_of_another_effort_is_refused_by_field(load, text, field):
    with pytest.raises(ConfigurationError, match=field):
        load(text)


def test_an_assumption_may_rest_on_another_effort_and_says_so(load):
    endpoint = load(entry(speed=", mode: low, kind: prior")).endpoint("p/m@high")
    assert (endpoint.tokens_per_s.kind, endpoint.tokens_per_s.mode) == ("prior", "low")


def test_a_provider_may_answer_unasked_with_the_effort_of_the_figures(load):
    text = entry("p/m").replace("upstream_model: m", "upstream_model: m\n    mode: high")
    endpoint = load(text).endpoint("p/m")
    assert (endpoint.mode, endpoint.effort) == ("high", None), "nothing is sent with the request"
    with pytest.raises(ConfigurationError, match="mode"):
        load(entry().replace("upstream_model: m", "upstream_model: m\n    mode: low"))


def test_an_endpoint_like_another_effort_does_not_pass_for_it(load):
    low = "{like: openai/gpt-5.6-sol@xhigh, upstream_model: s, price: free}"
    with pytest.raises(ConfigurationError, match="Efforts must not be mixed"):
        load(f"endpoints: {{openai/gpt-5.6-sol@medium: {low}}}")
    host = load(f"providers: {{p: {{base_url: 'https://p/v1'}}}}\nendpoints: {{p/sol: {low}}}").endpoint("p/sol")
    assert host.mode == "xhigh", "another host of the same effort"


def test_no_shipped_figure_is_of_another_effort_than_its_endpoint():
    for endpoint in load_catalogue().endpoints:
        figures = [
            endpoint.first_token_s,
            endpoint.tokens_per_s,
            endpoint.thinking_tokens,
            *endpoint.abilities.values(),
        ]
        for figure in figures:
            assert figure.kind == "prior" or figure.mode in (None, endpoint.mode), endpoint.id
