"""Files that a command is given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

from freerelay_core.errors import InvalidRequest

__all__ = ["read_input", "read_object"]


def read_input(path: Path) -> bytes:
    """The content of `path`, or of standard input where it is `-`. Raises `InvalidRequest` naming what is wrong."""
    try:
        return sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path}: cannot be read ({error.strerror}).") from None


def read_object(path: Path, what: str) -> dict[str, Any]:
    """The JSON object in a file, or on standard input. `what` it should be, for the message of `InvalidRequest`."""
    try:
        content = orjson.loads(read_input(path))
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"{path}: is not JSON ({error}).") from None
    if not isinstance(content, dict):
        raise InvalidRequest(f"{path}: must hold a JSON object, {what}.")
    return content
