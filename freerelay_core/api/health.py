"""Whether the process lives, and whether it should be sent requests."""

from __future__ import annotations

from fastapi import APIRouter, Response

from freerelay_core.api.lifespan import present_drain
from freerelay_core.composition import current
from freerelay_core.errors import StoreUnavailable

__all__ = ["router"]

router = APIRouter()


@router.get("/healthz")
async def health() -> Response:
    """The process answers."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get("/readyz")
async def ready() -> Response:
    """Requests are welcome: the store has been reached, and nobody asked for a stop."""
    application = current()
    present_drain().require_open()
    if not application.ready:
        raise StoreUnavailable("The database has not answered since the start.")
    return Response(b'{"status":"ready"}', media_type="application/json")
