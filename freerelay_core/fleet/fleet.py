"""The fleet of one worker: takes in outcomes, gives out snapshots. For one event loop.

What outcomes teach is kept for each endpoint (`lessons`); the breaker for provider + model, whose efforts share one
fate; limits and cool-down for the quota group (`ledger`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal
from zlib import crc32

import numpy as np

from freerelay_core.catalogue import PriceTable
from freerelay_core.clock import Clock
from freerelay_core.fleet.breaker import Breakers
from freerelay_core.fleet.health import BreakerHealth, EndpointHealth
from freerelay_core.fleet.ledger import RateLedger, Reservation, Statement
from freerelay_core.fleet.lessons import Lessons
from freerelay_core.fleet.pace import Paces
from freerelay_core.fleet.window import Windows, quantile
from freerelay_core.profile import TaskFamily
from freerelay_core.snapshot import (
    AVAILABLE,
    BREAKER_OPEN,
    COOLING_DOWN,
    PROVIDER_BUDGET_GONE,
    QUOTA_GONE,
    Snapshot,
)
from freerelay_core.store import Lesson

__all__ = ["Fleet"]

COOL_DOWN_S = 5.0
"""How long a provider that says 429 without a Retry-After is left alone."""
LONGEST_COOL_DOWN_S = 3600.0
HEADROOM_GRID = 0.01
"""A new snapshot is made for a change of headroom of this size: fine enough for what bites below a fifth."""
DRIFT_S = 10.0
"""How often measured times and success are let fade in a fleet that is not used: by 2 % of their weight at most."""


class Fleet:
    """Live state of the endpoints of `base`, published as snapshots `<worker>-<number>`.

    `epoch_s` is how long a snapshot serves while nothing important happens; a breaker that flips ends it at once.
    `prices_on` compiles the prices of a day: a new day (UTC) has new ones. Without a `ledger` nothing is limited.
    """

    def __init__(
        self,
        base: Snapshot,
        clock: Clock,
        *,
        worker: str,
        epoch_s: float,
        prices_on: Callable[[datetime], PriceTable],
        ledger: RateLedger | None = None,
    ) -> None:
        self._base = base
        self._clock = clock
        self._worker = worker
        self._epoch_s = epoch_s
        self._prices_on = prices_on
        groups: dict[tuple[str, str], int] = {}
        self._group = [groups.setdefault(key, len(groups)) for key in zip(base.providers, base.models, strict=True)]
        self.lessons = Lessons(base, clock.monotonic)
        """What outcomes have taught; `learn` adds to it."""
        self._breakers = Breakers(len(groups), seed=crc32(worker.encode()))
        self.ledger = ledger or RateLedger.unlimited(zip(base.providers, base.models, strict=True))
        """What quota groups have used of their limits."""
        self._cooling_until = [0.0] * len(self.ledger.names)
        self._money_left: Mapping[str, float] = {}
        self._paces = Paces(base)
        self._first_tokens = Windows(len(base))
        self._speeds = Windows(len(base))
        self._drift_at = 0.0
        self._day = base.created_at.date()
        self._number = 0
        self._outcomes = False  # since the last snapshot
        self._flipped = False  # since the last snapshot
        self._panic = False
        self._availability: list[int] = []
        self._headroom: list[float] = []
        self._look_at = 0.0
        self._snapshot = base
        self._renew(clock.monotonic())

    def snapshot(self) -> Snapshot:
        """The present snapshot."""
        now = self._clock.monotonic()
        if self._flipped or now >= self._look_at:
            self._renew(now)
        return self._snapshot

    def admit(self, endpoint: int, tokens: float = 0.0, *, despite_breaker: bool = False) -> Reservation | None:
        """Ask to send a request of so many expected tokens (input and output) to this endpoint.

        None while its quota is used up or cooling down, its breaker is open or another request is its probe. Where
        every breaker is open they do not count: a fleet never ejects itself. `despite_breaker` asks for a request that
        nothing else can serve: a few of those pass (`breaker.DESPITE_EVERY_S`).
        """
        group, now = self._group[endpoint], self._clock.monotonic()
        quota = self.ledger.group_of[endpoint]
        if self._cooling_until[quota] > now:
            return None
        reservation = self.ledger.reserve(quota, tokens, now)
        if reservation is None:
            self._flipped |= self.ledger.share_left(quota, now) == 0.0 and self._availability[endpoint] == AVAILABLE
            return None
        if self._panic:
            return reservation
        if not self._breakers.admit(group, now, despite=despite_breaker):
            self.ledger.release(reservation, now)
            return None
        if self._breakers.probing(group):
            self._flipped = True  # until the probe is back nobody else is sent there
        return reservation

    def settle(self, reservation: Reservation, tokens: float) -> None:
        """Say how many tokens (input and output) an admitted request has really used."""
        self.ledger.settle(reservation, tokens, self._clock.monotonic())

    def withdraw(self, endpoint: int, reservation: Reservation) -> None:
        """Say at once that an admitted request is not sent after all."""
        self.release(reservation)
        self._breakers.withdraw(self._group[endpoint], self._clock.monotonic())
        self._flipped = True

    def release(self, reservation: Reservation) -> None:
        """Say that an admitted request never reached the provider."""
        self.ledger.release(reservation, self._clock.monotonic())

    def hear(self, endpoint: int, reservation: Reservation, statements: Sequence[Statement]) -> None:
        """Take in what the provider said of its limits in its answer."""
        if statements:
            self.ledger.hear(self.ledger.group_of[endpoint], reservation, statements, self._clock.monotonic())

    def quota_days(self) -> dict[float, list[str]]:
        """The endpoints whose quota has a limit a day, by how long ago that day began, s."""
        now = self._clock.monotonic()
        days: dict[float, list[str]] = {}
        for endpoint, quota in zip(self._base.endpoint_ids, self.ledger.group_of, strict=True):
            began_s = self.ledger.day_began_s(quota, now)
            if began_s is not None:
                days.setdefault(began_s, []).append(endpoint)
        return days

    def resume(self, endpoint: str, requests: int, tokens: int) -> None:
        """Count what this endpoint was sent today before this fleet began."""
        quota = self.ledger.group_of[self._base.endpoint_ids.index(endpoint)]
        self.ledger.resume(quota, requests, tokens, self._clock.monotonic())

    def record(
        self,
        endpoint: int,
        *,
        ok: bool,
        family: TaskFamily | None = None,
        retry_after_s: float | None = None,
        rate_limited: bool = False,
    ) -> None:
        """Take in the outcome of one attempt, of a request of this family where one is known.

        `rate_limited` is no failure of the endpoint: it is left alone for `retry_after_s` seconds (`cool_down`).
        """
        group, now = self._group[endpoint], self._clock.monotonic()
        if rate_limited:
            self.cool_down(endpoint, retry_after_s)
            return
        answered = 1.0 if ok else 0.0
        if family is None:
            self.learn("success", "", endpoint, answered)
        else:
            self.learn_by_family("success", "", family, endpoint, answered)
        if self._breakers.record(group, now, ok=ok, forced=self._panic):
            self._flipped = True

    def cool_down(self, endpoint: int, stated_s: float | None) -> float:
        """Leave the endpoint's quota group alone for so long, or for `COOL_DOWN_S`; returns how long it will be, s.

        What was stated before is not shortened by an answer that states nothing.
        """
        quota, now = self.ledger.group_of[endpoint], self._clock.monotonic()
        if stated_s is None:
            until = max(self._cooling_until[quota], now + COOL_DOWN_S)
        else:
            until = now + min(stated_s, LONGEST_COOL_DOWN_S)
        self._cooling_until[quota] = until
        self._flipped = True
        return until - now

    def learn(self, kind: str, scope: str, endpoint: int, value: float, *, expected: float = 0.0) -> None:
        """Take in what one outcome teaches (`lessons.KINDS`); the next snapshot knows of it."""
        self.lessons.record(kind, scope, endpoint, value, expected=expected)
        self._outcomes = True

    def learn_by_family(
        self,
        kind: str,
        scope: str,
        family: TaskFamily,
        endpoint: int,
        value: float,
        *,
        part: float = 1.0,
    ) -> None:
        """Take in what one outcome teaches of the endpoint and of a family there (`Lessons.record_by_family`)."""
        self.lessons.record_by_family(kind, scope, family.value, endpoint, value, part=part)
        self._outcomes = True

    def record_times(self, endpoint: int, *, first_token_s: float | None, tokens_per_s: float | None) -> None:
        """Take in an answer's time to the first token, without prefill and thinking, and its decode speed; unscaled."""
        now = self._clock.monotonic()
        if first_token_s is not None:
            self._first_tokens.record(endpoint, now, first_token_s)
            self._paces.record_first_token(endpoint, now, first_token_s)
        if tokens_per_s is not None:
            self._speeds.record(endpoint, now, tokens_per_s)
            self._paces.record_speed(endpoint, now, tokens_per_s)
        self._outcomes = True

    def record_duration(self, endpoint: int, *, first_token_s: float, tokens_per_s: float, tokens: float) -> None:
        """Take in a whole answer of so many tokens that came as if its first token and speed had been these.

        It is one observation of their sum, so it counts once, divided between the two by their shares of it. It tells
        no quantiles of either.
        """
        now, share = self._clock.monotonic(), first_token_s / (first_token_s + tokens / tokens_per_s)
        self._paces.record_first_token(endpoint, now, first_token_s, share)
        self._paces.record_speed(endpoint, now, tokens_per_s, 1.0 - share)
        self._outcomes = True

    def learn_for_all(self, kind: str, scope: str, value: float) -> None:
        """Take in what one outcome teaches of all endpoints together."""
        self.lessons.record_for_all(kind, scope, value)
        self._outcomes = True

    def adopt(self, lessons: Iterable[Lesson]) -> None:
        """Take over what all workers have learned, from the store; the very next snapshot knows of it."""
        if self.lessons.adopt(lessons):
            self._outcomes = self._flipped = True

    def limit_spending(self, left: Mapping[str, float]) -> None:
        """Take over the shares that are left of providers' budgets. 0 closes all that is not free there."""
        self._money_left = dict(left)
        self._outcomes = self._flipped = True

    def retry_after_s(self, endpoints: Iterable[int], tokens: Sequence[float] | None = None) -> float | None:
        """Seconds until the first of these endpoints has cooled down and has quota again; None when none has to wait.

        `tokens` are those that the request is expected to need at every endpoint, shape (E,).
        """
        now = self._clock.monotonic()
        waits = [self._wait_s(e, 0.0 if tokens is None else tokens[e], now) for e in endpoints]
        return min((wait for wait in waits if wait > 0), default=None)

    def _wait_s(self, endpoint: int, tokens: float, now: float) -> float:
        quota = self.ledger.group_of[endpoint]
        return max(self._cooling_until[quota] - now, self.ledger.wait_s(quota, tokens, now))

    def all_fail(self, endpoints: Iterable[int]) -> bool:
        """Whether all these endpoints have failed until their breakers opened, and none has answered since."""
        return all(self._breakers.tripped(self._group[endpoint]) for endpoint in endpoints)

    def health(self) -> list[EndpointHealth]:
        """How each endpoint is doing, in the order of the snapshot."""
        now, snapshot = self._clock.monotonic(), self.snapshot()
        return [self._health(snapshot, endpoint, now) for endpoint in range(len(snapshot))]

    def _health(self, snapshot: Snapshot, endpoint: int, now: float) -> EndpointHealth:
        group, breakers = self._group[endpoint], self._breakers
        if not breakers.tripped(group):
            state: Literal["closed", "open", "half-open"] = "closed"
        else:
            state = "half-open" if breakers.probing(group) or not breakers.blocks(group, now) else "open"
        first_tokens, speeds = self._first_tokens.counts(endpoint, now), self._speeds.counts(endpoint, now)
        return EndpointHealth(
            endpoint=snapshot.endpoint_ids[endpoint],
            breaker=BreakerHealth(state, breakers.retry_s(group, now), breakers.failures(group)),
            cooling_s=max(0.0, self._cooling_until[self.ledger.group_of[endpoint]] - now),
            success=float(snapshot.success[endpoint]),
            first_token_count=int(first_tokens.sum()),
            first_token_p50_s=quantile(first_tokens, 0.5),
            first_token_p95_s=quantile(first_tokens, 0.95),
            speed_count=int(speeds.sum()),
            speed_p50=quantile(speeds, 0.5),
        )

    def _renew(self, now: float) -> None:
        self._look_at = now + self._epoch_s
        at = self._clock.now()
        self.ledger.keep_time(now, at.timestamp())
        headroom = [self.ledger.share_left(quota, now) for quota in self.ledger.group_of]
        availability = self._states(now, headroom)
        new_day = at.date() != self._day
        moved = any(abs(a - b) >= HEADROOM_GRID for a, b in zip(headroom, self._headroom, strict=False))
        drifted = now >= self._drift_at and (self._paces.drifts(now) or self.lessons.fades())
        renewed = self._outcomes or drifted or new_day or moved or availability != self._availability
        if self._number and not renewed:
            self._flipped = False
            return
        if new_day:
            self._base = replace(self._base, prices=self._prices_on(at))
            self._day = at.date()
        self._availability, self._headroom = availability, headroom
        self._drift_at = now + DRIFT_S
        self._number += 1
        self._outcomes = self._flipped = False
        self._snapshot = self._paces.apply(self._base, now).with_fleet(
            id=f"{self._worker}-{self._number}",
            created_at=at,
            success=self.lessons.success(self._base.success),
            outcomes=self.lessons.outcomes(),
            learned=self.lessons.learned(),
            headroom=np.minimum(headroom, self._money()),
            availability=np.array(availability, dtype=np.int8),
            max_request_tokens=np.array([self.ledger.largest(quota) for quota in self.ledger.group_of]),
        )

    def _states(self, now: float, headroom: Sequence[float]) -> list[int]:
        """The availability of each endpoint. Breakers count only while one live endpoint is left to turn to."""
        states = [self._state(endpoint, now, left) for endpoint, left in enumerate(headroom)]
        if self._money_left:
            gone = (self._money() <= 0.0).tolist()
            states = [PROVIDER_BUDGET_GONE if g else state for state, g in zip(states, gone, strict=True)]
        self._panic = not any(state == AVAILABLE for state, live in zip(states, self._base.live, strict=True) if live)
        if self._panic:
            states = [AVAILABLE if state == BREAKER_OPEN else state for state in states]
        return states

    def _money(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Share of its provider's budget that is left to each endpoint; 1 to those without one, and to free ones."""
        left = np.array([self._money_left.get(provider, 1.0) for provider in self._base.providers])
        return np.where(self._base.prices.free, 1.0, left)

    def _state(self, endpoint: int, now: float, headroom: float) -> int:
        if self._cooling_until[self.ledger.group_of[endpoint]] > now:
            return COOLING_DOWN
        if headroom <= 0.0:
            return QUOTA_GONE
        return BREAKER_OPEN if self._breakers.blocks(self._group[endpoint], now) else AVAILABLE
