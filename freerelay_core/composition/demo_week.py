"""A generated week of decisions for the demo tenant, so that no page is empty at first sight.

Nothing of it happened: the standard workload arrives in the rhythm of a working week, is ranked by the real `decide`,
and answered by dice of `behaviour`. Every record says `demo`, and rests on simulation.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from freerelay_core.behaviour import keyed_normals, keyed_uniforms
from freerelay_core.clock import Clock, id_at
from freerelay_core.decision import AUTO, Decision, decide
from freerelay_core.errors import Interrupted, UpstreamFailed
from freerelay_core.fleet import Fleet
from freerelay_core.profile import RequestProfile
from freerelay_core.providers import Usage
from freerelay_core.router import Execution, decision_record
from freerelay_core.router.attempts import MAX_ATTEMPTS
from freerelay_core.router.execution import Attempt
from freerelay_core.simulation import standard_workload
from freerelay_core.snapshot import Snapshot
from freerelay_core.store import DecisionRecord

__all__ = ["demo_week"]

REQUESTS = 700
DAYS = 7

# Requests by hour of the day (UTC), and by day of the week from Monday on, over the busiest; assumed.
_HOURS = (4, 3, 2, 2, 3, 6, 14, 34, 62, 84, 92, 88, 70, 78, 96, 100, 92, 74, 48, 34, 26, 18, 11, 7)
_WEEKDAYS = (0.9, 1.0, 1.0, 0.95, 0.8, 0.3, 0.25)
_LENGTH_SPREAD = 0.35
"""Log-normal spread of the answers' lengths around what was expected."""
_STREAMED = 0.6
"""Share of the requests that are streamed; assumed."""
_BREAKS_OFF = 0.2
"""Share of a streamed request's failures that come after its first token, when nobody else may be asked; assumed."""


def demo_week(
    snapshot: Snapshot, fleet: Fleet, clock: Clock, tenant_id: str, *, seed: int = 0
) -> Iterator[DecisionRecord]:
    """Decisions of the seven days before now, oldest first; the same for the same moment and seed."""
    now = clock.now()
    random = np.random.Generator(np.random.PCG64(seed))
    profiles = standard_workload(REQUESTS, seed=seed).profiles
    for row, at in enumerate(_arrivals(now, random)):
        profile = profiles.profile(row)._replace(hour_utc=at.hour)
        if random.random() < _STREAMED:
            profile = profile._replace(stream=True, needs=profile.needs | {"streaming"})
        decision = decide(snapshot, profile, decision_id=id_at(at, int.from_bytes(random.bytes(10)) >> 6))
        if decision.order:
            execution = Execution(decision, fleet, clock, streaming=profile.stream)
            _carry_out(execution, row, seed)
            yield _record(execution, tenant_id, row)


def _arrivals(now: datetime, random: np.random.Generator) -> list[datetime]:
    """Moments of the last seven days, in order, more of them in working hours."""
    start = now - timedelta(days=DAYS)
    hours = [start + timedelta(hours=number) for number in range(24 * DAYS)]
    weights = np.array([_HOURS[hour.hour] * _WEEKDAYS[hour.weekday()] for hour in hours])
    chosen = np.sort(random.choice(len(hours), size=REQUESTS, p=weights / weights.sum()))
    seconds = np.sort(chosen * 3600 + random.random(REQUESTS) * 3600)
    return [start + timedelta(seconds=float(second)) for second in seconds]


def _carry_out(execution: Execution, row: int, seed: int) -> None:
    """Try endpoint after endpoint until the dice let one begin to answer."""
    if not any(_begins(execution, index, row, seed) for index in _candidates(execution.decision)):
        execution.fail(UpstreamFailed("Every attempt failed."), gave_up=True)


def _record(execution: Execution, tenant_id: str, row: int) -> DecisionRecord:
    record = decision_record(
        execution.decision,
        execution,
        tenant_id=tenant_id,
        request_id=f"req_demo_{row}",
        model=AUTO,
        duration_s=sum(attempt.duration_s for attempt in execution.attempts),
    )
    return record._replace(demo=True, outcome=record.outcome._replace(basis="simulated"))


def _candidates(decision: Decision) -> list[int]:
    """The best endpoint of each provider, as the router tries them."""
    providers = decision.snapshot.providers
    firsts = {providers[index]: index for index in reversed(decision.order)}
    return sorted(firsts.values(), key=decision.order.index)[:MAX_ATTEMPTS]


def _begins(execution: Execution, index: int, row: int, seed: int) -> bool:
    """One attempt, by the dice of its request and endpoint: whether an answer begins, so that nobody else is asked."""
    decision, behaviour = execution.decision, execution.decision.snapshot.behaviour
    place = (np.array([row], dtype=np.uint64), np.array([index], dtype=np.uint64))
    dice = keyed_uniforms(seed, *place, attempt=len(execution.attempts))
    normals = keyed_normals(dice)
    profile: RequestProfile = decision.profile
    length = float(np.exp(_LENGTH_SPREAD * normals[0, 0]))
    decoded = float(decision.evaluation.decoded_tokens[index]) * length
    first, rest = behaviour.sample(
        np.array([index]), np.array([float(profile.input_tokens)]), np.array([decoded]), normals
    )
    attempt = Attempt(index, decision.snapshot.endpoint_ids[index], decision.profile.family, 0.0)
    execution.attempts.append(attempt)
    fails = dice[2, 0] < behaviour.failure_rate[index]
    breaks_off = fails and profile.stream and dice[3, 0] < _BREAKS_OFF
    if fails and not breaks_off:
        attempt.error, attempt.status, attempt.duration_s = "status 503", 503, float(first[0])
        return False
    attempt.status = execution.status = 200
    attempt.first_token_s = float(first[0]) if profile.stream else None
    if breaks_off:
        attempt.duration_s = float(first[0] + rest[0] * dice[3, 0] / _BREAKS_OFF)
        execution.interrupt(Interrupted.status, Interrupted.default_code)
        return True
    attempt.duration_s = float(first[0] + rest[0])
    execution.usage = Usage(profile.input_tokens, max(1, round(decoded)), profile.cached_tokens)
    return True
