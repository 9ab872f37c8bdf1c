"""The weighted sum of log factors, and the order it gives. Pure numpy, float64, one fixed order of summation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freerelay_core.scoring.reference import TIE_GRID

__all__ = ["best", "log_utility", "order"]

Floats = npt.NDArray[np.float64]


def log_utility(log_factors: Sequence[Floats] | Floats, exponents: Floats) -> Floats:
    """Log utility ln U of R requests or of one, from ln f of K factors.

    One request: (E,) from `log_factors` of shape (K, E). A batch: (R, E) in Fortran order from K arrays that broadcast
    to (R, E), the exponents of shape (K,), or (K, R, 1) where they differ by request.
    One factor after another: a matrix product or `sum(axis)` would change the last bits with the shape.
    """
    if isinstance(log_factors, np.ndarray) and log_factors.ndim == 2 and log_factors.shape[1] > 1:
        # numpy, too, adds along the first axis one row after another, as long as rows lie in memory one after another
        # and have several cells.
        summed: Floats = np.add.reduce(np.multiply(log_factors, exponents[:, None], order="C"), axis=0)
        return summed
    total: Floats = log_factors[0] * exponents[0]
    for factor, exponent in zip(log_factors[1:], exponents[1:], strict=True):
        term = np.multiply(factor, exponent, order="F")
        # In place where that saves memory: the larger of the two has the shape of both.
        total = np.add(total, term, out=max(total, term, key=_extent))
    return total


def _extent(array: Floats) -> tuple[int, int]:
    return array.ndim, array.size


def order(log_utilities: Floats, cost_usd: Floats, excluded: npt.NDArray[np.int8]) -> npt.NDArray[np.intp]:
    """Endpoints of one request that are not excluded (code 0), best first; arrays of shape (E,) in order of id.

    Ties on the grid go to the cheaper endpoint, then to the smaller id.
    """
    grid = np.rint(log_utilities / -TIE_GRID)
    count = len(excluded) - np.count_nonzero(excluded)
    if count < len(excluded):
        grid[excluded.astype(np.bool_)] = np.inf
    ranked = grid.argsort(kind="stable")[:count]  # stable: equals stay in order of id
    sorted_grid = grid[ranked]
    if np.count_nonzero(sorted_grid[1:] == sorted_grid[:-1]):
        ranked = np.lexsort((cost_usd, grid))[: len(ranked)]
    return ranked


def best(log_utilities: Floats, cost_usd: Floats, excluded: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The first of `order` for each of R requests, -1 where nothing is left; arrays of shape (R, E).

    `excluded` holds the flat indices of the excluded cells, endpoint after endpoint. Works on `log_utilities` in place.
    """
    by_endpoint = log_utilities.T
    np.put(by_endpoint, excluded, -np.inf)
    top = by_endpoint.max(axis=0)
    # Whoever is nearer to the highest than a step of the grid may tie with it.
    near = by_endpoint >= top - 2.0 * TIE_GRID
    # Mostly one is near and its number the largest: `argmax` would go along endpoints, cell by cell.
    numbers = np.arange(len(near), dtype=np.min_scalar_type(len(near)))
    winner: npt.NDArray[np.intp] = (near.view(np.uint8) * numbers[:, None]).max(axis=0).astype(np.intp)
    if np.count_nonzero(near) > len(winner):
        tied = np.flatnonzero(near.sum(axis=0) > 1)
        grid = np.rint(by_endpoint[:, tied] / TIE_GRID)
        cost = np.where(grid == grid.max(axis=0), cost_usd.T[:, tied], np.inf)
        winner[tied] = cost.argmin(axis=0)
    winner[np.isneginf(top)] = -1
    return winner
