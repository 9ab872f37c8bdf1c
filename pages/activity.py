"""Activity."""

from __future__ import annotations

from pages import _layout

_layout.page_title("Activity")
_layout.revision_mark()
