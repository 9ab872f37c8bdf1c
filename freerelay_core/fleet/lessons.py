"""What outcomes teach beyond the catalogue: success, quality, schema, tokens, thinking and cached shares.

All are one kind of figure, a mean over recent outcomes on a prior:

    estimate = (W prior + total) / (W + weight)        weight, total: of the outcomes, each older one counting less

Quality differs in one point. A grade says little without how hard the question was, so `expected` sums what the
catalogue expected of the same answers; the gap between the two, on the logit scale of the Rasch model, holds at every
depth (with all grades at one depth it is the Beta posterior, exactly).

Outcomes of simulated endpoints are told apart in the store, and a real endpoint never reads them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freerelay_core.profile import OutputContract, RequestProfile, TaskFamily
from freerelay_core.scoring.reference import CACHED_FROM_TOKENS
from freerelay_core.snapshot import Learned, Snapshot
from freerelay_core.store import Lesson

__all__ = ["KINDS", "CachedShare", "Kind", "Lessons"]

Floats = npt.NDArray[np.float64]

ALL_ENDPOINTS = "*"
"""The endpoint of what is learned over all of them."""
_MOST_TENANTS = 10_000


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of figure: how much its prior weighs, in outcomes, and after how many an older one counts half."""

    prior_weight: float
    half_life: float
    scopes: tuple[str, ...] | None
    """What it is kept by beside the endpoint; None: by tenant."""

    @property
    def decay(self) -> float:
        """What one more outcome leaves of the older ones."""
        return float(0.5 ** (1.0 / self.half_life))


_FAMILIES = tuple(family.value for family in TaskFamily)
_CONTRACTS = tuple(contract.label for contract in OutputContract)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        # A handful of failures bends an expectation, a hundred replace it.
        "success": Kind(20, 200, ("",)),
        # On public outcomes of nine models twenty grades correct most of a wrong prior.
        "quality": Kind(10, 500, _FAMILIES),
        "schema": Kind(20, 200, _CONTRACTS),
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


class _Tally:
    """Sums over outcomes by scope and endpoint; arrays of shape (scopes, E)."""

    __slots__ = ("expected", "total", "weight")

    def __init__(self, scopes: int, endpoints: int) -> None:
        self.weight, self.total, self.expected = (np.zeros((scopes, endpoints)) for _ in range(3))

    def add(self, scope: int, endpoint: int, decay: float, value: float, expected: float) -> None:
        for sums, part in ((self.weight, 1.0), (self.total, value), (self.expected, expected)):
            sums[scope, endpoint] = sums[scope, endpoint] * decay + part

    def mean(self, prior: float | Floats, prior_weight: float) -> Floats:
        mean: Floats = (prior_weight * prior + self.total) / (prior_weight + self.weight)
        return mean


class Lessons:
    """What the endpoints of a snapshot have taught; for one event loop. The last column is over all endpoints."""

    def __init__(self, base: Snapshot) -> None:
        self._ids = (*base.endpoint_ids, ALL_ENDPOINTS)
        self._index = {name: index for index, name in enumerate(self._ids)}
        self._simulated = (*base.simulated.tolist(), bool(base.simulated.all()))
        self._thinking = base.learned.thinking_tokens
        self._tallies = {
            name: _Tally(len(kind.scopes), len(self._ids)) for name, kind in KINDS.items() if kind.scopes is not None
        }
        self._tenants: OrderedDict[str, _Tally] = OrderedDict()
        self._unsaved: dict[tuple[str, str, int], list[float]] = {}  # outcomes, weight, total, expected
        self._learned: Learned | None = None

    def record(self, kind: str, scope: str, endpoint: int, value: float, *, expected: float = 0.0) -> None:
        """Take in one outcome: a share, ratio or number of tokens, as the kind has it."""
        decay = KINDS[kind].decay
        tally, row = self._tally(kind, scope)
        tally.add(row, endpoint, decay, value, expected)
        if kind != "success":
            self._learned = None
        unsaved = self._unsaved.setdefault((kind, scope, endpoint), [0, 0.0, 0.0, 0.0])
        unsaved[0] += 1
        for part, new in ((1, 1.0), (2, value), (3, expected)):
            unsaved[part] = unsaved[part] * decay + new

    def record_for_all(self, kind: str, scope: str, value: float) -> None:
        """Take in one outcome of no matter which endpoint."""
        self.record(kind, scope, len(self._ids) - 1, value)

    def success(self, prior: Floats) -> Floats:
        """Expected share of answered requests of each endpoint, on its prior share; shape (E,)."""
        return self._tallies["success"].mean(np.append(prior, 1.0), KINDS["success"].prior_weight)[0, :-1]

    def learned(self) -> Learned:
        """All figures but success, as arrays for a snapshot."""
        if self._learned is None:
            usual_input, input_ratio = self._ratios("input_ratio")
            usual_output, output_ratio = self._ratios("output_ratio")
            thinking, schema, quality = (self._tallies[name] for name in ("thinking_tokens", "schema", "quality"))
            prior_thinking = np.pad(self._thinking, ((0, 0), (0, 1)))
            self._learned = Learned(
                thinking_tokens=thinking.mean(prior_thinking, KINDS["thinking_tokens"].prior_weight)[:, :-1],
                input_ratio=input_ratio,
                output_ratio=output_ratio,
                usual_input_ratio=usual_input,
                usual_output_ratio=usual_output,
                quality_shift=_logit_shift(quality, KINDS["quality"].prior_weight)[:, :-1],
                graded=quality.weight[:, :-1].copy(),
                schema_kept=schema.total[:, :-1].copy(),
                schema_seen=schema.weight[:, :-1].copy(),
            )
        return self._learned

    def cached_share(self, tenant_id: str) -> CachedShare | None:
        """What this tenant's requests found cached; None where nothing is known of it."""
        tally = self._tenants.get(tenant_id)
        return None if tally is None else CachedShare(tally.weight[0, :-1], tally.total[0, :-1])

    # -- between processes and over restarts

    def take_unsaved(self) -> list[Lesson]:
        """The sums of outcomes since the last call; give them to `restore` if they could not be saved."""
        unsaved, self._unsaved = self._unsaved, {}
        return [
            Lesson(kind, scope, self._ids[index], self._simulated[index], int(sums[0]), KINDS[kind].decay, *sums[1:])
            for (kind, scope, index), sums in unsaved.items()
        ]

    def restore(self, lessons: Iterable[Lesson]) -> None:
        """Take back what could not be saved."""
        for old in lessons:
            key = (old.kind, old.scope, self._index[old.endpoint])
            self._unsaved[key] = self._with_unsaved(key, old)

    def adopt(self, lessons: Iterable[Lesson]) -> bool:
        """Take over the sums of all workers from the store; what came in here since is added to them.

        Returns whether that taught anything.
        """
        taught = False
        for saved in lessons:
            index = self._index.get(saved.endpoint)
            if index is None or saved.kind not in KINDS or saved.simulated != self._simulated[index]:
                continue  # of an endpoint that is gone, or whose outcomes then were of another nature
            scopes = KINDS[saved.kind].scopes
            if scopes is not None and saved.scope not in scopes:
                continue
            tally, row = self._tally(saved.kind, saved.scope)
            sums = self._with_unsaved((saved.kind, saved.scope, index), saved)[1:]
            known = [tally.weight[row, index], tally.total[row, index], tally.expected[row, index]]
            if np.allclose(sums, known, rtol=1e-9, atol=0.0):
                continue  # the worker's own, come back
            tally.weight[row, index], tally.total[row, index], tally.expected[row, index] = sums
            self._learned, taught = None, True
        return taught

    def _with_unsaved(self, key: tuple[str, str, int], old: Lesson) -> list[float]:
        """The sums of older outcomes and of those that came in since."""
        new = self._unsaved.get(key, [0, 0.0, 0.0, 0.0])
        left = KINDS[old.kind].decay ** new[0]
        return [
            old.outcomes + new[0],
            old.weight * left + new[1],
            old.total * left + new[2],
            old.expected * left + new[3],
        ]

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


def _logit_shift(tally: _Tally, prior_weight: float) -> Floats:
    """Logit of the posterior share of good answers less that of the expected share."""
    graded = tally.weight > 0
    expected = np.where(graded, tally.expected / np.where(graded, tally.weight, 1.0), 0.5)
    share = (prior_weight * expected + tally.total) / (prior_weight + tally.weight)
    shift: Floats = np.where(graded, np.log(share / (1.0 - share)) - np.log(expected / (1.0 - expected)), 0.0)
    return shift
