"""A load of chat completions that all differ: as many in flight as connections, over HTTP/1.1 that is kept alive.

    python benchmarks/varied.py URL --key KEY [--model NAME] [-c 16] [-d 2] [--warm 1] [--stream]

Each request is a text of words drawn by chance under the system prompt of one application: 60 to 6,000 characters, as
evenly over the magnitudes as chats are, its number at the beginning, so that none was ever sent before. Prints
`{rps, p50_ms, p99_ms, errors, ...}` as one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count
from urllib.parse import urlsplit

import uvloop

TEXTS = 2_000
"""Are made before the load begins; with another number each is sent again."""
SHORTEST, LONGEST = 60, 6_000
SYSTEM = "You answer customers of a bicycle shop. Be brief, name prices in euros, and say so when you do not know. " * 5
WORDS = [
    "please", "could", "you", "tell", "me", "whether", "the", "new", "front", "wheel", "fits", "my", "old",
    "frame", "and", "how", "long", "a", "repair", "of", "the", "brake", "takes", "because", "last", "week", "the",
    "chain", "came", "off", "twice", "when", "I", "went", "uphill", "in", "rain", "with", "a", "heavy", "bag",
    "on", "the", "back", "what", "would", "it", "cost", "to", "replace", "both", "tyres", "and", "send", "the",
    "invoice", "to", "our", "office", "write", "a", "short", "summary", "of", "these", "points",
]  # fmt: skip
_NUMBER = b"000000000000"
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)


def main() -> None:
    """Load, and say what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--key", required=True)
    parser.add_argument("--model", default="freerelay/auto")
    parser.add_argument("-c", "--connections", type=int, default=16)
    parser.add_argument("-d", "--seconds", type=float, default=2.0, help="measured time")
    parser.add_argument("--warm", type=float, default=1.0, help="seconds before that")
    parser.add_argument("--stream", action="store_true")
    arguments = parser.parse_args()
    print(json.dumps(uvloop.run(_loaded(arguments))))


async def _loaded(arguments: argparse.Namespace) -> dict[str, object]:
    load, loop, url = _Load(_requests(arguments), stream=arguments.stream), asyncio.get_running_loop(), arguments.url
    address = urlsplit(url)
    for _ in range(arguments.connections):
        await loop.create_connection(lambda: _Connection(load), address.hostname, address.port)
    await asyncio.sleep(arguments.warm)
    load.took_s.clear()
    began = time.perf_counter()
    await asyncio.sleep(arguments.seconds)
    seconds, took_s = time.perf_counter() - began, sorted(load.took_s)
    if not took_s:
        sys.exit(f"{url} answered nothing")
    return {
        "c": arguments.connections,
        "stream": arguments.stream,
        "secs": seconds,
        "n": len(took_s),
        "rps": round(len(took_s) / seconds, 1),
        "p50_ms": round(took_s[len(took_s) // 2] * 1e3, 3),
        "p99_ms": round(took_s[int(0.99 * len(took_s))] * 1e3, 3),
        "errors": load.errors,
        **({"first_error": load.first_error} if load.errors else {}),
    }


def _requests(arguments: argparse.Namespace) -> Iterator[bytes]:
    """Requests without end, of which no two are the same."""
    parts, address = _parts(arguments), urlsplit(arguments.url)
    head = (
        f"POST {address.path} HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {arguments.key}\r\ncontent-length: "
    ).encode()
    for number in count():
        before, after = parts[number % len(parts)]
        length = len(before) + len(_NUMBER) + len(after)
        yield b"%b%d\r\n\r\n%b%012d%b" % (head, length, before, number, after)


def _parts(arguments: argparse.Namespace) -> Sequence[tuple[bytes, bytes]]:
    """Bodies, cut where their number goes."""
    chance = random.Random(1)  # noqa: S311 - no secret
    bodies = []
    for _ in range(TEXTS):
        length = int(SHORTEST * (LONGEST / SHORTEST) ** chance.random())
        text = " ".join(chance.choices(WORDS, k=length // 5 + 1))[:length]
        body = {
            "model": arguments.model,
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": f"{_NUMBER.decode()}: {text}"},
            ],
            "max_tokens": 500,
            "temperature": 0.2,
            **({"stream": True} if arguments.stream else {}),
        }
        before, _, after = json.dumps(body).encode().partition(_NUMBER)
        bodies.append((before, after))
    return bodies


class _Load:
    def __init__(self, requests: Iterator[bytes], *, stream: bool) -> None:
        self.requests = requests
        self.stream = stream
        self.took_s: list[float] = []
        self.errors = 0
        self.first_error = ""

    def fail(self, error: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or error[:300]


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._transport: asyncio.Transport
        self._answer = bytearray()
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        answer += data
        head = answer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(answer, 0, head)
        whole = len(answer) >= head + 4 + int(length[1]) if length else answer.endswith(b"0\r\n\r\n")
        if not whole:
            return
        if answer[9:12] != b"200" or (self._load.stream and b"[DONE]" not in answer):
            self._load.fail(answer.decode("utf-8", "replace"))
        else:
            self._load.took_s.append(time.perf_counter() - self._began)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.fail(f"a connection was lost: {error}")

    def _send(self) -> None:
        self._answer = bytearray()
        self._began = time.perf_counter()
        self._transport.write(next(self._load.requests))


if __name__ == "__main__":
    main()
