"""Overview."""

from __future__ import annotations

from pages import _layout

_layout.page_title("Overview")
_layout.revision_mark()
