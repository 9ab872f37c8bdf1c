"""Compiled prices agree with the price list, and its traps are closed."""

from __future__ import annotations

from datetime import UTC, datetime

import builders
import numpy as np
import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot

from freerelay_core.catalogue import ListedPrice, compile_prices, load_catalogue
from freerelay_core.errors import ConfigurationError

DAY = datetime(2026, 11, 24, 12, tzinfo=UTC)


def costs(endpoints, *, hour=12, input_=0.0, cached=0.0, output=0.0):
    table = compile_prices(endpoints, DAY)
    row = (np.array([[value]]) for value in (input_, cached, output))
    return table, table.cost(np.array([hour]), *row)[0]


@pytest.mark.parametrize("tokens", [(1_000, 0, 500), (100_000, 40_000, 2_000), (300_000, 0, 1_000)])
@pytest.mark.parametrize("hour", [0, 3, 7, 12])
def test_every_listed_endpoint_costs_what_the_price_list_says(tokens, hour):
    endpoints = [e for e in load_catalogue().endpoints if isinstance(e.price, ListedPrice)]
    prompt, cached, output = tokens
    _, ours = costs(endpoints, hour=hour, input_=prompt - cached, cached=cached, output=output)
    for endpoint, cost in zip(endpoints, ours, strict=True):
        usage = Usage(input_tokens=prompt, cache_read_tokens=cached or None, output_tokens=output)
        listed = calc_price(
            usage,
            endpoint.price.model,
            provider_id=endpoint.price.provider,
            genai_request_timestamp=DAY.replace(hour=hour, minute=30),
        )
        assert cost == pytest.approx(float(listed.total_price), rel=1e-9), endpoint.id
    table, _ = costs(endpoints)
    for e, cost in enumerate(ours):
        assert table.cost_at(e, hour, input_=prompt - cached, cached=cached, output=output) == pytest.approx(cost)


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
