"""Arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["AsJson", "Email"]

Email = Annotated[str, typer.Argument(help="The tenant's e-mail address.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
