"""One request on its way: what was tried, what is answered, and the outcome that goes on record.

    trying --first content--> committed --relay--> finished
       |                          `--provider broke off, client left, shutdown--> interrupted (error event, no [DONE])
       `--nothing left to try--> failed (`error` is set; no byte was sent)

Once committed no other provider is asked: two models never speak in one answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from freerelay_core.clock import Clock
from freerelay_core.decision import Decision
from freerelay_core.errors import FreeRelayError, Interrupted
from freerelay_core.fleet import UNCOUNTED, Fleet, Reservation
from freerelay_core.profile import TaskFamily
from freerelay_core.providers import EventReader, UpstreamAnswer, UpstreamError, Usage
from freerelay_core.router.quota import settle

__all__ = ["CLIENT_LEFT", "Answer", "Attempt", "AttemptFailed", "Execution", "Interrupted", "Stream", "error_event"]

CLIENT_LEFT = 499
"""Status on record when the client went away before the end; nobody receives it."""

_DONE = b"data: [DONE]\n\n"


@dataclass(slots=True)
class Attempt:
    """One try at one endpoint."""

    index: int
    endpoint: str
    family: TaskFamily
    """Of the request."""
    started: float
    status: int | None = None
    error: str | None = None
    first_token_s: float | None = None
    duration_s: float = 0.0
    rate_limited: bool = False
    retry_after_s: float = 0.0
    """How long its provider is left alone from then on, where it was rate limited."""
    spent_limit: str | None = None
    """The limits of which, as the provider says, nothing is left."""
    reservation: Reservation = UNCOUNTED
    """What it takes from the endpoint's quota."""
    timed_out: bool = False
    hedge_after_s: float | None = None
    """How long the first attempt had been waited for when this one was made beside it; None for any other."""
    lost: bool = False
    """Cancelled because another one answered first, or nobody waited any more."""
    cut_off: bool = False
    """Whether the provider says that a limit ended its answer."""
    usage: Usage | None = None
    """What a lost one is known to have used."""

    def as_dict(self) -> dict[str, Any]:
        """The shape in which it goes on record."""
        shape: dict[str, Any] = {
            "endpoint": self.endpoint,
            "status": self.status,
            "error": self.error,
            "first_token_s": self.first_token_s,
            "duration_s": self.duration_s,
        }
        if self.cut_off:
            shape["cut_off"] = True
        if self.hedge_after_s is not None:
            shape["hedge_after_s"] = self.hedge_after_s
        return shape


class AttemptFailed(Exception):
    """This attempt failed; the next endpoint may be asked."""


@dataclass(slots=True)
class Stream:
    """A stream that has been committed to: what was read of it before, and the rest."""

    answer: UpstreamAnswer
    chunks: AsyncIterator[bytes]
    reader: EventReader
    opening: bytes


class Answer(NamedTuple):
    """What an attempt gave: a whole answer, a stream whose first content is there, or a refusal to pass on."""

    status: int
    body: bytes = b""
    stream: Stream | None = None
    usage: Usage | None = None
    text: str = ""
    cut_off: bool = False
    """Of a whole answer; a stream's reader knows at its end."""

    @property
    def refused(self) -> bool:
        return self.status != 200


@dataclass(slots=True, eq=False)
class Execution:
    """What became of a decision. Made and filled by `Router`; `relay` is for whoever holds the client."""

    decision: Decision
    fleet: Fleet
    clock: Clock
    streaming: bool
    request_id: str = ""
    """Told in the event that ends a broken stream: OpenAI's clients show no headers with its error."""
    shows_usage: bool = False
    """Whether the client asked to see what a stream has used."""
    attempts: list[Attempt] = field(default_factory=list)
    answering: Attempt | None = None
    """The attempt that answers, once one does."""
    status: int = 0
    """HTTP status of the answer; 0 while there is none."""
    body: bytes = b""
    """The answer, where it is no stream."""
    stream: Stream | None = None
    error: FreeRelayError | None = None
    """Why there is no answer."""
    gave_up: bool = False
    """Other endpoints were tried in vain, so an immediate retry by the client is pointless."""
    usage: Usage | None = None
    text: str = ""
    """The answer's words, kept only to estimate the usage that the provider did not state."""
    text_length: int = 0
    """Characters that a stream had in all, where `text` may be its beginning."""
    schema_pass: bool | None = None
    """Whether the answer kept the output contract; None where there is none, or nothing to check."""

    @property
    def endpoint(self) -> str | None:
        """The endpoint that answers; None while there is none, and when all failed."""
        return self.attempt.endpoint if self.attempt is not None and self.error is None else None

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that answers, else the last."""
        return self.answering or (self.attempts[-1] if self.attempts else None)

    @property
    def as_planned(self) -> bool:
        """Whether whom the decision would try first was asked first, if anybody was; the fleet may not admit it."""
        return not self.attempts or self.attempts[0].index == self.decision.plan[0]

    @property
    def explored(self) -> bool:
        """Whether another endpoint than the best was asked first, to learn of it."""
        return self.decision.explores and self.as_planned

    @property
    def simulated(self) -> bool:
        """Whether the outcome is a simulation's: of the endpoint asked last, or of the whole fleet where none was."""
        asked, simulated = self.attempt, self.decision.snapshot.simulated
        return bool(simulated.all() if asked is None else simulated[asked.index])

    def accept(self, attempt: Attempt, answer: Answer) -> None:
        """Take an attempt's answer for the answer to the request."""
        self.answering = attempt
        self.status, self.body, self.stream = answer.status, answer.body, answer.stream
        self.usage, self.text = answer.usage, answer.text
        attempt.cut_off = answer.cut_off

    async def relay(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Pass the committed stream on, whole events at a time, to its proper end or to an error event."""
        stream, attempt = self.stream, self.attempt
        if stream is None or attempt is None:
            raise RuntimeError("relay is for a committed stream")
        try:
            if stream.opening:
                await write(stream.opening)
                stream.opening = b""
            if not stream.reader.ended:
                await self._pass_on(stream, write)
            failure = _failure(stream.reader)
        except UpstreamError as error:
            code = "upstream_idle_timeout" if error.kind == "timeout" else "upstream_disconnected"
            broken_off = Interrupted(f"{attempt.endpoint} broke off: {error.message}.", code=code)
            # Of several choices one may have ended before the next one began.
            one = "choices" not in self.decision.profile.needs
            failure = None if one and stream.reader.finished else broken_off
        finally:
            self._settle(stream, attempt)
        self.fleet.record(attempt.index, ok=failure is None, family=attempt.family)
        if failure is None:
            if not stream.reader.done:
                await write(_DONE)
            return
        self.interrupt(failure.status, failure.code)
        await write(error_event(failure, self.request_id))

    async def _pass_on(self, stream: Stream, write: Callable[[bytes], Awaitable[None]]) -> None:
        async for chunk in stream.chunks:
            events = stream.reader.feed(chunk)
            del chunk  # or whoever reads slowly would make us hold it twice
            if events:
                await write(events)
            if stream.reader.ended:
                return

    def _settle(self, stream: Stream, attempt: Attempt) -> None:
        self.usage = stream.reader.usage
        attempt.cut_off = stream.reader.cut_off
        settle(self.fleet, attempt.reservation, self.usage)
        self.text = "" if self.usage else stream.reader.text
        self.text_length = stream.reader.text_length
        self.time(attempt, stream.answer)

    def time(self, attempt: Attempt, answer: UpstreamAnswer | None = None) -> None:
        """Note how long the attempt took."""
        times = answer.times if answer is not None else None
        if times is None:
            attempt.duration_s = self.clock.monotonic() - attempt.started
        else:
            attempt.first_token_s, attempt.duration_s = times.first_token_s, times.duration_s

    def interrupt(self, status: int, reason: str) -> None:
        """Note that the answer ended before its time, with this status on record."""
        self.status = status
        for attempt in self.attempts:
            if attempt is self.attempt or attempt.lost:
                attempt.error = attempt.error or reason
                if not attempt.duration_s:
                    self.time(attempt)

    def fail(self, error: FreeRelayError, *, gave_up: bool = False) -> None:
        """Note that there is no answer, and why."""
        self.error, self.status, self.gave_up = error, error.status, gave_up

    def forget_answer(self) -> None:
        """Let go of the answer; what goes on record stays."""
        self.body, self.stream = b"", None

    async def close(self) -> None:
        """Let go of the provider; what it has not finished is cancelled there."""
        if self.stream is not None:
            await self.stream.answer.close(finished=self.stream.reader.done)


def _failure(reader: EventReader) -> Interrupted | None:
    if reader.error is not None:
        return Interrupted(f"The provider reported an error ({reader.error}) amid its answer.", code="upstream_error")
    if reader.malformed:
        return Interrupted("The provider sent something that is not an event.", code="upstream_malformed")
    if reader.finished:
        return None
    return Interrupted("The provider ended the stream before the answer was complete.")


def error_event(error: FreeRelayError, request_id: str) -> bytes:
    """The event that ends a stream which cannot go on; OpenAI clients raise `APIError` for it."""
    shape = error.as_openai()
    shape["error"]["request_id"] = request_id
    return b"data: " + orjson.dumps(shape) + b"\n\n"
