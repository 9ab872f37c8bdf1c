"""`POST /v1/chat/completions`: plain ASGI, because this is the path whose cost every request pays."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Receive, Scope, Send

from freerelay_core.api.answers import JSON, Headers, rate_headers, send_answer, send_error
from freerelay_core.api.auth import caller, require_tenant
from freerelay_core.api.border import read_object
from freerelay_core.api.drain import SHUTDOWN, Drain, shutting_down
from freerelay_core.api.watch import DEADLINE, LEFT, Watch
from freerelay_core.composition import Application, current
from freerelay_core.composition.admission import Rate
from freerelay_core.decision import Decision
from freerelay_core.errors import FreeRelayError
from freerelay_core.fleet import Hold
from freerelay_core.logs import Trail
from freerelay_core.router import CLIENT_LEFT, Execution, decision_record, error_event

__all__ = ["answer_chat"]

_EVENT_STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


async def answer_chat(scope: Scope, receive: Receive, send: Send, *, trail: Trail, drain: Drain) -> None:
    """Answer one request. Raises `FreeRelayError` before the first byte, `ClientLeft`."""
    drain.come()
    application = current()
    application.admission.require_room()
    identity = await caller(scope)
    tenant = require_tenant(identity)
    rate = application.admission.enter(tenant)
    try:
        body, large, digest = await read_object(receive)
        stated = _stated(scope)
        task, depth = stated.get(b"x-freerelay-task"), stated.get(b"x-freerelay-depth")
        profile = await asyncio.to_thread(application.profile_body, body, task=task, depth=depth) if large else None
        decision = application.decide_body(
            identity,
            body,
            digest=digest,
            task=task,
            depth=depth,
            override=stated.get(b"x-freerelay-preference"),
            profile=profile,
            live=True,
        )
        trail.tenant_id, trail.decision_id = tenant.id, decision.id
        context = {"tenant_id": tenant.id, "request_id": trail.request_id, "model": body["model"]}
        call = _Call(application, decision, send, context, trail, settings_age_s=identity.settings_age_s, rate=rate)
        call.hold = application.hold(tenant, decision)
        await call.run(body, Watch(receive, drain), streaming=decision.profile.stream)
    except FreeRelayError as error:
        error.rate = rate
        raise
    finally:
        application.admission.leave(tenant)


class _Call:
    """A decided request on its way to an answer and into the log."""

    __slots__ = (
        "_application",
        "_context",
        "_decision",
        "_open",
        "_rate",
        "_send",
        "_settings_age_s",
        "_started",
        "_trail",
        "hold",
    )

    def __init__(
        self,
        application: Application,
        decision: Decision,
        send: Send,
        context: dict[str, str],
        trail: Trail,
        *,
        settings_age_s: float | None,
        rate: Rate | None,
    ) -> None:
        """`context` holds what goes on record beside the decision: `tenant_id`, `request_id`, `model`."""
        self._application = application
        self._decision = decision
        self._send = send
        self._context = context
        self._trail = trail
        self._settings_age_s = settings_age_s
        self._rate = rate
        self._started = application.clock.monotonic()
        self.hold: Hold | None = None
        self._open = False  # the head of a stream has gone out

    async def run(self, body: dict[str, Any], watch: Watch, *, streaming: bool) -> None:
        """Carry the decision out, answer, and record it, however it ends."""
        router = self._application.router
        execution = router.begin(self._decision, stream=streaming, request_id=self._trail.request_id)
        self._application.tally.begin()
        try:
            self._application.require_endpoint(self._decision)
            await router.execute(execution, body)
            if execution.stream is None:
                watch.end()
                await self._answer(execution)
            else:
                await self._stream(execution, watch)
        except FreeRelayError as error:
            execution.fail(error)
            await self._answer(execution)
        except asyncio.CancelledError:
            if watch.cause is None:
                execution.interrupt(CLIENT_LEFT, "cancelled")
                raise
            await self._cut_short(execution, watch)
        finally:
            watch.end()
            self._count(execution)
            try:
                self._application.router.learn(execution, body, tenant_id=self._context["tenant_id"])
            finally:  # whatever learning trips over, the request goes on record and lets its provider go
                self._record(execution)
                await execution.close()
                execution.forget_answer()

    async def _answer(self, execution: Execution) -> None:
        headers = self._headers(execution)
        if execution.error is None:
            await send_answer(self._send, execution.status, [JSON, *headers], execution.body)
            return
        if execution.gave_up:
            headers.append((b"x-should-retry", b"false"))
        await send_error(self._send, execution.error, headers)

    async def _stream(self, execution: Execution, watch: Watch) -> None:
        self._open = True
        headers = [*_EVENT_STREAM, *self._headers(execution)]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await execution.relay(self._write)
        watch.end()
        await self._send({"type": "http.response.body", "body": b""})

    async def _write(self, events: bytes) -> None:
        await self._send({"type": "http.response.body", "body": events, "more_body": True})

    async def _cut_short(self, execution: Execution, watch: Watch) -> None:
        """The work was cancelled: say so to whoever is still there."""
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        watch.end()
        if watch.cause == LEFT:
            execution.interrupt(CLIENT_LEFT, LEFT)
        elif watch.cause == DEADLINE:
            execution.interrupt(504, DEADLINE)  # returning without an end makes the server cut the connection
        else:
            error = shutting_down()
            execution.interrupt(error.status, SHUTDOWN)
            if self._open:
                await self._send({"type": "http.response.body", "body": error_event(error, execution.request_id)})
            else:
                await send_error(self._send, error, self._headers(execution))

    def _headers(self, execution: Execution) -> Headers:
        decision, attempts = self._decision, execution.attempts
        headers: Headers = [(b"x-freerelay-decision-id", decision.id.encode()), *_routing(decision, execution)]
        if len(attempts) > 1:
            headers.append((b"x-freerelay-attempts", b"%d" % len(attempts)))
        if self._settings_age_s is not None:
            headers.append((b"x-freerelay-settings-age", b"%d" % self._settings_age_s))
        if self._rate is not None:
            headers += rate_headers(*self._rate)
        return headers

    def _count(self, execution: Execution) -> None:
        self._trail.endpoint = execution.endpoint
        ended = self._application.clock.monotonic()
        self._application.tally.end(execution, arrived=self._trail.arrived, ended=ended)

    def _record(self, execution: Execution) -> None:
        decision, context = self._decision, self._context
        booked, hold = self._application.budgets.booked, self.hold
        duration_s = self._application.clock.monotonic() - self._started
        self._application.decision_log.record(
            decision.id,
            lambda: booked(decision_record(decision, execution, duration_s=duration_s, **context), hold),
        )


_STATED = frozenset({b"x-freerelay-task", b"x-freerelay-depth", b"x-freerelay-preference"})


def _stated(scope: Scope) -> dict[bytes, str]:
    """What the headers say about routing."""
    return {name: value.decode("latin-1") for name, value in scope["headers"] if name in _STATED}


def _routing(decision: Decision, execution: Execution) -> Headers:
    """What the headers say of the choice; made once where the first choice answers requests that share a ranking."""
    endpoint = execution.endpoint
    usual = len(execution.attempts) == 1 and not decision.explores and execution.as_planned
    if usual and (known := decision.shared.get(_HEADERS)) is not None and known[0] == endpoint:
        headers: Headers = known[1]
        return headers
    headers = [(b"x-freerelay-preference", str(decision.preference).encode("latin-1", "replace"))]
    if endpoint is not None:
        headers.append((b"x-freerelay-endpoint", endpoint.encode("latin-1", "replace")))
        headers.append((b"x-freerelay-reason", _line(_reason(decision, execution))))
    if usual:
        decision.shared[_HEADERS] = (endpoint, headers)
    return headers


_HEADERS = "headers"
"""Where a decision keeps them, with the endpoint that they name."""


def _reason(decision: Decision, execution: Execution) -> str:
    """Why this endpoint answers, in one line."""
    if execution.attempt is execution.attempts[0]:
        if not execution.as_planned:
            planned = decision.snapshot.endpoint_ids[decision.plan[0]]
            why = f"because {planned} takes no more requests at the moment"
            return f"{execution.endpoint}, {why}; ranked first: {decision.reason}"
        if not decision.explores:
            return decision.reason
        return f"{execution.endpoint} was seldom asked of late and is tried now; ranked first: {decision.reason}"
    others = (attempt for attempt in execution.attempts if attempt is not execution.attempt)
    failed = [f"{attempt.endpoint} ({attempt.error})" for attempt in others]
    return f"{execution.endpoint} after {', '.join(failed)}; chosen first: {decision.reason}"


def _line(text: str) -> bytes:
    """The text as a header can hold it."""
    plain = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    return plain.encode("latin-1", "replace")
