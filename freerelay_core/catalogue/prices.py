"""Prices as arrays: list prices of genai-prices compiled once, so that no decision looks anything up.

Three traps of price lists are closed here: a model without prices is *unpriced*, never free; a tier reprices all tokens
of the request once its input crosses the start; and some prices depend on the hour of the day (UTC).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from freerelay_core.catalogue.endpoint import Endpoint, FixedPrice, ListedPrice
from freerelay_core.errors import ConfigurationError

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

__all__ = ["PriceTable", "any_above", "compile_prices"]

Floats = npt.NDArray[np.float64]
Row = tuple[float, float, float, float]
"""Tier start (input tokens), then USD a token for input, cached input and output."""

HOURS = 24
_MILLION = 1_000_000.0


@dataclass(frozen=True, eq=False)
class PriceTable:
    """USD a token. Tier 0 starts at 0 tokens; tiers that an endpoint lacks start at infinity.

    `starts` has the shape (tiers, endpoints), `rates` (24, tiers, 3, endpoints) with input, cached and output in that
    order, `priced` (endpoints,).
    """

    starts: Floats
    rates: Floats
    priced: npt.NDArray[np.bool_]

    def cost(
        self, hour: int | npt.NDArray[np.intp], input_: float | Floats, cached: float | Floats, output: Floats
    ) -> Floats:
        """Cost in USD of R requests at E endpoints, or of one.

        `hour` (UTC) is one number or has the shape (R,); the token counts broadcast to (R, E), or to (E,) for one
        request; `input_` is without the `cached` ones. An unpriced endpoint costs 0 here: `priced` tells it apart.
        What is of shape (R, E) lies in memory endpoint after endpoint (Fortran order).
        """
        prompt = input_ + cached
        cost = self._tier_cost(0, hour, input_, cached, output)
        for tier, first_start in self._first_starts:
            if any_above(prompt, first_start):
                cost = np.where(prompt > self.starts[tier], self._tier_cost(tier, hour, input_, cached, output), cost)
        return cost

    def _tier_cost(
        self,
        tier: int,
        hour: int | npt.NDArray[np.intp],
        input_: float | Floats,
        cached: float | Floats,
        output: Floats,
    ) -> Floats:
        if isinstance(hour, int):
            input_usd, cached_usd, output_usd = self._rows[hour][tier]
        else:
            by_kind = self.rates[:, tier].transpose(1, 2, 0)  # (3, E, HOURS)
            input_usd, cached_usd, output_usd = (rates.take(hour, axis=1).T for rates in by_kind)
        cost: Floats = np.multiply(input_, input_usd, order="F")
        if np.count_nonzero(cached) if isinstance(cached, np.ndarray) else cached:  # adding 0 changes no bit
            cost += np.multiply(cached, cached_usd, order="F")
        cost = cost + output * output_usd  # not in place: the output alone may span the endpoints
        return cost  # noqa: RET504  (typed above)

    @cached_property
    def free(self) -> npt.NDArray[np.bool_]:
        """Endpoints that are known to cost nothing, shape (E,)."""
        free: npt.NDArray[np.bool_] = self.priced & ~self.rates.any(axis=(0, 1, 2))
        return free

    @cached_property
    def _rows(self) -> list[list[tuple[Floats, Floats, Floats]]]:
        """`rates` by hour and tier: numbers of one request are looked up without building an index."""
        return [[(rates[0], rates[1], rates[2]) for rates in tiers] for tiers in self.rates]

    @cached_property
    def _first_starts(self) -> tuple[tuple[int, float], ...]:
        """Each tier above the first with its lowest start: what most prompts do not reach."""
        return tuple((tier, float(self.starts[tier].min(initial=np.inf))) for tier in range(1, len(self.starts)))

    @cached_property
    def _plain(self) -> tuple[Sequence[bool], memoryview[float]]:
        """`priced`, and `rates` one after the other, of which single ones are read in a fraction of numpy's time."""
        return self.priced.tolist(), memoryview(self.rates.tobytes()).cast("d")

    def cost_at(self, endpoint: int, hour: int, *, input_: int, cached: int, output: int) -> float | None:
        """Cost in USD of one request at one endpoint (`cost` for whole counts); None where it is unpriced."""
        priced, usd = self._plain
        if not priced[endpoint]:
            return None
        prompt, tier = input_ + cached, 0
        for each, first in self._first_starts:
            if prompt > first and prompt > self.starts[each, endpoint]:
                tier = each
        count = len(self.priced)
        at = (hour * len(self.starts) + tier) * 3 * count + endpoint
        return input_ * usd[at] + cached * usd[at + count] + output * usd[at + 2 * count]


def any_above(tokens: float | Floats, limit: float) -> bool:
    """Whether the tokens of one request, or any of a batch, exceed the limit."""
    return tokens > limit if isinstance(tokens, float) else bool((tokens > limit).any())


def compile_prices(endpoints: Sequence[Endpoint], day: datetime) -> PriceTable:
    """The prices of `endpoints` on the UTC day of `day`, for each hour.

    Raises `ConfigurationError` when an endpoint names a model that the price list does not know.
    """
    half_past = [day.astimezone(UTC).replace(hour=h, minute=30, second=0, microsecond=0) for h in range(HOURS)]
    per_endpoint = [_hourly_rows(endpoint, half_past) for endpoint in endpoints]
    tiers = max((len(rows) for hourly in per_endpoint for rows in hourly), default=1) or 1
    starts = np.full((tiers, len(endpoints)), np.inf)
    starts[0] = 0.0
    rates = np.zeros((HOURS, tiers, 3, len(endpoints)))
    for e, hourly in enumerate(per_endpoint):
        for hour, rows in enumerate(hourly):
            for tier, (start, *usd) in enumerate(rows):
                starts[tier, e] = start
                rates[hour, tier, :, e] = usd
    return PriceTable(starts, rates, np.array([bool(hourly[0]) for hourly in per_endpoint], dtype=np.bool_))


def _hourly_rows(endpoint: Endpoint, times: Sequence[datetime]) -> list[list[Row]]:
    match endpoint.price:
        case None:
            return [[]] * len(times)
        case FixedPrice(input=input_, cached=cached, output=output):
            return [[(0.0, input_ / _MILLION, cached / _MILLION, output / _MILLION)]] * len(times)
        case ListedPrice() as listed:
            return _listed_rows(endpoint.id, listed, times)


def _listed_rows(endpoint_id: str, listed: ListedPrice, times: Sequence[datetime]) -> list[list[Row]]:
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415  (180 ms: only where prices are compiled)

    try:
        _, model = get_snapshot().find_provider_model(listed.model, None, listed.provider, None)
    except LookupError as error:
        raise ConfigurationError(
            f"{endpoint_id}: the price list has no {listed.provider}/{listed.model}; name another model under "
            f"`price`, state `price: {{input: …, output: …}}` in USD per million tokens, or leave it out (unpriced).",
            param="price",
        ) from error
    return [_tiers(model.get_prices(at)) for at in times]


def _tiers(price: ModelPrice) -> list[Row]:
    """Rows of a list price; none where it has no prices. Without a price for cached input the full one is charged."""
    if price.input_mtok is None or price.output_mtok is None:
        return []
    cached = price.cache_read_mtok if price.cache_read_mtok is not None else price.input_mtok
    parts = (price.input_mtok, cached, price.output_mtok)
    starts = sorted({0.0} | {float(tier.start) for part in parts for tier in getattr(part, "tiers", ())})
    return [(start, *(_rate(part, start) for part in parts)) for start in starts]  # type: ignore[misc]  # three parts


def _rate(part: Any, start: float) -> float:
    """USD a token of one part of a list price for requests whose input exceeds `start` tokens."""
    if not hasattr(part, "tiers"):
        return float(part) / _MILLION
    reached = [tier.price for tier in part.tiers if tier.start <= start]
    return float(reached[-1] if start and reached else part.base) / _MILLION
