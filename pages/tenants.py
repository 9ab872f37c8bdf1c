"""Tenants."""

from __future__ import annotations

from pages import _layout

_layout.page_title("Tenants")
_layout.revision_mark()
