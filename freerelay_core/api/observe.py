"""For those who watch over FreeRelay: metrics for a scraper, the state of the router for the operator."""

from __future__ import annotations

import asyncio
import hmac

import orjson
from fastapi import APIRouter, Request, Response

from freerelay_core.api.auth import bearer, caller
from freerelay_core.api.metrics import CONTENT_TYPE, metric_families, metrics_text
from freerelay_core.api.shapes import state_shape
from freerelay_core.composition import Application, current, router_state
from freerelay_core.composition.accounts import OPERATOR
from freerelay_core.errors import PermissionDenied

__all__ = ["router"]

router = APIRouter()


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """The metrics of this worker, in Prometheus' text format; for the operator's key, or the metrics key."""
    application = current()
    await _require_reader(application, request)
    families = metric_families(application.tally, router_state(application, OPERATOR))
    # Written beside the loop: it takes longer than everything else here, and requests go on meanwhile.
    return Response(await asyncio.to_thread(metrics_text, families), media_type=CONTENT_TYPE)


@router.get("/v1/router/state", response_class=Response)
async def state(request: Request) -> Response:
    """What the router of this worker knows of its endpoints, its log and itself; for the operator."""
    shown = state_shape(router_state(current(), await caller(request.scope)))
    return Response(orjson.dumps(shown), media_type="application/json")


async def _require_reader(application: Application, request: Request) -> None:
    """Raise `AuthenticationFailed` or `PermissionDenied` unless the caller may read the metrics."""
    settings = application.settings
    if settings.metrics_open:
        return
    key = settings.metrics_key
    if key is not None and hmac.compare_digest(bearer(request.scope).encode(), key.get_secret_value().encode()):
        return
    if not (await caller(request.scope)).is_operator:
        raise PermissionDenied("The metrics are for the operator: use the operator's key, or FREERELAY_METRICS_KEY.")
