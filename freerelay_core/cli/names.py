"""Endpoints by the names that a user types."""

from __future__ import annotations

from difflib import get_close_matches

from freerelay_core.catalogue import Catalogue, Endpoint
from freerelay_core.errors import NotFound

__all__ = ["known_endpoint"]

_LONGEST_SHOWN = 100
_NEAR = 3
"""At most as many names are suggested."""
_SHORTEST_PART = 3
"""What is shorter stands in too many names."""


def known_endpoint(catalogue: Catalogue, name: str, *, of_request: bool = False) -> Endpoint:
    """The endpoint of this name.

    Raises `NotFound` with the names that may have been meant and the command that lists all; the API's own words send
    to a route. `of_request` where the name is the model of a request, which may leave the choice to the router.
    """
    known = {endpoint.id: endpoint for endpoint in catalogue.endpoints}
    if name in known:
        return known[name]
    shown = name[:_LONGEST_SHOWN]
    longer = [each for each in known if shown in each] if len(shown) >= _SHORTEST_PART else []
    near = longer[:_NEAR] or get_close_matches(shown, known, n=_NEAR)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    auto = "Write freerelay/auto to be routed. " if of_request else ""
    raise NotFound(
        f"No endpoint is called {shown!r}. {meant}{auto}`freerelay catalogue list` names all.",
        code="model_not_found",
        param="model",
    )
