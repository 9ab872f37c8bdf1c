"""The values of a request profile: one request as the router sees it, and many of them as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "NEEDS",
    "Depth",
    "LatencyClass",
    "OutputContract",
    "ProfileBatch",
    "RequestProfile",
    "TaskFamily",
]


class TaskFamily(StrEnum):
    """What kind of work is asked for; decides which ability counts."""

    CHAT = "chat"
    CLASSIFY = "classify"
    EXTRACT = "extract"
    TRANSLATE = "translate"
    SUMMARIZE = "summarize"
    RAG = "rag"
    CODE = "code"
    MATH = "math"
    AGENT = "agent"
    PLAN = "plan"
    JUDGE = "judge"
    LEGAL = "legal"
    CREATIVE = "creative"
    VISION = "vision"


class Depth(IntEnum):
    """How hard the request is."""

    TRIVIAL = 0
    EASY = 1
    STANDARD = 2
    HARD = 3
    EXPERT = 4

    @property
    def label(self) -> str:
        return self.name.lower()


class LatencyClass(IntEnum):
    """How urgently an answer is awaited."""

    REALTIME = 0
    INTERACTIVE = 1
    STANDARD = 2
    BATCH = 3

    @property
    def label(self) -> str:
        return self.name.lower()


class OutputContract(IntEnum):
    """What form the answer must have. `STRICT` is a JSON schema with `strict: true`."""

    TEXT = 0
    JSON = 1
    SCHEMA = 2
    STRICT = 3

    @property
    def label(self) -> str:
        return self.name.lower()


NEEDS = ("tools", "vision", "logprobs", "confidential")
"""Capabilities that a request may need; without them an endpoint is excluded."""


@dataclass(frozen=True, slots=True)
class RequestProfile:
    """One request as the router sees it. Token counts are expectations, in tokens."""

    family: TaskFamily = TaskFamily.CHAT
    depth: Depth = Depth.EASY
    latency_class: LatencyClass = LatencyClass.STANDARD
    contract: OutputContract = OutputContract.TEXT
    input_tokens: int = 0
    cached_tokens: int = 0
    """Part of `input_tokens` expected in the provider's prompt cache."""
    output_tokens: int = 0
    needs: frozenset[str] = frozenset()
    locked_down: bool = False
    """The safety posture: content that should stay with endpoints cleared for confidential use."""
    stream: bool = False
    hour_utc: int = 0
    """Hour of the day (UTC) whose prices apply."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why the family and the depth are what they are."""

    def as_dict(self) -> dict[str, Any]:
        """The shape in which the API, the log and reports show it; `from_dict` reads it back."""
        return {
            "family": self.family.value,
            "depth": self.depth.label,
            "latency_class": self.latency_class.label,
            "contract": self.contract.label,
            "input_tokens": self.input_tokens,
            "cached_tokens": self.cached_tokens,
            "output_tokens": self.output_tokens,
            "needs": sorted(self.needs),
            "locked_down": self.locked_down,
            "stream": self.stream,
            "hour_utc": self.hour_utc,
            "reasons": dict(self.reasons),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RequestProfile:
        """The profile that `as_dict` wrote."""
        return cls(
            **{
                **values,
                "family": TaskFamily(values["family"]),
                "depth": Depth[values["depth"].upper()],
                "latency_class": LatencyClass[values["latency_class"].upper()],
                "contract": OutputContract[values["contract"].upper()],
                "needs": frozenset(values["needs"]),
            }
        )


@dataclass(frozen=True, slots=True)
class ProfileBatch:
    """R profiles as arrays of shape (R,); a live request is the batch of one. `needs` has the shape (needs, R)."""

    family: npt.NDArray[np.intp]
    depth: npt.NDArray[np.intp]
    latency_class: npt.NDArray[np.intp]
    contract: npt.NDArray[np.intp]
    input_tokens: npt.NDArray[np.float64]
    cached_tokens: npt.NDArray[np.float64]
    output_tokens: npt.NDArray[np.float64]
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
        """The request in this row; whether it streams is not kept in a batch."""
        return RequestProfile(
            family=_FAMILIES[self.family[row]],
            depth=Depth(self.depth[row]),
            latency_class=LatencyClass(self.latency_class[row]),
            contract=OutputContract(self.contract[row]),
            input_tokens=int(self.input_tokens[row]),
            cached_tokens=int(self.cached_tokens[row]),
            output_tokens=int(self.output_tokens[row]),
            needs=frozenset(need for need, wanted in zip(NEEDS, self.needs[:, row], strict=True) if wanted),
            locked_down=bool(self.locked_down[row]),
            hour_utc=int(self.hour_utc[row]),
        )

    @classmethod
    def of(cls, profiles: Sequence[RequestProfile]) -> ProfileBatch:
        """The arrays of these profiles, in order."""
        codes = np.array(
            [(_FAMILY_INDEX[p.family], p.depth, p.latency_class, p.contract, p.hour_utc) for p in profiles],
            dtype=np.intp,
        ).T
        tokens = np.array([(p.input_tokens, p.cached_tokens, p.output_tokens) for p in profiles], dtype=np.float64).T
        flags = np.array([(p.locked_down, *(need in p.needs for need in NEEDS)) for p in profiles], dtype=np.bool_).T
        family, depth, latency_class, contract, hour_utc = codes
        input_tokens, cached_tokens, output_tokens = tokens
        return cls(
            family=family,
            depth=depth,
            latency_class=latency_class,
            contract=contract,
            input_tokens=input_tokens,
            cached_tokens=cached_tokens,
            output_tokens=output_tokens,
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
        repeated = {name: np.repeat(getattr(one, name), count, axis=-1) for name in cls.__slots__}
        return cls(**{**repeated, "input_tokens": input_tokens, "output_tokens": output_tokens, "hour_utc": hour_utc})


_FAMILIES = tuple(TaskFamily)
_FAMILY_INDEX = {family: index for index, family in enumerate(_FAMILIES)}
