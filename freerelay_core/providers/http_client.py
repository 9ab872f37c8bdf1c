"""The client that speaks HTTP/1.1 to providers: one pool of connections, which are used again while they are fresh."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

from freerelay_core.providers.addresses import AddressInfo, public_socket
from freerelay_core.providers.base import UpstreamError
from freerelay_core.providers.http_connection import Connection, Exchange

__all__ = ["HttpClient", "Target"]

LOOK_UP_LIMIT_S = 1.0
"""To find the addresses of a name, from the beginning of the look-up on."""
ADDRESSES_KEPT_S = 10.0
SECOND_ADDRESS_AFTER_S = 0.25
"""RFC 8305 (Happy Eyeballs) recommends 250 ms before the next address is tried beside the first."""

Addresses: TypeAlias = Sequence[AddressInfo]


class Target:
    """Where requests of one kind go, and the head that all of them have. `public` refuses addresses that are not."""

    def __init__(self, url: str, headers: Mapping[str, str], *, public: bool) -> None:
        """`url` is http or https, with a host; `headers` are printable ASCII."""
        parts = urlsplit(url)
        self.tls = parts.scheme == "https"
        self.host = (parts.hostname or "").encode("idna").decode("ascii")
        self.port = parts.port or (443 if self.tls else 80)
        self.public = public
        lines = [
            f"POST {parts.path} HTTP/1.1",
            f"Host: {parts.netloc.rpartition('@')[2].encode('idna').decode('ascii')}",
        ]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.head = "\r\n".join([*lines, "Content-Length: "]).encode("ascii")
        self.idle: list[Connection] = []
        """Open connections that nobody uses, the one that was used last at the end."""
        self.addresses: Addresses = ()
        """What the name led to when it was last looked up; empty before."""
        self.looked_up = 0.0
        self.look_up: asyncio.Task[Addresses] | None = None
        """The look-up that is under way."""
        self.look_up_began = 0.0


class HttpClient:
    """Sends POST requests; it follows no redirect and knows neither cookies nor proxies. For one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open: set[Connection] = set()
        self._look_ups: set[asyncio.Task[Addresses]] = set()

    async def post(
        self, target: Target, body: bytes, *, connect_s: float, silence_s: float, total_s: float
    ) -> Exchange:
        """An exchange whose head has come, of whatever status. Raises `UpstreamError`.

        A new connection must stand within `connect_s`; the answer may be silent for `silence_s` (`Exchange.chunks` sets
        another limit) and must be complete within `total_s`, the way to the provider included.
        """
        ends_at = self._loop.time() + total_s
        connection = _kept(target) or await self._connect(target, connect_s, ends_at)
        exchange = connection.ask(
            b"%b%d\r\n\r\n" % (target.head, len(body)),
            body,
            silence_s=silence_s,
            total_s=ends_at - self._loop.time(),
        )
        try:
            await exchange.head()
        except asyncio.CancelledError:
            exchange.close()
            raise
        return exchange

    async def close(self) -> None:
        """End every connection and look-up."""
        for look_up in self._look_ups:
            look_up.cancel()
        for connection in tuple(self._open):
            connection.break_off()
        await asyncio.sleep(0)  # the event loop tells each of its end in its next turn

    async def _connect(self, target: Target, limit_s: float, ends_at: float) -> Connection:
        def freed(connection: Connection) -> None:
            target.idle.append(connection)

        def ended(connection: Connection) -> None:
            self._open.discard(connection)
            with suppress(ValueError):
                target.idle.remove(connection)

        loop = self._loop
        try:
            async with asyncio.timeout_at(ends_at):
                addresses = await self._addresses(target)
            async with asyncio.timeout_at(min(loop.time() + limit_s, ends_at)):
                opened = await start_connection(
                    addresses,
                    happy_eyeballs_delay=SECOND_ADDRESS_AFTER_S,
                    interleave=1,
                    loop=loop,
                    socket_factory=public_socket if target.public else None,
                )
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, freed, ended),
                    sock=opened,
                    ssl=_tls() if target.tls else None,
                    server_hostname=target.host if target.tls else None,
                )
        except OSError as error:  # among them TimeoutError and those of TLS
            raise UpstreamError("unreachable", "no connection") from error
        self._open.add(connection)
        return connection

    async def _addresses(self, target: Target) -> Addresses:
        """The addresses of the target's name; where it cannot be looked up, those that it last had (as RFC 8767 does).

        A look-up cannot be taken back: one that hangs holds one of the few threads that all look-ups share. So a name
        has one at a time, which every request waits for until `LOOK_UP_LIMIT_S` after its beginning.
        """
        now = self._loop.time()
        if target.look_up is None and (not target.addresses or now >= target.looked_up + ADDRESSES_KEPT_S):
            target.look_up = self._loop.create_task(self._looked_up(target))
            target.look_up_began = now
            self._look_ups.add(target.look_up)
            target.look_up.add_done_callback(self._over)
        if target.look_up is not None:
            try:
                async with asyncio.timeout_at(target.look_up_began + LOOK_UP_LIMIT_S):
                    return await asyncio.shield(target.look_up)
            except OSError:  # among them TimeoutError
                if not target.addresses:
                    raise
        return target.addresses

    def _over(self, look_up: asyncio.Task[Addresses]) -> None:
        self._look_ups.discard(look_up)
        if not look_up.cancelled():
            look_up.exception()  # whoever waited has been told

    async def _looked_up(self, target: Target) -> Addresses:
        try:
            found: Addresses = await self._loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        finally:
            target.look_up = None
        target.addresses, target.looked_up = found, self._loop.time()
        return found


def _kept(target: Target) -> Connection | None:
    """A connection that can be used again; the one used last is the surest to be alive still."""
    while target.idle:
        connection = target.idle.pop()
        if connection.usable:
            return connection
        connection.break_off()
    return None


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Certificates are verified against the system's authorities."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
