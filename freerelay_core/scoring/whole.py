"""Whether an answer comes whole within the limit that its request states (`max_tokens`): thinking uses it up first."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["log_whole"]

Floats = npt.NDArray[np.float64]
Figure: TypeAlias = float | Floats


_MEDIAN_OVER_MEAN = 2.0 / np.pi


def log_whole(limit: Figure, answer: Figure, thinking: Floats) -> Floats:
    """Natural logarithm of the share of answers that come whole, or by half at least; all in tokens.

    The others think so long that a torso comes, or nothing. Thinking is taken as log-logistic of shape 2 with the
    expected mean m, so that P(thinking <= r) = 1 / (1 + (2 m / (pi r))^2) for the room r: every tenth time it is three
    times its median of 2 m / pi, every tenth a third. Assumed. Without thinking all are whole, however low the limit:
    whoever states it wants no longer answer.
    """
    room = np.subtract(limit, np.minimum(answer, limit) / 2.0)
    log_share: Floats = -np.log1p(np.square(_MEDIAN_OVER_MEAN * thinking / room))
    return log_share
