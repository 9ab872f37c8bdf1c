"""The whole of FreeRelay as one ASGI application: the API in front, the dashboard behind it, on one port.

Served by `freerelay serve`, `uvicorn app:app` or `streamlit run app.py`; the API alone is `freerelay_core.api:app`.
"""

from __future__ import annotations

import os

# Before numpy is loaded: one thread of linear algebra, because a replay that takes both cores starves the endpoint.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from freerelay_core import api

_HEAVY = ("pandas", "pyarrow", "plotly.graph_objects", "streamlit.elements.plotly_chart")
"""What the pages would load at their first run.

Loaded before the application starts, which spares all that is there by then from garbage collection: Streamlit collects
after every page run with the interpreter lock held, which would cost every request in flight 75 ms.
"""


class ApiFirst:
    """Hands API requests over before Streamlit's middleware: no session cookie, no compression, no HTML for a typo."""

    def __init__(self, app: ASGIApp) -> None:
        self._dashboard = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (api.app if api.belongs_to_api(scope) else self._dashboard)(scope, receive, send)


class SameOriginSockets:
    """Refuses WebSockets that another site opens from a visitor's browser.

    Streamlit refuses them, too, but first asks a host on the internet for this machine's address, and everybody waits.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._dashboard = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and origin.partition("://")[2] != headers.get("host"):
                await send({"type": "websocket.close", "code": 1008})
                return
        await self._dashboard(scope, receive, send)


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Starts and stops the application around the dashboard."""
    for name in _HEAVY:
        importlib.import_module(name)
    async with api.lifespan():
        # A page in a Python loop gives the interpreter back after 0.5 ms instead of 5: the endpoint waits behind it.
        sys.setswitchinterval(0.0005)
        yield


app = st.App("pages/_main.py", middleware=[Middleware(ApiFirst), Middleware(SameOriginSockets)], lifespan=lifespan)
