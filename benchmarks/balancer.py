"""A balancer in front of some servers, as simple as one can be that looks at `/readyz`."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

__all__ = ["Balancer", "balancer"]

LOOK_EVERY_S = 0.5
"""How often each server is asked whether it is ready: for so long a balancer may not know that one is stopping."""
_ANSWER_LIMIT_S = 1.0
_READY = b"GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n"
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Balancer:
    """Hands each request to the next server that is ready; one request a connection, on either side.

    A request that a server refuses is handed to the next one, once each: with a refused connection or a 503 nothing
    was done for it. (haproxy: `option redispatch` and `retry-on conn-failure 503`.) Whatever else goes wrong is the
    client's to see.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        """`ports` are those of the servers, on 127.0.0.1."""
        self.retried: Counter[str] = Counter()
        """Requests handed on, by what the server before had said."""
        self.without_server = 0
        """Requests that no server was ready for."""
        self._ready = dict.fromkeys(ports, False)
        self._turn = 0
        self._work: set[asyncio.Task[None] | None] = set()  # asyncio forgets that of a client that has left

    async def look(self) -> None:
        """Keep in mind which servers are ready. Never returns."""
        while True:
            for port in self._ready:
                self._ready[port] = await _is_ready(port)
            await asyncio.sleep(LOOK_EVERY_S)

    async def until_ready(self) -> None:
        """Wait until every server is."""
        while not all(self._ready.values()):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one request on, and its answer back."""
        self._work.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            request = await _request(reader)
            if not await self._pass_on(request, writer):
                self.without_server += 1
                writer.write(b"HTTP/1.1 503 No server\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()
        self._work.discard(asyncio.current_task())

    async def _pass_on(self, request: bytes, writer: asyncio.StreamWriter) -> bool:
        """Whether a server was found for it."""
        self._turn += 1
        ports = [port for port, ready in self._ready.items() if ready]
        turn = self._turn % max(1, len(ports))
        in_turn = [*ports[turn:], *ports[:turn]]
        for port in in_turn:
            last = port == in_turn[-1]
            try:
                answer, there = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                self.retried["no connection"] += 1
                continue
            try:
                there.write(request)
                head = await _head(answer)
                if head.startswith(b"HTTP/1.1 503 ") and not last:
                    self.retried["503"] += 1
                    continue
                writer.write(head)
                while part := await answer.read(1 << 16):
                    writer.write(part)
                    await writer.drain()
                return True
            finally:
                there.close()
        return False


async def _request(reader: asyncio.StreamReader) -> bytes:
    """A whole request, which asks for the end of its connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1]) if length else 0)
    return head[:-2] + b"Connection: close\r\n\r\n" + body


async def _head(answer: asyncio.StreamReader) -> bytes:
    return await answer.readuntil(b"\r\n\r\n")


async def _is_ready(port: int) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(_READY)
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
    except OSError:  # nobody listens; a timeout is one, too
        return False


@asynccontextmanager
async def balancer(ports: Sequence[int]) -> AsyncIterator[tuple[Balancer, int]]:
    """A running balancer and its port."""
    it = Balancer(ports)
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0, backlog=1024)
    looking = asyncio.create_task(it.look())
    try:
        yield it, server.sockets[0].getsockname()[1]
    finally:
        looking.cancel()
        server.close()
