"""What measured times make of an endpoint's expected behaviour: the catalogue's figure counts as some outcomes.

Times are log-normal (`behaviour`), so means are taken of logarithms. An older outcome counts less, by the number of
newer ones and by the time since: after a slow-down the new pace is soon found, and an endpoint that nobody uses drifts
back to what the catalogue says, so that it can win again.
"""

from __future__ import annotations

import math
from array import array
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


class Paces:
    """Recent times to the first token and speeds of the endpoints of `base`; times are monotonic seconds."""

    def __init__(self, base: Snapshot) -> None:
        self._kinds = base.speed_kinds
        self._prior = base.behaviour
        self._prior_weight = PRIOR_WEIGHT[base.speed_kinds]
        # Told to cell by cell, which plain arrays do in a quarter of the time; numpy sees the same memory.
        self._cells = weight, total, told_at = tuple(array("d", bytes(16 * len(base))) for _ in range(3))
        self._weight = np.frombuffer(weight).reshape(2, -1)  # rows: first token, speed
        self._total = np.frombuffer(total).reshape(2, -1)  # of logarithms
        self._told_at = np.frombuffer(told_at).reshape(2, -1)
        self._second = len(base)  # where the second row begins

    def record_first_token(self, endpoint: int, now: float, seconds: float, share: float = 1.0) -> None:
        """Take in one time to the first token, as that share of an outcome."""
        self._record(endpoint, now, math.log(seconds), share)

    def record_speed(self, endpoint: int, now: float, tokens_per_s: float, share: float = 1.0) -> None:
        """Take in one decode speed, as that share of an outcome."""
        self._record(self._second + endpoint, now, math.log(tokens_per_s), share)

    def _record(self, cell: int, now: float, log: float, share: float) -> None:
        weight, total, told_at = self._cells
        left = 0.5 ** (share / HALF_LIFE + (now - told_at[cell]) / HALF_LIFE_S)
        weight[cell] = weight[cell] * left + share
        total[cell] = total[cell] * left + share * log
        told_at[cell] = now

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
