"""Writes that a client may repeat: what names one, and what it was answered.

A client that hears nothing cannot know whether its change was made. So it sends the change with a key, and again with
the same key: the change is made once, and both are answered alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import orjson

from freerelay_core.store.values import Tenant

__all__ = ["Answered", "IdempotencyKey"]


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """What a store keeps of a client's key, for 24 hours: two SHA-256 digests, hex."""

    key_hash: str
    """Of the key with the tenant and what it was used for, so that elsewhere the same key is another."""
    request_hash: str
    """Of what was asked for: a repetition asks for the same."""

    @classmethod
    def of(cls, key: str, *, tenant_id: str, use: Sequence[str], request: Sequence[object]) -> Self:
        """The digests of a key that a tenant sent for `use` (a route, and whose) with the parameters `request`."""
        return cls(_digest([tenant_id, *use, key]), _digest(request))


@dataclass(frozen=True, slots=True)
class Answered:
    """What a write is answered, now or when it was made."""

    answer: str
    replayed: bool
    """It was made before, and nothing has been written now."""
    tenant: Tenant | None = None
    """The tenant's row as it is now, where its settings are what is written: the writer may know an older one."""


def _digest(parts: Sequence[object]) -> str:
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()
