"""Where commands write what is meant for people."""

from __future__ import annotations

import os
from typing import Final

from rich.console import Console

__all__ = ["output"]

_PIPE_COLUMNS: Final = 1_000
"""More than any table or sentence takes: what goes into a file or another command can be searched for whole names."""


def output() -> Console:
    """Standard output: as wide as the terminal or as `COLUMNS` says; in a pipe or a file whole lines."""
    console = Console()
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = _PIPE_COLUMNS
    return console
