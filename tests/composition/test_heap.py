"""Memory that was freed does not stay with the process."""

from __future__ import annotations

import platform

import psutil

from freerelay_core.composition.heap import give_back

PIECES, PIECE_BYTES = 8_000, 8_000


def rss():
    return psutil.Process().memory_info().rss


def test_what_was_freed_between_what_stays_goes_back_to_the_system():
    before = rss()
    pieces = [b"x" * PIECE_BYTES + bytes([number % 256]) for number in range(PIECES)]
    kept = pieces[::16]
    taken = rss() - before
    del pieces

    give_back()

    if platform.libc_ver()[0] == "glibc":
        assert rss() - before < taken / 2
    assert len(kept) == PIECES / 16
