"""The shipped catalogue, and what an operator's file may do to it."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from builders import NOON, request

from freerelay_core import catalogue as package
from freerelay_core.catalogue import ABILITIES, FixedPrice, Limits, ListedPrice, build, load_catalogue
from freerelay_core.catalogue.describe import describe, figures_of
from freerelay_core.catalogue.endpoint import UNSOURCED
from freerelay_core.decision import decide
from freerelay_core.errors import ConfigurationError, NotFound
from freerelay_core.snapshot import catalogue_snapshot

FILES = sorted((Path(package.__file__).parent / "endpoints").glob("*.yaml"))
EXAMPLE = Path(__file__).parents[2] / "docs/examples/catalogue-local.yaml"

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


def test_the_shipped_catalogue_has_sixty_endpoints_of_fifteen_providers_and_every_field_has_a_source():
    catalogue = load_catalogue()
    assert len(catalogue.endpoints) >= 60
    assert len({e.provider for e in catalogue.endpoints}) >= 15
    for endpoint in catalogue.endpoints:
        for _, _, figure in figures_of(endpoint):
            assert figure.low <= figure.value <= figure.high
        for row in describe(endpoint, None):
            assert row.source, row
            assert row.source != UNSOURCED.source, row
            assert row.kind in ("measured", "published", "prior"), row
            assert row.date, row
        assert set(endpoint.abilities) == set(ABILITIES)
        assert endpoint.free_tier or isinstance(endpoint.price, ListedPrice)


def test_every_file_holds_the_endpoints_of_one_vendor_and_each_endpoint_is_in_one_file():
    ids = []
    for path in FILES:
        content = {"providers": {}, "endpoints": {}} | yaml.safe_load(path.read_text("utf-8"))
        assert {name.removesuffix("-free") for name in content["providers"]} <= {path.stem}
        assert {name.partition("/")[0] for name in content["endpoints"]} == set(content["providers"])
        ids += re.findall(
            r"^  ([\w./@-]+/[\w./@-]+):$", path.read_text("utf-8"), re.MULTILINE
        )  # YAML itself hides a second one
    assert sorted(ids) == [e.id for e in load_catalogue().endpoints]


def test_free_tiers_state_their_limits_with_a_source_and_cost_nothing_or_draw_on_a_credit():
    free = [e for e in load_catalogue().endpoints if e.free_tier]
    assert len({e.provider for e in free}) >= 6
    for endpoint in free:
        assert endpoint.limits != Limits(), endpoint.id
        assert endpoint.origins["limits"].date, endpoint.id
        assert isinstance(endpoint.price, ListedPrice) or endpoint.price == FixedPrice(0, 0, 0)
        assert "confidential" not in endpoint.capabilities
    groq = load_catalogue().endpoint("groq-free/llama-3.3-70b")
    assert groq.limits == Limits(rpm=30, tpm=12_000, rpd=1_000, tpd=100_000)
    assert groq.origins["limits"].kind == "published"
    assert groq.quota_group == groq.id
    shared = {e.quota_group for e in free if e.provider == "openrouter-free"}
    assert shared == {"openrouter-free"}


def test_a_template_of_a_local_server_is_no_endpoint_until_its_comment_signs_are_taken_off(file):
    template = next(path for path in FILES if path.stem == "local").read_text("utf-8")
    assert set(yaml.safe_load(template)) == {"wires"}
    lines = [line.removeprefix("#").removeprefix(" ") for line in template.splitlines()]
    enabled = file("\n".join(lines[lines.index("providers:") :]))
    shipped, catalogue = load_catalogue(), load_catalogue(enabled)
    added = [e for e in catalogue.endpoints if e not in shipped.endpoints]
    assert {e.provider for e in added} == {"ollama", "vllm", "llama-cpp"}
    for endpoint in added:
        assert endpoint.price == FixedPrice(0, 0, 0)
        assert endpoint.tokens_per_s.kind == "prior"
        assert endpoint.limits == Limits()
        assert catalogue.providers[endpoint.provider].key_variable is None
        assert "confidential" in endpoint.capabilities


def test_the_example_file_adds_its_server():
    added = load_catalogue(EXAMPLE).endpoint("local/gemma-4-31b")
    assert added.price == FixedPrice(0, 0, 0)


ONE_ENTRY = """
providers: {newcomer: {base_url: "https://api.newcomer.example/v1", key_variable: NEWCOMER_API_KEY}}
endpoints: {newcomer/llama: {like: groq/llama-3.3-70b, upstream_model: llama, price: {input: 0.001, output: 0.001}}}
"""


def test_a_provider_that_speaks_the_openai_wire_is_one_entry_and_wins_what_it_is_best_at(file):
    catalogue = load_catalogue(file(ONE_ENTRY))
    added = catalogue.endpoint("newcomer/llama")
    assert catalogue.providers["newcomer"].own
    refused_by_groq = {"choices", "logit_bias"}
    assert added.capabilities == catalogue.endpoint("groq/llama-3.3-70b").capabilities | refused_by_groq
    snapshot = catalogue_snapshot(catalogue, NOON, real_providers=frozenset({"newcomer"}))
    decision = decide(snapshot, request(), decision_id="d", live=True)
    assert decision.endpoints == ("newcomer/llama",)
    assert decision.ranking[0].cost_usd == pytest.approx(700 * 0.001 / 1e6)


def test_the_terms_of_a_provider_are_not_taken_over_to_another_one(file):
    text = ONE_ENTRY.replace(", price: {input: 0.001, output: 0.001}", "").replace("groq/", "groq-free/")
    added = load_catalogue(file(text)).endpoint("newcomer/llama")
    assert added.price is None, "nobody said that it is free here"
    assert not added.free_tier
    assert added.limits == Limits()
    assert added.quota_group == "newcomer/llama"


def test_a_successor_takes_over_figures_as_wide_assumptions_and_enters_at_their_lower_end(file):
    own = file("endpoints: {openai/gpt-9@xhigh: {successor_of: openai/gpt-5.6-sol@xhigh, upstream_model: gpt-9}}")
    catalogue = load_catalogue(own)
    before, after = catalogue.endpoint("openai/gpt-5.6-sol@xhigh"), catalogue.endpoint("openai/gpt-9@xhigh")
    assert after.price is None
    for (name, _, old), (_, _, new) in zip(figures_of(before), figures_of(after), strict=True):
        assert (new.value, new.kind, new.via) == (old.value, "prior", before.id), name
        assert old.kind == "prior" or new.high - new.low > old.high - old.low, name
    snapshot = catalogue_snapshot(catalogue, NOON)
    index = snapshot.endpoint_ids.index(after.id)
    assert snapshot.abilities[:, index].tolist() == [after.abilities[name].low for name in ABILITIES]


STATED = "{value: 100, source: aa-2026-08, kind: prior, low: 99, high: 400}"


@pytest.mark.parametrize("how", ["like", "successor_of"])
def test_an_interval_that_is_taken_over_may_widen_an_assumption_and_never_narrows_it(file, how):
    before = "openai/gpt-4o-mini: {first_token_s: STATED, tokens_per_s: STATED, thinking_tokens: STATED}"
    after = f"novita/new: {{{how}: openai/gpt-4o-mini, upstream_model: new}}"
    new = load_catalogue(file(f"endpoints: {{{before.replace('STATED', STATED)}, {after}}}")).endpoint("novita/new")
    figures = [new.first_token_s, new.tokens_per_s] + [new.thinking_tokens] * (how == "successor_of")
    assert {(figure.low, figure.value, figure.high) for figure in figures} == {(50, 100, 400)}


def test_the_order_of_endpoints_in_a_file_does_not_matter(file):
    first = "novita/b: {like: novita/a, upstream_model: b}"
    second = "novita/a: {like: novita/gemma-4-31b, context_tokens: 4000}"
    one, other = (load_catalogue(file(f"endpoints: {{{a}, {b}}}")) for a, b in ((first, second), (second, first)))
    assert one == other
    assert one.endpoint("novita/b").context_tokens == 4000


def test_what_a_file_changes_does_not_reach_endpoints_that_are_shipped_like_it(file):
    catalogue = load_catalogue(file("endpoints: {groq/gpt-oss-120b: {context_tokens: 4000}}"))
    assert catalogue.endpoint("groq/gpt-oss-120b").context_tokens == 4000
    shipped = load_catalogue().endpoint("sambanova-free/llama-3.3-70b")
    assert catalogue.endpoint("sambanova-free/llama-3.3-70b") == shipped
    assert catalogue.endpoint("fireworks/deepseek-v4-flash") == load_catalogue().endpoint("fireworks/deepseek-v4-flash")


def test_a_fact_without_a_source_says_so(file):
    text = "endpoints: {openai/gpt-4o-mini: {facts: {}, price: {input: 1, output: 2}}}"
    rows = describe(load_catalogue(file(text)).endpoint("openai/gpt-4o-mini"), None)
    facts = [row for row in rows if row.low is None]
    assert {(row.kind, row.source) for row in facts} == {("prior", UNSOURCED.source)}
    assert rows[0].value == "unpriced"


def test_facts_are_sourced_together_or_one_by_one(file):
    text = """
sources: {mine: {title: own tests, date: "2026-11-20", kind: measured}}
endpoints:
  openai/gpt-4o-mini: {facts: {limits: mine, rest: assumed}, limits: {rpm: 500}}
  openai/gpt-4.1-mini: {facts: mine}
"""
    catalogue = load_catalogue(file(text))
    mixed, all_mine = (catalogue.endpoint(f"openai/{name}").origins for name in ("gpt-4o-mini", "gpt-4.1-mini"))
    assert (mixed["limits"].source, mixed["limits"].kind, mixed["limits"].date) == (
        "own tests",
        "measured",
        "2026-11-20",
    )
    assert mixed["context_tokens"].kind == "prior"
    assert {all_mine[name].source for name in ("context_tokens", "max_output_tokens", "capabilities")} == {"own tests"}
    assert all_mine["price"].kind == "published"


def test_a_list_price_names_the_list_as_it_is_installed_and_its_day(monkeypatch):
    row = describe(load_catalogue().endpoint("openai/gpt-4o-mini"), None)[0]
    assert (row.source, row.kind) == (f"genai-prices {version('genai-prices')}", "published")
    assert row.date, "sources.yaml has a source of this title"
    monkeypatch.setattr(build, "_installed", lambda _: "99.0")
    newer = describe(load_catalogue().endpoint("openai/gpt-4o-mini"), None)[0]
    assert (newer.source, newer.date) == ("genai-prices 99.0", ""), "nobody said of which day this one is"


@pytest.mark.parametrize("how", ["", "like: openai/gpt-4o-mini, "])
def test_the_source_of_a_shipped_fact_does_not_speak_for_what_a_file_states_in_its_place(file, how):
    changed = "openai/new" if how else "openai/gpt-4o-mini"
    own = f"{{{how}price: {{input: 1, output: 2}}, context_tokens: 9000}}"
    shipped = load_catalogue().endpoint("openai/gpt-4o-mini").origins
    origins = load_catalogue(file(f"endpoints: {{{changed}: {own}}}")).endpoint(changed).origins
    assert (origins["price"], origins["context_tokens"]) == (UNSOURCED, UNSOURCED)
    assert origins["max_output_tokens"] == shipped["max_output_tokens"]
    assert origins["capabilities"] == shipped["capabilities"] != UNSOURCED


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
        ("endpoints: {novita/a: {like: novita/b}, novita/b: {like: novita/a}}", "like"),
        ("endpoints: {novita/a: {like: novita/a}}", "like"),
        ("endpoints: {novita/a: {like: novita/gemma-4-31b, successor_of: novita/gemma-4-31b}}", "exclude each other"),
        ("endpoints: {novita/new: {upstream_model: m}}", "novita/new.context_tokens"),
        ("endpoints: {openai/gpt-4o-mini: {limits: {rpm: 0}}}", "limits.rpm"),
        ("endpoints: {openai/gpt-4o-mini: {limits: {rps: 1}}}", "limits.rps"),
        ("endpoints: {openai/gpt-4o-mini: {facts: nowhere}}", "nowhere"),
        ("endpoints: {openai/gpt-4o-mini: {facts: {colour: assumed}}}", "facts"),
        ("endpoints: {openai/gpt-4o-mini: {capabilities: [parallel_tools]}}", "needs tools"),
        ("endpoints: {openai/gpt-4o-mini: {price: cheap}}", "price"),
        ("sources: {s: {title: t, date: yesterday, kind: prior}}", "sources.s.date"),
        ("- a list", "must be a mapping"),
        ("endpoints: {openai/gpt-4o-mini: {rows: {bb: gpt-4o-mini}}}", "rows.bb"),
        ("endpoints: {openai/gpt-4o-mini: {context_tokens: 1, context_tokens: 2}}", "'context_tokens' is stated twice"),
        ("endpoints: {openai/gpt-4o-mini: {price: {input: -1, output: 1}}}", "price"),
        ("endpoints: {openai/gpt-4o-mini: {price: {input: .nan, output: 1}}}", "price"),
        ("endpoints: {openai/gpt-4o-mini: {capabilities: [flying]}}", "flying"),
        ("endpoints: {openai/gpt-4o-mini: {tokens_per_s: {value: 0, source: assumed}}}", "tokens_per_s"),
        ("endpoints: {openai/gpt-4o-mini: {tokens_per_s: {value: 10, source: nowhere}}}", "nowhere"),
        ("endpoints: {openai/gpt-4o-mini: {tokens_per_s: {value: 10, low: 20, source: assumed}}}", "tokens_per_s"),
        ("providers: {p: {base_url: 'ftp://x'}}", "base_url"),
        ("providers: {p: {base_url: 'http://x:port/v1'}}", "no URL that can be reached"),
        ("providers: {p: {base_url: 'http://:80/v1'}}", "names no host"),
        (f"providers: {{p: {{base_url: 'http://{64 * 'a'}.example/v1'}}}}", "no URL that can be reached"),
        ("providers: {p: {base_url: 'http://x/ä'}}", "in ASCII"),
        ("surprise: 1", "surprise"),
        ("replace: true", "at least one endpoint"),
        (": [", "not YAML"),
    ],
)
def test_a_wrong_file_is_refused_naming_what_is_wrong(file, text, named):
    with pytest.raises(ConfigurationError, match=named) as caught:
        load_catalogue(file(text))
    assert "catalogue.yaml" in str(caught.value)


def test_a_problem_names_file_line_and_field(file):
    path = file(
        "providers:\n  p: {base_url: 'https://p/v1'}\nendpoints:\n  openai/gpt-4o-mini:\n    context_tokens: -5\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        load_catalogue(path)
    assert str(caught.value).startswith(f"{path}:5: endpoints.openai/gpt-4o-mini.context_tokens: ")
    assert caught.value.param == "endpoints.openai/gpt-4o-mini.context_tokens"
    broken = file("endpoints:\n  a: [1\n  b: 2\n")
    with pytest.raises(ConfigurationError, match=re.escape(f"{broken}:3: is not YAML")):
        load_catalogue(broken)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.yaml"):
        load_catalogue(tmp_path / "none.yaml")
