"""Arguments and options that several commands take.

Files are taken with `readable=False`: whether one can be read shows where it is read, which says so in one line.
"""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["AsJson", "Email"]

Email = Annotated[str, typer.Argument(help="The tenant's e-mail address.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
