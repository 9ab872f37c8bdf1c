"""What the router knows of a request before anyone has answered it."""

from freerelay_core.profile.reading import profile_request
from freerelay_core.profile.values import (
    NEEDS,
    Depth,
    LatencyClass,
    OutputContract,
    ProfileBatch,
    RequestProfile,
    TaskFamily,
)

__all__ = [
    "NEEDS",
    "Depth",
    "LatencyClass",
    "OutputContract",
    "ProfileBatch",
    "RequestProfile",
    "TaskFamily",
    "profile_request",
]
