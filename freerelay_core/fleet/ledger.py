"""The rate ledger: what each quota group has used of its limits, and whether one more request fits.

    reserve --answered--> settle(real tokens)        a reservation nobody settles stays as it was made
       |----never reached the provider--> release
       `----the provider spoke of its limits--> hear

A group has four limits (`LIMITS`): requests and tokens, a minute and a day. A minute is the last 60 s, whenever they
began: it is kept in slots of a second, the one that is just running and the 60 before it, so that no 60 s ever hold
more than the limit by our own count. A day is the calendar day in which the provider's quota is renewed.

What a provider says of a limit stands above our own count for as long as it says so: left there were `left`, at the
time of the request that was answered, less what has been sent since.

Flat lists, plain indexing and arithmetic, one pass over at most four numbers a request; times are monotonic seconds.

One process counts alone. When it starts, it takes up the day from the decision log (`resume`); the provider's words
correct it. A ledger shared by several would have to give the same three calls with the same meaning: `reserve` as one
step over all four limits (two workers must not both take the last request), on one clock, and `settle` and `release`
that may arrive twice or never (a worker that died leaves its reservation, which ages with its minute and its day).
While the shared one is away each worker would count on, against its share of the limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import NamedTuple

from freerelay_core.catalogue import Endpoint, Limits

__all__ = ["LIMITS", "UNCOUNTED", "QuotaFigure", "RateLedger", "Reservation", "Statement"]

LIMITS = ("rpm", "tpm", "rpd", "tpd")
"""Names of a group's limits; those of odd index count tokens, the last two a day."""

_SLOT_S = 1.0
_SLOTS = 61
"""The slot that is running, and 60 s before it: what is refused is refused a second too long at most (1.7 %)."""
_MINUTE_S = 60.0
_DAY_S = 86_400.0
_HOUR_S = 3_600.0
_CLOCK_MOVED_S = 1.0
"""The calendar's clock is set, or the machine has slept: by less than this a day may end early or late."""


class Reservation(NamedTuple):
    """What one request has been allowed."""

    group: int
    tokens: int
    tick: int
    """The slot that it is counted in."""
    day: int
    number: int
    """How many requests the group had been allowed, this one included."""
    sent: int
    """The same for tokens."""


UNCOUNTED = Reservation(-1, 0, 0, 0, 0, 0)
"""Of a group without limits: it is not counted."""


class Statement(NamedTuple):
    """What a provider says of one of its limits in the head of an answer; None where it does not say."""

    limit: int
    """Index into `LIMITS`."""
    most: float | None
    left: float | None
    reset_s: float | None
    """Seconds until all of it is there again."""
    refills: bool
    """It comes back little by little, not all at once at the end."""


@dataclass(frozen=True, slots=True)
class QuotaFigure:
    """One limit of one quota group at one moment."""

    group: str
    limit: str
    """One of `LIMITS`."""
    window_s: float
    most: int | None
    """None: the provider says what is left, and not of how much."""
    used: int
    left: int
    reset_s: float
    """Seconds until all of it is there again, if nothing is sent until then."""
    stated: bool
    """Known from the provider's own headers, not from our count."""


class RateLedger:
    """The ledger of some quota groups, for one event loop."""

    def __init__(self, names: Sequence[str], limits: Sequence[Limits], group_of: Sequence[int]) -> None:
        """Group `g` is called `names[g]`; endpoint `e` belongs to group `group_of[e]`."""
        count = len(names)
        self.names = tuple(names)
        self.group_of = tuple(group_of)
        self._most = [inf if value is None else value for each in limits for value in _values(each)]
        self._used = [0] * (4 * count)
        self._slots = [0] * (2 * _SLOTS * count)  # of each group requests, then tokens
        self._tick = [0] * count
        self._day = [0] * count
        self._rolls_at = [-inf] * count  # when a slot or the day ends
        self._day_start_s = [each.day_starts * _HOUR_S for each in limits]
        self._utc_s = 0.0
        self._number, self._sent = [0] * count, [0] * count
        self._said_left = [0.0] * (4 * count)
        self._said_rate = [0.0] * (4 * count)
        self._said_at = [0.0] * (4 * count)
        self._said_until = [-inf] * (4 * count)
        self._said_number = [0] * (4 * count)
        self._spoken_until = [-inf] * count
        self._cells: list[tuple[int, ...]] = [()] * count
        self._largest: list[float] = [inf] * count
        for group in range(count):
            self._note_limits(group, ())

    @classmethod
    def of(cls, endpoints: Sequence[Endpoint], *, counted: Sequence[bool] | None = None) -> RateLedger:
        """The ledger of a catalogue's endpoints; limits of those that are not `counted` do not hold.

        Where endpoints of one group state different limits the smallest hold.
        """
        groups: dict[str, int] = {}
        group_of = [groups.setdefault(each.quota_group, len(groups)) for each in endpoints]
        limits = [Limits()] * len(groups)
        for index, endpoint in enumerate(endpoints):
            if counted is None or counted[index]:
                limits[group_of[index]] = _smaller(limits[group_of[index]], endpoint.limits)
        return cls(tuple(groups), limits, group_of)

    @classmethod
    def unlimited(cls, groups: Iterable[tuple[str, str]]) -> RateLedger:
        """A ledger without limits, where each endpoint is of the group (provider and model) at its place."""
        index: dict[tuple[str, str], int] = {}
        group_of = [index.setdefault(group, len(index)) for group in groups]
        return cls(["/".join(group) for group in index], [Limits()] * len(index), group_of)

    def resume(self, group: int, requests: int, tokens: int, now: float) -> None:
        """Count what was sent today before this ledger began; a minute that has passed is not asked for."""
        self._roll_if_due(group, now)
        self._used[4 * group + 2] += requests
        self._used[4 * group + 3] += tokens

    def day_began_s(self, group: int, now: float) -> float | None:
        """How long ago the day of this group's quota began, seconds; None where it has no limit a day."""
        first = 4 * group
        if min(self._most[first + 2 : first + 4]) == inf:
            return None
        return _DAY_S - self._window_left_s(first + 2, now)

    def keep_time(self, now: float, utc_s: float) -> None:
        """Say what the calendar says at `now`: seconds since 1970, UTC. Days end by it."""
        if abs(utc_s - now - self._utc_s) > _CLOCK_MOVED_S:
            self._utc_s = utc_s - now
            self._rolls_at = [-inf] * len(self.names)

    # -- one request

    def reserve(self, group: int, tokens: float, now: float) -> Reservation | None:
        """Count one request of so many expected tokens, or None where a limit is reached.

        One that is expected to need more than a whole minute or day holds takes the whole: the expectation (thinking
        above all) may be wrong, and a limit that nothing ever fits into would only ever refuse.
        """
        cells = self._cells[group]
        if not cells:
            return UNCOUNTED
        if now >= self._rolls_at[group]:
            self._roll(group, now)
        size = ceil(tokens)
        if size > self._largest[group]:
            size = int(self._largest[group])
        spoken, most, used = now < self._spoken_until[group], self._most, self._used
        for cell in cells:
            left = self._left(cell, now) if spoken else most[cell] - used[cell]
            if left < (size if cell & 1 else 1):
                return None
        if spoken:
            for cell in cells:
                self._said_left[cell] -= size if cell & 1 else 1
        self._count(group, 1, size)
        self._number[group] += 1
        self._sent[group] += size
        return Reservation(group, size, self._tick[group], self._day[group], self._number[group], self._sent[group])

    def settle(self, reservation: Reservation, tokens: float, now: float) -> None:
        """Count the tokens that were really used, in place of the expected ones.

        Fewer are taken back where they were counted, more are counted now, so that they age from now on.
        """
        group = reservation.group
        if group < 0:
            return
        self._roll_if_due(group, now)
        more = ceil(tokens) - reservation.tokens
        if more > 0:
            self._count(group, 0, more)
        else:
            self._take_back(reservation, 0, -more)

    def release(self, reservation: Reservation, now: float) -> None:
        """Take a request back that never reached the provider."""
        group = reservation.group
        if group < 0:
            return
        self._roll_if_due(group, now)
        self._take_back(reservation, 1, reservation.tokens)
        for cell in self._cells[group]:
            if reservation.number > self._said_number[cell]:
                self._said_left[cell] += reservation.tokens if cell & 1 else 1

    def hear(self, group: int, reservation: Reservation, statements: Iterable[Statement], now: float) -> None:
        """Take in what the provider said in its answer to this reservation.

        Answers overtake each other: what an earlier request was told is nothing new once a later one has been told.
        """
        self._roll_if_due(group, now)
        counted = reservation.group == group
        number = reservation.number if counted else self._number[group]
        unseen = (self._number[group] - number, self._sent[group] - reservation.sent if counted else 0)
        cells = []
        for limit, most, left, reset_s, refills in statements:
            cell = 4 * group + limit
            if most is not None and most >= 1:
                self._most[cell] = int(most)
            if left is None or number < self._said_number[cell]:
                continue
            cells.append(cell)
            lasts_s = self._window_left_s(cell, now) if reset_s is None else reset_s
            missing = self._most[cell] - left
            self._said_left[cell] = left - unseen[limit & 1]
            self._said_rate[cell] = missing / lasts_s if refills and 0 < missing < inf and lasts_s > 0 else 0.0
            self._said_at[cell], self._said_until[cell] = now, now + lasts_s
            self._said_number[cell] = number
            self._spoken_until[group] = max(self._spoken_until[group], now + lasts_s)
        self._note_limits(group, cells)

    # -- what is left

    def share_left(self, group: int, now: float) -> float:
        """The share that is left of the tightest limit; 0 where not one more request fits."""
        cells = self._cells[group]
        if not cells:
            return 1.0
        self._roll_if_due(group, now)
        share = 1.0
        for cell in cells:
            left = self._left(cell, now)
            if left < 1:
                return 0.0
            share = min(share, left / self._most[cell] if self._most[cell] < inf else 1.0)
        return share

    def wait_s(self, group: int, tokens: float, now: float) -> float:
        """Seconds until a request of so many tokens fits; 0 where it does."""
        self._roll_if_due(group, now)
        size = min(ceil(tokens), self._largest[group])
        return max((self._wait_of(cell, size if cell & 1 else 1, now) for cell in self._cells[group]), default=0.0)

    def largest(self, group: int) -> float:
        """The most tokens that one request may have: what a whole minute or day holds."""
        return self._largest[group]

    def limited(self, group: int) -> bool:
        """Whether the group has limits, stated by the catalogue or by the provider."""
        return bool(self._cells[group])

    def figures(self, now: float) -> list[QuotaFigure]:
        """Every limit that there is."""
        found = []
        for group, name in enumerate(self.names):
            if self._cells[group]:
                self._roll_if_due(group, now)
            for cell in self._cells[group]:
                if self._most[cell] == inf and now >= self._said_until[cell]:
                    continue  # the provider named no limit, and what it said was left is past
                most, left = self._most[cell], max(0, int(self._left(cell, now)))
                found.append(
                    QuotaFigure(
                        group=name,
                        limit=LIMITS[cell & 3],
                        window_s=_DAY_S if cell & 2 else _MINUTE_S,
                        most=None if most == inf else int(most),
                        used=self._used[cell] if most == inf else max(0, int(most) - left),
                        left=left,
                        reset_s=self._wait_of(cell, most if most < inf else left + 1, now),
                        stated=now < self._said_until[cell],
                    )
                )
        return found

    # -- windows

    def _left(self, cell: int, now: float) -> float:
        if now < self._said_until[cell]:
            return self._said_left[cell] + self._said_rate[cell] * (now - self._said_at[cell])
        return self._most[cell] - self._used[cell]

    def _count(self, group: int, requests: int, tokens: int) -> None:
        first, slot = 4 * group, 2 * _SLOTS * group + self._tick[group] % _SLOTS
        self._used[first] += requests
        self._used[first + 1] += tokens
        self._used[first + 2] += requests
        self._used[first + 3] += tokens
        self._slots[slot] += requests
        self._slots[slot + _SLOTS] += tokens

    def _take_back(self, reservation: Reservation, requests: int, tokens: int) -> None:
        """Uncount what still is in the minute and in the day."""
        group, _, tick, day = reservation[:4]
        first = 4 * group
        if self._tick[group] - tick < _SLOTS:
            slot = 2 * _SLOTS * group + tick % _SLOTS
            self._used[first] -= requests
            self._used[first + 1] -= tokens
            self._slots[slot] -= requests
            self._slots[slot + _SLOTS] -= tokens
        if day == self._day[group]:
            self._used[first + 2] -= requests
            self._used[first + 3] -= tokens

    def _roll_if_due(self, group: int, now: float) -> None:
        if now >= self._rolls_at[group]:
            self._roll(group, now)

    def _roll(self, group: int, now: float) -> None:
        """Let what is older than a minute, or of another day, go."""
        tick = int(now / _SLOT_S)
        behind = tick - self._tick[group]
        if behind > 0:
            first, slot = 4 * group, 2 * _SLOTS * group
            for passed in range(tick - min(behind, _SLOTS) + 1, tick + 1):
                old = slot + passed % _SLOTS
                self._used[first] -= self._slots[old]
                self._used[first + 1] -= self._slots[old + _SLOTS]
                self._slots[old] = self._slots[old + _SLOTS] = 0
            self._tick[group] = tick
        day = int((now + self._utc_s - self._day_start_s[group]) // _DAY_S)
        if day != self._day[group]:
            self._day[group] = day
            self._used[4 * group + 2] = self._used[4 * group + 3] = 0
        self._rolls_at[group] = min((tick + 1) * _SLOT_S, now + self._window_left_s(4 * group + 2, now))

    def _wait_of(self, cell: int, need: float, now: float) -> float:
        short = need - self._left(cell, now)
        if short <= 0:
            return 0.0
        if now < self._said_until[cell]:
            until_s, rate = self._said_until[cell] - now, self._said_rate[cell]
            return min(until_s, short / rate) if rate > 0 else until_s
        if cell & 2:
            return self._window_left_s(cell, now)
        group = cell >> 2
        slot, tick = (2 * group + (cell & 1)) * _SLOTS, self._tick[group]
        for passed in range(tick - _SLOTS + 1, tick + 1):
            short -= self._slots[slot + passed % _SLOTS]
            if short <= 0:
                return (passed + _SLOTS) * _SLOT_S - now
        return _SLOTS * _SLOT_S

    def _window_left_s(self, cell: int, now: float) -> float:
        """Seconds until the day ends, or a whole minute."""
        if cell & 2:
            return _DAY_S - (now + self._utc_s - self._day_start_s[cell >> 2]) % _DAY_S
        return _MINUTE_S

    def _note_limits(self, group: int, heard_of: Iterable[int]) -> None:
        """Remember which limits there are, and the largest request that they allow."""
        first = 4 * group
        cells = {cell for cell in range(first, first + 4) if self._most[cell] < inf}
        self._cells[group] = tuple(sorted(cells | set(heard_of) | set(self._cells[group])))
        self._largest[group] = min(self._most[first + 1], self._most[first + 3])


def _values(limits: Limits) -> tuple[int | None, ...]:
    return limits.rpm, limits.tpm, limits.rpd, limits.tpd


def _smaller(a: Limits, b: Limits) -> Limits:
    """The smaller of each two limits."""
    pairs: Mapping[str, tuple[int | None, int | None]] = dict(
        zip(LIMITS, zip(_values(a), _values(b), strict=True), strict=True)
    )
    smaller = {name: min((value for value in pair if value is not None), default=None) for name, pair in pairs.items()}
    return Limits(**smaller, day_starts=max(a.day_starts, b.day_starts))
