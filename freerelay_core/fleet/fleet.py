"""The fleet of one worker: takes in outcomes, gives out snapshots. For one event loop.

What outcomes teach is kept for each endpoint (`lessons`); breaker and cool-down for provider + model, whose efforts
share one fate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Literal

import numpy as np

from freerelay_core.catalogue import PriceTable
from freerelay_core.clock import Clock
from freerelay_core.fleet.breaker import Breakers
from freerelay_core.fleet.health import BreakerHealth, EndpointHealth
from freerelay_core.fleet.lessons import Lessons
from freerelay_core.fleet.pace import Paces
from freerelay_core.fleet.window import Windows, quantile
from freerelay_core.snapshot import AVAILABLE, BREAKER_OPEN, COOLING_DOWN, Snapshot
from freerelay_core.store import Lesson

__all__ = ["Fleet"]

COOL_DOWN_S = 5.0
"""How long a provider that says 429 without a Retry-After is left alone."""
LONGEST_COOL_DOWN_S = 3600.0
DRIFT_S = 10.0
"""How often measured times are let fade in a fleet that is not used: by 2 % of their weight."""


class Fleet:
    """Live state of the endpoints of `base`, published as snapshots `<worker>-<number>`.

    `epoch_s` is how long a snapshot serves while nothing important happens; a breaker that flips ends it at once.
    `prices_on` compiles the prices of a day: a new day (UTC) has new ones.
    """

    def __init__(
        self,
        base: Snapshot,
        clock: Clock,
        *,
        worker: str,
        epoch_s: float,
        prices_on: Callable[[datetime], PriceTable],
    ) -> None:
        self._base = base
        self._clock = clock
        self._worker = worker
        self._epoch_s = epoch_s
        self._prices_on = prices_on
        groups: dict[tuple[str, str], int] = {}
        self._group = [groups.setdefault(key, len(groups)) for key in zip(base.providers, base.models, strict=True)]
        self.lessons = Lessons(base)
        """What outcomes have taught; `learn` adds to it."""
        self._breakers = Breakers(len(groups))
        self._paces = Paces(base)
        self._first_tokens = Windows(len(base))
        self._speeds = Windows(len(base))
        self._drift_at = 0.0
        self._cooling_until = [0.0] * len(groups)
        self._day = base.created_at.date()
        self._number = 0
        self._outcomes = False  # since the last snapshot
        self._flipped = False  # since the last snapshot
        self._panic = False
        self._availability: list[int] = []
        self._look_at = 0.0
        self._snapshot = base
        self._renew(clock.monotonic())

    def snapshot(self) -> Snapshot:
        """The present snapshot."""
        now = self._clock.monotonic()
        if self._flipped or now >= self._look_at:
            self._renew(now)
        return self._snapshot

    def admit(self, endpoint: int) -> bool:
        """Ask to send a request to this endpoint. False while its breaker is open or another request is its probe.

        Where every breaker is open all are admitted: a fleet never ejects itself.
        """
        group, now = self._group[endpoint], self._clock.monotonic()
        if self._panic:
            return True
        admitted = self._breakers.admit(group, now)
        if admitted and self._breakers.probing(group):
            self._flipped = True  # until the probe is back nobody else is sent there
        return admitted

    def record(
        self, endpoint: int, *, ok: bool, retry_after_s: float | None = None, rate_limited: bool = False
    ) -> None:
        """Take in the outcome of one attempt.

        `rate_limited` is no failure of the endpoint: it is left alone for `retry_after_s` seconds.
        """
        group, now = self._group[endpoint], self._clock.monotonic()
        if rate_limited:
            wait_s = COOL_DOWN_S if retry_after_s is None else min(retry_after_s, LONGEST_COOL_DOWN_S)
            self._cooling_until[group] = now + wait_s
            self._flipped = True
            return
        self.learn("success", "", endpoint, 1.0 if ok else 0.0)
        if self._breakers.record(group, now, ok=ok, forced=self._panic):
            self._flipped = True

    def learn(self, kind: str, scope: str, endpoint: int, value: float, *, expected: float = 0.0) -> None:
        """Take in what one outcome teaches (`lessons.KINDS`); the next snapshot knows of it."""
        self.lessons.record(kind, scope, endpoint, value, expected=expected)
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

    def learn_for_all(self, kind: str, scope: str, value: float) -> None:
        """Take in what one outcome teaches of all endpoints together."""
        self.lessons.record_for_all(kind, scope, value)
        self._outcomes = True

    def adopt(self, lessons: Iterable[Lesson]) -> None:
        """Take over what all workers have learned, from the store."""
        self._outcomes |= self.lessons.adopt(lessons)

    def retry_after_s(self, endpoints: Iterable[int]) -> float | None:
        """Seconds until the first of these endpoints has cooled down; None when none of them is cooling down."""
        now = self._clock.monotonic()
        waits = [self._cooling_until[self._group[e]] - now for e in endpoints]
        return min((wait for wait in waits if wait > 0), default=None)

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
            cooling_s=max(0.0, self._cooling_until[group] - now),
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
        availability = self._states(now)
        new_day = at.date() != self._day
        drifted = now >= self._drift_at and self._paces.drifts(now)
        if self._number and not (self._outcomes or drifted or new_day or availability != self._availability):
            self._flipped = False
            return
        if new_day:
            self._base = replace(self._base, prices=self._prices_on(at))
            self._day = at.date()
        self._availability = availability
        self._drift_at = now + DRIFT_S
        self._number += 1
        self._outcomes = self._flipped = False
        self._snapshot = self._paces.apply(self._base, now).with_fleet(
            id=f"{self._worker}-{self._number}",
            created_at=at,
            success=self.lessons.success(self._base.success),
            learned=self.lessons.learned(),
            headroom=self._base.headroom,
            availability=np.array(availability, dtype=np.int8),
        )

    def _states(self, now: float) -> list[int]:
        """The availability of each endpoint. Breakers count only while one live endpoint is left to turn to."""
        states = [self._state(group, now) for group in self._group]
        self._panic = not any(state == AVAILABLE for state, live in zip(states, self._base.live, strict=True) if live)
        if self._panic:
            states = [AVAILABLE if state == BREAKER_OPEN else state for state in states]
        return states

    def _state(self, group: int, now: float) -> int:
        if self._cooling_until[group] > now:
            return COOLING_DOWN
        return BREAKER_OPEN if self._breakers.blocks(group, now) else AVAILABLE
