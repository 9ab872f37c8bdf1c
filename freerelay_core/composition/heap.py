"""Memory that nobody holds any more, given back to the system."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache

__all__ = ["give_back"]


def give_back() -> None:
    """Give back what was freed. Takes a millisecond, or a tenth of one for each MB that goes.

    glibc does so by itself only at the upper end of its heap. After a burst the few things that lived longer lie
    scattered all over it, and the space between them would be kept for good. Other C libraries mind this themselves.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """The C library's `malloc_trim`; None in others than glibc."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
