"""The border where bytes become JSON: everything that is no sound JSON object of bearable size is refused here.

orjson refuses what is not UTF-8, lone surrogates, NaN, infinities (1e400, too), byte order marks and trailing data.
What it lets through and we do not: deep nesting, NUL characters (PostgreSQL has none), very many messages or values,
and integers beyond 64 bits, which it makes floats of: the provider would get another number than the client sent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

import orjson
from starlette.types import Receive

from freerelay_core.errors import (
    HeadersTooLarge,
    InvalidRequest,
    RequestTimedOut,
    RequestTooLarge,
    UnsoundFraming,
    UnsupportedEncoding,
)

__all__ = [
    "MAX_BODY_BYTES",
    "ClientLeft",
    "JsonObject",
    "parse_object",
    "read_body",
    "read_object",
    "require_sound_head",
]

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 64
MAX_MESSAGES = 2_000
MAX_VALUES = 100_000
"""Members of all lists and objects. orjson holds the interpreter while it parses: 4 MiB of empty lists took it 2 s on a
busy machine, this many 20 ms. 2,000 messages of ten parts are 60,000 values."""
LARGE_BYTES = 256 * 1024
"""Bodies above this are read by a thread: its start costs about 0.1 ms, and such a body up to 10 ms."""
LONG_BYTES = 8 * 1024
"""Bodies up to this are told apart by a digest, which takes 5 us at most."""
MAX_HEADERS = 100
MAX_HEADER_BYTES = 16 * 1024
"""Names and values together."""
_LONG = b"0" * 19
_DIGITS_ALIKE = bytes(ord("0") if byte in b"0123456789" else byte for byte in range(256))
"""An integer beyond 64 bits has 19 digits or more; searching for a pattern takes several times as long."""
BODY_PAUSE_S = 30.0
"""How long a body may pause while it arrives."""
BODY_BYTES_PER_S = 1024
"""How much of a body must arrive in each second, on average, once it has had a pause's time."""


class ClientLeft(Exception):
    """The client went away while it was sending; there is nobody to answer."""


def require_sound_head(headers: Iterable[tuple[bytes, bytes]], http_version: str = "1.1") -> None:
    """Refuse a request by its headers (lower-case names), before its body is read.

    Raises `HeadersTooLarge`, `UnsupportedEncoding`, `UnsoundFraming`, `InvalidRequest`.
    """
    count = size = hosts = 0
    has_length = has_chunks = False
    for name, value in headers:
        count += 1
        size += len(name) + len(value)
        if name == b"content-length":
            has_length = True
        elif name == b"transfer-encoding":
            has_chunks = True
        elif name == b"host":
            hosts += 1
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise UnsupportedEncoding("Send the body without Content-Encoding: it is not unpacked here.")
    if count > MAX_HEADERS or size > MAX_HEADER_BYTES:
        raise HeadersTooLarge(f"At most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes in all are accepted.")
    if has_length and has_chunks:
        raise UnsoundFraming("Send Content-Length or Transfer-Encoding, not both.")
    if hosts != 1 and (hosts or http_version == "1.1"):  # a proxy in front may have gone by another one (RFC 9112, 3.2)
        raise InvalidRequest("Name the host in one Host header.", code="malformed_http")


async def read_body(receive: Receive, limit: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. What counts is what arrives, not what the client announced.

    Raises `RequestTooLarge` beyond `limit` bytes, `RequestTimedOut` where it pauses too long or drips, `ClientLeft`.
    """
    pause = _Pause()
    try:
        return await _read(receive, limit, pause)
    except asyncio.CancelledError:
        if not pause.too_long:
            raise
        pause.task.uncancel()
        raise RequestTimedOut(
            f"The body arrived too slowly: it may pause for {BODY_PAUSE_S:g} seconds, and must come at "
            f"{BODY_BYTES_PER_S} bytes a second after that long."
        ) from None
    finally:
        pause.timer.cancel()


class _Pause:
    """Cancels the present task when too little arrives. `asyncio.timeout` would cost each request 11 us, this 3."""

    __slots__ = ("_began", "_loop", "task", "timer", "too_long")

    def __init__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a body is read by a task")
        self.task = task
        self.too_long = False
        self._loop = task.get_loop()
        self._began = self._loop.time()
        self.timer = self._loop.call_at(self._began + BODY_PAUSE_S, self._end)

    def begin_anew(self, arrived: int) -> None:
        """Something arrived; `arrived` bytes have by now."""
        self.timer.cancel()
        earned = self._began + arrived / BODY_BYTES_PER_S
        self.timer = self._loop.call_at(min(self._loop.time(), earned) + BODY_PAUSE_S, self._end)

    def _end(self) -> None:
        self.too_long = True
        self.task.cancel()


async def _read(receive: Receive, limit: int, pause: _Pause) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        first: bytes = message.get("body", b"")
        return _within(first, limit)
    parts, size = [], 0
    while True:
        if message["type"] != "http.request":
            raise ClientLeft
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
        pause.begin_anew(size)
        message = await receive()


class JsonObject(NamedTuple):
    """A body that was read."""

    value: dict[str, Any]
    large: bool
    """Whether whatever reads all of it should do so in a thread."""
    digest: bytes | None = None
    """The same for the same bytes; None for a body that is long, which costs more and is seldom sent again."""


async def read_object(receive: Receive) -> JsonObject:
    """The JSON object that the request brings. Raises what `read_body` and `parse_object` raise."""
    raw = await read_body(receive)
    if len(raw) > LARGE_BYTES:
        return JsonObject(await asyncio.to_thread(parse_object, raw), large=True)
    return JsonObject(parse_object(raw), large=False, digest=sha256(raw).digest() if len(raw) <= LONG_BYTES else None)


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`. Raises `InvalidRequest`; its message never repeats what was sent."""
    if len(raw) > MAX_VALUES:
        _require_few_values(raw)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno}).", code="invalid_json"
        ) from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_json")
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _require_shallow(value)
    if b"\\u0000" in raw:
        _require_no_nul(value)
    if _LONG in raw.translate(_DIGITS_ALIKE):
        json.loads(raw, parse_int=_require_64_bits)
    messages = value.get("messages")
    if isinstance(messages, list) and len(messages) > MAX_MESSAGES:
        raise InvalidRequest(
            f"messages has {len(messages)} entries; at most {MAX_MESSAGES} are accepted.",
            code="too_many_messages",
            param="messages",
        )
    return value


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The body is larger than {limit} bytes.")


def _require_few_values(raw: bytes) -> None:
    """Refuse before it is parsed what takes long to parse. Commas and brackets within texts do not count."""
    if _marks(raw) > MAX_VALUES:
        plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
        too_many_texts = plain.count(b'"') > 4 * MAX_VALUES  # each member is at most a name and a text
        if too_many_texts or _marks(b"".join(plain.split(b'"')[::2])) > MAX_VALUES:
            raise InvalidRequest(f"The body holds more than {MAX_VALUES} values.", code="too_many_values")


def _marks(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def _require_shallow(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
        if not level:
            return
    raise InvalidRequest(f"The body is nested deeper than {MAX_DEPTH} levels.", code="too_deep")


def _require_no_nul(value: Any) -> None:
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            if "\0" in node:
                raise InvalidRequest("A text in the body holds a NUL character (\\u0000).", code="invalid_json")
            continue
        if isinstance(node, dict):
            stack += node
        stack += _children(node)


def _require_64_bits(digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else 2**64
    if not -(2**63) <= number < 2**64:
        raise InvalidRequest("An integer in the body is beyond 64 bits; send it as text.", code="invalid_json")
    return number


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
