"""What the router knows of a request before anyone has answered it."""

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
from freerelay_core.profile.conversation import read_conversation
from freerelay_core.profile.known import KnownProfiles
from freerelay_core.profile.reading import profile_request, rounded_tokens
from freerelay_core.profile.values import ProfileBatch, RequestProfile

__all__ = [
    "NEEDS",
    "Depth",
    "Determinism",
    "Economics",
    "KnownProfiles",
    "LatencyClass",
    "OutputContract",
    "Precision",
    "ProfileBatch",
    "RequestProfile",
    "TaskFamily",
    "ToolDependence",
    "Topology",
    "profile_request",
    "read_conversation",
    "rounded_tokens",
]
