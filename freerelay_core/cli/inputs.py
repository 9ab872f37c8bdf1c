"""Files that a command is given."""

from __future__ import annotations

import sys
from pathlib import Path

from freerelay_core.errors import InvalidRequest

__all__ = ["read_input"]


def read_input(path: Path) -> bytes:
    """The content of `path`, or of standard input where it is `-`. Raises `InvalidRequest` naming what is wrong."""
    try:
        return sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path}: cannot be read ({error.strerror}).") from None
