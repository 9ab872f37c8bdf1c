"""How far a winner is from losing: the smallest change of one thing alone that puts another endpoint first.

ln U = sum_k w[k] ln f[k] is linear in the exponents, so the gap between the winner a and a challenger b vanishes where

    gap + change * (ln f_k[a] - ln f_k[b]) = 0

Price, time and ability each act through one factor. A winner also loses where its price or time outgrows what a rule or
a budget allows (`Room`). Else the factor's shape is inverted at the value that closes the gap:

    cost, latency    f = 1 / (1 + x)                       x  = 1 / f - 1, in proportion to the price or the time
    quality          f = 1 / (1 + exp(-(a - D) / s))       a' = a + s (logit f' - logit f)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from freerelay_core.preference import FACTORS
from freerelay_core.scoring.kernel import log_utility
from freerelay_core.scoring.reference import ELO_PER_LOGIT, TIE_GRID

__all__ = ["ExponentTurn", "FigureTurn", "Room", "Sensitivity", "sensitivity"]

Floats = npt.NDArray[np.float64]

_QUALITY, _COST, _LATENCY = (FACTORS.index(name) for name in ("quality", "cost", "latency"))
_ROUNDING = 1e-12
"""What remains of a share of the reference cost or time that should be none."""


@dataclass(frozen=True, slots=True)
class ExponentTurn:
    """The exponent at which, all else unchanged, `winner` takes over; None where no exponent from 0 on does that."""

    factor: str
    exponent: float
    turns_at: float | None
    winner: str | None

    def sentence(self) -> str:
        """What it means, without a full stop."""
        if self.turns_at is None:
            return f"No exponent of {self.factor} changes the winner"
        falls, at = self.turns_at < self.exponent, _figure(self.turns_at, self.exponent)
        if abs(self.turns_at - self.exponent) < TIE_GRID:
            moves = f"{'falls' if falls else 'rises'} at all"
        else:
            moves = f"falls below {at}" if falls else f"rises above {at}"
        return f"If the exponent of {self.factor} {moves}, {self.winner} wins"

    def as_dict(self) -> dict[str, Any]:
        return {
            "factor": self.factor,
            "exponent": self.exponent,
            "turns_at": self.turns_at,
            "winner": self.winner,
        }


@dataclass(frozen=True, slots=True)
class FigureTurn:
    """What one endpoint's figures must become, each alone, for `winner` to take over; None where none does that.

    Of the first of the ranking the figures worsen, and the runner-up wins; any other endpoint's improve until it wins
    itself.
    """

    endpoint: str
    winner: str
    price_times: float | None
    """All its prices times this; None also where it is free."""
    cost_usd: float | None
    """The cost of the request at these prices."""
    time_times: float | None
    """Time until the answer is complete (first token at its 95 % quantile), times this."""
    ability_elo: float | None
    """Elo added to its ability."""

    def sentences(self) -> list[str]:
        """What it means, without full stops."""
        price, time, elo = self.price_times, self.time_times, self.ability_elo
        betters, said = self.winner == self.endpoint, []
        if price is not None:
            said.append(f"If the price of {self.endpoint} {_moves(price, betters=betters)}, {self.winner} wins")
        elif self.cost_usd is not None:
            cost = f"{_digits(self.cost_usd * 1000)} USD per 1,000 such requests"
            said.append(f"If {self.endpoint} were not free but cost {cost}, {self.winner} wins")
        if time is not None:
            said.append(f"If the time that {self.endpoint} takes {_moves(time, betters=betters)}, {self.winner} wins")
        if elo is not None:
            by = f"{_digits(abs(elo))} Elo" if elo else "any"
            change = "more" if betters else "less"
            said.append(f"If {self.endpoint} were {by} {change} able, {self.winner} wins")
        return said or [f"No change of the price, the time or the ability of {self.endpoint} alone changes the winner"]

    def as_dict(self) -> dict[str, Any]:
        return {
            "endpoint": self.endpoint,
            "winner": self.winner,
            "price_times": self.price_times,
            "cost_usd": self.cost_usd,
            "time_times": self.time_times,
            "ability_elo": self.ability_elo,
        }


@dataclass(frozen=True, slots=True)
class Room:
    """How far the winner's figures may worsen before it is excluded."""

    cost_usd: float = math.inf
    """Most that the request may cost."""
    time_times: float = math.inf
    """Most that its time may be multiplied by."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Every smallest change; of the winner and its challengers in the order of the ranking."""

    exponents: tuple[ExponentTurn, ...]
    winner: FigureTurn
    challengers: tuple[FigureTurn, ...]

    def sentences(self) -> list[str]:
        """What would change the winner: exponents that can, and the winner's own figures."""
        turns = [turn.sentence() for turn in self.exponents if turn.turns_at is not None]
        never = [turn.factor for turn in self.exponents if turn.turns_at is None]
        rest = [f"No exponent of {', '.join(never)} alone changes the winner"] if never else []
        return [*self.winner.sentences(), *turns, *rest]

    def as_dict(self) -> dict[str, Any]:
        return {
            "exponents": [turn.as_dict() for turn in self.exponents],
            "winner": self.winner.as_dict(),
            "challengers": [turn.as_dict() for turn in self.challengers],
        }


def sensitivity(
    endpoints: Sequence[str],
    log_factors: Floats,
    exponents: Floats,
    reference_cost_usd: float,
    room: Room = Room(),
    *,
    log_whole: Floats | float = 0.0,
) -> Sensitivity | None:
    """What would change the winner of a ranking; None with fewer than two endpoints.

    `endpoints` are ranked, best first, `log_factors` has the shape (K, E) in that order, `exponents` (K,);
    `reference_cost_usd` is the cost that halves the factor of cost, `room` what the winner may grow to,
    and `log_whole` of shape (E,) the part of log quality that no ability changes.
    """
    if len(endpoints) < 2:
        return None
    utilities = log_utility(log_factors, exponents)
    gaps = np.maximum(utilities[0] - utilities[1:], 0.0)  # a tie may stand in either order within its grid
    # The first loses to the runner-up, every other one must make up for its own gap.
    close = np.array([-gaps[0], *gaps])
    price, cost = _scaled(log_factors[_COST], close, exponents[_COST])
    time, _ = _scaled(log_factors[_LATENCY], close, exponents[_LATENCY])
    elo = _elo(log_factors[_QUALITY] - log_whole, close, exponents[_QUALITY])
    usd = cost * reference_cost_usd
    if room.cost_usd < np.inf and not usd[0] <= room.cost_usd:
        own = float(np.expm1(-log_factors[_COST, 0]))
        price[0] = room.cost_usd / (own * reference_cost_usd) if own > _ROUNDING else np.nan
        usd[0] = room.cost_usd
    time[0] = np.fmin(time[0], room.time_times)
    turns = [
        FigureTurn(
            endpoint=name,
            winner=endpoints[1] if place == 0 else name,
            price_times=_finite(price[place]),
            cost_usd=_finite(usd[place]),
            time_times=_finite(time[place]),
            ability_elo=_finite(elo[place]),
        )
        for place, name in enumerate(endpoints)
    ]
    differences = log_factors[:, :1] - log_factors[:, 1:]
    return Sensitivity(
        exponents=tuple(
            _exponent_turn(name, float(exponents[k]), differences[k], gaps, endpoints[1:])
            for k, name in enumerate(FACTORS)
        ),
        winner=turns[0],
        challengers=tuple(turns[1:]),
    )


def _exponent_turn(
    factor: str, exponent: float, differences: Floats, gaps: Floats, challengers: Sequence[str]
) -> ExponentTurn:
    """The challenger that the smallest change of this exponent puts first; arrays of shape (E - 1,)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        turns_at = exponent - gaps / differences
    # Of two that are level one way alone is the challenger's.
    turns_at = np.where(turns_at == exponent, np.nextafter(exponent, exponent - np.sign(differences)), turns_at)
    # Below 0 a factor would be turned round, and at 0 exactly the two are only level.
    distance = np.where((differences != 0) & (turns_at > 0), np.abs(turns_at - exponent), np.inf)
    nearest = int(distance.argmin())
    if not np.isfinite(distance[nearest]):
        return ExponentTurn(factor, exponent, None, None)
    return ExponentTurn(factor, exponent, float(turns_at[nearest]), challengers[nearest])


def _scaled(logs: Floats, close: Floats, exponent: float) -> tuple[Floats, Floats]:
    """For f = 1 / (1 + x): by how much x is to be multiplied, and what it becomes; NaN where nothing closes the gap."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        old, new = np.expm1(-logs), np.expm1(-(logs + close / exponent))
        new = np.where(new > _ROUNDING, new, np.nan)
        return new / old, new


def _elo(logs: Floats, close: Floats, exponent: float) -> Floats:
    """For the Rasch model: the change of ability, Elo; NaN where nothing closes the gap. logit f = -ln(1/f - 1)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        old, new = np.expm1(-logs), np.expm1(-(logs + close / exponent))
        return ELO_PER_LOGIT * (np.log(old) - np.log(np.where(new > _ROUNDING, new, np.nan)))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _figure(value: float, beside: float) -> str:
    """With two decimals, or as many as tell it from the other."""
    return f"{value:.2f}" if f"{value:.2f}" != f"{beside:.2f}" else f"{value:.6f}"


def _digits(value: float) -> str:
    """Two significant digits at least, never as a power of ten: "340", "23", "0.4", "0.000012"."""
    return f"{value:,.0f}" if value >= 10 else np.format_float_positional(float(f"{value:.2g}"), trim="-")


def _moves(times: float, *, betters: bool) -> str:
    if times == 1:
        return f"{'falls' if betters else 'rises'} at all"
    if times >= 2:
        return f"rises to {times:,.1f} times"
    share = abs(times - 1) * 100
    return f"{'rises' if times > 1 else 'falls'} by {_digits(share)} %"
