"""Why a total may fall although prices rise: requests whose first choice moves to something cheaper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from freerelay_core.simulation.replay import PreferenceResult
from freerelay_core.simulation.whatif import WhatIf

__all__ = ["CheaperMove", "fall_despite_rise"]


@dataclass(frozen=True, slots=True, eq=False)
class CheaperMove:
    """Requests whose first choice moves from one endpoint to one that costs less for them."""

    old: str
    new: str
    before: PreferenceResult
    """Of these requests at `old`, as now."""
    after: PreferenceResult
    """Of them at `new`."""
    requests: int
    moved: int
    """All requests that move to an endpoint that is cheaper for them, these among them."""


def fall_despite_rise(result: WhatIf) -> CheaperMove | None:
    """The move that saves most, where prices rise and requests that both sides serve cost less all the same.

    None where no price rises, the cost does not fall, or it falls more by cheaper prices than by moves.
    """
    before, after = result.baseline, result.changed
    moved = before.winners != after.winners
    saved = np.where(result.both_served, before.costs_usd - after.costs_usd, 0.0)
    if not result.dearer or saved.sum() <= 0 or result.total_usd(after) >= result.total_usd(before):
        return None
    if saved[moved].sum() <= saved[~moved].sum():
        return None
    cheaper = moved & (saved > 0)
    size = len(before.endpoint_ids)
    pairs, place = np.unique(before.winners[cheaper] * size + after.winners[cheaper], return_inverse=True)
    most = int(np.bincount(place, weights=saved[cheaper]).argmax())
    old, new = divmod(int(pairs[most]), size)
    rows = np.flatnonzero(cheaper)[place == most]
    return CheaperMove(
        old=before.endpoint_ids[old],
        new=before.endpoint_ids[new],
        before=before.of(rows),
        after=after.of(rows),
        requests=len(rows),
        moved=int(cheaper.sum()),
    )
