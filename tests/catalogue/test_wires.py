"""What providers differ in, as catalogue files state it."""

from __future__ import annotations

import pytest

from freerelay_core.catalogue import load_catalogue
from freerelay_core.catalogue.describe import describe_wire
from freerelay_core.errors import ConfigurationError

OWN = """
providers:
  mine: {base_url: "http://127.0.0.1:8000/v1", wire: WIRE}
endpoints:
  mine/m: {like: openai/gpt-4o-mini, upstream_model: m, price: free}
"""


@pytest.fixture
def loaded(tmp_path):
    def load(text):
        path = tmp_path / "own.yaml"
        path.write_text(text)
        return load_catalogue(path)

    return load


def test_an_operator_names_a_shipped_wire_or_writes_one(loaded):
    assert loaded(OWN.replace("WIRE", "ollama")).providers["mine"].wire.output_limit == "max_tokens"
    text = OWN.replace("WIRE", "odd") + "wires: {odd: {headers: {X-Team: blue}, refuses: [n], facts: assumed}}\n"
    found = loaded(text)
    assert found.providers["mine"].wire.headers == {"X-Team": "blue"}
    assert "choices" not in found.endpoint("mine/m").capabilities
    assert "logit_bias" in found.endpoint("mine/m").capabilities


def test_a_catalogue_that_stands_alone_may_name_shipped_wires(loaded):
    figures = "{value: 1, source: s}"
    values = dict.fromkeys(
        ("chat", "multilingual", "creative", "code", "math", "agent", "long", "instruction", "general"), 1300
    )
    found = loaded(
        "replace: true\nsources: {s: {title: t, date: '2026', kind: prior}}\n"
        "providers: {mine: {base_url: 'http://127.0.0.1:8000/v1', wire: vllm}}\n"
        "endpoints: {mine/m: {upstream_model: m, price: free, context_tokens: 9, max_output_tokens: 9,"
        f" capabilities: [], first_token_s: {figures}, tokens_per_s: {figures}, thinking_tokens: {figures},"
        f" ability: {{preference: s, tests: s, values: {values}}}}}}}\n"
    )
    assert found.providers["mine"].wire.stream_usage == "on_request"


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ("refuses: [messages], facts: assumed", "'messages' cannot be refused"),
        ("output_limit: tokens, facts: assumed", "max_completion_tokens"),
        ("facts: nobody", "no source is called 'nobody'"),
        ("headers: {'X: y': z}, facts: assumed", "String should match pattern"),
        ("drops: [user]", "is missing"),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_field(loaded, wire, reason):
    text = OWN.replace("WIRE", "odd") + f"wires: {{odd: {{stream_usage: always, {wire}}}}}\n"
    with pytest.raises(ConfigurationError, match=r"wires\.odd") as error:
        loaded(text)
    assert reason in error.value.message


def test_limits_of_waiting_are_stated_for_a_provider_and_are_positive(loaded):
    text = OWN.replace("wire: WIRE", "waits: {first_token_s: 90, idle_s: 5.5}")
    waits = loaded(text).providers["mine"].waits
    assert (waits.first_token_s, waits.idle_s, waits.connect_s) == (90, 5.5, None)
    changed = loaded("providers: {openai: {waits: {total_s: 60}}}")
    assert changed.providers["openai"].waits.total_s == 60
    assert changed.providers["openai"].wire.name == "openai"
    with pytest.raises(ConfigurationError, match=r"providers\.mine\.waits\.idle_s: must be a number above 0"):
        loaded(text.replace("5.5", "0"))


def test_an_unknown_wire_is_refused_with_the_known_ones(loaded):
    with pytest.raises(ConfigurationError, match=r"providers.mine.wire: no wire is called 'odd'; known are .*vllm"):
        loaded(OWN.replace("WIRE", "odd"))


def test_every_field_of_a_shipped_wire_has_its_source_and_date():
    for provider in load_catalogue().providers.values():
        for row in describe_wire(provider):
            assert row.source
            assert row.date
    rows = {row.field: row for row in describe_wire(load_catalogue().providers["mistral"])}
    assert rows["wire.renames"].value == "seed: random_seed"
    assert (rows["wire.output_limit"].source, rows["wire.developer_role"].value) == ("mistralai 3.7.0", "false")


def test_endpoints_lack_what_their_provider_refuses():
    for endpoint in load_catalogue().endpoints:
        refuses = endpoint.provider in ("groq", "groq-free")
        assert ("choices" in endpoint.capabilities) != refuses
