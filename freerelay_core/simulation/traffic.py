"""Traffic to rehearse on: a trace whose requests each belong to a tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freerelay_core.decision import mask_of_named, named_endpoint
from freerelay_core.errors import UnprocessableRequest
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import RequestProfile
from freerelay_core.simulation.trace import Trace, trace_of
from freerelay_core.store import RecordedRequest, Tenant

__all__ = ["OVERRIDES", "OwnWishes", "TracedTenant", "Traffic", "recorded_traffic", "traced", "traffic_of_trace"]

OVERRIDES = (*RoutingPreference, None)
"""What a request may ask for in place of its tenant's preference; None, at index -1, is nothing."""


@dataclass(frozen=True, slots=True)
class TracedTenant:
    """Whose requests they are. `preference` is None where the tenant never chose."""

    id: str
    label: str
    """For people: an address."""
    tier: str | None
    preference: RoutingPreference | None

    @property
    def names(self) -> tuple[str, str]:
        """What a scenario may call this tenant."""
        return (self.id, self.label)


@dataclass(frozen=True, slots=True, eq=False)
class OwnWishes:
    """What each of R requests asked for itself. Arrays of indices, shape (R,); -1 where it left that to others."""

    override: npt.NDArray[np.intp]
    """Into `OVERRIDES`."""
    model: npt.NDArray[np.intp]
    """Into `models`."""
    models: tuple[str, ...] = ()
    """Ids of the endpoints that were named; some may be gone from the catalogue."""

    def __getitem__(self, rows: npt.NDArray[np.intp] | slice) -> OwnWishes:
        """Those of these rows."""
        return OwnWishes(self.override[rows], self.model[rows], self.models)

    @property
    def overriding(self) -> npt.NDArray[np.bool_]:
        """Requests with a preference of their own, shape (R,)."""
        return self.override >= 0

    @property
    def named(self) -> npt.NDArray[np.bool_]:
        """Requests that name their model, shape (R,)."""
        return self.model >= 0

    def only(self, endpoint_ids: tuple[str, ...]) -> npt.NDArray[np.bool_] | None:
        """The endpoints to which each request may be sent, shape (R, E); None where no request names one."""
        if not self.named.any():
            return None
        masks = np.array([mask_of_named(name, endpoint_ids) for name in (*self.models, None)])
        allowed: npt.NDArray[np.bool_] = masks[self.model]
        return allowed

    @classmethod
    def none(cls, count: int) -> OwnWishes:
        """Those of `count` requests that asked for nothing."""
        nothing = np.full(count, -1, dtype=np.intp)
        return cls(nothing, nothing)

    @classmethod
    def of(cls, requests: Sequence[RecordedRequest], tenants: Mapping[str, Tenant]) -> OwnWishes:
        """Those on record, without preferences which the operator no longer lets their tenant ask for."""
        endpoints = [named_endpoint(request.model) for request in requests]
        models = tuple(dict.fromkeys(endpoint for endpoint in endpoints if endpoint is not None))
        places = {name: number for number, name in enumerate(models)}
        return cls(
            np.array(
                [
                    OVERRIDES.index(request.override)
                    if request.override is not None and _may_override(tenants.get(request.tenant_id))
                    else -1
                    for request in requests
                ],
                dtype=np.intp,
            ),
            np.array([-1 if endpoint is None else places[endpoint] for endpoint in endpoints], dtype=np.intp),
            models,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """R requests, and the tenant of each."""

    trace: Trace
    tenants: tuple[TracedTenant, ...]
    tenant: npt.NDArray[np.intp]
    """Shape (R,): index into `tenants`."""
    demo: int = 0
    """Requests that were generated for a first look."""
    unreadable: int = 0
    """Recorded requests left out: another release wrote them, with values that this one does not know."""
    wishes: OwnWishes | None = None
    """What the requests asked for themselves; None where none did."""

    @property
    def own(self) -> OwnWishes:
        """The same, for every request."""
        return self.wishes or OwnWishes.none(len(self))

    def __len__(self) -> int:
        return len(self.trace)


def traffic_of_trace(
    trace: Trace, *, preference: RoutingPreference | None = None, label: str = "all requests"
) -> Traffic:
    """A trace as the traffic of one tenant that prefers `preference`."""
    return Traffic(trace, (TracedTenant("", label, None, preference),), np.zeros(len(trace), dtype=np.intp))


def recorded_traffic(requests: Sequence[RecordedRequest], tenants: Mapping[str, Tenant], *, days: int) -> Traffic:
    """What the decision log recorded, in order; `tenants` by id. Tenants that are gone keep their id as their name.

    Raises `UnprocessableRequest` when there is nothing to replay.
    """
    profiles: list[RequestProfile] = []
    read: list[RecordedRequest] = []
    demo = unreadable = 0
    for request in requests:
        try:
            profiles.append(RequestProfile.from_dict(request.profile))
        except (KeyError, ValueError, TypeError):
            unreadable += 1
            continue
        read.append(request)
        demo += request.demo
    lately = "day" if days == 1 else f"{days} days"
    if not profiles:
        raise UnprocessableRequest(
            f"No requests were recorded in the last {lately}. Send some, or give a trace file.", param="traffic"
        )
    ids = sorted({request.tenant_id for request in read})
    position = {tenant_id: number for number, tenant_id in enumerate(ids)}
    return Traffic(
        trace_of(profiles, origin=f"{len(profiles):,} recorded requests of the last {lately}"),
        tuple(traced(tenant_id, tenants.get(tenant_id)) for tenant_id in ids),
        np.array([position[request.tenant_id] for request in read], dtype=np.intp),
        demo,
        unreadable,
        OwnWishes.of(read, tenants),
    )


def _may_override(tenant: Tenant | None) -> bool:
    return tenant is None or tenant.allow_override


def traced(tenant_id: str, tenant: Tenant | None) -> TracedTenant:
    """The tenant as traffic has it; one that is gone keeps its id as its name."""
    if tenant is None:
        return TracedTenant(tenant_id, tenant_id, None, None)
    return TracedTenant(tenant_id, tenant.email, tenant.tier, tenant.routing_preference)
