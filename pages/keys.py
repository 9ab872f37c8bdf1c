"""API keys."""

from __future__ import annotations

from pages import _layout

_layout.page_title("API keys")
_layout.revision_mark()
