"""Scenarios: what a file may say, what it does to the world, and what is refused."""

from __future__ import annotations

from pathlib import Path

import builders
import pytest

from freerelay_core.catalogue import load_catalogue
from freerelay_core.decision import decide
from freerelay_core.errors import UnprocessableRequest
from freerelay_core.policy import NO_POLICY
from freerelay_core.preference import EXPONENTS, RoutingPreference
from freerelay_core.simulation import World, read_scenario
from freerelay_core.snapshot import catalogue_snapshot

EXAMPLES = sorted((Path(__file__).parents[2] / "docs/examples").glob("scenario-*.yaml"))
ENDPOINTS = [builders.endpoint("a/cheap", usd=(1, 0.1, 4)), builders.endpoint("b/dear", usd=(2, 0.2, 8))]


def under(changes: str, *endpoints) -> World:
    world = World(builders.snapshot(*(endpoints or ENDPOINTS)), NO_POLICY)
    return world.under(read_scenario(f"changes: [{{{changes}}}]"))


def cost(world: World) -> dict[str, float]:
    ranking = decide(world.snapshot, builders.request(input_tokens=1_000_000, output_tokens=0), decision_id="d").ranking
    return {row.endpoint: row.cost_usd for row in ranking}


def endpoints_with_context():
    return [builders.endpoint(e.id, usd=(e.price.input, 0.1, 4), context_tokens=2_000_000) for e in ENDPOINTS]


def test_a_price_times_a_factor_or_in_new_dollars():
    wide = endpoints_with_context()
    assert cost(under('price: {endpoints: "a/*", times: 1.5}', *wide)) == pytest.approx({"a/cheap": 1.5, "b/dear": 2})
    changed = cost(under('price: {endpoints: "*", usd: {input: 3, output: 9}}', *wide))
    assert changed == pytest.approx({"a/cheap": 3, "b/dear": 3})


def test_a_new_price_makes_an_unpriced_endpoint_priced():
    unpriced = builders.endpoint("c/unpriced", usd=None)
    world = under('price: {endpoints: "c/*", usd: {input: 1, output: 1}}', *ENDPOINTS, unpriced)
    assert "c/unpriced" in decide(world.snapshot, builders.request(), decision_id="d").endpoints


def test_what_is_withdrawn_is_excluded_with_that_reason():
    world = under('withdraw: {endpoints: "a/*"}')
    decision = decide(world.snapshot, builders.request(), decision_id="d")
    assert decision.endpoints == ("b/dear",)
    assert [(row.endpoint, row.reason) for row in decision.excluded] == [("a/cheap", "withdrawn")]


def test_later_changes_stand_on_earlier_ones():
    wide = endpoints_with_context()
    world = World(builders.snapshot(*wide), NO_POLICY).under(
        read_scenario(
            {"changes": [{"price": {"endpoints": "a/*", "times": 2}}, {"price": {"endpoints": "a/*", "times": 3}}]}
        )
    )
    assert cost(world)["a/cheap"] == pytest.approx(6)


def test_a_wish_for_one_tenant_stands_above_one_for_all():
    world = World(builders.snapshot(*ENDPOINTS), NO_POLICY).under(
        read_scenario(
            {
                "changes": [
                    {"preference": {"value": "performance-first", "tenant": "one@example.org"}},
                    {"preference": {"value": "cost-optimized"}},
                    {"exponents": {"values": {"cost": 2.0}}},
                    {"exponents": {"values": {"latency": 0.0}, "tenant": "one@example.org"}},
                ]
            }
        )
    )
    one, other = world.wish("id-1", "one@example.org"), world.wish("id-2", "two@example.org")
    assert (one.preference, other.preference) == ("performance-first", "cost-optimized")
    assert one.exponents_over(RoutingPreference.BALANCED) == {
        **EXPONENTS[RoutingPreference.BALANCED],
        "cost": 2.0,
        "latency": 0.0,
    }
    assert other.exponents == {"cost": 2.0}


def test_traffic_multiplies():
    assert under("traffic: {times: 1.5}").traffic == 1.5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_fits_the_shipped_catalogue_and_reads_back(path):
    scenario = read_scenario(path.read_bytes(), source=path.name)
    world = World(catalogue_snapshot(load_catalogue(), builders.NOON), NO_POLICY)
    assert world.under(scenario) is not world
    assert len(scenario.sentences()) == len(scenario.changes)
    assert read_scenario(scenario.as_dict()) == scenario


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("changes: [{price: {endpoints: 'a/*'}}]", "either times"),
        (
            "changes: [{price: {endpoints: 'a/*', times: -1}}]",
            "change 1: price.times: must be a number from 0 on.",
        ),
        ("changes: [{price: {endpoints: 'a/*', times: .nan}}]", "price.times: must be a"),
        ("changes: [{price: {endpoints: 'a/*', times: 2}, withdraw: {endpoints: 'a/*'}}]", "exactly one of"),
        ("changes: [{}]", "exactly one of"),
        ("changes: [{price: null}]", "exactly one of"),
        ("changes: [{outage: 1}]", "change 1: outage: there is no field of that name; known are price, withdraw,"),
        ("changes: [{price: {endpoints: 'a/*', time: 2}}]", "known are endpoints, times, usd."),
        (
            "changes: [{price: {endpoints: 'a/*', usd: {input: 1, output: 1, cash: 1}}}]",
            "known are input, cached, output.",
        ),
        ("changes: [{price: {times: 2}}]", "price.endpoints: is missing."),
        ("changes: [{price: [1]}]", "price: must be a mapping; write names with values: {name: value}."),
        ("changes: {price: 1}", "changes: must be a list; write it in square brackets: [...]."),
        ("changes:\n- rules:\n  - text", "scenario:3: change 1: rules.0: must be a mapping"),
        ("name: 3", "name: must be a text; in quotes where it looks like a number."),
        ("changes: [{preference: {value: cheapest}}]", "must be 'cost-optimized', 'balanced' or 'performance-first'."),
        ("changes: [{exponents: {values: {taste: 1}}}]", "no factor of that name"),
        ("changes: [{exponents: {values: {cost: 11}}}]", "between 0 and 10"),
        ("changes: [{traffic: {times: 0}}]", "traffic.times: must be a number above 0."),
        ("changes: [{traffic: {times: lots}}]", "traffic.times: must be a number."),
        ("changes: [{traffic: {times: 2, times: 3}}]", "'times' is stated twice."),
        ("- a\n- b", "must be a mapping with name and changes"),
        ("", "is empty"),
        ("changes: [", "scenario:1: is not YAML: a value is missing, or a bracket is not closed."),
        ("changes:\n- withdraw: {endpoints: */x}", "scenario:2: is not YAML: put a text that begins with * or &"),
        ("changes: [2026-13-45]", "is not YAML"),
        ("x: \udcff", "is not YAML"),
        ("a: &a [x]\nb: *a", "may not use aliases"),
        (b"\xff\xfe\xff", "is not YAML"),
        (" " * 300_000, "longer than 256 KiB"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_place(text, said):
    with pytest.raises(UnprocessableRequest) as refused:
        read_scenario(text)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('withdraw: {endpoints: "nobody/*"}', "change 1: withdraw.endpoints: 'nobody/*' matches no endpoint"),
        ('withdraw: {endpoints: "cheap"}', "did you mean 'a/cheap'?"),
        ('rules: [{name: r, when: "colour == 1", exclude: ["a/*"]}]', "rule 'r': when: unknown variable 'colour'"),
    ],
)
def test_a_change_that_does_not_fit_the_world_is_refused(change, said):
    with pytest.raises(UnprocessableRequest) as refused:
        under(change)
    assert said in refused.value.message


def test_with_a_world_a_text_is_refused_where_it_does_not_fit_naming_the_line():
    world = World(builders.snapshot(*ENDPOINTS), NO_POLICY)
    rules = 'changes:\n- traffic: {times: 2}\n- rules:\n  - name: r\n    exclude: ["a/*"]\n    when: hour = 6\n'
    misspelt = 'changes:\n- withdraw:\n    endpoints: "a/chep"\n'
    for text, said in (
        (rules, "scenario:6: change 2: rule 'r': when: cannot be read at character 6: to compare write ==, as in "),
        (misspelt, "scenario:3: change 1: withdraw.endpoints: 'a/chep' matches no endpoint of the catalogue; did you "),
    ):
        assert read_scenario(text), "by itself it can be meant"
        with pytest.raises(UnprocessableRequest) as refused:
            read_scenario(text, world=world)
        assert refused.value.message.startswith(said)
    assert refused.value.param == "changes.0.withdraw.endpoints"
