"""Sound and broken requests in great number against a running server: none may bring a 5xx, a hang or a stall.

    python benchmarks/malformed.py [--requests 100000] [--connections 16] [--seed 1] [--json]

A real server (uvicorn with httptools, embedded PostgreSQL, simulated providers that never fail) is started in a process
of its own. Most requests are JSON bodies of four routes with something wrong in them; one in fifty is broken below
HTTP's rules; one in five hundred is of the largest size. The loop's lag is what a second connection sees: the time of a
`GET /healthz` every 5 ms, which the server answers without any work of its own, so it includes other load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks.own_server import own_server

__all__ = ["FIELDS", "Findings", "assault"]

CHAT, DECIDE, SETTINGS = "/v1/chat/completions", "/v1/router/decide", "/v1/tenant/settings"
ANSWER_LIMIT_S = 20.0
"""No answer for so long is a hang."""
BEAT_S = 0.005
LAG_AIM_MS = 50.0
_LARGE_EVERY, _RAW_EVERY = 500, 50

MESSAGE = {"role": "user", "content": "What is the capital of France?"}
FIELDS = (
    "model", "messages", "stream", "stream_options", "routing", "tools", "tool_choice", "parallel_tool_calls",
    "functions", "function_call", "response_format", "max_tokens", "max_completion_tokens", "temperature", "top_p",
    "seed", "n", "reasoning_effort", "logprobs", "top_logprobs", "logit_bias", "stop", "user", "metadata", "modalities",
    "presence_penalty", "frequency_penalty", "service_tier", "store", "prediction", "verbosity", "safety_identifier",
)  # fmt: skip
"""Fields of a chat request that mean something here or at a vendor."""
_MESSAGE_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id", "refusal", "audio")
_ROUTING_FIELDS = ("preference", "task", "depth", "confidential", "unknown")
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64 - 1, -(2**63), 0.5, -0.0, 1e308, 5e-324, "", "0", "auto", "none",
    "json_object", "\x7f\u202e\ufeff", "\U0001f600" * 40, "a" * 5000, [], [[]], [None], ["x"], [0], [{}], {}, {"": {}},
    {"type": None}, {"type": "function"}, {"type": "function", "function": None}, {"type": "function", "function": {}},
    {"type": "json_schema"}, {"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}},
    {"type": "json_schema", "json_schema": {"schema": {"pattern": "(a+)+$", "type": ["x", 0], "enum": {}}}},
    [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": []}}}],
    [{"type": "text"}], [{"type": "text", "text": 0}], [{"type": "image_url"}], [{"type": "image_url", "image_url": 0}],
    [{"role": 0}], [{"role": "user", "content": {"a": 1}}], [{"role": "tool"}], [{"role": "assistant"}],
    [{"role": "assistant", "tool_calls": [{"function": {"arguments": 0}}]}], [0, "", None, [], {}],
)  # fmt: skip
_TOKENS = (
    b'"\\ud800"', b'"\\udfff\\ud800"', b'"a\\ud83dz"', b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400",
    b"9" * 5000, b"-" + b"1" * 5000, b"0." + b"3" * 5000, b"1e-400", b"01", b"+1", b".5", b"0x10", b'"\\u0000"',
    b'"\x00"', b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b"'x'", b"undefined", b"/**/1",
    b'"\\x41"', b'"\n"', b"[" * 200 + b"]" * 200, b'{"a":' * 90 + b"1" + b"}" * 90, b"[1,]", b'{"a":1,}', b"", b"\xa0",
)  # fmt: skip
_ENCODINGS = ("utf-16", "utf-16-be", "utf-32", "utf-8-sig", "cp037")


@dataclass(slots=True)
class Findings:
    """What came of the requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    """0 stands for a connection that ended without an answer, which only a broken head may bring."""
    faults: list[str] = field(default_factory=list)
    """One line for each answer that must not be."""
    hangs: int = 0
    lags_s: list[float] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many requests were sent."""
        return self.statuses.total()

    def lag_ms(self, share: float) -> float:
        """The lag that this share of the beats stays under."""
        ordered = sorted(self.lags_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


@dataclass(frozen=True, slots=True)
class _Case:
    path: str
    body: bytes
    name: str
    raw: bytes = b""
    """Everything that is sent, where it is no proper request."""


# -- cases -------------------------------------------------------------------------------------------------------------


def _cases(count: int, seed: int, key: str, decision_id: str, *, large: bool) -> Iterator[_Case]:
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    feedback = f"/v1/decisions/{decision_id}/feedback"
    sound: dict[str, Callable[[], dict[str, Any]]] = {
        CHAT: _chat,
        DECIDE: _chat,
        SETTINGS: lambda: {"routing_preference": "balanced", "settings_version": 1},
        feedback: lambda: {"score": 0.5},
    }
    giants = [(name, body) for name, body in _giants() if large or len(body) < 2**20]
    raws = list(_raws(key))
    for number in range(count):
        path = chance.choice((CHAT, DECIDE, CHAT, DECIDE, SETTINGS, feedback))
        if number % _LARGE_EVERY == 0:
            name, body = giants[number // _LARGE_EVERY % len(giants)]
            yield _Case(chance.choice((CHAT, DECIDE)), body, name)
        elif number % _RAW_EVERY == 1:
            name, raw = raws[number // _RAW_EVERY % len(raws)]
            yield _Case(CHAT, b"", name, raw)
        else:
            name, body = _mutated(chance, sound[path]())
            yield _Case(path, body, name)


def _chat() -> dict[str, Any]:
    return {
        "model": "freerelay/auto",
        "messages": [{"role": "system", "content": "Be brief."}, dict(MESSAGE)],
        "max_tokens": 20,
    }


def _mutated(chance: random.Random, body: dict[str, Any]) -> tuple[str, bytes]:
    how = chance.choice(("value", "value", "value", "token", "token", "bytes", "cut", "encoding", "whole"))
    if how == "value":
        name = _set_somewhere(chance, body, chance.choice(_VALUES))
        return name, json.dumps(body).encode()
    if how == "token":
        name = _set_somewhere(chance, body, "@@")
        token = chance.choice(_TOKENS)
        return f"{name} {token[:12]!r}", json.dumps(body).encode().replace(b'"@@"', token)
    if how == "encoding":
        encoding = chance.choice(_ENCODINGS)
        return encoding, json.dumps(body).encode(encoding)
    if how == "whole":
        token = chance.choice((*_TOKENS, b"[]", b"null", b'"x"', b"1", b"{}", b"{}{}", b"[" * 100_000))
        return f"whole {token[:12]!r}", token
    raw = bytearray(json.dumps(body).encode())
    if how == "cut":
        return "cut", bytes(raw[: chance.randrange(len(raw))])
    for _ in range(chance.randint(1, 8)):
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return "bytes", bytes(raw)


def _set_somewhere(chance: random.Random, body: dict[str, Any], value: Any) -> str:
    """Put the value into a field of the body, a message, a part, or `routing`; returns where."""
    where = chance.choice(("body", "body", "message", "part", "routing"))
    if "messages" not in body:
        name = chance.choice((*body, "unknown"))
        body[name] = value
        return name
    if where == "body":
        name = chance.choice(FIELDS)
        body[name] = value
    elif where == "message":
        name = chance.choice(_MESSAGE_FIELDS)
        body["messages"][chance.randrange(2)][name] = value
    elif where == "part":
        name = chance.choice(("type", "text", "image_url", "input_audio"))
        body["messages"][1]["content"] = [
            {"type": chance.choice(("text", "image_url", "file")), "text": "x", name: value}
        ]
    else:
        name = chance.choice(_ROUTING_FIELDS)
        body["routing"] = {name: value}
    return f"{where}.{name}"


def _giants() -> Iterator[tuple[str, bytes]]:
    """Bodies up to the limit of 4 MiB, and one above it."""
    yield "100,000 brackets", b'{"model": "freerelay/auto", "messages": ' + b"[" * 100_000
    yield "100,000 levels", b'{"model": "freerelay/auto", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    small = b'{"role":"user","content":""}'
    yield "200,000 messages", b'{"model":"freerelay/auto","messages":[' + b",".join([small] * 200_000) + b"]}"
    yield "140,000 messages", b'{"model":"freerelay/auto","messages":[' + b",".join([small] * 140_000) + b"]}"
    yield "600,000 objects", b'{"model":"freerelay/auto","a":[' + b",".join([b"[[{}]]"] * 590_000) + b"]}"
    for word, name in (("word ", "words"), ("1+1=2? ", "signs"), ("\u4e2d", "ideographs"), ("a", "one letter")):
        for size in (200_000, 4_000_000):
            text = word * (size // len(word.encode()))
            body = _chat() | {"messages": [{"role": "user", "content": text}]}
            yield f"{size} bytes of {name}", json.dumps(body, ensure_ascii=False).encode()
    parts = [{"type": "text", "text": "x"}] * 100_000
    yield "100,000 parts", json.dumps(_chat() | {"messages": [{"role": "user", "content": parts}]}).encode()
    yield "300,000 tools", json.dumps(_chat() | {"tools": [{}] * 300_000}).encode()


def _raws(key: str) -> Iterator[tuple[str, bytes]]:
    """What is no proper request: each on a connection of its own, whose sending half is closed after it."""
    body = json.dumps(_chat()).encode()
    top = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n".encode()
    yield "no request line", b"\r\n\r\n"
    yield "noise", bytes(range(256)) * 4
    yield "no version", b"GET /healthz\r\n\r\n"
    yield "odd version", b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n"
    yield "odd method", b"BREW /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    yield "TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64)
    yield "long target", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    yield "raw bytes in target", b"GET /v1/\xff\x00 HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "odd escapes in target", b"GET /v1/models/%ff%00%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    yield (
        "odd decision id",
        top.replace(CHAT.encode(), b"/v1/decisions/%00%ff/feedback")
        + (b"Connection: close\r\nContent-Length: 11\r\n\r\n" + b'{"score":1}'),
    )
    yield "bad chunk size", top + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body
    yield "huge chunk size", top + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n" + body
    yield "cut chunk", top + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (len(body) + 9) + body
    yield "length and chunks", top + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    yield "two lengths", top + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"
    yield "negative length", top + b"Content-Length: -1\r\n\r\n" + body
    yield "length too large", top + b"Content-Length: %d\r\n\r\n" % (len(body) + 100) + body
    yield "early close in head", top
    yield "many headers", top + b"".join(b"x-%d: v\r\n" % n for n in range(2000)) + b"Connection: close\r\n\r\n"
    yield "huge header", top + b"x-a: " + b"v" * 60_000 + b"\r\nConnection: close\r\n\r\n"
    yield "NUL in header", top + b"x-a: \x00\r\n\r\n"
    yield "NUL in key", top.replace(b"Bearer ", b"Bearer \x00") + b"\r\n"
    yield "odd bytes in key", top.replace(b"Bearer ", b"Bearer \xff\xfe") + b"Connection: close\r\n\r\n"
    yield (
        "odd preference",
        top + b"x-freerelay-preference: \xff\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (len(body)) + body,
    )
    yield "folded header", top + b"x-a: 1\r\n 2\r\n\r\n"
    yield "expect", top + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body


# -- sending -----------------------------------------------------------------------------------------------------------


async def assault(
    port: int, key: str, decision_id: str, *, requests: int, connections: int = 16, seed: int = 1, large: bool = True
) -> Findings:
    """Send so many requests; `large` takes the bodies above 1 MiB in."""
    findings, ended = Findings(), asyncio.Event()
    cases = _cases(requests, seed, key, decision_id, large=large)
    pulse = asyncio.create_task(_pulse(port, findings, ended))
    await asyncio.gather(*(_Sender(port, key, findings).send_all(cases) for _ in range(connections)))
    ended.set()
    await pulse
    return findings


class _Sender:
    """One connection, opened again whenever it was closed."""

    def __init__(self, port: int, key: str, findings: Findings) -> None:
        self._port, self._key, self._findings = port, key, findings
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send_all(self, cases: Iterator[_Case]) -> None:
        for case in cases:
            try:
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    await (self._send_raw(case) if case.raw else self._send(case))
            except TimeoutError:
                self._findings.hangs += 1
                self._findings.faults.append(f"hang: {case.path} {case.name}")
                self._findings.statuses[0] += 1
                self._close()
        self._close()

    async def _send(self, case: _Case) -> None:
        head = f"POST {case.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(case.body)}\r\n\r\n"
        if self._open is None:
            self._open = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        reader, writer = self._open
        writer.write(head.encode() + case.body)
        try:
            status, keeps, body = await _answer(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            self._findings.faults.append(f"no answer: {case.path} {case.name}")
            self._findings.statuses[0] += 1
            self._close()
            return
        if not keeps:
            self._close()
        self._judge(case, status, body)

    async def _send_raw(self, case: _Case) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        status, body = 0, b""
        with closing(writer), suppress(ConnectionError):  # hanging up is an answer, too
            writer.write(case.raw)
            writer.write_eof()
            answer = await reader.read()
            if answer.startswith(b"HTTP/"):
                status, body = int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]
        self._judge(case, status, body)

    def _judge(self, case: _Case, status: int, body: bytes) -> None:
        self._findings.statuses[status] += 1
        if status >= 500 and status != 503:
            self._findings.faults.append(f"{status}: {case.path} {case.name}: {case.body[:200]!r} {body[:200]!r}")
        if status >= 400 and not _has_error_shape(body):
            self._findings.faults.append(f"shape: {status} {case.path} {case.name}: {body[:200]!r}")

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool, bytes]:
    """Status, whether the connection stays open, and body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    found = re.search(rb"content-length: (\d+)", head)
    if found is not None:
        body = await reader.readexactly(int(found[1]))
    else:
        parts = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            parts.append(await reader.readexactly(size + 2))
        await reader.readexactly(2)
        body = b"".join(parts)
    return int(head.split(b" ", 2)[1]), b"connection: close" not in head, body


def _has_error_shape(body: bytes) -> bool:
    try:
        error = json.loads(body)["error"]
        return error.keys() == {"message", "type", "code", "param"} and isinstance(error["message"], str)
    except (ValueError, LookupError, TypeError, AttributeError):
        return False


async def _pulse(port: int, findings: Findings, ended: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not ended.is_set():
        began = time.perf_counter()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await _answer(reader)
        findings.lags_s.append(time.perf_counter() - began)
        await asyncio.sleep(BEAT_S)
    writer.close()


# -- the server and the report -----------------------------------------------------------------------------------------


def main() -> None:
    """Start the server, send everything, print what came of it; exit status 1 where an aim is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    with own_server() as server:
        findings, seconds = asyncio.run(_measure(arguments, server.port, server.demo_key))
    if not _report(findings, seconds, as_json=arguments.json):
        sys.exit(1)


async def _measure(arguments: argparse.Namespace, port: int, key: str) -> tuple[Findings, float]:
    began = time.perf_counter()
    findings = await assault(
        port,
        key,
        await _decision_id(port, key),
        requests=arguments.requests,
        connections=arguments.connections,
        seed=arguments.seed,
    )
    return findings, time.perf_counter() - began


async def _decision_id(port: int, key: str) -> str:
    """The id of a request that was answered, to be graded."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(_chat()).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return answer.partition(b"x-freerelay-decision-id: ")[2].partition(b"\r\n")[0].decode()


def _report(findings: Findings, seconds: float, *, as_json: bool) -> bool:
    for fault in findings.faults[:40]:
        print(fault, file=sys.stderr)
    for status, count in sorted(findings.statuses.items()):
        print(f"{status or 'closed':>8} {count:>8}", file=sys.stderr)
    faulty = sum(count for status, count in findings.statuses.items() if status >= 500 and status != 503)
    rows: Sequence[tuple[str, float, str, float | None]] = (
        ("malformed_requests", findings.total, "requests", None),
        ("malformed_seconds", round(seconds, 1), "s", None),
        ("malformed_5xx", faulty, "answers", 0),
        ("malformed_hangs", findings.hangs, "requests", 0),
        ("malformed_faults", len(findings.faults), "answers that must not be", 0),
        ("malformed_lag_p50", round(findings.lag_ms(0.5), 2), "ms", None),
        ("malformed_lag_p99", round(findings.lag_ms(0.99), 2), "ms", LAG_AIM_MS),
        ("malformed_lag_max", round(findings.lag_ms(1.0), 1), "ms", None),
    )
    figures = [
        {"name": name, "value": value, "unit": unit, "aim": aim, "met": None if aim is None else value <= aim}
        for name, value, unit, aim in rows
    ]
    for figure in figures:
        print(f"{figure['name']}: {figure['value']} {figure['unit']} (aim {figure['aim']})", file=sys.stderr)
    if as_json:
        print(json.dumps(figures))
    return all(figure["met"] is not False for figure in figures)


if __name__ == "__main__":
    main()
