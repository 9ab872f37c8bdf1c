"""HTML and SVG built from elements: text is escaped unless it was built here, so that no name can become markup."""

from __future__ import annotations

from html import escape

__all__ = ["Markup", "element", "joined"]


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | float) -> Markup:
    """`<tag attributes>children</tag>`. Names of attributes: `class_` is class, `view_box` viewBox, `text_anchor`
    text-anchor; children that are no `Markup` are escaped.
    """
    written = "".join(
        f' {_NAMES.get(name) or _dashed(name)}="{escape(str(value))}"' for name, value in attributes.items()
    )
    return Markup(f"<{tag}{written}>{joined(*children)}</{tag}>")


def joined(*children: str) -> Markup:
    """The children one after another, text escaped."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children))


_NAMES = {"view_box": "viewBox"}


def _dashed(name: str) -> str:
    return name.rstrip("_").replace("_", "-")
