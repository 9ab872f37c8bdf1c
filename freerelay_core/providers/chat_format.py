"""The shape of OpenAI chat completions: what an answer or a stream of events says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

__all__ = ["ChatAnswer", "EventReader", "Usage", "error_kind", "error_message", "read_answer"]

MAX_EVENT_BYTES = 8 * 1024 * 1024
MAX_TEXT_BYTES = 320 * 1024
"""About so much is kept of the text of a stream, whatever a provider may send: more than is checked of an answer."""
MAX_TOKENS = 10**9
"""More than any request has; what is beyond is no count."""
_CUT_OFF = ("length", "model_length")
"""Finish reasons of what a limit ended: of the request or of the endpoint, and at Mistral the context's."""
_END = re.compile(rb"\n\n")
_END_OF_ANY = re.compile(rb"\n(?:\r?\n|\r(?!\Z))|\r\r\n?")
"""Where lines end in LF, CRLF or CR. It begins with the LF of a CRLF. To the last CR an LF may belong that is still to
come: after two CR it would change nothing, else what comes is waited for."""


class Usage(NamedTuple):
    """Tokens as the provider counted them; output includes hidden thinking, input includes cached."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int | None = None
    """Hidden thinking, part of the output; None where the provider does not say."""


class ChatAnswer(NamedTuple):
    """What a complete body says. `error` says, in our words (a vendor's may repeat the prompt), why it is no answer."""

    usage: Usage | None = None
    choices: Sequence[Any] = ()
    error: str | None = None
    cut_off: bool = False
    """Whether any choice says that a limit ended it."""

    @property
    def text(self) -> str:
        """The words of all choices, one after the other."""
        messages = [choice.get("message") for choice in self.choices if isinstance(choice, dict)]
        contents = [message.get("content") for message in messages if isinstance(message, dict)]
        return "".join([content for content in contents if isinstance(content, str)])


def read_answer(body: bytes) -> ChatAnswer:
    """What a body of status 200 says."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ChatAnswer(error="the answer is not JSON")
    if not isinstance(answer, dict):
        return ChatAnswer(error="the answer is not a JSON object")
    if answer.get("error"):
        return ChatAnswer(error="an error in spite of status 200")
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        return ChatAnswer(error="the answer has no choices")
    if not all(map(_is_choice, choices)):
        return ChatAnswer(error="the answer has a choice without a message")
    cut_off = any(choice.get("finish_reason") in _CUT_OFF for choice in choices)
    return ChatAnswer(usage=_usage(answer.get("usage")), choices=choices, cut_off=cut_off)


def _is_choice(choice: object) -> bool:
    """Whether it says something, or why it says nothing: all may have gone into thinking."""
    return isinstance(choice, dict) and (isinstance(choice.get("message"), dict) or bool(choice.get("finish_reason")))


def error_kind(error: object) -> str:
    """What a vendor calls the error, "overloaded_error" for one; its sentences may repeat the prompt, or our key."""
    kinds = [error.get("code"), error.get("type")] if isinstance(error, dict) else []
    return next((kind for kind in kinds if isinstance(kind, str) and _KIND.fullmatch(kind)), "without a kind")


_KIND = re.compile(r"[a-z][a-z_]{0,60}")


def error_message(error: object) -> str:
    """The words of an error object, whatever its shape."""
    message = error.get("message") if isinstance(error, dict) else error
    return str(message or "the provider reported an error")[:500]


class EventReader:
    """Reads a stream of server-sent events piece by piece, and hands on whole events only, byte for byte.

    Half an event must never reach the client: an error event that follows would be glued to it. Unless the client
    asked for it (`keeps_usage`), the chunk that holds nothing but the usage is read and kept back: OpenAI's clients
    expect a choice in every chunk then.
    """

    def __init__(self, *, keeps_usage: bool = True) -> None:
        self._keeps_usage = keeps_usage
        self._kept_back = False  # the event that was read last is not for the client
        self.has_content = False
        """Something that a user would see, or a finish reason, has come."""
        self.done = False
        """`[DONE]` has come."""
        self.error: str | None = None
        """What kind of error has come in place of an answer."""
        self.malformed = False
        self.usage: Usage | None = None
        self.cut_off = False
        """A choice has come that says that a limit ended it."""
        self._open: set[int] = set()  # choices that have begun and have no finish reason yet
        self._finished: set[int] = set()
        self._rest = b""
        self._text = bytearray()  # single words would take ten times as much memory
        self.text_length = 0
        """Characters of the answer so far, all choices together."""

    @property
    def finished(self) -> bool:
        """Every choice that has begun has its finish reason: nothing of the answer is missing."""
        return bool(self._finished) and not self._open

    @property
    def ended(self) -> bool:
        """Nothing that may follow matters."""
        return self.done or self.malformed or self.error is not None

    @property
    def text(self) -> str:
        """The answer so far, all choices together; of a very long one the beginning (`MAX_TEXT_BYTES`)."""
        return self._text.decode()

    def feed(self, data: bytes) -> bytes:
        """Take in bytes as they arrive; returns the events that are complete now.

        What must not reach the client is left out: an error, and a `[DONE]` that comes too early.
        """
        buffer = self._rest + data
        passed: list[bytes] = []
        begin = read = 0  # what is passed on next begins there, and has been read up to there
        of_any = b"\r" in buffer
        for end in (_END_OF_ANY if of_any else _END).finditer(buffer):
            self._kept_back = False
            event = buffer[read : end.start()]
            self._read(event.strip(b"\r\n").replace(b"\r", b"\n") if of_any else event)
            if self.malformed or self.error is not None or (self.done and not self.finished):
                break
            if self._kept_back:
                passed.append(buffer[begin:read])
                begin = end.end()
            read = end.end()
            if self.done:
                break
        self._rest = buffer[read:]
        if not self.ended:
            self.malformed = len(self._rest) > MAX_EVENT_BYTES
        return b"".join([*passed, buffer[begin:read]]) if passed else buffer[begin:read]

    def _read(self, event: bytes) -> None:
        """Take in an event whose lines end in LF."""
        if event.startswith(b"data:") and b"\n" not in event:
            payload = event[5:].strip()
        else:
            lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
            payload = b"\n".join(lines)
        if not payload:
            return  # a comment, or a field of no interest
        if payload == b"[DONE]":
            self.done = True
            return
        try:
            chunk = orjson.loads(payload)
        except orjson.JSONDecodeError:
            self.malformed = True
            return
        self._read_chunk(chunk)

    def _read_chunk(self, chunk: object) -> None:
        if not isinstance(chunk, dict):
            self.malformed = True
            return
        if chunk.get("error"):
            self.error = error_kind(chunk["error"])
            return
        choices, usage = chunk.get("choices") or (), chunk.get("usage")
        if usage is not None:
            self.usage = _usage(usage) or self.usage
            self._kept_back = not (choices or self._keeps_usage) and isinstance(usage, dict)
        if not isinstance(choices, _LISTS):
            self.malformed = True
            return
        for choice in choices:
            if not isinstance(choice, dict):
                self.malformed = True
                return
            delta = choice.get("delta")
            if isinstance(delta, dict):
                self._read_delta(delta)
            place = choice.get("index")
            index = place if isinstance(place, int) else 0
            if choice.get("finish_reason"):  # some send an empty one until the end
                self.has_content = True
                self.cut_off = self.cut_off or choice["finish_reason"] in _CUT_OFF
                self._finished.add(index)
                self._open.discard(index)
            elif index not in self._open and index not in self._finished:
                self._open.add(index)

    def _read_delta(self, delta: dict[str, Any]) -> None:
        content = delta.get("content")
        if content and isinstance(content, str):
            if len(self._text) < MAX_TEXT_BYTES:
                self._text += content.encode()
            self.text_length += len(content)
            self.has_content = True
        elif not self.has_content:
            self.has_content = any(value for name, value in delta.items() if name != "role")


_LISTS = (list, tuple)


def _usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    input_tokens, output_tokens = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if input_tokens is None or output_tokens is None:
        return None
    cached = _count(usage.get("prompt_tokens_details"), "cached_tokens") or 0
    thinking = _count(usage.get("completion_tokens_details"), "reasoning_tokens")
    return Usage(
        input_tokens,
        output_tokens,
        min(cached, input_tokens),
        None if thinking is None else min(thinking, output_tokens),
    )


def _count(counts: object, name: str) -> int | None:
    """The count of tokens of this name, where one is stated that can be."""
    count = counts.get(name) if isinstance(counts, dict) else None
    return count if type(count) is int and 0 <= count <= MAX_TOKENS else None  # true is an int, too
