"""A small share of requests is sent first to an endpoint that nobody has asked of late, where it costs little.

A router that always takes the best never learns that another one has become better: what is new or has recovered
would stay what the catalogue or its last failures say. So a request is an exploration with the probability `share`
where some ranked endpoint is

- close: its utility is at least `CLOSE` of the winner's, so that the request loses at most a fifth of it, and all
  requests together at most a fifth of `share`;
- unsettled: its expected success rests on fewer than `SETTLED` recent outcomes (of all workers; each counts half after
  ten minutes, `fleet.lessons`), so that nobody is flooded: after five answers the place is taken by the next;
- real: a simulated endpoint behaves as the catalogue says, there is nothing to find out.

All of these are equally likely. The ranking stays what it is; only the order of trying changes. Chance is in the
decision's id alone, so a decision on record says again what was tried and with what probability (its propensity), which
is what an estimate of another policy from the log needs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freerelay_core.snapshot import Snapshot

__all__ = ["CLOSE", "SETTLED", "chance_of", "unsettled"]

CLOSE = 0.8
"""Least share of the winner's utility; assumed. Four times as far away as what is called about equal."""
SETTLED = 5.0
"""Recent outcomes from which on an endpoint is known; as many failures in a row as open a breaker."""

_BITS = 48
_LOG_CLOSE = float(np.log(CLOSE))


def unsettled(order: Sequence[int], log_utilities: npt.NDArray[np.float64], snapshot: Snapshot) -> tuple[int, ...]:
    """Those of the ranked endpoints (`order`, best first) but the first that an exploration may try, best first."""
    found: list[int] = []
    if not order:
        return ()
    least = log_utilities[order[0]] + _LOG_CLOSE
    for e in order[1:]:
        if log_utilities[e] < least:  # and so are all that follow
            break
        if snapshot.outcomes[e] < SETTLED and not snapshot.simulated[e]:
            found.append(e)
    return tuple(found)


def chance_of(decision_id: str) -> float:
    """A number in [0, 1) that the random bits at the end of a decision's id (`clock.id_at`) stand for."""
    digits: float = int(decision_id[-_BITS // 4 :], 16) / 2**_BITS
    return digits
