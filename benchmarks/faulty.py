"""Providers on loopback that fail in every way we know of, for the benchmarks of behaviour under failure.

Every token carries the request's marker, the provider's name and its number, so that a splice, a piece that comes
twice, and another request's answer are seen in the text.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

__all__ = [
    "BEFORE_CONTENT",
    "FAULTS",
    "FLOOD",
    "HARMLESS",
    "MID_STREAM",
    "PAUSES",
    "SILENT",
    "TOKENS",
    "Provider",
    "provider_of",
    "providers",
]

TOKENS = 6
"""Of an answer; a stream that fails on the way does so after half of them."""
PAUSES = TOKENS + 1
"""Of a whole stream: before its further tokens, its finish reason and `[DONE]`."""
BEFORE_CONTENT = (
    "refused", "reset_in_head", "hang", "status_500", "garbage", "error_body", "html", "rate_limited",
    "rate_limited_with_wait",
)  # fmt: skip
MID_STREAM = ("cut", "stalled", "malformed_chunk", "early_end")
"""Of a whole answer the same, in the middle of its body."""
HARMLESS = ("two_dones", "no_done", "wrong_type", "drip", "huge_chunk")
"""Odd, but nothing of the answer is missing."""
SILENT = "silent"
"""A stream that begins, and holds nothing until the client leaves. No fault of a provider: it may be thinking."""
FLOOD = "flood"
"""A stream of `FLOOD_BYTES`, as fast as it is read."""
FAULTS = (*BEFORE_CONTENT, *MID_STREAM, *HARMLESS)

REFUSES_S = 0.05
"""How long nobody listens at a provider that refuses connections."""
HUGE = 512 * 1024
FLOOD_BYTES = 200_000_000
FLOOD_TOKEN_BYTES = 4_096
_TOKEN = re.compile(r"(\S+?)\.(\S+?)\.(\d+) ")


def provider_of(text: str, marker: str) -> str | None:
    """Who wrote this whole answer to the request `marker`; None where it is anything but that."""
    first = _TOKEN.match(text)
    name = first[2] if first else ""
    return name if first and text == "".join(_tokens(marker, name)) else None


def _tokens(marker: str, name: str) -> list[str]:
    return [f"{marker}.{name}.{number} " for number in range(TOKENS)]


class Provider:
    """One provider; `faults` says how likely each fault is at a call.

    A request may name its `fault` itself, and `pause_s`, the pause before each piece of a stream that follows the first
    token.
    """

    def __init__(self, name: str, *, faults: Mapping[str, float], seed: int) -> None:
        self.name = name
        self.faults = faults
        self.calls: Counter[str] = Counter()
        """Calls by fault; those without are `good`."""
        self.open_calls = 0
        """Begun and neither ended nor broken off."""
        self.waiting = 0
        """Open calls that will get nothing more."""
        self.flooded_bytes = 0
        """Sent in streams of `FLOOD`."""
        self.left_at = 0.0
        """When the last of these was left, by `time.perf_counter`."""
        self.port = 0
        self._draws = random.Random(f"{seed} {name}")  # noqa: S311
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._later: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen, at the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Hang up."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
                fault = body.get("fault") or self._draw()
                self.calls[fault] += 1
                self.open_calls += 1
                try:
                    await _Call(self, body, reader, writer).answer(fault)
                finally:
                    self.open_calls -= 1
        self._writers.discard(writer)
        writer.close()

    def _draw(self) -> str:
        healthy = max(0.0, 1.0 - sum(self.faults.values()))
        return self._draws.choices([*self.faults, "good"], [*self.faults.values(), healthy])[0]

    def refuse(self) -> None:
        """Break every idle connection and let nobody in for a moment."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        task = asyncio.create_task(self._reopen())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _reopen(self) -> None:
        await asyncio.sleep(REFUSES_S)
        await self.open()


class _Call:
    """One call and its connection."""

    def __init__(
        self, provider: Provider, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._provider = provider
        self._reader = reader
        self._writer = writer
        self._stream = bool(body.get("stream"))
        self._pause_s: float = body.get("pause_s", 0.0)
        self._tokens = _tokens(body["messages"][-1]["content"].split()[-1], provider.name)

    async def answer(self, fault: str) -> None:
        """Answer with this fault."""
        if fault in BEFORE_CONTENT:
            await self._failure(fault)
            return
        content_type = "text/plain" if fault == "wrong_type" else self._content_type
        self._head(200, content_type, "transfer-encoding: chunked")
        if fault == FLOOD:
            await self._flood()
            return
        pieces = self._pieces(fault)
        if fault == SILENT:
            await self._chunk(pieces[0])
            await self._until_left()
            return
        whole = len(pieces) if fault not in MID_STREAM else len(pieces) // 2
        for number, piece in enumerate([b"".join(pieces)] if fault == "huge_chunk" else pieces[:whole]):
            if number > 1 and self._pause_s:
                await self._pause()
            await self._chunk(piece, drip=fault == "drip")
        if fault in MID_STREAM:
            await self._break_off(fault)
        else:
            self._writer.write(b"0\r\n\r\n")
            await self._writer.drain()

    async def _failure(self, fault: str) -> None:
        error = b'{"error":{"message":"the provider is ill","type":"server_error","code":null}}'
        if fault == "refused":
            self._provider.refuse()
            self._abort()
        elif fault == "reset_in_head":
            self._writer.write(b"HTTP/1.1 200 OK\r\ncontent-ty")
            await self._writer.drain()
            self._abort()
        elif fault == "hang":
            await self._until_left()
        elif fault == "garbage":
            self._writer.write(b"\x00\xff this is not HTTP\r\n\r\n")
            await self._writer.drain()
            self._abort()
        elif fault == "html":
            self._whole(200, b"<html>Please sign in</html>", "text/html")
        elif fault == "error_body":
            self._whole(200, b"data: " + error + b"\n\n" if self._stream else error, self._content_type)
        elif fault == "status_500":
            self._whole(500, error)
        else:
            wait = ("retry-after: 1",) if fault == "rate_limited_with_wait" else ()
            self._whole(429, error, "application/json", *wait)
        await self._drain()

    def _pieces(self, fault: str) -> list[bytes]:
        """The pieces of a whole answer."""
        padding = {"padding": "x" * HUGE} if fault == "huge_chunk" else {}
        if not self._stream:
            message = {"role": "assistant", "content": "".join(self._tokens)}
            usage = {"prompt_tokens": 9, "completion_tokens": TOKENS, "total_tokens": 9 + TOKENS}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            shape = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
            body = json.dumps(shape | {"usage": usage} | padding).encode()
            return [body[: len(body) // 2], body[len(body) // 2 :]]
        deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
        deltas += [({"content": token}, None) for token in self._tokens]
        events = [_event(delta, reason, padding) for delta, reason in [*deltas, ({}, "stop")]]
        dones = {"no_done": 0, "two_dones": 2}.get(fault, 1)
        return [*events, *[b"data: [DONE]\n\n"] * dones]

    async def _flood(self) -> None:
        event = _event({"content": "x" * FLOOD_TOKEN_BYTES}, None, {})
        for _ in range(FLOOD_BYTES // len(event)):
            await self._chunk(event)
            self._provider.flooded_bytes += len(event)

    async def _break_off(self, fault: str) -> None:
        if fault == "stalled":
            await self._until_left()
            return
        # What was sent must have been read: a reset would take it away again.
        await asyncio.sleep(0.01)
        if fault == "early_end":
            self._writer.write(b"0\r\n\r\n")
        elif fault == "malformed_chunk":
            self._writer.write(b"zz\r\nno length of a chunk\r\n")
        await self._drain()
        if fault != "early_end":
            self._abort()

    @property
    def _content_type(self) -> str:
        return "text/event-stream" if self._stream else "application/json"

    def _head(self, status: int, content_type: str, *lines: str) -> None:
        self._writer.write(
            "\r\n".join([f"HTTP/1.1 {status} X", f"content-type: {content_type}", *lines, "", ""]).encode()
        )

    def _whole(self, status: int, body: bytes, content_type: str = "application/json", *lines: str) -> None:
        self._head(status, content_type, f"content-length: {len(body)}", *lines)
        self._writer.write(body)

    async def _chunk(self, data: bytes, *, drip: bool = False) -> None:
        framed = b"%x\r\n%s\r\n" % (len(data), data)
        for start in range(0, len(framed), 40 if drip else len(framed)):
            self._writer.write(framed[start : start + 40] if drip else framed)
            await self._writer.drain()
            if drip:
                await asyncio.sleep(0.001)

    async def _pause(self) -> None:
        """Raises `ConnectionError` when the other side leaves meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause_s):
                await self._reader.read(1)
                raise ConnectionResetError("the other side left")

    async def _drain(self) -> None:
        if not self._writer.is_closing():
            await self._writer.drain()

    async def _until_left(self) -> None:
        await self._writer.drain()
        self._provider.waiting += 1
        try:
            while await self._reader.read(4096):
                pass
        finally:
            self._provider.waiting -= 1
            self._provider.left_at = time.perf_counter()
        self._writer.close()

    def _abort(self) -> None:
        self._writer.transport.abort()


def _event(delta: dict[str, str], reason: str | None, more: dict[str, str]) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
    shape = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return b"data: " + json.dumps(shape | more).encode() + b"\n\n"


@asynccontextmanager
async def providers(*faults: Mapping[str, float], seed: int) -> AsyncIterator[list[Provider]]:
    """One provider that answers for each of these likelihoods of faults."""
    made = [Provider(f"p{n}", faults=likely, seed=seed) for n, likely in enumerate(faults)]
    for provider in made:
        await provider.open()
    try:
        yield made
    finally:
        for provider in made:
            await provider.close()
