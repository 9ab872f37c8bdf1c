"""How endpoints behave in time: distributions of first token, decode speed and failure, from figures or measurements.

One model is read three ways. The latency factor reads its quantiles, the simulated provider and the simulator sample
it. Times are log-normal, which fits public measurements of single requests well enough for a prior:

    duration = first_token + prefill + (answer + thinking tokens) / speed

The quantiles of a duration come from matching the mean and variance of the sum of two log-normals (Fenton, "The sum of
log-normal probability distributions in scatter transmission systems", IRE Trans. Comm. Syst. 8, 1960).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from freerelay_core.catalogue import Endpoint

__all__ = ["PREFILL_TOKENS_PER_S", "Behaviour", "keyed_normals", "keyed_uniforms", "prior_behaviour"]

Floats = npt.NDArray[np.float64]

PREFILL_TOKENS_PER_S = 33_000.0
"""Input tokens read per second before the first token; assumed until an endpoint's own measurements say better."""

FIRST_TOKEN_SIGMA = 0.30
"""Log-normal spread of the time to the first token: p95 is 1.64 times the median. Eleven hosts measured request by
request (llmperf, 2023-12) lie between 1.18 and 2.76, median 1.66."""

SPEED_SIGMA = 0.15
"""Log-normal spread of the decode speed. The same eleven hosts: median 0.13, the slowest two 0.7."""

FAILURE_RATE = 0.03
FREE_TIER_FAILURE_RATE = 0.07
"""Assumed share of requests that fail, until outcomes say better."""

_Z95 = 1.6448536269514722
"""95 % quantile of the standard normal distribution."""


@dataclass(frozen=True, eq=False)
class Behaviour:
    """Distributions of E endpoints; every array has the shape (E,). Times in s, speeds in tokens/s."""

    first_token_median: Floats
    first_token_sigma: Floats
    speed_median: Floats
    speed_sigma: Floats
    failure_rate: Floats

    @cached_property
    def first_token_p95(self) -> Floats:
        """95 % quantile of the time to the first token, without thinking, s."""
        return self.first_token_median * np.exp(_Z95 * self.first_token_sigma)

    def duration_quantiles(self, input_tokens: float | Floats, decoded_tokens: Floats) -> tuple[Floats, Floats]:
        """Median and 95 % quantile of the whole duration, s; the tokens broadcast to (R, E), or to (E,)."""
        decode = decoded_tokens / self.speed_median
        mean, variance = self._first_token_moments
        mean_growth, variance_growth = self._decode_growth
        mean = mean + decode * mean_growth
        sigma2 = np.log1p((variance + decode * decode * variance_growth) / (mean * mean))
        median = mean * np.exp(-0.5 * sigma2)
        prefill = input_tokens / PREFILL_TOKENS_PER_S
        return prefill + median, prefill + median * np.exp(_Z95 * np.sqrt(sigma2))

    @cached_property
    def _first_token_moments(self) -> tuple[Floats, Floats]:
        mean, variance = _lognormal_growth(self.first_token_sigma)
        return self.first_token_median * mean, self.first_token_median**2 * variance

    @cached_property
    def _decode_growth(self) -> tuple[Floats, Floats]:
        return _lognormal_growth(self.speed_sigma)

    def sample(
        self, endpoint: npt.NDArray[np.intp], input_tokens: Floats, decoded_tokens: Floats, normals: Floats
    ) -> tuple[Floats, Floats]:
        """Sampled time to the first token and decode time after it, s, for n requests.

        `endpoint` and the tokens have the shape (n,), `normals` (2, n) holds standard normal draws.
        """
        first = self.first_token_median[endpoint] * np.exp(self.first_token_sigma[endpoint] * normals[0])
        speed = self.speed_median[endpoint] * np.exp(self.speed_sigma[endpoint] * normals[1])
        return input_tokens / PREFILL_TOKENS_PER_S + first, decoded_tokens / speed


def prior_behaviour(endpoints: Sequence[Endpoint]) -> Behaviour:
    """What the catalogue leads one to expect. A prior that flatters wins everywhere: priors enter at their slow end."""

    def column(values: list[float]) -> Floats:
        return np.array(values, dtype=np.float64)

    count = len(endpoints)
    return Behaviour(
        first_token_median=column(
            [e.first_token_s.high if e.first_token_s.kind == "prior" else e.first_token_s.value for e in endpoints]
        ),
        first_token_sigma=np.full(count, FIRST_TOKEN_SIGMA),
        speed_median=column(
            [e.tokens_per_s.low if e.tokens_per_s.kind == "prior" else e.tokens_per_s.value for e in endpoints]
        ),
        speed_sigma=np.full(count, SPEED_SIGMA),
        failure_rate=column([FREE_TIER_FAILURE_RATE if e.free_tier else FAILURE_RATE for e in endpoints]),
    )


def _lognormal_growth(sigma: Floats) -> tuple[Floats, Floats]:
    """Mean over median, and variance over squared median, of a log-normal with this spread."""
    growth = np.exp(sigma * sigma)
    return np.sqrt(growth), growth * (growth - 1.0)


def keyed_uniforms(
    seed: int, request: npt.NDArray[np.uint64], endpoint: npt.NDArray[np.uint64], attempt: int
) -> Floats:
    """Four independent uniform draws in (0, 1) for each key (seed, request, endpoint, attempt); shape (4, n).

    Counter-based: a draw depends on its own key alone, so that changing one request, endpoint or scenario shifts nobody
    else's luck (common random numbers). The mixing function is SplitMix64 (Steele, Lea, Flood, "Fast splittable
    pseudorandom number generators", OOPSLA 2014).
    """
    key = _mix(np.full(len(request), seed, dtype=np.uint64))
    for part in (request, endpoint, np.full(len(request), attempt, dtype=np.uint64)):
        key = _mix(key ^ part)
    lanes = np.arange(1, 5, dtype=np.uint64)[:, None] * _GOLDEN
    bits = _mix(key + lanes) >> np.uint64(11)
    uniforms: Floats = (bits.astype(np.float64) + 0.5) * 2.0**-53
    return uniforms


def keyed_normals(uniforms: Floats) -> Floats:
    """Two independent standard normal draws from the first two rows of `keyed_uniforms` (Box and Muller, 1958)."""
    radius = np.sqrt(-2.0 * np.log(uniforms[0]))
    angle = 2.0 * np.pi * uniforms[1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)])


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    value = value + _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
