"""A tenant's keys in HTML; never a whole key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

from freerelay_core.composition.accounts import key_state
from freerelay_core.store.values import KeyInfo
from pages._format import moment

__all__ = ["ended_keys", "live_keys", "name_of"]


def name_of(key: KeyInfo) -> str:
    """The key's label and the part that may be shown."""
    return f"{key.name} ({key.prefix}…)"


def live_keys(keys: Sequence[KeyInfo], *, session_key: str | None = None) -> str:
    """Keys that work; `session_key` is the id of the one that the reader has signed in with."""
    rows = "".join(
        _row(key, {"Last used": _time(key.last_used_at), "Expires": _time(key.expires_at)}, own=key.id == session_key)
        for key in keys
    )
    return _table("Keys that work", ("Last used", "Expires"), rows)


def ended_keys(keys: Sequence[KeyInfo], now: datetime) -> str:
    """Keys that were revoked or have expired."""
    rows = "".join(_row(key, {"Last used": _time(key.last_used_at), "Ended": _end(key, now)}) for key in keys)
    return _table("Keys that have ended", ("Last used", "Ended"), rows)


def _table(caption: str, columns: Sequence[str], rows: str) -> str:
    heads = "".join(f"<th scope='col'>{name}</th>" for name in ("Key", "Created", *columns))
    return (
        f"<table class='fr-table fr-stack'><caption class='fr-hidden'>{caption}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _row(key: KeyInfo, others: dict[str, str], *, own: bool = False) -> str:
    tag = " <span class='fr-tag fr-tag-outline'>signed in with</span>" if own else ""
    cells = {"Created": _time(key.created_at), **others}
    drawn = "".join(f"<td data-column='{name}'>{value}</td>" for name, value in cells.items())
    return f"<tr><th scope='row'>{escape(key.name)} <code>{escape(key.prefix)}…</code>{tag}</th>{drawn}</tr>"


def _end(key: KeyInfo, now: datetime) -> str:
    if key_state(key, now) == "expired":
        return f"expired {_time(key.expires_at)}"
    return f"revoked {_time(key.revoked_at)}"


def _time(at: datetime | None) -> str:
    return "never" if at is None else moment(at)
