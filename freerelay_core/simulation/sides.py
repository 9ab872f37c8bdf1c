"""One side of a what-if: every request of some traffic ranked in one world, as its own tenant's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freerelay_core.decision import Choice, choose, evaluate_batch, utility_of
from freerelay_core.policy import Directive, batch_directives, conditions_of
from freerelay_core.preference import (
    DEFAULT_PREFERENCE,
    FACTORS,
    RoutingPreference,
    effective_preference,
    exponent_array,
)
from freerelay_core.profile import ProfileBatch
from freerelay_core.scoring import Evaluation
from freerelay_core.simulation.replay import CHUNK, Cancelled
from freerelay_core.simulation.scenario import World
from freerelay_core.simulation.traffic import OVERRIDES, OwnWishes, TracedTenant, Traffic

__all__ = ["Side", "Watch", "side_of"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """The choices of R requests."""

    choice: Choice
    utility: Floats
    """ln U of each winner by what the request wants at present, shape (R,); 0 where nobody serves the request."""


@dataclass(slots=True)
class Watch:
    """Tells how far the work is, and stops it."""

    total: int
    progress: Callable[[int, int], None] | None
    cancelled: Callable[[], bool] | None
    done: int = 0

    def step(self, count: int) -> None:
        """`count` more are done."""
        self.done += count
        if self.progress is not None:
            self.progress(self.done, self.total)
        time.sleep(0)  # lets a live request in this process have its turn

    def check(self) -> None:
        """Raise `Cancelled` where the work is no longer wanted."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled


def side_of(traffic: Traffic, world: World, present: World, *, live: bool, watch: Watch) -> Side:
    """Every request ranked in `world`; its utility is told by what its tenant wants in the `present` one."""
    size, own = len(traffic), traffic.own
    choice = Choice(
        endpoint=np.full(size, -1, dtype=np.intp),
        cost_usd=np.zeros(size),
        quality=np.zeros(size),
        decoded_tokens=np.zeros(size),
    )
    utility = np.zeros(size)
    for number, tenant in enumerate(traffic.tenants):
        rows = np.flatnonzero(traffic.tenant == number)
        for start in range(0, len(rows), CHUNK):
            watch.check()
            part = rows[start : start + CHUNK]
            asked = _Asked(traffic.trace.profiles[part], own[part], tenant)
            evaluation, chosen = _chosen(asked, world, live=live)
            for name in ("endpoint", "cost_usd", "quality", "decoded_tokens"):
                getattr(choice, name)[part] = getattr(chosen, name)
            utility[part] = utility_of(evaluation, _wanted(asked, present), chosen.endpoint)
            watch.step(len(part))
    return Side(choice, utility)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Some requests of one tenant."""

    profiles: ProfileBatch
    own: OwnWishes
    tenant: TracedTenant


def _chosen(asked: _Asked, world: World, *, live: bool) -> tuple[Evaluation, Choice]:
    directives, index = _directives(asked, world)
    exponents, override = _exponents(directives, asked.tenant, world), asked.own.override
    price_matters = (exponents[:, :, FACTORS.index("cost")] > 0)[index, override]
    evaluation = evaluate_batch(
        world.snapshot,
        asked.profiles,
        directives,
        index,
        live=live,
        price_matters=price_matters,
        only=asked.own.only(world.snapshot.endpoint_ids),
    )
    alike = len(directives) == 1 and (override == override[0]).all()
    return evaluation, choose(evaluation, exponents[0, override[0]] if alike else exponents[index, override])


def _wanted(asked: _Asked, world: World) -> Floats:
    """Exponents of each request, shape (R, K)."""
    directives, index = _directives(asked, world)
    return _exponents(directives, asked.tenant, world)[index, asked.own.override]


def _directives(asked: _Asked, world: World) -> tuple[Sequence[Directive], npt.NDArray[np.intp]]:
    return batch_directives(
        world.policy,
        asked.profiles,
        tenant=asked.tenant.id,
        tier=asked.tenant.tier,
        preference=_of_tenant(asked.tenant, world),
        conditions=conditions_of(world.snapshot),
    )


def _of_tenant(tenant: TracedTenant, world: World) -> RoutingPreference:
    """The tenant's preference: a scenario's word stands above its own."""
    return world.wish(*tenant.names).preference or tenant.preference or DEFAULT_PREFERENCE


def _exponents(directives: Sequence[Directive], tenant: TracedTenant, world: World) -> Floats:
    """Exponents by directive and override, of shape (directives, `OVERRIDES`, K)."""
    wish, of_tenant = world.wish(*tenant.names), _of_tenant(tenant, world)

    def row(directive: Directive, override: RoutingPreference | None) -> Floats:
        wins = effective_preference(tenant=of_tenant, request=override, rule=directive.routing_preference).value
        return exponent_array(wish.exponents_over(wins))

    return np.array([[row(directive, override) for override in OVERRIDES] for directive in directives])
