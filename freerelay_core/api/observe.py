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
from freerelay_core.errors import AuthenticationFailed, PermissionDenied
from freerelay_core.store import Identity

__all__ = ["router"]

router = APIRouter()

_OPERATOR_KEY = "the operator's key"
_METRICS_KEY = f"{_OPERATOR_KEY}, or the one in FREERELAY_METRICS_KEY"


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
    shown = state_shape(router_state(current(), await _caller(request, _OPERATOR_KEY)))
    return Response(orjson.dumps(shown), media_type="application/json")


async def _require_reader(application: Application, request: Request) -> None:
    """Raise `AuthenticationFailed` or `PermissionDenied` unless the caller may read the metrics."""
    settings = application.settings
    if settings.metrics_open:
        return
    if settings.metrics_key is not None and _brings(request, settings.metrics_key.get_secret_value()):
        return
    if not (await _caller(request, _METRICS_KEY)).is_operator:
        raise PermissionDenied(f"The metrics are for the operator: use {_METRICS_KEY}.")


def _brings(request: Request, key: str) -> bool:
    try:
        return hmac.compare_digest(bearer(request.scope).encode(), key.encode())
    except AuthenticationFailed:
        return False  # it brings none


async def _caller(request: Request, wanted: str) -> Identity:
    """The caller, who is told which key is wanted here where there is none: a tenant's would be refused."""
    try:
        return await caller(request.scope)
    except AuthenticationFailed as error:
        raise AuthenticationFailed(
            f"This is for the operator: send exactly one header `Authorization: Bearer` with {wanted}.", code=error.code
        ) from None
