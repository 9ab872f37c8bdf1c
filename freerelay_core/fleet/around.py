"""What an endpoint did around one of its outcomes, beside which the family of that outcome is judged."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["Around", "Outcome"]

_AROUND = 21
"""How many outcomes of an endpoint, the judged one in their middle, say what it did around then. A mean of those
before alone would blame the beginning of an outage on whoever was asked for, on top of what it says of the endpoint."""


class Outcome(NamedTuple):
    """An outcome that its family is still to be judged by, or that others are compared with."""

    family: str
    value: float
    part: float
    """Share of it by which the family is judged."""
    at: float
    """When it came, s."""


class Around:
    """The last outcomes of an endpoint: the one in the middle is judged beside the others."""

    __slots__ = ("_outcomes", "_total")

    def __init__(self) -> None:
        self._outcomes: deque[Outcome] = deque()
        self._total = 0.0

    def add(self, outcome: Outcome) -> None:
        """Take in the newest; the oldest is let go of."""
        self._outcomes.append(outcome)
        self._total += outcome.value
        if len(self._outcomes) > _AROUND:
            self._total -= self._outcomes.popleft().value

    def judged(self, within_s: float) -> Outcome | None:
        """The outcome in the middle; None while there are too few, or where they are too far apart to tell."""
        outcomes = self._outcomes
        if len(outcomes) < _AROUND or outcomes[-1].at - outcomes[0].at > within_s:
            return None
        return outcomes[_AROUND // 2]

    @property
    def mean(self) -> float:
        """Mean value of all of them, the judged one included."""
        return self._total / len(self._outcomes)
