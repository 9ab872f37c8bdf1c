"""What measured times make of an endpoint's expected behaviour: the catalogue's figure counts as some outcomes.

Times are log-normal (`behaviour`), so means are taken of logarithms. An older outcome counts less, by the number of
newer ones and by the time since: after a slow-down the new pace is soon found, and an endpoint that nobody uses drifts
back to what the catalogue says, so that it can win again.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from freerelay_core.snapshot import KINDS, Snapshot

__all__ = ["Paces"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int8]

HALF_LIFE = 15.0
"""Outcomes after which an older one counts half: of 20 outcomes after a slow-down 60 % of the estimate is made."""
HALF_LIFE_S = 300.0
"""As long as the longest wait of a breaker: who comes back from one is judged by the catalogue as much as by before."""
PRIOR_WEIGHT = np.array([3.0, 3.0, 1.5])
"""Outcomes that the catalogue's figure counts for, by its kind (measured, published, prior); assumed. One outcome moves
the estimate by a quarter at most of its distance, fifty by 85 % and more; a guess gives way sooner."""
_DECAY = 0.5 ** (1.0 / HALF_LIFE)


class Paces:
    """Recent times to the first token and speeds of the endpoints of `base`; times are monotonic seconds."""

    def __init__(self, base: Snapshot) -> None:
        self._kinds = base.speed_kinds
        self._prior = base.behaviour
        self._prior_weight = PRIOR_WEIGHT[base.speed_kinds]
        self._weight = np.zeros((2, len(base)))  # rows: first token, speed
        self._total = np.zeros((2, len(base)))  # of logarithms
        self._told_at = np.zeros((2, len(base)))

    def record_first_token(self, endpoint: int, now: float, seconds: float) -> None:
        self._record(0, endpoint, now, math.log(seconds))

    def record_speed(self, endpoint: int, now: float, tokens_per_s: float) -> None:
        self._record(1, endpoint, now, math.log(tokens_per_s))

    def _record(self, row: int, endpoint: int, now: float, log: float) -> None:
        left = _DECAY * 0.5 ** ((now - self._told_at[row, endpoint]) / HALF_LIFE_S)
        self._weight[row, endpoint] = self._weight[row, endpoint] * left + 1.0
        self._total[row, endpoint] = self._total[row, endpoint] * left + log
        self._told_at[row, endpoint] = now

    def apply(self, snapshot: Snapshot, now: float) -> Snapshot:
        """The snapshot with the behaviour expected at `now`; the same one while nothing was measured."""
        if not self._weight.any():
            return snapshot
        left = 0.5 ** ((now - self._told_at) / HALF_LIFE_S)
        weight, total = self._weight * left, self._total * left
        first, speed = self._prior.first_token_median, self._prior.speed_median
        shift = (total - weight * np.log([first, speed])) / (self._prior_weight + weight)
        carried = np.all(weight > self._prior_weight, axis=0)
        return replace(
            snapshot,
            behaviour=replace(
                self._prior, first_token_median=first * np.exp(shift[0]), speed_median=speed * np.exp(shift[1])
            ),
            speed_kinds=np.where(carried, np.int8(KINDS.index("measured")), self._kinds).astype(np.int8),
        )

    def drifts(self, now: float) -> bool:
        """Whether anything measured still counts, so that the passing of time alone changes the behaviour."""
        return bool((self._weight * 0.5 ** ((now - self._told_at) / HALF_LIFE_S) > 0.05).any())
