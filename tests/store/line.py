"""A TCP line to a server, which a test can cut, hold up, or make long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict, make_conninfo

__all__ = ["Line", "line_to_database", "line_to_url"]


class Line:
    """Passes bytes on, both ways. `address` is this end of it: a connection string, or a URL."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._open = True
        self._passing = asyncio.Event()
        self._passing.set()
        self._connections: set[asyncio.Task[None]] = set()
        self.delay_s = 0.0
        """How long each chunk of bytes is on its way, one way."""
        self.hold_at: bytes | None = None
        """Once these bytes come, they and all that follow are held up."""
        self.cut_at: bytes | None = None
        """Once these bytes come, they are lost, and the line is cut."""
        self.taken = 0
        """Connections so far."""
        self.address = ""

    def cut(self) -> None:
        """End every connection, and take no other."""
        self._open = False
        for connection in self._connections:
            connection.cancel()

    def hold(self) -> None:
        """Keep connections open, take new ones, and pass nothing on."""
        self._passing.clear()

    def mend(self) -> None:
        self._open = True
        self._passing.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.taken += 1
        with contextlib.suppress(OSError, asyncio.CancelledError):
            if self._open:
                await self._passing.wait()
                await self._relay(reader, writer)
        self._connections.discard(task)
        writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._host.startswith("/"):
            far, back = await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        else:
            far, back = await asyncio.open_connection(self._host, self._port)
        both = [asyncio.create_task(self._pass_on(*way)) for way in ((reader, back), (far, writer))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in both:
                way.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            back.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if self.hold_at is not None and self.hold_at in data:
                self.hold()
            if self.cut_at is not None and self.cut_at in data:
                self.cut()
                return
            await self._passing.wait()
            target.write(data)
            await target.drain()


@asynccontextmanager
async def _running(line: Line) -> AsyncIterator[int]:
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        line.cut()
        await asyncio.sleep(0)


@asynccontextmanager
async def line_to_database(dsn: str) -> AsyncIterator[Line]:
    """A line to the PostgreSQL at `dsn`."""
    there = conninfo_to_dict(dsn)
    line = Line(str(there["host"]), int(there.get("port") or 5432))
    async with _running(line) as port:
        line.address = make_conninfo(dsn, host="127.0.0.1", port=port)
        yield line


@asynccontextmanager
async def line_to_url(url: str) -> AsyncIterator[Line]:
    """A line to what answers at `url`."""
    there = urlsplit(url)
    line = Line(there.hostname or "", there.port or 80)
    async with _running(line) as port:
        line.address = there._replace(netloc=f"127.0.0.1:{port}").geturl()
        yield line
