"""The values of a request profile: one request as the router sees it, and many of them as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freerelay_core.profile.axes import (
    NEEDS,
    Depth,
    Determinism,
    Economics,
    LatencyClass,
    OutputContract,
    Precision,
    TaskFamily,
    ToolDependence,
    Topology,
)

__all__ = ["ProfileBatch", "RequestProfile"]


class RequestProfile(NamedTuple):
    """One request as the router sees it. Token counts are expectations, in tokens.

    A tuple, because one is made for every request and a frozen dataclass of so many fields takes six times as long.
    """

    family: TaskFamily = TaskFamily.CHAT
    depth: Depth = Depth.EASY
    latency_class: LatencyClass = LatencyClass.STANDARD
    contract: OutputContract = OutputContract.TEXT
    precision: Precision = Precision.NORMAL
    topology: Topology = Topology.SINGLE
    tool_dependence: ToolDependence = ToolDependence.NONE
    determinism: Determinism = Determinism.DEFAULT
    economics: Economics = Economics.STANDARD
    input_tokens: int = 0
    cached_tokens: int = 0
    """Part of `input_tokens` expected in the provider's prompt cache."""
    output_tokens: int = 0
    """Of one answer."""
    answers: int = 1
    """How many are asked for; each is written and paid for by itself, all at the same time."""
    answer_limit: int | None = None
    """The most tokens that an answer may have, its thinking included; None where the request does not say."""
    needs: frozenset[str] = frozenset()
    locked_down: bool = False
    """The safety posture: content that should stay with endpoints cleared for confidential use."""
    stream: bool = False
    hour_utc: int = 0
    """Hour of the day (UTC) whose prices apply."""
    reasons: Mapping[str, str] = {}  # nobody writes into it; a proxy could not be sent to another process
    """Why the family and the depth are what they are."""

    def as_dict(self) -> dict[str, Any]:
        """The shape in which the API, the log and reports show it; `from_dict` reads it back."""
        return {
            "family": self.family.value,
            **{name: getattr(self, name).label for name in _LEVELS},
            "input_tokens": self.input_tokens,
            "cached_tokens": self.cached_tokens,
            "output_tokens": self.output_tokens,
            "answers": self.answers,
            "answer_limit": self.answer_limit,
            "needs": sorted(self.needs),
            "locked_down": self.locked_down,
            "stream": self.stream,
            "hour_utc": self.hour_utc,
            "reasons": dict(self.reasons),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RequestProfile:
        """The profile that `as_dict` wrote, in this release or before what is in `_ADDED` existed."""
        known = {**_ADDED, **values}
        levels: dict[str, Any] = {name: level[known[name].upper()] for name, level in _LEVELS.items()}
        family, needs = TaskFamily(known["family"]), frozenset(known["needs"])
        return cls(**{**known, **levels, "family": family, "needs": needs})


_LEVELS = {
    "depth": Depth,
    "latency_class": LatencyClass,
    "contract": OutputContract,
    "precision": Precision,
    "topology": Topology,
    "tool_dependence": ToolDependence,
    "determinism": Determinism,
    "economics": Economics,
}
"""Axes that are levels, by the name of their field."""

_ADDED = {
    name: RequestProfile().as_dict()[name]
    for name in ("precision", "topology", "tool_dependence", "determinism", "economics", "answers", "answer_limit")
}
"""What older records lack, and what stands for it."""


@dataclass(frozen=True, slots=True)
class ProfileBatch:
    """R profiles as arrays of shape (R,); a live request is the batch of one. `needs` has the shape (needs, R)."""

    family: npt.NDArray[np.intp]
    depth: npt.NDArray[np.intp]
    latency_class: npt.NDArray[np.intp]
    contract: npt.NDArray[np.intp]
    precision: npt.NDArray[np.intp]
    topology: npt.NDArray[np.intp]
    tool_dependence: npt.NDArray[np.intp]
    determinism: npt.NDArray[np.intp]
    economics: npt.NDArray[np.intp]
    input_tokens: npt.NDArray[np.float64]
    cached_tokens: npt.NDArray[np.float64]
    output_tokens: npt.NDArray[np.float64]
    answers: npt.NDArray[np.float64]
    answer_limit: npt.NDArray[np.float64]
    """Infinite where a request states none."""
    needs: npt.NDArray[np.bool_]
    locked_down: npt.NDArray[np.bool_]
    hour_utc: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.family)

    def __getitem__(self, rows: slice | npt.NDArray[np.intp]) -> ProfileBatch:
        """The profiles of these rows."""
        return ProfileBatch(
            *(getattr(self, name)[..., rows] for name in self.__slots__)  # every array ends in the request axis
        )

    def profile(self, row: int) -> RequestProfile:
        """The request in this row; that it streams is kept as a need alone."""
        return RequestProfile(
            family=_FAMILIES[self.family[row]],
            **self._levels(row),
            input_tokens=int(self.input_tokens[row]),
            cached_tokens=int(self.cached_tokens[row]),
            output_tokens=int(self.output_tokens[row]),
            answers=int(self.answers[row]),
            answer_limit=None if np.isinf(self.answer_limit[row]) else int(self.answer_limit[row]),
            needs=frozenset(need for need, wanted in zip(NEEDS, self.needs[:, row], strict=True) if wanted),
            locked_down=bool(self.locked_down[row]),
            hour_utc=int(self.hour_utc[row]),
        )

    def _levels(self, row: int) -> dict[str, Any]:
        return {name: level(getattr(self, name)[row]) for name, level in _LEVELS.items()}

    @classmethod
    def of(cls, profiles: Sequence[RequestProfile]) -> ProfileBatch:
        """The arrays of these profiles, in order."""
        codes = np.array(
            [(_FAMILY_INDEX[p.family], p.hour_utc, *(getattr(p, name) for name in _LEVELS)) for p in profiles],
            dtype=np.intp,
        ).T
        counts = np.array(
            [
                (
                    p.input_tokens,
                    p.cached_tokens,
                    p.output_tokens,
                    p.answers,
                    np.inf if p.answer_limit is None else p.answer_limit,
                )
                for p in profiles
            ],
            dtype=np.float64,
        ).T
        flags = np.array([(p.locked_down, *(need in p.needs for need in NEEDS)) for p in profiles], dtype=np.bool_).T
        family, hour_utc, *levels = codes
        input_tokens, cached_tokens, output_tokens, answers, answer_limit = counts
        return cls(
            family=family,
            **dict(zip(_LEVELS, levels, strict=True)),
            input_tokens=input_tokens,
            cached_tokens=cached_tokens,
            output_tokens=output_tokens,
            answers=answers,
            answer_limit=answer_limit,
            needs=flags[1:],
            locked_down=flags[0],
            hour_utc=hour_utc,
        )

    @classmethod
    def uniform(
        cls,
        profile: RequestProfile,
        *,
        input_tokens: npt.NDArray[np.float64],
        output_tokens: npt.NDArray[np.float64],
        hour_utc: npt.NDArray[np.intp],
    ) -> ProfileBatch:
        """Requests that are all like `profile` but for their tokens and hour, arrays of shape (R,)."""
        one, count = cls.of([profile]), len(input_tokens)
        # Seen `count` times, held once.
        repeated = {
            name: np.broadcast_to(getattr(one, name), (*getattr(one, name).shape[:-1], count)) for name in cls.__slots__
        }
        return cls(**{**repeated, "input_tokens": input_tokens, "output_tokens": output_tokens, "hour_utc": hour_utc})


_FAMILIES = tuple(TaskFamily)
_FAMILY_INDEX = {family: index for index, family in enumerate(_FAMILIES)}
