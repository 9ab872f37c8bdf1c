"""Log lines on standard error: for people, or one JSON object a line; each says which request it belongs to.

Everything logs by the standard library, ours and what runs beside it, so a handler and two formatters are all there is.
What a line may hold: never a body or a query, and what looks like a key is masked in whatever was written by mistake.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import orjson

__all__ = ["ACCESS", "LogForm", "LogLevel", "Trail", "follow", "present_trail", "set_up_logs"]

LogForm = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

ACCESS = logging.getLogger("freerelay_core.access")
"""One line a request, where the operator asks for it."""

_OURS = "freerelay_core"
_SERVERS = ("uvicorn", "uvicorn.error", "uvicorn.asgi")
_LONGEST_VALUE = 2_000
"""Characters of a message; a traceback is kept whole."""

_SECRET = re.compile(
    r"(?i:(?<=bearer )\S+)|\bfr_(?:live|admin)_\w+|\bsb_secret_\w+|\b(?:sk|gsk|xai|nvapi|csk)-[\w-]{8,}|\bgsk_\w{8,}"
)
"""Our keys, Supabase's, and those of vendors that can be told by their beginning."""


class Trail:
    """What is known of the request that is being answered. `arrived` is in monotonic seconds."""

    __slots__ = ("arrived", "decision_id", "endpoint", "request_id", "tenant_id")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.arrived = time.monotonic()
        self.tenant_id: str | None = None
        self.decision_id: str | None = None
        self.endpoint: str | None = None

    def as_dict(self) -> dict[str, str]:
        """What is known, by name."""
        names = ("request_id", "decision_id", "tenant_id", "endpoint")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


_trail: ContextVar[Trail | None] = ContextVar("trail", default=None)


def follow(request_id: str) -> Trail:
    """Begin the trail of a request; lines logged by this task, and by tasks that it starts, carry it."""
    trail = Trail(request_id)
    _trail.set(trail)
    return trail


def present_trail() -> Trail | None:
    """The trail of the request that is being answered here, if there is one."""
    return _trail.get()


def set_up_logs(form: LogForm, level: LogLevel, *, access: bool) -> None:
    """Send every line of this process to standard error in this form. May be called again."""
    handler = _StandardError()
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _StandardError)]:
        root.removeHandler(old)
    root.addHandler(handler)
    for name in (_OURS, *_SERVERS):
        logging.getLogger(name).setLevel(level.upper())
    ACCESS.setLevel(logging.INFO if access else logging.CRITICAL)
    _take_over()


def _take_over() -> None:
    """Servers bring handlers of their own: their lines go our way, but for their access lines, which we write."""
    loggers = logging.getLogger().manager.loggerDict
    for name in {*_SERVERS, *(name for name in loggers if name.partition(".")[0] == "streamlit")}:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to whatever standard error is at the moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        raise NotImplementedError


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _when(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **_of_request(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _masked(_dumped(line))


class _Text(logging.Formatter):
    """A line for people; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        about = " ".join(f"{name}={value}" for name, value in _of_request(record).items())
        line = f"{_when(record)} {record.levelname:<7} {record.name} {_message(record)}{f' [{about}]' if about else ''}"
        line = line.translate(_ONE_LINE)
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return _masked(line)


_ONE_LINE = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160))}


def _when(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _message(record: logging.LogRecord) -> str:
    return record.getMessage()[:_LONGEST_VALUE]


def _of_request(record: logging.LogRecord) -> Mapping[str, Any]:
    """The request's ids, and what the line itself brings as `extra={"fields": …}`."""
    trail = _trail.get()
    known: dict[str, Any] = {} if trail is None else trail.as_dict()
    return known | getattr(record, "fields", {})


def _dumped(line: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(line, default=str).decode()
    except TypeError:  # a lone surrogate, which is no UTF-8
        return json.dumps(line, default=str)


def _masked(line: str) -> str:
    return _SECRET.sub("***", line)
