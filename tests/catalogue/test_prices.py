"""Compiled prices agree with the price list, and its traps are closed."""

from __future__ import annotations

from datetime import UTC, datetime

import builders
import numpy as np
import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from freerelay_core.catalogue import ListedPrice, compile_prices, load_catalogue
from freerelay_core.decision import decide
from freerelay_core.errors import ConfigurationError
from freerelay_core.preference import EXPONENTS, RoutingPreference

DAY = datetime(2026, 11, 24, 12, tzinfo=UTC)


def costs(endpoints, *, hour=12, input_=0.0, cached=0.0, output=0.0):
    table = compile_prices(endpoints, DAY)
    row = (np.array([[value]]) for value in (input_, cached, output))
    return table, table.cost(np.array([hour]), *row)[0]


LISTED = [e for e in load_catalogue().endpoints if isinstance(e.price, ListedPrice)]
TABLE = compile_prices(LISTED, DAY)
TIER_STARTS = sorted({int(start) for start in TABLE.starts[1:].ravel() if np.isfinite(start)})
prompts = st.integers(0, 1_000_000) | st.sampled_from([t + d for t in TIER_STARTS for d in (-1, 0, 1)])


def listed_usd(price, at, *, prompt, cached, output):
    """What genai-prices itself asks."""
    usage = Usage(input_tokens=prompt, cache_read_tokens=cached or None, output_tokens=output)
    found = calc_price(usage, price.model, provider_id=price.provider, genai_request_timestamp=at)
    return float(found.total_price)


@pytest.mark.parametrize("hour", [0, 3, 7, 12])
def test_every_listed_endpoint_costs_what_the_price_list_says(hour):
    prompt, cached, output = 100_000, 40_000, 2_000
    _, ours = costs(LISTED, hour=hour, input_=prompt - cached, cached=cached, output=output)
    for e, (endpoint, cost) in enumerate(zip(LISTED, ours, strict=True)):
        at = DAY.replace(hour=hour, minute=30)
        theirs = listed_usd(endpoint.price, at, prompt=prompt, cached=cached, output=output)
        assert cost == pytest.approx(theirs, rel=1e-9), endpoint.id
        assert TABLE.cost_at(e, hour, input_=prompt - cached, cached=cached, output=output) == pytest.approx(cost)


@settings(max_examples=300, deadline=None)
@given(
    e=st.integers(0, len(LISTED) - 1),
    prompt=prompts,
    cached_share=st.sampled_from([0.0, 0.3, 1.0]),
    output=st.integers(0, 100_000),
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
)
def test_compiled_prices_equal_the_price_list_for_any_tokens_at_any_minute(
    e, prompt, cached_share, output, hour, minute
):
    cached = int(prompt * cached_share)
    at = DAY.replace(hour=hour, minute=minute)
    theirs = listed_usd(LISTED[e].price, at, prompt=prompt, cached=cached, output=output)
    ours = TABLE.cost(hour, float(prompt - cached), float(cached), np.full(len(LISTED), float(output)))
    assert ours[e] == pytest.approx(theirs, rel=1e-9, abs=1e-15)


def test_a_tier_reprices_all_tokens_once_it_is_crossed():
    tiered = [e for e in load_catalogue().endpoints if e.id.startswith("openai/gpt-5.6-sol")]
    _, below = costs(tiered, input_=100_000.0)
    _, above = costs(tiered, input_=300_000.0)
    assert above[0] > 3.5 * below[0]


def test_a_model_without_prices_in_the_list_is_unpriced_not_free():
    provider, model = next(
        (provider.id, model.id)
        for provider in get_snapshot().providers
        for model in provider.models
        if model.get_prices(DAY).input_mtok is None
    )
    table, _ = costs([builders.endpoint("a/none", usd=None), builders.endpoint("b/free", usd=(0, 0, 0))])
    assert table.priced.tolist() == [False, True]
    assert table.cost_at(0, 12, input_=10, cached=0, output=10) is None
    assert table.cost_at(1, 12, input_=10, cached=0, output=10) == 0
    table, _ = costs([builders.endpoint(price=ListedPrice(provider, model))])
    assert table.priced.tolist() == [False]


def test_a_model_that_the_list_does_not_know_is_refused_with_the_way_out():
    with pytest.raises(ConfigurationError, match="state `price"):
        costs([builders.endpoint(price=ListedPrice("openai", "gpt-nonsense"))])


@pytest.mark.parametrize("name", ["fireworks/deepseek-v4-flash", "nova-micro"])
def test_only_the_names_of_the_vendors_own_api_are_known(name):
    provider = "fireworks" if "/" in name else "aws"
    with pytest.raises(ConfigurationError, match="the price list has no") as caught:
        costs([builders.endpoint("p/m", price=ListedPrice(provider, name))])
    assert caught.value.param == "price"
    assert "p/m" in caught.value.message


def test_prices_start_on_their_date():
    before, after = (
        compile_prices([builders.endpoint("p/m", price=ListedPrice("deepseek", "deepseek-v4-flash"))], day)
        for day in (datetime(2026, 5, 1, tzinfo=UTC), DAY)
    )
    assert not np.array_equal(before.rates[:, 0], after.rates[:, 0])


def test_deepseek_doubles_in_its_busy_hours():
    deepseek = [e for e in LISTED if e.id == "deepseek/v4-flash"]
    usual = costs(deepseek, hour=12, input_=1000.0, output=1000.0)[1][0]
    dear = [
        h for h in range(24) if costs(deepseek, hour=h, input_=1000.0, output=1000.0)[1][0] == pytest.approx(2 * usual)
    ]
    assert dear == [1, 2, 3, 6, 7, 8, 9]


def test_a_cached_token_costs_its_own_price_and_decides_for_a_long_conversation():
    full = builders.endpoint("a/full", usd=(1.0, 1.0, 4.0))
    cheap = builders.endpoint("b/cached", usd=(1.0, 0.1, 4.0))
    _, usd = costs([full, cheap], input_=1000.0, cached=9000.0)
    assert usd.tolist() == pytest.approx([0.01, 0.0019])
    profile = builders.request(input_tokens=10_000, cached_tokens=9_000)
    decision = decide(builders.snapshot(full, cheap), profile, decision_id="d")
    assert decision.endpoints[0] == "b/cached"


@pytest.mark.parametrize("preference", list(RoutingPreference))
def test_an_unpriced_endpoint_is_excluded_with_that_reason_while_cost_counts(preference):
    snapshot = builders.snapshot(builders.endpoint("a/none", usd=None), builders.endpoint("b/dear", usd=(50, 50, 200)))
    decision = decide(snapshot, builders.request(), decision_id="d", tenant_preference=preference)
    assert decision.endpoints == ("b/dear",)
    assert [(row.endpoint, row.reason) for row in decision.excluded] == [("a/none", "unpriced")]


def test_an_unpriced_endpoint_may_be_ranked_where_cost_counts_for_nothing():
    snapshot = builders.snapshot(builders.endpoint("a/none", usd=None), builders.endpoint("b/priced"))
    blind = EXPONENTS[RoutingPreference.BALANCED] | {"cost": 0.0}
    decision = decide(snapshot, builders.request(), decision_id="d", exponents=blind)
    assert set(decision.endpoints) == {"a/none", "b/priced"}


@pytest.mark.parametrize("preference", list(RoutingPreference))
def test_an_explicit_zero_is_free_and_wins_on_cost(preference):
    snapshot = builders.snapshot(
        builders.endpoint("a/cheap", usd=(0.01, 0.01, 0.01)), builders.endpoint("b/free", usd=(0, 0, 0))
    )
    decision = decide(snapshot, builders.request(), decision_id="d", tenant_preference=preference)
    assert decision.endpoints[0] == "b/free"
    assert decision.ranking[0].cost_usd == 0
    assert decision.ranking[0].factors["cost"][0] == 1


def test_the_token_mix_decides_which_of_two_is_cheaper():
    dear_in, dear_out = builders.endpoint("a/dear-in", usd=(4, 4, 1)), builders.endpoint("b/dear-out", usd=(1, 1, 16))
    for tokens, winner in (
        ({"input_tokens": 50_000, "output_tokens": 100}, "b/dear-out"),
        ({"input_tokens": 10, "output_tokens": 8_000}, "a/dear-in"),
    ):
        decision = decide(builders.snapshot(dear_in, dear_out), builders.request(**tokens), decision_id="d")
        assert decision.endpoints[0] == winner
