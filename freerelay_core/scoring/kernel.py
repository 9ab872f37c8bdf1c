"""The weighted sum of log factors, and the order it gives. Pure numpy, float64, one fixed order of summation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["ABOUT_EQUAL", "best", "log_utility", "order"]

Floats = npt.NDArray[np.float64]

ABOUT_EQUAL = 0.05
"""Endpoints whose utility is within 5 % of the winner's are about equal: the inputs are not surer than that."""

TIE_GRID = 1e-9
"""Log utilities are compared on this grid, so that other processors (last bits differ) give the same order."""


def log_utility(log_factors: Floats, exponents: Floats) -> Floats:
    """Log utility ln U of shape (R, E) from ln f of shape (K, R, E), or (E,) from (K, E); exponents of shape (K,).

    One factor after another: a matrix product or `sum(axis)` would change the last bits with the shape.
    """
    if log_factors.ndim == 2 and log_factors.shape[1] > 1:
        # numpy, too, adds along the first axis one row after another, as long as rows lie in memory one after another
        # and have several cells.
        summed: Floats = np.add.reduce(np.multiply(log_factors, exponents[:, None], order="C"), axis=0)
        return summed
    total: Floats = log_factors[0] * exponents[0]
    for factor, exponent in zip(log_factors[1:], exponents[1:], strict=True):
        total += factor * exponent
    return total


def order(log_utilities: Floats, cost_usd: Floats, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Allowed endpoints of one request, best first; arrays of shape (E,) in order of endpoint id.

    Ties on the grid go to the cheaper endpoint, then to the smaller id.
    """
    grid = np.where(allowed, np.rint(log_utilities / -TIE_GRID), np.inf)
    ranked: npt.NDArray[np.intp] = np.lexsort((cost_usd, grid))  # stable: equals stay in order of id
    return ranked[: np.count_nonzero(allowed)]


def best(log_utilities: Floats, cost_usd: Floats, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """The first of `order` for each of R requests, -1 where nothing is allowed; arrays of shape (R, E)."""
    grid = np.where(allowed, np.rint(log_utilities / TIE_GRID), -np.inf)
    top = grid.max(axis=1, keepdims=True)
    cost = np.where(grid == top, cost_usd, np.inf)
    return np.where(allowed.any(axis=1), cost.argmin(axis=1), -1)
