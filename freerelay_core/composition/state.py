"""What the router of this process knows right now: the one source of the route, the page and the metrics.

A figure more is a field of `EndpointState` or `RouterState` and its line where that is made; the route shows every
field, the page and the metrics choose theirs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from freerelay_core import __version__
from freerelay_core.behaviour import Behaviour, prior_behaviour
from freerelay_core.composition.application import Application
from freerelay_core.errors import PermissionDenied
from freerelay_core.fleet import BreakerHealth, QuotaFigure
from freerelay_core.snapshot import AVAILABLE, BREAKER_OPEN, COOLING_DOWN, PROVIDER_BUDGET_GONE, QUOTA_GONE
from freerelay_core.store import Identity

__all__ = ["AVAILABILITIES", "EndpointState", "Pace", "RouterState", "router_state"]

AVAILABILITIES = {
    AVAILABLE: "available",
    BREAKER_OPEN: "breaker_open",
    COOLING_DOWN: "cooling_down",
    QUOTA_GONE: "quota_gone",
    PROVIDER_BUDGET_GONE: "provider_budget_gone",
}
"""Names of what `Snapshot.availability` holds in a live fleet."""

_WHY = {
    "breaker_open": "It kept failing, so its breaker is open; single requests try whether it is back.",
    "cooling_down": "It asked us to wait (rate limit).",
    "quota_gone": "Its quota is used up.",
    "provider_budget_gone": "Its provider's budget is used up.",
}
_NOT_LIVE = "It is simulated, and real endpoints are configured."
_ANSWERED = frozenset({"ok", "refused"})
"""Results of attempts that say the endpoint works."""
_NO_FAULT = frozenset({"lost", "client_left", "rate_limited"})
"""Results that say nothing of it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How quick an endpoint is expected to be."""

    first_token_p50_s: float
    """Without thinking and without reading a long prompt."""
    first_token_p95_s: float
    tokens_per_s: float
    """Median decode speed."""

    @classmethod
    def of(cls, behaviour: Behaviour, index: int) -> Pace:
        """The pace of one endpoint."""
        return cls(
            first_token_p50_s=float(behaviour.first_token_median[index]),
            first_token_p95_s=float(behaviour.first_token_p95[index]),
            tokens_per_s=float(behaviour.speed_median[index]),
        )


@dataclass(frozen=True, slots=True)
class EndpointState:
    """One endpoint."""

    endpoint: str
    provider: str
    quota_group: str
    """Whose limits it shares; one of `RouterState.quotas`, where any is known."""
    simulated: bool
    live: bool
    """Takes live traffic at all: false for simulated ones beside real ones."""
    serving: bool
    """Is offered to requests now."""
    availability: str
    """One of `AVAILABILITIES`."""
    why: str | None
    """Why it does not serve; None where it does."""
    retry_in_s: float | None
    """Seconds until it may be asked again, where that is known."""
    success: float
    """Expected share of answered requests: the posterior of what came of late, on the catalogue's prior."""
    headroom: float
    """Share of the tightest limit that is left."""
    pace: Pace
    """What routing expects now."""
    catalogue_pace: Pace
    """What the catalogue says."""
    attempts: int
    """Attempts of this process since its start."""
    failures: int
    """Those of them that count against the endpoint."""
    graded: float
    """Graded answers that its quality rests on; older ones count less."""
    breaker: BreakerHealth
    """Of its provider and model."""
    first_tokens_seen: int
    """Times to the first token measured in the last quarter of an hour, and their quantiles."""
    first_token_seen_p50_s: float | None
    first_token_seen_p95_s: float | None
    speeds_seen: int
    """Decode speeds measured in the last quarter of an hour."""


@dataclass(frozen=True, slots=True)
class SnapshotState:
    """The snapshot that decides now."""

    id: str
    created_at: datetime
    age_s: float


@dataclass(frozen=True, slots=True)
class LogState:
    """The decision log."""

    pending: int
    """Decisions recorded and not yet known to be written."""
    spilled: int
    """Decisions that wait in files for the store."""
    dropped: int
    """Decisions lost since the start of this process."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """This process; each worker has its own."""

    worker: str
    version: str
    uptime_s: float
    ready: bool
    open_requests: int
    """Decided requests that have not ended."""
    known_identities: int
    """Keys that need no question to the database for now."""


@dataclass(frozen=True, slots=True)
class RouterState:
    """Everything, at one instant."""

    at: datetime
    snapshot: SnapshotState
    endpoints: tuple[EndpointState, ...]
    quotas: tuple[QuotaFigure, ...]
    """Every limit of every quota group, as it stands."""
    decision_log: LogState
    process: ProcessState


def router_state(application: Application, who: Identity) -> RouterState:
    """The state now, for the operator; to be called on the application's event loop. Raises `PermissionDenied`."""
    if not who.is_operator:
        raise PermissionDenied("The state of the router is for the operator: use the operator's key.")
    snapshot, at = application.fleet.snapshot(), application.clock.now()
    log = application.decision_log
    return RouterState(
        at=at,
        snapshot=SnapshotState(snapshot.id, snapshot.created_at, snapshot.age_s(at)),
        endpoints=_endpoints(application),
        quotas=tuple(application.fleet.ledger.figures(application.clock.monotonic())),
        decision_log=LogState(pending=log.pending, spilled=log.spilled, dropped=log.dropped),
        process=ProcessState(
            worker=snapshot.id.rpartition("-")[0],
            version=__version__,
            uptime_s=application.clock.monotonic() - application.started,
            ready=application.ready,
            open_requests=application.tally.open,
            known_identities=application.identities.known,
        ),
    )


def _endpoints(application: Application) -> tuple[EndpointState, ...]:
    fleet, snapshot = application.fleet, application.fleet.snapshot()
    catalogue = prior_behaviour(application.catalogue.endpoints)
    healths = fleet.health()
    graded = snapshot.learned.graded.sum(axis=0)
    results: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (endpoint, result), number in application.tally.attempts.items():
        results[endpoint][result] = number

    def state(index: int, endpoint: str) -> EndpointState:
        availability, live = AVAILABILITIES[int(snapshot.availability[index])], bool(snapshot.live[index])
        counted, health = results[endpoint], healths[index]
        return EndpointState(
            endpoint=endpoint,
            provider=snapshot.providers[index],
            quota_group=application.catalogue.endpoints[index].quota_group,
            simulated=bool(snapshot.simulated[index]),
            live=live,
            serving=live and availability == "available",
            availability=availability,
            why=_WHY.get(availability) if live else _NOT_LIVE,
            retry_in_s=fleet.retry_after_s([index]) or health.breaker.retry_s or None,
            success=float(snapshot.success[index]),
            headroom=float(snapshot.headroom[index]),
            pace=Pace.of(snapshot.behaviour, index),
            catalogue_pace=Pace.of(catalogue, index),
            attempts=sum(counted.values()),
            failures=sum(number for result, number in counted.items() if result not in _ANSWERED | _NO_FAULT),
            graded=float(graded[index]),
            breaker=health.breaker,
            first_tokens_seen=health.first_token_count,
            first_token_seen_p50_s=health.first_token_p50_s,
            first_token_seen_p95_s=health.first_token_p95_s,
            speeds_seen=health.speed_count,
        )

    return tuple(state(index, endpoint) for index, endpoint in enumerate(snapshot.endpoint_ids))
