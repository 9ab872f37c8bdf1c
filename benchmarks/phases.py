"""Runs the phases of a benchmark one after the other, each in an empty folder that goes with it."""

from __future__ import annotations

import asyncio
import resource
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

__all__ = ["allow_files", "measured"]


def measured(*phases: Callable[[Path], Coroutine[Any, Any, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """The figures of all phases; each is given its folder."""
    figures = []
    for phase in phases:
        with tempfile.TemporaryDirectory(prefix="fr-") as folder:  # short: a socket's path has a limit
            Path(folder).chmod(0o711)  # PostgreSQL may run as another account
            figures += asyncio.run(phase(Path(folder)))
    return figures


def allow_files(count: int) -> None:
    """Let this process, and those that it starts, have so many files open, or as many as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count if most == resource.RLIM_INFINITY else min(count, most), most))
