"""What clients cost that read or send too slowly, and when the server is rid of them.

    python benchmarks/slow_clients.py [--clients 20] [--json]

The server runs in a process of its own. Clients ask for streams of a provider on loopback (`faulty.py`) that offers
200 MB each, and read nothing; as many others send half a head, and as many half a body. Measured is by how much the
process grows, how much longer another client's requests take beside them, how long it is until the server has ended
each of the connections, and until the provider works for nobody. That takes as long as the longest limit: a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil

from benchmarks.faulty import FLOOD, Provider
from benchmarks.figures import figure, p99, report
from benchmarks.loopback import catalogue_of
from benchmarks.own_server import OwnServer, own_server
from freerelay_core.api.border import BODY_PAUSE_S
from freerelay_core.api.connection import HEAD_LIMIT_S, UNREAD_LIMIT_S

REQUESTS = 1_000
"""That warm up; as many are measured without slow clients, and beside them."""
AIM_MIB = 32.0
AIM_ADDED_MS = {"p50": 1.0, "p99": 20.0}
"""Other work on the machine is in the slowest."""
AIM_FREED_S = 1.0
LATE_S = 5.0
"""So long after its limit a connection may end."""
LOOK_EVERY_S = 0.25
"""A look takes ten milliseconds, which a request meanwhile waits as well: rarely enough for the slowest hundredth."""
STUCK_S = 0.5
MIB = 1 << 20


class Slow(NamedTuple):
    """A way of being slow, and how long the server bears with it."""

    name: str
    limit_s: float


UNREAD, HEAD, BODY = Slow("unread", UNREAD_LIMIT_S), Slow("head", HEAD_LIMIT_S), Slow("body", BODY_PAUSE_S)


def main() -> None:
    """Measure, print a table; the status says whether every aim is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=int, default=20, help="of each kind")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    provider = Provider("p0", faults={}, seed=20261126)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        provider.port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="freerelay-slow-") as folder:
        catalogue = Path(folder) / "catalogue.yaml"
        catalogue.write_text(json.dumps(catalogue_of([provider])))
        with own_server(FREERELAY_CATALOGUE=str(catalogue)) as server:
            figures = asyncio.run(_measure(server, provider, arguments.clients))
    report(figures, as_json=arguments.json)


async def _measure(server: OwnServer, provider: Provider, count: int) -> list[dict[str, Any]]:
    process = psutil.Process(server.pid)
    await provider.open()
    try:
        await _latencies_ms(server)
        alone = await _latencies_ms(server)
        before = process.memory_info().rss
        clients = {slow: [await _slow_client(server, slow) for _ in range(count)] for slow in (UNREAD, HEAD, BODY)}
        watched = asyncio.create_task(_watch(process, clients, time.monotonic()))
        await _until_stuck(provider, count)
        beside = await _latencies_ms(server)
        most_rss, ended = await watched
        freed_s = await _freed_s(provider)
    finally:
        await provider.close()
    figures = [
        figure("slow_clients_rss_growth", (most_rss - before) / MIB, "MiB", most=AIM_MIB),
        figure("slow_clients_sent", provider.flooded_bytes / MIB, "MiB"),
    ]
    for name, of in (("p50", median), ("p99", p99)):
        figures.append(figure(f"slow_clients_alone_{name}", of(alone), "ms"))
        figures.append(figure(f"slow_clients_added_{name}", of(beside) - of(alone), "ms", most=AIM_ADDED_MS[name]))
    for slow, times in ended.items():
        most = slow.limit_s + LATE_S
        figures.append(figure(f"slow_clients_{slow.name}_ended", len(times), "clients", least=count))
        figures.append(figure(f"slow_clients_{slow.name}_longest", max(times, default=0.0), "s", most=most))
    return [*figures, figure("slow_clients_provider_freed", freed_s, "s", most=AIM_FREED_S)]


async def _slow_client(server: OwnServer, slow: Slow) -> socket.socket:
    """A connection of which nobody will read, and on which nobody will send more."""
    client = socket.create_connection(("127.0.0.1", server.port))
    client.setblocking(False)
    request = _request(server, stream=True, fault=FLOOD)
    cut = {UNREAD: len(request), HEAD: request.index(b"\r\n\r\n"), BODY: len(request) - 1}[slow]
    await asyncio.get_running_loop().sock_sendall(client, request[:cut])
    return client


def _request(server: OwnServer, **asked: object) -> bytes:
    message = {"role": "user", "content": "Say hello to request1"}
    body = json.dumps({"model": "freerelay/auto", "messages": [message], **asked}).encode()
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: x", f"authorization: Bearer {server.demo_key}"]
    lines += ["content-type: application/json", f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def _latencies_ms(server: OwnServer) -> list[float]:
    """How long each of some requests takes, one after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    request, times = _request(server), []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(f"the server answers {head!r}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        times.append((time.perf_counter() - began) * 1e3)
    writer.close()
    return times


async def _until_stuck(provider: Provider, count: int) -> None:
    """Wait until all ask the provider and it can send nothing more to any: the buffers of the system are full."""
    before = -1
    while provider.calls[FLOOD] < count or provider.flooded_bytes > before:
        before = provider.flooded_bytes
        await asyncio.sleep(STUCK_S)


async def _watch(
    process: psutil.Process, clients: Mapping[Slow, Sequence[socket.socket]], began: float
) -> tuple[int, dict[Slow, list[float]]]:
    """The most memory the process takes, and when it ends each connection, s; those that it keeps are missing."""
    waiting = {client.getsockname()[1]: slow for slow, each in clients.items() for client in each}
    accepted: set[int] = set()
    ended: dict[Slow, list[float]] = {slow: [] for slow in clients}
    most_rss = 0
    ends = began + max(slow.limit_s for slow in clients) + 2 * LATE_S
    while waiting and time.monotonic() < ends:
        most_rss = max(most_rss, process.memory_info().rss)
        held = {end.raddr[1] for end in process.net_connections("tcp") if end.status == psutil.CONN_ESTABLISHED}
        accepted |= waiting.keys() & held
        for port in waiting.keys() & accepted - held:
            ended[waiting.pop(port)].append(time.monotonic() - began)
        await asyncio.sleep(LOOK_EVERY_S)
    return most_rss, ended


async def _freed_s(provider: Provider) -> float:
    """How long the provider still works for somebody; for ever after some time."""
    began = time.monotonic()
    while provider.open_calls and time.monotonic() < began + 2 * LATE_S:  # noqa: ASYNC110 - it tells by this alone
        await asyncio.sleep(LOOK_EVERY_S)
    return float("inf") if provider.open_calls else time.monotonic() - began


if __name__ == "__main__":
    main()
