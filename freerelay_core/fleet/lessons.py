"""What outcomes teach beyond the catalogue: success, quality, schema, tokens, thinking and cached shares.

All are one kind of figure, a mean over recent outcomes on a prior:

    estimate = (W prior + total) / (W + weight)        weight, total: of the outcomes, each older one counting less

Quality differs in one point. A grade says little without how hard the question was, so `expected` sums what the
catalogue expected of the same answers; the gap between the two, on the logit scale of the Rasch model, holds at every
depth (with all grades at one depth it is the Beta posterior, exactly).

Success fades with time, too: who failed and was therefore not asked again must get another chance. The sums in the
store know no time; each worker takes from them what was added since it last looked, and lets that fade on its own
clock.

Success and kept contracts are an endpoint's own in the first place: an outage shows in every family, and must be known
in all of them at once. A family adds only what sets it apart. So its outcomes are compared with what the endpoint did
around them whatever the family (`expected`, as with grades): an outcome is held against its family only once the next
ones have shown that others fare better. An outage that all families see moves none of them.

Outcomes of simulated endpoints are told apart in the store, and a real endpoint never reads them.
"""

from __future__ import annotations

import math
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from freerelay_core.fleet.around import Around, Outcome
from freerelay_core.profile import OutputContract, RequestProfile, TaskFamily
from freerelay_core.scoring.reference import CACHED_FROM_TOKENS
from freerelay_core.snapshot import KINDS as FIGURE_KINDS
from freerelay_core.snapshot import Learned, Snapshot
from freerelay_core.store import Lesson

__all__ = ["KINDS", "CachedShare", "Kind", "Lessons"]

Floats = npt.NDArray[np.float64]

ALL_ENDPOINTS = "*"
"""The endpoint of what is learned over all of them."""
_MOST_TENANTS = 10_000
_FADED = 0.05
"""What stands for fewer outcomes moves an expected success by less than a quarter of a percent."""
_TELLING = (0.01, 0.99)
"""Between what shares a difference tells one family from another: more is not known of a few hundred outcomes."""
_SAME = 0.01
"""How far sums that fade may differ from the worker's own and still be those: they come back some seconds old."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of figure: how much its prior weighs, in outcomes, and after how many an older one counts half."""

    prior_weight: float
    half_life: float
    scopes: tuple[str, ...] | None
    """What it is kept by beside the endpoint; None: by tenant."""
    half_life_s: float = math.inf
    """Seconds after which an outcome counts half, however few came since."""
    decay: float = field(init=False)
    """What one more outcome leaves of the older ones."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "decay", 0.5 ** (1.0 / self.half_life))


_FAMILIES = tuple(family.value for family in TaskFamily)
_CONTRACTS = tuple(contract.label for contract in OutputContract)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        # A handful of failures bends an expectation, a hundred replace it. Twice the longest wait of a breaker: what is
        # still failing is found failing by its probes before its failures are forgotten. Assumed.
        "success": Kind(20, 200, ("",), half_life_s=600.0),
        "success_by_family": Kind(20, 200, _FAMILIES, half_life_s=600.0),
        # On public outcomes of nine models twenty grades correct most of a wrong prior.
        "quality": Kind(10, 500, _FAMILIES),
        "schema": Kind(20, 200, _CONTRACTS),
        "schema_by_family": Kind(20, 200, _FAMILIES),
        # Between two models a tokenizer's ratio differs by text from 1.1 to 1.5, the length of answers from 0.4 to 1.3.
        "input_ratio": Kind(20, 200, _FAMILIES),
        "output_ratio": Kind(20, 200, _FAMILIES),
        "thinking_tokens": Kind(20, 200, _FAMILIES),
        # A cache is warm or cold by the tenant's present habits.
        "cached_share": Kind(5, 50, None),
    }
)
"""What is learned. Prior weights and half-lives are assumed, but for the weight of quality's prior (public outcomes of
nine models)."""


_BY_FAMILY = {kind: f"{kind}_by_family" for kind in ("success", "schema")}


class CachedShare(NamedTuple):
    """What a tenant's requests found in the prompt caches, by endpoint; arrays of shape (E,)."""

    weight: Floats
    total: Floats

    def expected(self, profile: RequestProfile) -> Floats | None:
        """Expected share of the request's input that is cached, on what the request itself leads one to expect.

        None for a prompt too short to be cached anywhere.
        """
        if profile.input_tokens < CACHED_FROM_TOKENS:
            return None
        prior, weight = profile.cached_tokens / profile.input_tokens, KINDS["cached_share"].prior_weight
        share: Floats = (weight * prior + self.total) / (weight + self.weight)
        return share


_Told: TypeAlias = tuple[float, float, float]
"""A value, what was expected of it, and when it came, s."""


class _Tally:
    """Sums over outcomes by scope and endpoint; arrays of shape (scopes, E), which see the flat ones told to."""

    __slots__ = ("_expected", "_told_at", "_total", "_weight", "expected", "total", "weight")

    def __init__(self, scopes: int, endpoints: int) -> None:
        self._weight, self._total, self._expected, self._told_at = (
            array("d", bytes(8 * scopes * endpoints)) for _ in range(4)
        )
        self.weight, self.total, self.expected = (
            np.frombuffer(sums).reshape(scopes, endpoints) for sums in (self._weight, self._total, self._expected)
        )

    def add(self, cell: int, kind: Kind, outcomes: Sequence[_Told]) -> None:
        """Take in outcomes, in their order; `cell` is scope x E + endpoint."""
        weight, total, expected = self._weight[cell], self._total[cell], self._expected[cell]
        told_at, left, fades = self._told_at[cell], kind.decay, kind.half_life_s != math.inf
        for value, value_expected, now in outcomes:
            if fades:
                left = kind.decay * 0.5 ** ((now - told_at) / kind.half_life_s)
                told_at = now
            weight = weight * left + 1.0
            total = total * left + value
            expected = expected * left + value_expected
        self._weight[cell], self._total[cell], self._expected[cell] = weight, total, expected
        self._told_at[cell] = told_at

    def sums(self, cell: int, kind: Kind, now: float) -> list[float]:
        """Weight, total and expected of a cell, as they stand at `now`."""
        left = 0.5 ** ((now - self._told_at[cell]) / kind.half_life_s)
        return [self._weight[cell] * left, self._total[cell] * left, self._expected[cell] * left]

    def put(self, cell: int, now: float, sums: Sequence[float]) -> None:
        self._weight[cell], self._total[cell], self._expected[cell] = sums
        self._told_at[cell] = now

    def left(self, kind: Kind, now: float) -> Floats:
        """What time has left of the sums, of their shape."""
        left: Floats = 0.5 ** ((now - np.frombuffer(self._told_at)) / kind.half_life_s)
        return left.reshape(self.weight.shape)

    def mean(self, prior: float | Floats, prior_weight: float) -> Floats:
        mean: Floats = (prior_weight * prior + self.total) / (prior_weight + self.weight)
        return mean


_Sums: TypeAlias = tuple[float, float, float, float]
"""Number of outcomes, then weight, total and expected."""
_NOTHING: _Sums = (0, 0.0, 0.0, 0.0)


class _Stored(NamedTuple):
    """What the store said of an endpoint's success when this worker last looked: weight, total and expected."""

    outcomes: int
    sums: Sequence[float]
    faded: Sequence[float]
    """What was left of them then."""
    at: float


class Lessons:
    """What the endpoints of a snapshot have taught; for one event loop. The last column is over all endpoints.

    `monotonic` tells the seconds by which success fades; without it nothing does.
    """

    def __init__(self, base: Snapshot, monotonic: Callable[[], float] = float) -> None:
        self._monotonic = monotonic
        self._ids = (*base.endpoint_ids, ALL_ENDPOINTS)
        self._index = {name: index for index, name in enumerate(self._ids)}
        self._simulated = (*base.simulated.tolist(), bool(base.simulated.all()))
        self._thinking, self._thinking_kinds = base.learned.thinking_tokens, base.learned.thinking_kinds
        self._nothing_shifts = base.learned.success_shift
        self._tallies = {
            name: _Tally(len(kind.scopes), len(self._ids)) for name, kind in KINDS.items() if kind.scopes is not None
        }
        self._tenants: OrderedDict[str, _Tally] = OrderedDict()
        # Told outcome by outcome, taken in by the many when somebody asks: a snapshot does, ten times a second.
        self._told: dict[tuple[str, str, int], list[_Told]] = {}
        self._told_by_family: dict[tuple[str, str, int], list[Outcome]] = {}
        self._unsaved: dict[tuple[str, str, int], _Sums] = {}  # outcomes, weight, total, expected
        self._stored: dict[tuple[str, str, int], _Stored] = {}  # of what fades
        self._around: dict[tuple[str, str, int], Around] = {}
        self._learned: Learned | None = None

    def record(self, kind: str, scope: str, endpoint: int, value: float, *, expected: float = 0.0) -> None:
        """Take in one outcome: a share, ratio or number of tokens, as the kind has it."""
        if self._told_by_family and kind in _BY_FAMILY:
            self._judge()  # outcomes keep their order
        told = self._told.get((kind, scope, endpoint))
        if told is None:
            self._tally(kind, scope)  # raises here, where the mistake is made
            told = self._told[kind, scope, endpoint] = []
        told.append((value, expected, self._monotonic()))

    def _take_in(self) -> None:
        """Add what was told to the sums."""
        if self._told_by_family:
            self._judge()
        if not self._told:
            return
        told, self._told = self._told, {}
        for key, outcomes in told.items():
            kind, scope, endpoint = key
            what = KINDS[kind]
            tally, row = self._tally(kind, scope)
            tally.add(row * len(self._ids) + endpoint, what, outcomes)
            if what.half_life_s == math.inf:
                self._learned = None
            count, weight, total, expected_sum = self._unsaved.get(key, _NOTHING)
            for value, expected, _ in outcomes:
                weight = weight * what.decay + 1.0
                total = total * what.decay + value
                expected_sum = expected_sum * what.decay + expected
            self._unsaved[key] = (count + len(outcomes), weight, total, expected_sum)

    def _judge(self) -> None:
        """Tell what was told of families: of the endpoint, and of the families that can be judged by now."""
        told, self._told_by_family = self._told_by_family, {}
        for (kind, scope, endpoint), outcomes in told.items():
            own = _BY_FAMILY[kind]
            within_s = KINDS[own].half_life_s
            around = self._around.get((kind, scope, endpoint))
            if around is None:
                around = self._around[kind, scope, endpoint] = Around()
            of_endpoint = self._told.setdefault((kind, scope, endpoint), [])
            for outcome in outcomes:
                of_endpoint.append((outcome.value, 0.0, outcome.at))
                around.add(outcome)
                judged = around.judged(within_s)
                if judged is not None:
                    share = (judged.part * judged.value, judged.part * around.mean, outcome.at)
                    self._told.setdefault((own, judged.family, endpoint), []).append(share)

    def record_by_family(
        self, kind: str, scope: str, family: str, endpoint: int, value: float, *, part: float = 1.0
    ) -> None:
        """Take in one outcome of the endpoint (`record`); what of it is this family's own, the next ones will show.

        `part` is the share of the outcome by which the family is judged.
        """
        told = self._told_by_family.get((kind, scope, endpoint))
        if told is None:
            self._tally(kind, scope)
            self._tally(_BY_FAMILY[kind], family)
            told = self._told_by_family[kind, scope, endpoint] = []
        told.append(Outcome(family, value, part, self._monotonic()))

    def record_for_all(self, kind: str, scope: str, value: float) -> None:
        """Take in one outcome of no matter which endpoint."""
        self.record(kind, scope, len(self._ids) - 1, value)

    def success(self, prior: Floats) -> Floats:
        """Expected share of answered requests of each endpoint, on its prior share; shape (E,)."""
        self._take_in()
        tally, kind = self._tallies["success"], KINDS["success"]
        left = tally.left(kind, self._monotonic())[0, :-1]
        mean: Floats = (kind.prior_weight * prior + left * tally.total[0, :-1]) / (
            kind.prior_weight + left * tally.weight[0, :-1]
        )
        return mean

    def outcomes(self) -> Floats:
        """How many recent outcomes the success of each endpoint rests on, older ones counting less; shape (E,)."""
        self._take_in()
        tally, kind = self._tallies["success"], KINDS["success"]
        weight: Floats = (tally.weight * tally.left(kind, self._monotonic()))[0, :-1]
        return weight

    def fades(self) -> bool:
        """Whether success still rests on outcomes, so that the passing of time alone changes it."""
        self._take_in()
        tally = self._tallies["success"]  # it weighs no less than that of a family
        return bool((tally.weight * tally.left(KINDS["success"], self._monotonic()) > _FADED).any())

    def learned(self) -> Learned:
        """All figures but each endpoint's own success, as arrays for a snapshot."""
        self._take_in()
        if self._learned is None:
            usual_input, input_ratio = self._ratios("input_ratio")
            usual_output, output_ratio = self._ratios("output_ratio")
            thinking, schema = self._tallies["thinking_tokens"], self._tallies["schema"]
            quality, kept = self._tallies["quality"], self._tallies["schema_by_family"]
            prior_thinking, prior_weight = (
                np.pad(self._thinking, ((0, 0), (0, 1))),
                KINDS["thinking_tokens"].prior_weight,
            )
            measured = thinking.weight[:, :-1] > prior_weight
            self._learned = Learned(
                thinking_tokens=thinking.mean(prior_thinking, prior_weight)[:, :-1],
                input_ratio=input_ratio,
                output_ratio=output_ratio,
                usual_input_ratio=usual_input,
                usual_output_ratio=usual_output,
                quality_shift=_logit_shift(quality, KINDS["quality"])
                + _logit_shift(kept, KINDS["schema_by_family"], within=_TELLING),
                graded=quality.weight[:, :-1].copy(),
                schema_kept=schema.total[:, :-1].copy(),
                schema_seen=schema.weight[:, :-1].copy(),
                thinking_kinds=np.where(measured, np.int8(FIGURE_KINDS.index("measured")), self._thinking_kinds),
                success_shift=self._nothing_shifts,
            )
        tally, kind = self._tallies["success_by_family"], KINDS["success_by_family"]
        if not tally.weight.any():
            return self._learned
        left = tally.left(kind, self._monotonic())
        return replace(self._learned, success_shift=_logit_shift(tally, kind, left=left, within=_TELLING))

    def cached_share(self, tenant_id: str) -> CachedShare | None:
        """What this tenant's requests had found cached when a snapshot was made last; None where nothing is known."""
        tally = self._tenants.get(tenant_id)
        return None if tally is None else CachedShare(tally.weight[0, :-1], tally.total[0, :-1])

    # -- between processes and over restarts

    def take_unsaved(self) -> list[Lesson]:
        """The sums of outcomes since the last call; give them to `restore` if they could not be saved."""
        self._take_in()
        unsaved, self._unsaved = self._unsaved, {}
        return [
            Lesson(kind, scope, self._ids[index], self._simulated[index], int(sums[0]), KINDS[kind].decay, *sums[1:])
            for (kind, scope, index), sums in unsaved.items()
        ]

    def restore(self, lessons: Iterable[Lesson]) -> None:
        """Take back what could not be saved."""
        self._take_in()
        for old in lessons:
            key = (old.kind, old.scope, self._index[old.endpoint])
            self._unsaved[key] = self._with_unsaved(key, old)

    def adopt(self, lessons: Iterable[Lesson]) -> bool:
        """Take over the sums of all workers from the store; what came in here since is added to them.

        Returns whether that taught anything.
        """
        self._take_in()
        taught, now = False, self._monotonic()
        for saved in lessons:
            index = self._index.get(saved.endpoint)
            if index is None or saved.kind not in KINDS or saved.simulated != self._simulated[index]:
                continue  # of an endpoint that is gone, or whose outcomes then were of another nature
            scopes = KINDS[saved.kind].scopes
            if scopes is not None and saved.scope not in scopes:
                continue
            tally, row = self._tally(saved.kind, saved.scope)
            kind, cell = KINDS[saved.kind], row * len(self._ids) + index
            fading = kind.half_life_s < math.inf
            known = self._faded(saved, (saved.kind, saved.scope, index), now) if fading else saved
            sums = self._with_unsaved((saved.kind, saved.scope, index), known)[1:]
            if np.allclose(sums, tally.sums(cell, kind, now), rtol=_SAME if fading else 1e-9, atol=0.0):
                continue  # the worker's own, come back
            tally.put(cell, now, sums)
            taught = True
            if not fading:
                self._learned = None
        return taught

    def _faded(self, saved: Lesson, key: tuple[str, str, int], now: float) -> Lesson:
        """The sums in the store, of which what was there when this worker last looked has faded since."""
        seen = self._stored.get(key)
        if seen is None or seen.outcomes > saved.outcomes:  # or the store has begun anew
            seen = _Stored(0, (0.0,) * 3, (0.0,) * 3, now)
        counted = saved.decay ** (saved.outcomes - seen.outcomes)
        left = counted * 0.5 ** ((now - seen.at) / KINDS[saved.kind].half_life_s)
        stored = (saved.weight, saved.total, saved.expected)
        new = [max(0.0, sums - old * counted) for sums, old in zip(stored, seen.sums, strict=True)]
        faded = [old * left + more for old, more in zip(seen.faded, new, strict=True)]
        self._stored[key] = _Stored(saved.outcomes, stored, faded, now)
        return replace(saved, weight=faded[0], total=faded[1], expected=faded[2])

    def _with_unsaved(self, key: tuple[str, str, int], old: Lesson) -> _Sums:
        """The sums of older outcomes and of those that came in since."""
        count, weight, total, expected = self._unsaved.get(key, _NOTHING)
        left = KINDS[old.kind].decay ** count
        return (
            old.outcomes + count,
            old.weight * left + weight,
            old.total * left + total,
            old.expected * left + expected,
        )

    def _tally(self, kind: str, scope: str) -> tuple[_Tally, int]:
        scopes = KINDS[kind].scopes
        if scopes is not None:
            return self._tallies[kind], scopes.index(scope)
        tally = self._tenants.get(scope)
        if tally is None:
            tally = self._tenants[scope] = _Tally(1, len(self._ids))
            if len(self._tenants) > _MOST_TENANTS:
                self._tenants.popitem(last=False)
        self._tenants.move_to_end(scope)
        return tally, 0

    def _ratios(self, kind: str) -> tuple[Floats, Floats]:
        """The usual ratio by family, and each endpoint's own on it: shapes (F,) and (F, E)."""
        weight = KINDS[kind].prior_weight
        tally = self._tallies[kind]
        usual = tally.mean(1.0, weight)[:, -1]
        return usual, tally.mean(usual[:, None], weight)[:, :-1]


def _logit_shift(
    tally: _Tally, kind: Kind, *, left: float | Floats = 1.0, within: tuple[float, float] = (0.0, 1.0)
) -> Floats:
    """Logit of the posterior share less that of the expected share, by scope and endpoint.

    `left` is what time has left of the outcomes; shares beyond `within` count as those.
    """
    seen = tally.weight > 0
    expected = np.where(seen, tally.expected / np.where(seen, tally.weight, 1.0), 0.5)
    share = (kind.prior_weight * expected + left * tally.total) / (kind.prior_weight + left * tally.weight)
    logit, expected_logit = (np.log(p / (1.0 - p)) for p in (np.clip(share, *within), np.clip(expected, *within)))
    shift: Floats = np.where(seen, logit - expected_logit, 0.0)
    return shift[:, :-1]
