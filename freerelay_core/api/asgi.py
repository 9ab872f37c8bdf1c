"""The API as one ASGI application: chat completions by the short way, everything else by FastAPI."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from starlette.types import Message, Receive, Scope, Send

from freerelay_core.api.access import count_rejected, log_access
from freerelay_core.api.answers import new_request_id, send_error
from freerelay_core.api.border import ClientLeft, require_sound_head
from freerelay_core.api.chat import answer_chat
from freerelay_core.api.lifespan import is_draining, lifespan, present_drain
from freerelay_core.api.routes import routes
from freerelay_core.errors import FreeRelayError, MethodNotAllowed
from freerelay_core.logs import ACCESS, follow

__all__ = ["app", "belongs_to_api"]

CHAT = "/v1/chat/completions"

log = logging.getLogger(__name__)

_OWN_PATHS = frozenset({"/v1", "/session", "/session/end", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})
_DASHBOARDS = ("/_stcore/", "/media/", "/component/")
"""Parts of paths to which a browser sends other methods than GET for the dashboard's own sake."""


def belongs_to_api(scope: Scope) -> bool:
    """Whether a request that also could be the dashboard's is for the API.

    The dashboard answers any GET with its HTML, so whatever looks like a program comes here and gets JSON: paths of the
    API, every request with a bearer token, and every method that no page of the dashboard is asked with.
    """
    if scope["type"] != "http":
        return False
    path: str = scope["path"]
    if path in _OWN_PATHS or path.startswith("/v1/"):
        return True
    if scope["method"] not in ("GET", "HEAD") and not any(part in path for part in _DASHBOARDS):
        return True
    return any(name == b"authorization" and value[:7].lower() == b"bearer " for name, value in scope["headers"])


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application; `lifespan` must run around it, which its own lifespan protocol does."""
    if scope["type"] == "lifespan":
        await _run_lifespan(receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await _answer(scope, receive, send)


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    trail = follow(new_request_id())
    marked = _Marked(send, trail.request_id)
    try:
        require_sound_head(scope["headers"], scope["http_version"])
        if scope["path"] == CHAT:
            if scope["method"] != "POST":
                raise MethodNotAllowed(f"{CHAT} answers POST only.", allowed=["POST"])
            await answer_chat(scope, receive, marked, trail=trail, drain=present_drain())
        else:
            await routes(scope, receive, marked)
    except FreeRelayError as error:
        if marked.started:
            raise
        if scope["path"] == CHAT:
            count_rejected(error)
        await send_error(marked, error)
    except ClientLeft:
        return
    except Exception:
        log.exception("a request failed by a fault of FreeRelay")
        if not marked.started:
            await send_error(marked, FreeRelayError(f"Internal error. Quote the request id {trail.request_id}."))
    finally:
        if ACCESS.isEnabledFor(logging.INFO):
            log_access(scope, trail, marked.status)


class _Marked:
    """Sends with `x-request-id` on every answer, and knows whether one has begun.

    While the server drains, answers end their connection, so that the client's next request may find another server.
    """

    __slots__ = ("_request_id", "_send", "status")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id.encode()
        self.status = 0

    @property
    def started(self) -> bool:
        return self.status != 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._request_id)]
            if is_draining():
                message["headers"].append((b"connection", b"close"))
        await self._send(message)


async def _run_lifespan(receive: Receive, send: Send) -> None:
    stack = AsyncExitStack()
    await receive()
    running: AbstractAsyncContextManager[None] = lifespan()
    try:
        await stack.enter_async_context(running)
    except FreeRelayError as error:
        await send({"type": "lifespan.startup.failed", "message": f"freerelay: {error.message}"})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await stack.aclose()
    await send({"type": "lifespan.shutdown.complete"})
