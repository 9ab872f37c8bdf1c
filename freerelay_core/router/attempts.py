"""Tries the endpoints of a decision, best first, until one answers: at most three, each of another provider.

An answer counts when it is one: a status of success whose body or first event is an error, or no completion at all, is
a failure like any other. Until the first content has arrived nothing is sent to the client, so trying on is safe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import orjson

from freerelay_core.catalogue import Catalogue, Endpoint
from freerelay_core.clock import Clock
from freerelay_core.decision import Decision
from freerelay_core.errors import (
    EverythingFails,
    FreeRelayError,
    NoEndpointLeft,
    RateLimited,
    UpstreamFailed,
    UpstreamTimedOut,
)
from freerelay_core.fleet import Fleet, Reservation
from freerelay_core.profile import OutputContract
from freerelay_core.providers import (
    EventReader,
    ProviderClient,
    UpstreamAnswer,
    UpstreamError,
    UpstreamRequest,
    asks_for_usage,
    prepare_for_schemas,
    read_answer,
    upstream_body,
)
from freerelay_core.providers.chat_format import error_message
from freerelay_core.providers.retry_after import retry_after_s
from freerelay_core.router.directed import directed_body
from freerelay_core.router.execution import Answer, Attempt, AttemptFailed, Execution, Stream
from freerelay_core.router.expected import expected_at
from freerelay_core.router.hedging import HedgeBudget, Try, hedged, patience_s
from freerelay_core.router.learning import learn
from freerelay_core.router.quota import have_to_wait, hear, settle
from freerelay_core.router.retries import RetryBudget

__all__ = ["Router"]

MAX_ATTEMPTS = 3
TOTAL_LIMIT_S = 600.0
"""For all attempts together: as long as OpenAI's clients wait."""
FIRST_BYTE_LIMIT_S = 30.0
FIRST_BYTE_FACTOR = 3.0
"""The limit on the first content of a stream is this many times a slow (95 %) duration, and at least
`FIRST_BYTE_LIMIT_S`: models that think may need minutes. Of an answer in one piece many providers send nothing, headers
included, before all of it is there, so its limit is that of the longest answer which the request allows: one that is
merely longer than expected must not be cut, nor paid for twice."""
MAX_OPENING_BYTES = 1024 * 1024
"""Of a stream before its first content, which is kept: roles, comments that say somebody is at work."""
LAST_WORDS_S = 1.0
"""How long the body of a failure may take, whose status says enough; the next provider is asked then at the latest."""

_TRANSIENT = frozenset({408, 409, 429})
_OPERATORS_FAULT = frozenset({401, 402, 403, 404})
"""The vendor refuses our key, account or model name: nothing that the client could mend, so the next one is asked."""
_NO_VERDICT = frozenset({403, 409, 429})
"""Says nothing of whether the endpoint works for others."""

_Candidate: TypeAlias = tuple[int, Reservation]
"""An endpoint that admits the request, and what it takes from its quota."""

log = logging.getLogger(__name__)


class Router:
    """Carries decisions out. `real` answers for the providers in `real_providers`, `simulated` for all others."""

    def __init__(
        self,
        catalogue: Catalogue,
        fleet: Fleet,
        clock: Clock,
        *,
        real: ProviderClient,
        simulated: ProviderClient,
        real_providers: frozenset[str],
    ) -> None:
        self._endpoints = catalogue.endpoints
        self._providers = catalogue.providers
        self._fleet = fleet
        self._clock = clock
        self._hedges = HedgeBudget()
        self._retries = RetryBudget(clock)
        self._clients = {name: real if name in real_providers else simulated for name in catalogue.providers}

    def begin(self, decision: Decision, *, stream: bool, request_id: str = "") -> Execution:
        """The execution of a decision, before anything is tried."""
        if decision.profile.contract >= OutputContract.SCHEMA:
            prepare_for_schemas()
        return Execution(decision, self._fleet, self._clock, streaming=stream, request_id=request_id)

    def learn(self, execution: Execution, body: Mapping[str, Any], *, tenant_id: str) -> None:
        """Let the fleet learn from an execution that has ended."""
        learn(self._fleet, execution, body, tenant_id=tenant_id)

    async def execute(self, execution: Execution, body: Mapping[str, Any]) -> None:
        """Try until one endpoint answers (`status`, and `body` or `stream`) or none is left (`error`).

        An interrupted execution keeps its attempts.
        """
        deadline = self._clock.monotonic() + TOTAL_LIMIT_S
        body = directed_body(body, execution.decision)
        execution.shows_usage = asks_for_usage(body)
        candidates = self._candidates(execution.decision)
        self._hedges.earn()
        self._retries.earn()

        def tried(attempt: Attempt) -> Coroutine[Any, Any, Answer]:
            return self._tried(execution, attempt, body, deadline - attempt.started)

        spared = False
        for candidate in candidates:
            if execution.attempts and not self._retries.spend():
                self._fleet.withdraw(*candidate)
                spared = True
                break
            attempt = self._begin_attempt(execution, candidate)
            try:
                if execution.decision.directive.hedge and len(execution.attempts) == 1:
                    execution.accept(*await self._hedged(execution, attempt, candidates, tried))
                else:
                    execution.accept(attempt, await tried(attempt))
            except AttemptFailed:
                if self._clock.monotonic() < deadline:
                    continue
                break
            return
        execution.fail(_verdict(execution, spared=spared), gave_up=bool(execution.attempts))

    async def _hedged(
        self, execution: Execution, first: Attempt, candidates: Iterator[_Candidate], tried: Try
    ) -> tuple[Attempt, Answer]:
        """The answer of `first`, or of the next candidate where that is quicker."""
        pace = self._client(first).pace
        after_s = patience_s(execution.decision, first.index, streaming=execution.streaming)

        def second() -> Attempt | None:
            candidate = next(candidates, None) if self._hedges.allows else None
            if candidate is None:
                return None
            self._hedges.spend()
            attempt = self._begin_attempt(execution, candidate)
            attempt.hedge_after_s = after_s
            return attempt

        return await hedged(first, second, tried, after_s=after_s * pace)

    def _begin_attempt(self, execution: Execution, candidate: _Candidate) -> Attempt:
        index, reservation = candidate
        family, now = execution.decision.profile.family, self._clock.monotonic()
        attempt = Attempt(index, self._endpoints[index].id, family, now, reservation=reservation)
        execution.attempts.append(attempt)
        return attempt

    def _client(self, attempt: Attempt) -> ProviderClient:
        return self._clients[self._endpoints[attempt.index].provider]

    def _candidates(self, decision: Decision) -> Iterator[_Candidate]:
        providers: set[str] = set()
        for index in decision.plan:
            provider = self._endpoints[index].provider
            if provider in providers:
                continue
            tokens = expected_at(decision, index).tokens
            reservation = self._fleet.admit(index, tokens, despite_breaker=decision.despite_breakers)
            if reservation is None:
                continue
            providers.add(provider)
            yield index, reservation
            if len(providers) == MAX_ATTEMPTS:
                return

    async def _tried(self, execution: Execution, attempt: Attempt, body: Mapping[str, Any], left_s: float) -> Answer:
        """What the attempt gives. Raises `AttemptFailed` where another endpoint may do better."""
        try:
            return await self._try(execution, attempt, self._request(execution, attempt, body, left_s))
        except AttemptFailed as failure:
            attempt.error = str(failure)
            attempt.first_token_s = None
            if not attempt.duration_s:
                execution.time(attempt)
            raise
        except asyncio.CancelledError:
            if not attempt.duration_s:
                execution.time(attempt)
                attempt.duration_s /= self._client(attempt).pace or 1.0
            raise

    async def _try(self, execution: Execution, attempt: Attempt, request: UpstreamRequest) -> Answer:
        upstream: UpstreamAnswer | None = None
        answer: Answer | None = None
        try:
            upstream = await self._client(attempt).send(request)
            attempt.status = upstream.status
            attempt.spent_limit = hear(self._fleet, request, attempt.reservation, upstream, self._clock.now())
            if not 200 <= upstream.status < 300:
                answer = await self._refused(attempt, upstream)
            elif execution.streaming:
                reader = EventReader(keeps_usage=execution.shows_usage)
                answer = await self._commit(attempt, upstream, reader, request.first_byte_limit_s)
            else:
                answer = await self._complete(attempt, upstream)
        except UpstreamError as error:
            attempt.timed_out = error.kind == "timeout"
            if error.kind == "unreachable":
                self._fleet.release(attempt.reservation)
            raise self._failed(attempt, error.message) from error
        finally:
            if upstream is not None and (answer is None or answer.stream is None):
                execution.time(attempt, upstream)
                await upstream.close()
        return answer

    def _request(
        self, execution: Execution, attempt: Attempt, body: Mapping[str, Any], left_s: float
    ) -> UpstreamRequest:
        decision, index, endpoint = execution.decision, attempt.index, self._endpoints[attempt.index]
        provider, expected = self._providers[endpoint.provider], expected_at(decision, index)
        answer_tokens = decision.profile.output_tokens
        if not execution.streaming:
            answer_tokens = max(answer_tokens, _longest_answer(body, endpoint))
        # Thinking is not within the request's limit: some vendors may not count it there.
        silent_s = expected.silent_s + (expected.thinking + answer_tokens) / expected.tokens_per_s
        return UpstreamRequest(
            endpoint=endpoint,
            index=index,
            provider=provider,
            body=upstream_body(body, endpoint, provider.wire),
            stream=execution.streaming,
            profile=decision.profile,
            thinking_tokens=expected.thinking,
            decision_id=decision.id,
            attempt=execution.attempts.index(attempt) + 1,
            first_byte_limit_s=max(provider.waits.first_token_s or FIRST_BYTE_LIMIT_S, FIRST_BYTE_FACTOR * silent_s),
            total_limit_s=min(left_s, provider.waits.total_s or left_s),
        )

    async def _complete(self, attempt: Attempt, upstream: UpstreamAnswer) -> Answer:
        body = await upstream.body()
        read = read_answer(body)
        if read.error is not None:
            raise self._failed(attempt, read.error)
        self._fleet.record(attempt.index, ok=True, family=attempt.family)
        settle(self._fleet, attempt.reservation, read.usage)
        return Answer(200, body, usage=read.usage, text="" if read.usage else read.text, cut_off=read.cut_off)

    async def _commit(self, attempt: Attempt, upstream: UpstreamAnswer, reader: EventReader, limit_s: float) -> Answer:
        """Wait for the first content of a stream, at most so long since the attempt began."""
        stream = Stream(upstream, upstream.chunks(), reader, b"")
        try:
            if not await self._content_in(anext(stream.chunks, None), attempt, stream):
                # Bytes are not content: an upstream that sends comments for ever must run into the limit, too.
                async with asyncio.timeout(attempt.started + limit_s - self._clock.monotonic()):
                    while not await self._content_in(anext(stream.chunks, None), attempt, stream):
                        pass
        except TimeoutError as error:
            attempt.timed_out = True
            raise self._failed(attempt, "no content in time") from error
        attempt.first_token_s = self._clock.monotonic() - attempt.started
        return Answer(200, stream=stream)

    async def _content_in(self, coming: Awaitable[bytes | None], attempt: Attempt, stream: Stream) -> bool:
        """Whether the stream has content once the next chunk is there."""
        chunk = await coming
        if chunk is None:
            raise self._failed(attempt, "the stream ended before it began")
        reader = stream.reader
        stream.opening += reader.feed(chunk)
        if reader.error is not None or reader.malformed:
            wrong = "no stream of events" if reader.malformed else "an error in spite of status 200"
            raise self._failed(attempt, wrong)
        if reader.done and not reader.finished:
            raise self._failed(attempt, "the stream ended before the answer was complete")
        if len(stream.opening) > MAX_OPENING_BYTES and not reader.has_content:
            raise self._failed(attempt, f"more than {MAX_OPENING_BYTES} bytes before its first content")
        return reader.has_content

    async def _refused(self, attempt: Attempt, answer: UpstreamAnswer) -> Answer:
        """An answer of another status than success: a failure, or something to tell the client."""
        status = answer.status
        self._fleet.settle(attempt.reservation, 0.0)
        if status == 429:
            attempt.rate_limited = True
            stated_s = retry_after_s(answer.headers, self._clock.now())
            attempt.retry_after_s = self._fleet.cool_down(attempt.index, stated_s)
        if not 400 <= status < 500 or status in _TRANSIENT or status in _OPERATORS_FAULT:
            if status in _OPERATORS_FAULT:
                log.warning(
                    "%s answers %d: check the vendor key, the account and the model name", attempt.endpoint, status
                )
            spent = f", no {attempt.spent_limit} left" if status == 429 and attempt.spent_limit else ""
            failure = self._failed(attempt, f"status {status}{spent}", counts=status not in _NO_VERDICT)
            await _let_end(answer)
            raise failure
        body = await answer.body()
        attempt.error = f"status {status}"
        passed_on = body if _error_of(body) is not None else orjson.dumps(_refusal(attempt.endpoint, status))
        return Answer(status, passed_on)

    def _failed(self, attempt: Attempt, reason: str, *, counts: bool = True) -> AttemptFailed:
        if counts:
            self._fleet.record(attempt.index, ok=False, family=attempt.family)
        return AttemptFailed(reason)


async def _let_end(answer: UpstreamAnswer) -> None:
    """Give an answer that nobody reads a moment to its end, so that its connection can be kept."""
    with suppress(UpstreamError, TimeoutError):
        async with asyncio.timeout(LAST_WORDS_S):
            await answer.body()


def _longest_answer(body: Mapping[str, Any], endpoint: Endpoint) -> int:
    """The most tokens that the answer may have: what the client allows, else what the endpoint can write."""
    stated = body.get("max_completion_tokens") or body.get("max_tokens")
    return min(stated, endpoint.max_output_tokens) if stated else endpoint.max_output_tokens


def _error_of(body: bytes) -> str | None:
    """The words of an OpenAI-shaped error body; None where it has another shape."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return error_message(error) if isinstance(error, dict) else None


def _refusal(endpoint: str, status: int) -> dict[str, Any]:
    message = f"{endpoint} refused the request with status {status} and gave no reason that can be passed on."
    return {"error": {"message": message, "type": "invalid_request_error", "code": "upstream_refused", "param": None}}


def _verdict(execution: Execution, *, spared: bool) -> FreeRelayError:
    """What to tell the client when nothing answered; `spared` providers were left alone for want of a retry budget."""
    attempts, asked = execution.attempts, {attempt.index for attempt in execution.attempts}
    others = [endpoint for endpoint in execution.decision.order if endpoint not in asked]
    if not attempts:
        return have_to_wait(execution.fleet, execution.decision, others) or NoEndpointLeft(
            "Every endpoint for this request is being tried by another one. Try again.", retry_after_s=1
        )
    tried = "; ".join(f"{attempt.endpoint}: {attempt.error}" for attempt in attempts)
    if spared:
        tried += "; too much fails at the moment to ask another provider"
    if all(attempt.rate_limited for attempt in attempts):
        waits = [attempt.retry_after_s for attempt in attempts]
        if (other := have_to_wait(execution.fleet, execution.decision, others)) and other.retry_after_s is not None:
            waits.append(other.retry_after_s)
        return RateLimited(f"Every provider asked us to wait ({tried}).", retry_after_s=min(waits))
    if execution.fleet.all_fail(execution.decision.order):
        return EverythingFails(
            f"Every endpoint that could serve this request keeps failing ({tried}). Try again in a moment.",
            retry_after_s=1,
        )
    if all(attempt.timed_out for attempt in attempts):
        return UpstreamTimedOut(f"No provider answered in time ({tried}).")
    return UpstreamFailed(f"Every attempt failed ({tried}).")
