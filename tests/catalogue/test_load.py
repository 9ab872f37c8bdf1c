"""The shipped catalogue, and what an operator's file may do to it."""

from __future__ import annotations

import pytest

from freerelay_core.catalogue import ABILITIES, FixedPrice, ListedPrice, load_catalogue
from freerelay_core.errors import ConfigurationError, NotFound

OWN = """
providers:
  local: {base_url: "http://127.0.0.1:8000/v1/"}
endpoints:
  local/gemma: {like: novita/gemma-4-31b, upstream_model: gemma-4, price: free}
  openai/gpt-4o-mini: {price: {input: 0.2, output: 0.9}}
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "catalogue.yaml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_the_shipped_catalogue_has_thirty_endpoints_of_ten_providers_and_every_figure_has_a_source():
    catalogue = load_catalogue()
    assert len(catalogue.endpoints) >= 30
    assert len({e.provider for e in catalogue.endpoints}) >= 10
    for endpoint in catalogue.endpoints:
        figures = [
            endpoint.first_token_s,
            endpoint.tokens_per_s,
            endpoint.thinking_tokens,
            *endpoint.abilities.values(),
        ]
        for figure in figures:
            assert figure.source
            assert figure.date
            assert figure.kind in ("measured", "published", "prior")
            assert figure.low <= figure.value <= figure.high
        assert set(endpoint.abilities) == set(ABILITIES)
        assert endpoint.free_tier or isinstance(endpoint.price, ListedPrice)


def test_an_operators_file_adds_a_local_server_and_changes_a_price(file):
    catalogue = load_catalogue(file(OWN))
    local = catalogue.endpoint("local/gemma")
    assert local.price == FixedPrice(0, 0, 0)
    assert local.upstream_model == "gemma-4"
    assert local.abilities == catalogue.endpoint("novita/gemma-4-31b").abilities
    assert local.tokens_per_s.kind == "prior", "another server's speed is only an assumption here"
    assert catalogue.providers["local"].own
    assert catalogue.providers["local"].base_url == "http://127.0.0.1:8000/v1"
    assert not catalogue.providers["openai"].own
    changed = catalogue.endpoint("openai/gpt-4o-mini")
    assert changed.price == FixedPrice(0.2, 0.2, 0.9)
    assert changed.tokens_per_s == load_catalogue().endpoint("openai/gpt-4o-mini").tokens_per_s


def test_a_replacing_file_stands_alone(file):
    shipped = load_catalogue().endpoint("openai/gpt-4o-mini")
    own = file(
        f"""
replace: true
sources: {{mine: {{title: own measurements, date: "2026-11-01", kind: measured}}}}
providers: {{p: {{base_url: "https://example.org/v1", key_variable: P_KEY}}}}
endpoints:
  p/m@high:
    upstream_model: m
    context_tokens: 8000
    max_output_tokens: 1000
    capabilities: [tools]
    first_token_s: {{value: 0.5, source: mine}}
    tokens_per_s: {{value: 50, source: mine}}
    thinking_tokens: {{value: 0, source: mine}}
    ability: {{preference: mine, tests: mine, values: {{{", ".join(f"{a}: 1300" for a in ABILITIES)}}}}}
"""
    )
    catalogue = load_catalogue(own)
    assert [e.id for e in catalogue.endpoints] == ["p/m@high"]
    assert catalogue.endpoints[0].effort == "high"
    assert catalogue.endpoints[0].price is None
    assert catalogue.endpoints[0].tokens_per_s.kind == "measured"
    with pytest.raises(NotFound, match="freerelay/auto"):
        catalogue.endpoint(shipped.id)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("endpoints: {x/y: {like: novita/gemma-4-31b}}", "x/y"),
        ("endpoints: {novita/new: {like: nobody/none}}", "like"),
        ("endpoints: {novita/new: {upstream_model: m}}", "novita/new.price|novita/new.context_tokens"),
        ("endpoints: {openai/gpt-4o-mini: {price: {input: -1, output: 1}}}", "price"),
        ("endpoints: {openai/gpt-4o-mini: {price: {input: .nan, output: 1}}}", "price"),
        ("endpoints: {openai/gpt-4o-mini: {capabilities: [flying]}}", "flying"),
        ("endpoints: {openai/gpt-4o-mini: {tokens_per_s: {value: 0, source: assumed}}}", "tokens_per_s"),
        ("endpoints: {openai/gpt-4o-mini: {tokens_per_s: {value: 10, source: nowhere}}}", "nowhere"),
        ("endpoints: {openai/gpt-4o-mini: {tokens_per_s: {value: 10, low: 20, source: assumed}}}", "tokens_per_s"),
        ("providers: {p: {base_url: 'ftp://x'}}", "base_url"),
        ("surprise: 1", "surprise"),
        ("replace: true", "at least one endpoint"),
        (": [", "not YAML"),
    ],
)
def test_a_wrong_file_is_refused_naming_what_is_wrong(file, text, named):
    with pytest.raises(ConfigurationError, match=named) as caught:
        load_catalogue(file(text))
    assert "catalogue.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.yaml"):
        load_catalogue(tmp_path / "none.yaml")
