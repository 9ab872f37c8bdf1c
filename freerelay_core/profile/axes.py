"""The ten axes of a request profile: what a request is, each on a scale of few values."""

from __future__ import annotations

from enum import IntEnum, StrEnum

__all__ = [
    "NEEDS",
    "Depth",
    "Determinism",
    "Economics",
    "LatencyClass",
    "OutputContract",
    "Precision",
    "TaskFamily",
    "ToolDependence",
    "Topology",
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


class _Level(IntEnum):
    """A scale whose values have the lower-case name that people and rules read."""

    label: str

    def __init__(self, _: int) -> None:
        self.label = self.name.lower()  # kept, since every record of a request writes eight of them


class Depth(_Level):
    """How hard the request is."""

    TRIVIAL = 0
    EASY = 1
    STANDARD = 2
    HARD = 3
    EXPERT = 4


class Precision(_Level):
    """How far an answer may stray: `EXACT` has one right answer that can be checked, `LOOSE` has many good ones."""

    LOOSE = 0
    NORMAL = 1
    EXACT = 2


class LatencyClass(_Level):
    """How urgently an answer is awaited."""

    REALTIME = 0
    INTERACTIVE = 1
    STANDARD = 2
    BATCH = 3


class Topology(_Level):
    """How the context is built: one message, turns, a long text, passages that were looked up, or results of tools."""

    SINGLE = 0
    CONVERSATION = 1
    LONG_DOCUMENT = 2
    RETRIEVED = 3
    TOOL_LOOP = 4


class ToolDependence(_Level):
    """How much hangs on tools: `REQUIRED` where the answer must be a call, `IN_USE` once results of calls are there."""

    NONE = 0
    OFFERED = 1
    REQUIRED = 2
    IN_USE = 3


class Determinism(_Level):
    """How alike two answers should be: `FREE` at a high temperature, `FIXED` at temperature 0 or with a seed."""

    FREE = 0
    DEFAULT = 1
    FIXED = 2


class OutputContract(_Level):
    """What form the answer must have. `STRICT` is a JSON schema with `strict: true`."""

    TEXT = 0
    JSON = 1
    SCHEMA = 2
    STRICT = 3


class Economics(_Level):
    """What the caller would pay for: `BULK` may wait to be cheap, `PRIORITY` may cost more to be served first."""

    BULK = 0
    STANDARD = 1
    PRIORITY = 2


NEEDS = ("tools", "vision", "logprobs", "confidential", "choices", "logit_bias", "streaming")
"""Capabilities that a request may need; without them an endpoint is excluded."""
