"""Tries the endpoints of a decision, best first, until one answers: at most three, each of another provider.

An answer counts when it is one: a status of success whose body or first event is an error, or no completion at all, is
a failure like any other. Until the first content has arrived nothing is sent to the client, so trying on is safe.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from freerelay_core.behaviour import PREFILL_TOKENS_PER_S
from freerelay_core.catalogue import Catalogue, Endpoint
from freerelay_core.clock import Clock
from freerelay_core.decision import Decision
from freerelay_core.errors import FreeRelayError, NoEndpointLeft, RateLimited, UpstreamFailed, UpstreamTimedOut
from freerelay_core.fleet import Fleet
from freerelay_core.providers import (
    EventReader,
    ProviderClient,
    UpstreamAnswer,
    UpstreamError,
    UpstreamRequest,
    read_answer,
    upstream_body,
)
from freerelay_core.providers.chat_format import error_message
from freerelay_core.providers.retry_after import retry_after_s
from freerelay_core.router.execution import Attempt, Execution, Stream
from freerelay_core.router.learning import learn

__all__ = ["Router"]

MAX_ATTEMPTS = 3
TOTAL_LIMIT_S = 600.0
"""For all attempts together: as long as OpenAI's clients wait."""
FIRST_BYTE_LIMIT_S = 30.0
FIRST_BYTE_FACTOR = 3.0
"""The limit on the first byte is this many times a slow (95 %) duration, and at least `FIRST_BYTE_LIMIT_S`: models that
think may need minutes."""

_Z95 = 1.645

_TRANSIENT = frozenset({408, 409, 429})
_OPERATORS_FAULT = frozenset({401, 402, 403, 404})
"""The vendor refuses our key, account or model name: nothing that the client could mend, so the next one is asked."""
_NO_VERDICT = frozenset({403, 409, 429})
"""Says nothing of whether the endpoint works for others."""

log = logging.getLogger(__name__)


class _Failed(Exception):
    """This attempt failed; the next endpoint may be asked."""


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
        self._clients = {name: real if name in real_providers else simulated for name in catalogue.providers}

    def begin(self, decision: Decision, *, stream: bool) -> Execution:
        """The execution of a decision, before anything is tried."""
        return Execution(decision, self._fleet, self._clock, streaming=stream)

    def learn(self, execution: Execution, body: Mapping[str, Any], *, tenant_id: str) -> None:
        """Let the fleet learn from an execution that has ended."""
        learn(self._fleet, execution, body, tenant_id=tenant_id)

    async def execute(self, execution: Execution, body: Mapping[str, Any]) -> None:
        """Try until one endpoint answers (`status`, and `body` or `stream`) or none is left (`error`).

        An interrupted execution keeps its attempts.
        """
        deadline = self._clock.monotonic() + TOTAL_LIMIT_S
        for index in self._candidates(execution.decision):
            endpoint = self._endpoints[index]
            attempt = Attempt(index, endpoint.id, self._clock.monotonic())
            execution.attempts.append(attempt)
            try:
                await self._try(execution, attempt, endpoint, body, deadline - attempt.started)
            except _Failed as failure:
                attempt.error = str(failure)
                attempt.first_token_s = None
                if not attempt.duration_s:
                    execution.time(attempt)
                if self._clock.monotonic() < deadline:
                    continue
                break
            return
        execution.fail(_verdict(execution.attempts), gave_up=bool(execution.attempts))

    def _candidates(self, decision: Decision) -> Iterator[int]:
        providers: set[str] = set()
        for index in decision.order:
            provider = self._endpoints[index].provider
            if provider in providers or not self._fleet.admit(index):
                continue
            providers.add(provider)
            yield index
            if len(providers) == MAX_ATTEMPTS:
                return

    async def _try(
        self, execution: Execution, attempt: Attempt, endpoint: Endpoint, body: Mapping[str, Any], left_s: float
    ) -> None:
        """Raises `_Failed` where another endpoint may do better."""
        request = self._request(execution, attempt, endpoint, body, left_s)
        answer: UpstreamAnswer | None = None
        try:
            answer = await self._clients[endpoint.provider].send(request)
            attempt.status = answer.status
            if not 200 <= answer.status < 300:
                await self._refused(execution, attempt, answer)
            elif execution.streaming:
                await self._commit(execution, attempt, answer)
            else:
                await self._complete(execution, attempt, answer)
        except UpstreamError as error:
            attempt.timed_out = error.kind == "timeout"
            raise self._failed(attempt, error.message) from error
        finally:
            if answer is not None and execution.stream is None:
                execution.time(attempt, answer)
                await answer.close()

    def _request(
        self, execution: Execution, attempt: Attempt, endpoint: Endpoint, body: Mapping[str, Any], left_s: float
    ) -> UpstreamRequest:
        decision, index = execution.decision, attempt.index
        behaviour = decision.snapshot.behaviour
        decoded = float(decision.evaluation.decoded_tokens[index])
        expected_s = (
            float(behaviour.first_token_median[index]) * math.exp(_Z95 * float(behaviour.first_token_sigma[index]))
            + decision.profile.input_tokens / PREFILL_TOKENS_PER_S
            + decoded / float(behaviour.speed_median[index])
        )
        return UpstreamRequest(
            endpoint=endpoint,
            index=index,
            provider=self._providers[endpoint.provider],
            body=upstream_body(body, endpoint),
            stream=execution.streaming,
            profile=decision.profile,
            decoded_tokens=decoded,
            decision_id=decision.id,
            attempt=len(execution.attempts),
            first_byte_limit_s=max(FIRST_BYTE_LIMIT_S, FIRST_BYTE_FACTOR * expected_s),
            total_limit_s=left_s,
        )

    async def _complete(self, execution: Execution, attempt: Attempt, answer: UpstreamAnswer) -> None:
        body = await answer.body()
        read = read_answer(body)
        if read.error is not None:
            raise self._failed(attempt, read.error)
        execution.status, execution.body = 200, body
        execution.usage, execution.text = read.usage, "" if read.usage else read.text
        self._fleet.record(attempt.index, ok=True)

    async def _commit(self, execution: Execution, attempt: Attempt, answer: UpstreamAnswer) -> None:
        """Wait for the first content of a stream."""
        reader, chunks, opening = EventReader(), answer.chunks(), b""
        async for chunk in chunks:
            opening += reader.feed(chunk)
            if reader.error is not None or reader.malformed:
                wrong = "no stream of events" if reader.malformed else "an error in spite of status 200"
                raise self._failed(attempt, wrong)
            if reader.has_content:
                attempt.first_token_s = self._clock.monotonic() - attempt.started
                execution.status = 200
                execution.stream = Stream(answer, chunks, reader, opening)
                return
        raise self._failed(attempt, "the stream ended before it began")

    async def _refused(self, execution: Execution, attempt: Attempt, answer: UpstreamAnswer) -> None:
        """An answer of another status than success: a failure, or something to tell the client."""
        status, body = answer.status, await answer.body()
        message = _error_of(body)
        if status == 429:
            attempt.rate_limited = True
            attempt.retry_after_s = retry_after_s(answer.headers, self._clock.now())
            self._fleet.record(attempt.index, ok=False, rate_limited=True, retry_after_s=attempt.retry_after_s)
        if not 400 <= status < 500 or status in _TRANSIENT or status in _OPERATORS_FAULT:
            if status in _OPERATORS_FAULT:
                log.warning(
                    "%s answers %d: check the vendor key, the account and the model name", attempt.endpoint, status
                )
            raise self._failed(attempt, f"status {status}", counts=status not in _NO_VERDICT)
        attempt.error = f"status {status}"
        execution.status = status
        execution.body = body if message is not None else orjson.dumps(_refusal(attempt.endpoint, status))

    def _failed(self, attempt: Attempt, reason: str, *, counts: bool = True) -> _Failed:
        if counts:
            self._fleet.record(attempt.index, ok=False)
        return _Failed(reason)


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


def _verdict(attempts: list[Attempt]) -> FreeRelayError:
    """What to tell the client when nothing answered."""
    if not attempts:
        return NoEndpointLeft(
            "Every endpoint for this request is being tried by another one. Try again.", retry_after_s=1
        )
    tried = "; ".join(f"{attempt.endpoint}: {attempt.error}" for attempt in attempts)
    if all(attempt.rate_limited for attempt in attempts):
        waits = [attempt.retry_after_s for attempt in attempts if attempt.retry_after_s is not None]
        return RateLimited(f"Every provider asked us to wait ({tried}).", retry_after_s=min(waits, default=5.0))
    if all(attempt.timed_out for attempt in attempts):
        return UpstreamTimedOut(f"No provider answered in time ({tried}).")
    return UpstreamFailed(f"Every attempt failed ({tried}).")
