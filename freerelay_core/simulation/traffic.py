"""Traffic to rehearse on: a trace whose requests each belong to a tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import RequestProfile
from freerelay_core.simulation.trace import Trace, trace_of
from freerelay_core.store import RecordedRequest, Tenant

__all__ = ["TracedTenant", "Traffic", "recorded_traffic", "traffic_of_trace"]


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
    owners: list[str] = []
    demo = unreadable = 0
    for request in requests:
        try:
            profiles.append(RequestProfile.from_dict(request.profile))
        except (KeyError, ValueError, TypeError):
            unreadable += 1
            continue
        owners.append(request.tenant_id)
        demo += request.demo
    if not profiles:
        raise UnprocessableRequest(
            f"No requests were recorded in the last {days} days. Send some, or give a trace file.", param="traffic"
        )
    ids = sorted(set(owners))
    position = {tenant_id: number for number, tenant_id in enumerate(ids)}
    return Traffic(
        trace_of(profiles, origin=f"{len(profiles):,} recorded requests of the last {days} days"),
        tuple(_traced(tenant_id, tenants.get(tenant_id)) for tenant_id in ids),
        np.array([position[owner] for owner in owners], dtype=np.intp),
        demo,
        unreadable,
    )


def _traced(tenant_id: str, tenant: Tenant | None) -> TracedTenant:
    if tenant is None:
        return TracedTenant(tenant_id, tenant_id, None, None)
    return TracedTenant(tenant_id, tenant.email, tenant.tier, tenant.routing_preference)
