"""All routes but chat completions, on FastAPI; every error in OpenAI's shape."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import orjson
from fastapi import Depends, FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from freerelay_core.api import health, observe, session
from freerelay_core.api.answers import error_headers, rate_headers
from freerelay_core.api.auth import caller, require_tenant
from freerelay_core.api.bodies import Feedback, SettingsChange, read_as
from freerelay_core.api.border import JsonObject, read_object
from freerelay_core.api.document import openapi_document
from freerelay_core.api.idempotency import answer_once, idempotency_key
from freerelay_core.api.shapes import decision_shape, model_shape, settings_answer, settings_shape
from freerelay_core.composition import current
from freerelay_core.composition.admission import Rate
from freerelay_core.decision import AUTO
from freerelay_core.errors import FreeRelayError, MethodNotAllowed, NotFound
from freerelay_core.store import Identity

__all__ = ["routes"]

routes = FastAPI(openapi_url=None, redirect_slashes=False)
routes.include_router(health.router)
routes.include_router(session.router)
routes.include_router(observe.router)


_DOCUMENT = orjson.dumps(openapi_document())


async def _document(_: Request) -> Response:
    return Response(_DOCUMENT, media_type="application/json")


routes.add_route("/openapi.json", _document)  # HEAD, too


async def _identity(request: Request) -> Identity:
    return await caller(request.scope)


async def _counted(identity: Annotated[Identity, Depends(_identity)]) -> Rate | None:
    """Counts the request in its tenant's minute. Raises `RateExceeded`."""
    return None if identity.tenant is None else current().admission.count(identity.tenant)


async def _json_object(request: Request) -> JsonObject:
    return await read_object(request.receive)


async def _json_body(request: Request) -> dict[str, Any]:
    return (await read_object(request.receive)).value


Caller = Annotated[Identity, Depends(_identity)]
Counted = Annotated[Rate | None, Depends(_counted)]
JsonBody = Annotated[dict[str, Any], Depends(_json_body)]
KeyToRepeat = Annotated[str | None, Depends(idempotency_key)]
SizedBody = Annotated[JsonObject, Depends(_json_object)]


@routes.get("/v1/tenant/settings")
async def read_settings(identity: Caller) -> Response:
    """The tenant's routing preference, and what decides."""
    view = await current().settings_view(require_tenant(identity).id)
    return _json(settings_shape(view))


@routes.post("/v1/tenant/settings")
async def write_settings(identity: Caller, key: KeyToRepeat, body: JsonBody) -> Response:
    """Save the routing preference, null for the default; the next request follows it."""
    tenant, application, actor = require_tenant(identity), current(), f"key:{identity.key_id}"
    change = read_as(SettingsChange, body)
    wish, version = change.routing_preference, change.settings_version
    if key is None:
        view = await application.set_preference(tenant.id, wish, actor=actor, expected_version=version)
        return _json(settings_shape(view))
    return answer_once(
        await application.set_preference_once(
            tenant.id, wish, actor=actor, expected_version=version, key=key, answer=settings_answer
        )
    )


@routes.post("/v1/router/decide")
async def decide(request: Request, identity: Caller, rate: Counted, sized: SizedBody) -> Response:
    """The ranking of a chat-completions body: nobody is called, nothing is stored."""
    application, stated = current(), request.headers
    body, large, digest = sized
    task, depth = stated.get("x-freerelay-task"), stated.get("x-freerelay-depth")
    decision = application.decide_body(
        identity,
        body,
        digest=digest,
        task=task,
        depth=depth,
        override=stated.get("x-freerelay-preference"),
        profile=await asyncio.to_thread(application.profile_body, body, task=task, depth=depth) if large else None,
    )
    shown = decision.as_dict(application.clock.now()) | {"dry_run": True}
    return _json(shown, headers=() if rate is None else rate_headers(*rate))


@routes.get("/v1/decisions/{decision_id}")
async def read_decision(decision_id: str, identity: Caller) -> Response:
    """A decision on a live request of this tenant, with its outcome."""
    tenant_id = None if identity.is_operator else require_tenant(identity).id
    return _json(decision_shape(await current().decision_log.find(tenant_id, decision_id)))


@routes.post("/v1/decisions/{decision_id}/feedback")
async def grade_decision(decision_id: str, identity: Caller, key: KeyToRepeat, body: JsonBody) -> Response:
    """Grade the answer to a request of this tenant, once; routing learns the endpoint's quality from it."""
    tenant = require_tenant(identity)
    score = read_as(Feedback, body).score
    if key is None:
        return _json(asdict(await current().grading.grade(tenant, decision_id, score)))
    return answer_once(
        await current().grading.grade_once(
            tenant, decision_id, score, key=key, answer=lambda graded: orjson.dumps(asdict(graded)).decode()
        )
    )


@routes.get("/v1/models")
async def list_models(_: Caller) -> Response:
    """What `model` may name."""
    application = current()
    live = application.fleet.snapshot().live
    served = [endpoint for endpoint, is_live in zip(application.catalogue.endpoints, live, strict=True) if is_live]
    return _json({"object": "list", "data": [model_shape(None, simulated=False), *(
        model_shape(endpoint, simulated=endpoint.provider not in application.vendor_keys.enabled)
        for endpoint in served
    )]})  # fmt: skip


@routes.get("/v1/models/{model_id:path}")
async def read_model(model_id: str, _: Caller) -> Response:
    """One of the models."""
    application = current()
    if model_id == AUTO:
        return _json(model_shape(None, simulated=False))
    application.require_servable(model_id)
    endpoint = application.catalogue.endpoint(model_id)
    return _json(model_shape(endpoint, simulated=endpoint.provider not in application.vendor_keys.enabled))


# -- errors ------------------------------------------------------------------------------------------------------------


@routes.exception_handler(FreeRelayError)
@routes.exception_handler(Exception)  # raised again after it is answered, and then logged
async def _on_error(_: Request, error: Exception) -> Response:
    return _error(error if isinstance(error, FreeRelayError) else FreeRelayError("Internal error."))


_WITHOUT_V1 = frozenset({"/chat/completions", "/completions", "/models", "/embeddings", "/responses"})
"""What clients ask for whose base URL lacks the end. Other paths are not repeated: they may hold a secret."""


@routes.exception_handler(HTTPException)
async def _on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    path = request.url.path
    if isinstance(error, HTTPException) and status == 405:
        return _error(MethodNotAllowed("This route does not answer that method.", allowed=_allowed(request, error)))
    if status != 404:
        return _error(FreeRelayError("Internal error."))
    if path == "/v1" or path.startswith("/v1/"):
        return _error(NotFound("There is no such route.", code="unknown_route"))
    meant = f" Did you mean /v1{path}?" if path in _WITHOUT_V1 else ""
    return _error(
        NotFound(f"There is no such route: the base URL of this API must end in /v1.{meant}", code="unknown_route")
    )


def _allowed(request: Request, error: HTTPException) -> set[str]:
    """The methods of this path: Starlette names those of one of its routes."""
    named = set((error.headers or {}).get("Allow", "").split(", "))
    found = [route for route in routes.routes if route.matches(request.scope)[0] is not Match.NONE]
    return named.union(*(getattr(route, "methods", None) or () for route in found)) - {""}


def _error(error: FreeRelayError) -> Response:
    return _json(error.as_openai(), error.status, headers=error_headers(error))


def _json(value: dict[str, Any], status: int = 200, *, headers: Sequence[tuple[bytes, bytes]] = ()) -> Response:
    response = Response(orjson.dumps(value), status, media_type="application/json")
    response.raw_headers.extend(headers)
    return response
