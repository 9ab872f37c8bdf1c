"""A real HTTP server on loopback that plays a provider, well-behaved or not, as each test plans it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

WORDS = ("The", " quick", " brown", " fox")
USAGE = {"prompt_tokens": 24, "completion_tokens": 4, "total_tokens": 28}


@dataclass
class Received:
    """A request as it arrived, and the connection to answer on."""

    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes
    read_on: threading.Event
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)

    async def head(self, status: int, content_type: str, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        await self.writer.drain()

    async def answer(self, status: int, body: bytes, content_type: str = "application/json", **headers: str) -> None:
        await self.head(status, content_type, content_length=str(len(body)), **headers)
        self.writer.write(body)
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self.writer.drain()

    async def event(self, value: object) -> None:
        await self.chunk(b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n")

    async def gone(self) -> None:
        """Return once the other side has closed the connection."""
        while await self.reader.read(65536):
            pass


Plan = Callable[[Received], Awaitable[None]]


def completion(text: str = "".join(WORDS), **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "upstream-model",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
        **more,
    }


def delta(content: str | None = None, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    part = {} if content is None else {"content": content}
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "upstream-model",
        "choices": [{"index": 0, "delta": part, "finish_reason": finish_reason}],
        **more,
    }


# -- plans


async def good(request: Received) -> None:
    """A whole answer, streamed when asked for."""
    if not request.body.get("stream"):
        await request.answer(200, json.dumps(completion()).encode())
        return
    await opened(request)
    for word in WORDS:
        await request.event(delta(word))
    await request.event(delta(finish_reason="stop"))
    await request.event(b"[DONE]")
    request.writer.write(b"0\r\n\r\n")


async def opened(request: Received) -> None:
    """The beginning of a stream, without content."""
    await request.head(200, "text/event-stream", transfer_encoding="chunked")
    first = delta("")
    first["choices"][0]["delta"]["role"] = "assistant"
    await request.event(first)


def status(code: int, body: object = None, **headers: str) -> Plan:
    """An error of this status."""
    content = {"error": {"message": f"upstream says {code}", "type": "t", "code": None}} if body is None else body
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()

    async def plan(request: Received) -> None:
        await request.answer(code, raw, **headers)

    return plan


def body_of_200(body: bytes) -> Plan:
    """Status 200 with something that is no completion."""

    async def plan(request: Received) -> None:
        await request.answer(200, body)

    return plan


async def error_as_first_event(request: Received) -> None:
    await request.head(200, "text/event-stream", transfer_encoding="chunked")
    await request.event({"error": {"message": "overloaded"}})
    request.writer.write(b"0\r\n\r\n")


async def garbage(request: Received) -> None:
    request.writer.write(b"this is not HTTP\r\n\r\n")
    await request.writer.drain()
    request.writer.close()


async def closed_at_once(request: Received) -> None:
    request.writer.close()


def broken_stream(*after: object, cut: bool = True) -> Plan:
    """A stream that says two words and, once somebody has read them (`Upstream.read_on`), `after`.

    Then it ends: by a cut connection, or cleanly.
    """

    async def plan(request: Received) -> None:
        await opened(request)
        for word in WORDS[:2]:
            await request.event(delta(word))
        await asyncio.to_thread(request.read_on.wait, 10)
        for item in after:
            await (request.chunk(item) if isinstance(item, bytes) else request.event(item))
        if not cut:
            request.writer.write(b"0\r\n\r\n")
            await request.writer.drain()
        request.writer.close()

    return plan


class Hanging:
    """Answers nothing (or only the beginning of a stream) and notes when the other side gives up."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.began = threading.Event()
        self.left = threading.Event()

    async def __call__(self, request: Received) -> None:
        if self.words:
            await opened(request)
            for word in self.words:
                await request.event(delta(word))
        self.began.set()
        await request.gone()
        self.left.set()


def saying(text: str, finish_reason: str | None = "stop", **usage: Any) -> Plan:
    """An answer in one piece with this text, this reason to end and these counts of tokens."""

    async def plan(request: Received) -> None:
        answer = completion(text, usage=USAGE | usage)
        answer["choices"][0]["finish_reason"] = finish_reason
        await request.answer(200, json.dumps(answer).encode())

    return plan


# -- the server


class Upstream:
    """Plays providers: what it does is planned by the name of the model."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.read_on = threading.Event()
        self._plans: defaultdict[str, list[Plan]] = defaultdict(lambda: [good])
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def plan(self, model: str, *plans: Plan) -> None:
        """What to do with the requests for `model`, in turn; the last plan is for all that follow."""
        self._plans[model] = list(plans)

    def plan_all_good(self) -> None:
        """Forget every plan."""
        self._plans.clear()

    def models(self) -> list[str]:
        """The models asked for, in order."""
        return [request.body["model"] for request in self.received]

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = [line.partition(":") for line in head.split("\r\n")[1:] if line]
                headers = {name.lower(): value.strip() for name, _, value in fields}
                raw = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Received(headers, json.loads(raw), raw, self.read_on, reader, writer)
                self.received.append(request)
                plans = self._plans[request.body["model"]]
                await (plans.pop(0) if len(plans) > 1 else plans[0])(request)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@contextmanager
def upstream_server() -> Iterator[Upstream]:
    server = Upstream()
    try:
        yield server
    finally:
        server.stop()


def refused_url() -> str:
    """A base URL where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
