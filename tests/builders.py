"""Small catalogues and profiles for tests of the core."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from hypothesis import strategies as st

from freerelay_core.catalogue import ABILITIES, Catalogue, Endpoint, Figure, FixedPrice, Provider
from freerelay_core.clock import Clock, new_id
from freerelay_core.preference import EXPONENTS, FACTORS, EffectivePreference, RoutingPreference
from freerelay_core.profile import (
    Depth,
    Determinism,
    Economics,
    LatencyClass,
    OutputContract,
    Precision,
    RequestProfile,
    TaskFamily,
    ToolDependence,
    Topology,
)
from freerelay_core.snapshot import Snapshot, catalogue_snapshot
from freerelay_core.store import DecisionRecord, LoggedRanking, Outcome

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def figure(value: float, kind: str = "published") -> Figure:
    return Figure(value, value, value, kind, "test", "2026-11-24")


def endpoint(name: str = "a/model", **changes: Any) -> Endpoint:
    """An ordinary endpoint; `ability` sets all abilities at once, `usd` is (input, cached, output) per million."""
    ability = changes.pop("ability", 1300.0)
    usd = changes.pop("usd", (1.0, 0.1, 4.0))
    provider, _, rest = name.partition("/")
    model, _, effort = rest.partition("@")
    for field in ("first_token_s", "tokens_per_s", "thinking_tokens"):
        if isinstance(changes.get(field), (int, float)):
            changes[field] = figure(changes[field])
    base = Endpoint(
        id=name,
        provider=provider,
        model=model,
        effort=effort or None,
        upstream_model=model,
        price=None if usd is None else FixedPrice(*usd),
        context_tokens=128_000,
        max_output_tokens=16_000,
        capabilities=frozenset({"tools", "json_mode", "structured_output", "streaming"}),
        free_tier=False,
        abilities={key: figure(ability) for key in ABILITIES},
        first_token_s=figure(0.5),
        tokens_per_s=figure(100.0),
        thinking_tokens=figure(0.0),
    )
    return replace(base, **changes)


def snapshot(*endpoints: Endpoint, real: frozenset[str] = frozenset()) -> Snapshot:
    return catalogue_snapshot(catalogue(*endpoints), NOON, real_providers=real)


def catalogue(*endpoints: Endpoint) -> Catalogue:
    providers = {e.provider: Provider(e.provider, e.provider, "http://127.0.0.1:9", None) for e in endpoints}
    return Catalogue(providers, endpoints)


def request(**changes: Any) -> RequestProfile:
    """An easy chat of ordinary length."""
    return RequestProfile(input_tokens=500, output_tokens=200)._replace(**changes)


def logged_decision(clock: Clock, tenant_id: str, *, endpoint: str | None = "a/b", **outcome: Any) -> DecisionRecord:
    """A decision on record made now, of an easy chat; `outcome` changes what came of it."""
    came = Outcome(
        endpoint, 200, ({"endpoint": endpoint},), None, 1.5, 500, 200, 0, 0.25, usage_estimated=False, basis="measured"
    )
    return DecisionRecord(
        id=new_id(clock),
        tenant_id=tenant_id,
        created_at=clock.now(),
        request_id="req_1",
        model="freerelay/auto",
        snapshot_id="worker-1",
        preference=EffectivePreference(RoutingPreference.BALANCED, "default"),
        profile=request().as_dict(),
        exponents=EXPONENTS[RoutingPreference.BALANCED],
        log_factors=dict.fromkeys(FACTORS, (-0.5, -1.0)),
        ranking=LoggedRanking(("a/b", "c/d"), (0.1, 0.2), (1.0, 1.1), (2.0, 2.2), (-4.0, -8.0)),
        excluded=({"endpoint": "e/f", "reason": "no_tools"},),
        rules=(),
        outcome=came._replace(**outcome),
    )


@st.composite
def endpoints(draw: st.DrawFn, minimum: int = 1, maximum: int = 8, *, cheapest: float = 0.0) -> list[Endpoint]:
    """Distinct endpoints with plausible figures; no price is below `cheapest`, USD for 1M tokens."""
    count = draw(st.integers(minimum, maximum))
    price = st.floats(cheapest, 50)
    return [
        endpoint(
            f"p{index % 3}/m{index}",
            ability=draw(st.floats(900, 1600)),
            usd=(draw(price), draw(price), draw(price)),
            first_token_s=draw(st.floats(0.05, 10)),
            tokens_per_s=draw(st.floats(5, 2000)),
            thinking_tokens=draw(st.floats(0, 5000)),
        )
        for index in range(count)
    ]


profiles = st.builds(
    RequestProfile,
    family=st.sampled_from(TaskFamily),
    depth=st.sampled_from(Depth),
    latency_class=st.sampled_from(LatencyClass),
    contract=st.sampled_from([OutputContract.TEXT, OutputContract.JSON, OutputContract.SCHEMA]),
    precision=st.sampled_from(Precision),
    topology=st.sampled_from(Topology),
    tool_dependence=st.sampled_from(ToolDependence),
    determinism=st.sampled_from(Determinism),
    economics=st.sampled_from(Economics),
    input_tokens=st.integers(0, 100_000),
    cached_tokens=st.integers(0, 50_000),
    output_tokens=st.integers(1, 8_000),
    answers=st.sampled_from([1, 1, 2, 4]),
    answer_limit=st.none() | st.integers(1, 20_000),
    needs=st.just(frozenset()),
    locked_down=st.booleans(),
    stream=st.just(False),
    hour_utc=st.integers(0, 23),
    reasons=st.just({}),
)
"""Requests that every endpoint of `endpoints` can serve."""


def row_of(evaluation, row):
    """The log factors of one request of a batch, shape (K, E), as a single request has them."""
    shape = evaluation.cost_usd.shape
    return np.array([np.broadcast_to(values, shape)[row] for values in evaluation.log_factors])
