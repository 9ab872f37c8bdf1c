"""The simulated provider: answers in OpenAI's wire shape with the times and failures that the catalogue expects.

No model is called, and every answer says so. What a request meets is drawn from its own key (seed, decision, endpoint,
attempt), so the same key meets the same luck. Waits are scaled; the times on record are not.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from freerelay_core.behaviour import Behaviour, keyed_normals, keyed_uniforms
from freerelay_core.clock import Clock
from freerelay_core.providers.base import UpstreamRequest, UpstreamTimes
from freerelay_core.providers.simulated_content import Content, plausible_content
from freerelay_core.providers.simulated_refusals import RequestRefused

__all__ = ["SimulatedProvider"]

RATE_LIMITED_SHARE = 0.25
"""Share of failures that are 429; the others are 503. Assumed."""
RETRY_AFTER_S = 2

_SHORTEST_WAIT_S = 0.02
"""Tokens that fall due within this time leave in one chunk."""
_MOST_PIECES_A_CHUNK = 16


class SimulatedProvider:
    """Stands in for every provider that is not called for real."""

    def __init__(self, behaviour: Behaviour, clock: Clock, *, time_scale: float, seed: int = 0) -> None:
        self._behaviour = behaviour
        self._clock = clock
        self.pace = time_scale
        self._seed = seed

    async def send(self, request: UpstreamRequest) -> _Answer:
        """The answer, after the time to its first token. What every vendor refuses is status 400."""
        body = orjson.loads(request.body)
        draws = self._draws(request)
        try:
            content = plausible_content(
                body, request.endpoint, request.profile, thinking=round(request.thinking_tokens)
            )
        except RequestRefused as refusal:
            return self._error(400, refusal.message, 0.0, code="invalid_value", param=refusal.param)
        first_s, decode_s = self._times(request, draws, content)
        await self._clock.sleep(first_s * self.pace)
        if draws[2] < self._behaviour.failure_rate[request.index]:
            limited = draws[3] < RATE_LIMITED_SHARE
            status, words = (429, "is out of quota for the moment") if limited else (503, "is overloaded")
            return self._error(status, f"Simulated failure: {request.endpoint.id} {words}.", first_s)
        answer = _Completion(request, content, int(self._clock.now().timestamp()), _wants_usage(body))
        return _Answer(answer, self._clock, first_s, decode_s, wait_s=decode_s * self.pace)

    async def close(self) -> None:
        """Nothing is held."""

    def _draws(self, request: UpstreamRequest) -> list[float]:
        key = np.array([uuid.UUID(request.decision_id).int & (2**64 - 1)], dtype=np.uint64)
        index = np.array([request.index], dtype=np.uint64)
        uniforms = keyed_uniforms(self._seed, key, index, request.attempt)
        normals = keyed_normals(uniforms)
        return [float(normals[0, 0]), float(normals[1, 0]), float(uniforms[2, 0]), float(uniforms[3, 0])]

    def _times(self, request: UpstreamRequest, draws: list[float], content: Content) -> tuple[float, float]:
        """Time until the first token of the answer (thinking comes before it), and from there to the end, s."""
        decoded = content.tokens + content.thinking
        first, decode = self._behaviour.sample(
            np.array([request.index], dtype=np.intp),
            np.array([float(request.profile.input_tokens)]),
            np.array([float(decoded)]),
            np.array([[draws[0]], [draws[1]]]),
        )
        thought = float(decode[0]) * content.thinking / max(decoded, 1)
        return float(first[0]) + thought, float(decode[0]) - thought

    def _error(
        self, status: int, message: str, after_s: float, *, code: str | None = None, param: str | None = None
    ) -> _Answer:
        kind = {400: "invalid_request_error", 429: "rate_limit_error"}.get(status, "server_error")
        payload = orjson.dumps({"error": {"message": message, "type": kind, "code": code, "param": param}})
        return _Answer(payload, self._clock, after_s, 0.0, wait_s=0.0, status=status)


def _wants_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


class _Answer:
    """A completion that stands for `decode_s` and takes `wait_s` to be read (or an error, which takes none)."""

    def __init__(
        self,
        answer: _Completion | bytes,
        clock: Clock,
        first_token_s: float,
        decode_s: float,
        *,
        wait_s: float,
        status: int = 200,
    ) -> None:
        self._answer = answer
        self._clock = clock
        self._first_token_s = first_token_s
        self._decode_s = decode_s
        self._wait_s = wait_s
        self._read = 0.0  # share of the answer, 0 to 1
        self.status = status
        self.headers: dict[str, str] = {"retry-after": str(RETRY_AFTER_S)} if status == 429 else {}

    @property
    def times(self) -> UpstreamTimes:
        """Of an answer that nobody reads to its end, up to where it was read."""
        return UpstreamTimes(self._first_token_s, self._first_token_s + self._decode_s * self._read)

    async def body(self) -> bytes:
        started = self._clock.monotonic()
        try:
            await self._clock.sleep(self._wait_s)
        except asyncio.CancelledError:
            self._read = min(1.0, (self._clock.monotonic() - started) / self._wait_s) if self._wait_s else 1.0
            raise
        self._read = 1.0
        return self._answer if isinstance(self._answer, bytes) else self._answer.body()

    async def chunks(self) -> AsyncIterator[bytes]:
        if isinstance(self._answer, bytes):
            yield self._answer
            return
        yield self._answer.opening()
        pieces = self._answer.content.pieces
        size = _pieces_a_chunk(len(pieces), self._wait_s)
        started = self._clock.monotonic()
        for start in range(0, len(pieces), size):
            due = started + self._wait_s * start / max(len(pieces), 1)
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
            self._read = start / len(pieces)
            yield self._answer.deltas(pieces[start : start + size])
        self._read = 1.0
        yield self._answer.closing()

    async def close(self, *, finished: bool = False) -> None:
        """Nothing is held."""


def _pieces_a_chunk(pieces: int, wait_s: float) -> int:
    if wait_s <= 0:
        return _MOST_PIECES_A_CHUNK
    return max(1, min(_MOST_PIECES_A_CHUNK, math.ceil(_SHORTEST_WAIT_S * pieces / wait_s)))


@dataclass(frozen=True, slots=True)
class _Completion:
    """Plausible content in OpenAI's shapes."""

    request: UpstreamRequest
    content: Content
    created: int
    usage_wanted: bool

    def body(self) -> bytes:
        content = self.content
        message: dict[str, Any] = {"role": "assistant", "content": None if content.tool_call else content.text}
        if content.tool_call:
            message["tool_calls"] = [content.tool_call]
        choices = [
            {"index": index, "message": message, "finish_reason": content.finish_reason, "logprobs": None}
            for index in range(content.choices)
        ]
        return orjson.dumps(self._head("chat.completion") | {"choices": choices, "usage": self._usage()})

    def opening(self) -> bytes:
        return self._events({"role": "assistant", "content": ""})

    def deltas(self, pieces: list[str]) -> bytes:
        text = "".join(pieces)
        call = self.content.tool_call
        if call is None:
            return self._events({"content": text})
        part: dict[str, Any] = {"index": 0, "function": {"arguments": text}}
        if pieces and pieces[0] is self.content.pieces[0]:
            function = {"name": call["function"]["name"], "arguments": text}
            part = {"index": 0, "id": call["id"], "type": "function", "function": function}
        return self._events({"tool_calls": [part]})

    def closing(self) -> bytes:
        end = self._events({}, self.content.finish_reason)
        if self.usage_wanted:
            end += _event(self._head("chat.completion.chunk") | {"choices": [], "usage": self._usage()})
        return end + b"data: [DONE]\n\n"

    def _events(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        """The same delta for each choice."""
        head = self._head("chat.completion.chunk")
        return b"".join(
            _event(head | {"choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}]})
            for index in range(self.content.choices)
        )

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-simulated-{self.request.decision_id}",
            "object": kind,
            "created": self.created,
            "model": self.request.endpoint.upstream_model,
            "system_fingerprint": "simulated",
            "simulated": True,
        }

    def _usage(self) -> dict[str, Any]:
        profile = self.request.profile
        output = (self.content.tokens + self.content.thinking) * self.content.choices
        return {
            "prompt_tokens": profile.input_tokens,
            "completion_tokens": output,
            "total_tokens": profile.input_tokens + output,
            "prompt_tokens_details": {"cached_tokens": profile.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": self.content.thinking * self.content.choices},
        }


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
