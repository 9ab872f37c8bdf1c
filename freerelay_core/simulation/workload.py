"""Traffic to judge a preference by: a tenant's own recent decisions, or a standard workload where there are too few."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.profile import Depth, LatencyClass, OutputContract, RequestProfile, TaskFamily
from freerelay_core.simulation.trace import Trace, trace_of
from freerelay_core.simulation.traffic import Traffic, recorded_traffic, traced
from freerelay_core.store import RecordedRequest, Tenant

__all__ = ["ENOUGH", "standard_workload", "tenant_workload"]

ENOUGH = 100
"""Requests below which a tenant's own traffic says too little; then the standard workload stands in, and is named."""

# family, depth, class, contract, needs, share, median input, median output. A mix of what applications send; assumed.
_MIX = (
    (TaskFamily.CHAT, Depth.EASY, LatencyClass.INTERACTIVE, OutputContract.TEXT, (), 0.25, 400, 200),
    (TaskFamily.CHAT, Depth.STANDARD, LatencyClass.INTERACTIVE, OutputContract.TEXT, (), 0.10, 1000, 300),
    (TaskFamily.RAG, Depth.STANDARD, LatencyClass.INTERACTIVE, OutputContract.TEXT, (), 0.15, 5000, 300),
    (TaskFamily.EXTRACT, Depth.EASY, LatencyClass.STANDARD, OutputContract.STRICT, (), 0.12, 900, 150),
    (TaskFamily.CLASSIFY, Depth.TRIVIAL, LatencyClass.INTERACTIVE, OutputContract.TEXT, (), 0.08, 400, 5),
    (TaskFamily.SUMMARIZE, Depth.STANDARD, LatencyClass.STANDARD, OutputContract.TEXT, (), 0.06, 8000, 400),
    (TaskFamily.CODE, Depth.HARD, LatencyClass.STANDARD, OutputContract.TEXT, (), 0.09, 2500, 1200),
    (TaskFamily.AGENT, Depth.HARD, LatencyClass.STANDARD, OutputContract.TEXT, ("tools",), 0.07, 9000, 300),
    (TaskFamily.TRANSLATE, Depth.EASY, LatencyClass.STANDARD, OutputContract.TEXT, (), 0.04, 500, 500),
    (TaskFamily.MATH, Depth.EXPERT, LatencyClass.STANDARD, OutputContract.TEXT, (), 0.02, 300, 1200),
    (TaskFamily.CREATIVE, Depth.STANDARD, LatencyClass.STANDARD, OutputContract.TEXT, (), 0.02, 300, 1200),
)

_SPREAD = 0.8
"""Log-normal spread of token counts around their medians."""


def standard_workload(count: int = 600, *, seed: int = 0) -> Trace:
    """`count` requests of a fixed mix of tasks spread over a day; the same for the same seed, everywhere."""
    random = np.random.Generator(np.random.PCG64(seed))
    kinds = random.choice(len(_MIX), size=count, p=[row[5] for row in _MIX])
    spreads = np.exp(_SPREAD * random.standard_normal((2, count)))
    hours = random.integers(0, 24, size=count)
    profiles = []
    for kind, input_spread, output_spread, hour in zip(kinds, *spreads, hours, strict=True):
        family, depth, latency_class, contract, needs, _, input_tokens, output_tokens = _MIX[kind]
        profiles.append(
            RequestProfile(
                family=family,
                depth=depth,
                latency_class=latency_class,
                contract=contract,
                input_tokens=max(1, round(input_tokens * input_spread)),
                output_tokens=max(1, round(output_tokens * output_spread)),
                needs=frozenset(needs),
                hour_utc=int(hour),
            )
        )
    return trace_of(profiles, origin=f"standard workload of {count} requests")


def tenant_workload(recent: Sequence[RecordedRequest], tenant: Tenant, *, days: int) -> Traffic:
    """The tenant's own requests of the last `days` days, or the standard workload below `ENOUGH` that can be read.

    The latter has no `wishes`.
    """
    with suppress(UnprocessableRequest):  # there is none
        own = recorded_traffic(recent, {tenant.id: tenant}, days=days)
        if len(own) >= ENOUGH:
            return own
    trace = standard_workload()
    return Traffic(trace, (traced(tenant.id, tenant),), np.zeros(len(trace), dtype=np.intp))
