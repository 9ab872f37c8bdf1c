"""What the router says to a provider and hears from it, whatever the vendor.

An `UpstreamRequest` is answered by an `UpstreamAnswer` of whatever status; `UpstreamError` means there was no answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from freerelay_core.catalogue import Endpoint, Provider
from freerelay_core.profile import RequestProfile

__all__ = ["ErrorKind", "ProviderClient", "UpstreamAnswer", "UpstreamError", "UpstreamRequest", "UpstreamTimes"]

ErrorKind = Literal["unreachable", "timeout", "disconnected", "malformed"]


@dataclass(slots=True)
class UpstreamRequest:
    """One attempt at one endpoint. Not frozen: that would make it three times as slow to make; nobody changes it."""

    endpoint: Endpoint
    index: int
    """The endpoint's position in the snapshot."""
    provider: Provider
    body: bytes
    """The complete JSON to send."""
    stream: bool
    profile: RequestProfile
    thinking_tokens: float
    """Expected before the answer."""
    decision_id: str
    attempt: int
    """1 for the first try of a decision."""
    first_byte_limit_s: float
    total_limit_s: float


@dataclass(frozen=True, slots=True)
class UpstreamTimes:
    """What an answer took, s, where that differs from the time that passed here (simulated waits are scaled)."""

    first_token_s: float
    duration_s: float


class UpstreamError(Exception):
    """The provider gave no answer, or broke off in the middle of one."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class UpstreamAnswer(Protocol):
    """An answer whose status and headers are there. Read it by `body` or by `chunks`, then `close`."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names are in lower case."""

    @property
    def times(self) -> UpstreamTimes | None:
        """Only where they are not the time that passed; complete once the answer has been read."""

    async def body(self) -> bytes:
        """The whole body. Raises `UpstreamError`."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises `UpstreamError`."""

    async def close(self, *, finished: bool = False) -> None:
        """Let go of it. What is not read to its end is cancelled at the provider, unless nothing of it is missing
        (`finished`): then only the end itself may still come.
        """


class ProviderClient(Protocol):
    """Speaks to one or many providers."""

    @property
    def pace(self) -> float:
        """Seconds that pass here for each second that an answer takes; 1 unless waits are scaled."""

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """The provider's answer, of whatever status. Raises `UpstreamError`."""

    async def close(self) -> None:
        """Release every connection."""
