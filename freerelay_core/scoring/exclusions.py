"""What the operator's rules and the endpoints' abilities leave out: exclusions, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from freerelay_core.scoring import reference
from freerelay_core.snapshot import AVAILABLE, BREAKER_OPEN, Snapshot

__all__ = [
    "NO_DIRECTIVES",
    "OF_LENGTH",
    "OF_REQUEST",
    "STANDING",
    "Directives",
    "Excluded",
    "codes_where",
    "despite_breakers",
    "ruled_out",
    "stuck",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]
Figure: TypeAlias = float | Floats
"""A number of one request, or a column of shape (R, 1)."""


class Excluded(IntEnum):
    """Why an endpoint cannot serve a request; where several hold, the highest is named."""

    NO = 0
    BUDGET_GONE = 1  # low: named only where money alone is missing, so that a refusal may speak of money
    CONTEXT_TOO_SMALL = 2
    OUTPUT_LIMIT_TOO_SMALL = 3
    NO_LOGPROBS = 4
    NO_STRUCTURED_OUTPUT = 5
    NO_TOOLS = 6
    NO_VISION = 7
    NOT_CONFIDENTIAL = 8
    UNPRICED = 9
    QUOTA_GONE = 10
    PROVIDER_BUDGET_GONE = 11
    COOLING_DOWN = 12
    BREAKER_OPEN = 13
    SIMULATED = 14
    NO_JSON_MODE = 15
    OVER_MAX_LATENCY = 16
    OVER_MAX_COST = 17
    OUTSIDE_REQUIRED = 18
    EXCLUDED_BY_RULE = 19
    NOT_REQUESTED = 20
    WITHDRAWN = 21
    OVER_TOKEN_LIMIT = 22
    NO_CHOICES = 23
    NO_LOGIT_BIAS = 24
    NO_STREAMING = 25

    @property
    def reason(self) -> str:
        """The stable name that programs read."""
        return self.name.lower()


OF_LENGTH = frozenset({Excluded.CONTEXT_TOO_SMALL, Excluded.OUTPUT_LIMIT_TOO_SMALL, Excluded.OVER_TOKEN_LIMIT})
"""The request is too long."""
OF_REQUEST = OF_LENGTH | {
    Excluded.NO_LOGPROBS,
    Excluded.NO_STRUCTURED_OUTPUT,
    Excluded.NO_TOOLS,
    Excluded.NO_VISION,
    Excluded.NOT_CONFIDENTIAL,
    Excluded.NO_CHOICES,
    Excluded.NO_LOGIT_BIAS,
    Excluded.NO_STREAMING,
}
"""What the request asks for is in the way: its sender can ask for something else."""
STANDING = OF_REQUEST | {Excluded.UNPRICED, Excluded.SIMULATED, Excluded.NOT_REQUESTED, Excluded.WITHDRAWN}
"""Waiting changes nothing about these, and no rule of the operator's is behind them."""


@dataclass(frozen=True)
class Directives:
    """What the operator's rules ask. Masks have the shape (R, E), or (E,) for all alike; None where no rule speaks."""

    prefer: Bools | None = None
    exclude: Bools | None = None
    policy_weight: Figure = reference.POLICY_WEIGHT
    """How much a preferred endpoint is worth over the rest."""
    only: Bools | None = None
    """The endpoints that the caller named (a pinned model)."""

    @cached_property
    def log_policy(self) -> Figure:
        """Log of the policy factor: 1 for what a rule prefers and for all where none does, 1 / weight for the rest."""
        if self.prefer is None:
            return 0.0
        speaks = self.prefer.any(axis=-1, keepdims=True)
        return np.where(self.prefer | ~speaks, 0.0, -np.log(self.policy_weight))


NO_DIRECTIVES = Directives()


def codes_where(mask: Bools, code: Excluded) -> Codes:
    """The code where the mask is true, else 0."""
    return np.where(mask, np.int8(code), np.int8(Excluded.NO))


def ruled_out(codes: Codes, directives: Directives) -> Codes:
    """The codes, and what a rule or the caller's own choice leaves out."""
    if directives.exclude is not None:
        codes = np.maximum(codes, codes_where(directives.exclude, Excluded.EXCLUDED_BY_RULE))
    if directives.only is not None:
        codes = np.maximum(codes, codes_where(~directives.only, Excluded.NOT_REQUESTED))
    return codes


def stuck(excluded: Codes) -> Bools:
    """Whether nothing is left for a request, shape (R,) or a single one, though something fails that might serve it.

    A breaker hides what else an endpoint lacks, so it is evaluated again at `despite_breakers`.
    """
    nothing: Bools = (excluded != Excluded.NO).all(axis=-1) & (excluded == Excluded.BREAKER_OPEN).any(axis=-1)
    return nothing


@lru_cache(maxsize=16)
def despite_breakers(snapshot: Snapshot) -> Snapshot:
    """The snapshot as if every breaker were closed: for requests that nothing else can serve."""
    availability = np.where(snapshot.availability == BREAKER_OPEN, AVAILABLE, snapshot.availability)
    return replace(snapshot, availability=availability.astype(np.int8))
