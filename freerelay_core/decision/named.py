"""The model that a caller names: the router's own name, which leaves it the choice, or the one endpoint to ask."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["AUTO", "mask_of_named", "named_endpoint"]

AUTO = "freerelay/auto"
"""The model name that leaves the choice to the router."""


def named_endpoint(model: str) -> str | None:
    """Id of the endpoint that `model` names; None where the router chooses."""
    return None if model == AUTO else model


def mask_of_named(endpoint: str | None, endpoint_ids: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """The endpoints that a request may be sent to, shape (E,): none where the named one is unknown."""
    return np.array([endpoint is None or name == endpoint for name in endpoint_ids], dtype=np.bool_)
