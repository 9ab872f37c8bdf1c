"""The OpenAPI document: what every public route takes and answers.

Our routes read and write their bodies themselves, chat completions outside FastAPI altogether, so the document is
written here rather than derived: one line a route in `operations.py`. A test compares it with the routes there are.
The forms of the dashboard (`/session`) are no API and are left out.
"""

from __future__ import annotations

from typing import Any

from freerelay_core import __version__
from freerelay_core.api.document.chat import CHAT_SCHEMAS
from freerelay_core.api.document.errors import ERROR_SCHEMA
from freerelay_core.api.document.headers import HEADERS
from freerelay_core.api.document.operations import PATHS
from freerelay_core.api.document.shapes import SHAPES

__all__ = ["openapi_document"]

_ABOUT = "An OpenAI-compatible router: the base URL of clients ends in /v1, every error has the shape `Error`."


def openapi_document() -> dict[str, Any]:
    """The document, of OpenAPI 3.1."""
    bearer = {"type": "http", "scheme": "bearer", "description": "A key: fr_live_… of a tenant, or the operator's."}
    return {
        "openapi": "3.1.0",
        "info": {"title": "FreeRelay", "version": __version__, "description": _ABOUT},
        "paths": PATHS,
        "components": {
            "securitySchemes": {"bearer": bearer},
            "schemas": {"Error": ERROR_SCHEMA} | CHAT_SCHEMAS | SHAPES,
            "headers": HEADERS,
        },
    }
