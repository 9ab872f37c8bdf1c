"""What a caller says about routing, in the body (`model`, `routing`) or beside it (headers)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from freerelay_core.decision import AUTO, named_endpoint
from freerelay_core.errors import InvalidRequest, UnprocessableRequest
from freerelay_core.preference import RoutingPreference, parse_preference

__all__ = ["Wishes", "read_wishes"]

_FIELDS = ("preference", "task", "depth", "confidential")


class Wishes(NamedTuple):
    """None where the caller says nothing."""

    endpoint: str | None = None
    """Id of the endpoint that is asked for."""
    preference: RoutingPreference | None = None
    task: str | None = None
    depth: str | None = None


def read_wishes(
    body: Mapping[str, Any],
    *,
    preference: str | None = None,
    task: str | None = None,
    depth: str | None = None,
    model_required: bool = False,
) -> Wishes:
    """The wishes in `body`, with those stated beside it (`preference`, `task`, `depth`) above them.

    Raises `InvalidRequest` for a model that is no name, `UnprocessableRequest` for options that cannot be meant.
    """
    model = body.get("model")
    if model is None and not model_required:
        model = AUTO
    if not isinstance(model, str) or not model:
        raise InvalidRequest(f"model must be the name of a model: {AUTO}, or one from GET /v1/models.", param="model")
    routing = body.get("routing")
    if routing is not None:
        options = _options(routing)
        preference = preference if preference is not None else options.get("preference")
        task = task if task is not None else options.get("task")
        depth = depth if depth is not None else options.get("depth")
    return Wishes(
        endpoint=named_endpoint(model),
        preference=None if preference is None else parse_preference(preference, param="routing.preference"),
        task=task,
        depth=depth,
    )


def _options(routing: object) -> dict[str, Any]:
    if not isinstance(routing, dict):
        raise UnprocessableRequest("routing must be an object.", param="routing")
    for name, value in routing.items():
        if name not in _FIELDS:
            known = ", ".join(_FIELDS)
            raise UnprocessableRequest(f"routing has a field that is not known; known are {known}.", param="routing")
        wanted = bool if name == "confidential" else str
        if value is not None and not isinstance(value, wanted):
            kind = "true or false" if wanted is bool else "text"
            raise UnprocessableRequest(f"routing.{name} must be {kind}.", param=f"routing.{name}")
    return routing
