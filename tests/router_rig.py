"""A router over providers on loopback, and what tests read of its executions."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import builders

from freerelay_core.catalogue import Catalogue, Provider
from freerelay_core.clock import SystemClock, new_id
from freerelay_core.decision import decide
from freerelay_core.fleet import Fleet
from freerelay_core.policy import NO_POLICY
from freerelay_core.profile import profile_request
from freerelay_core.providers import OpenAIWire, SimulatedProvider
from freerelay_core.router import Router, decision_record
from freerelay_core.snapshot import catalogue_snapshot

BODY = {"model": "freerelay/auto", "messages": [{"role": "user", "content": "Hello"}]}
DONE = b"data: [DONE]\n\n"

_ABLE = builders.endpoint().capabilities


class Rig:
    """A router over the endpoints first/m, second/m, third/m, fourth/m, ranked in that order by price."""

    def __init__(self, upstream, wire, real, urls):
        names = ("first", "second", "third", "fourth")
        endpoints = [
            builders.endpoint(
                f"{name}/m", usd=(cost, cost, cost), upstream_model=name, capabilities=frozenset({*_ABLE, "choices"})
            )
            for name, cost in zip(names, (0.01, 50, 100, 200), strict=True)
        ]
        same = builders.endpoint("first/other", usd=(40, 40, 40), upstream_model="first-other")
        providers = {name: Provider(name, name, urls.get(name, upstream.url), None, own=True) for name in names}
        self.catalogue = Catalogue(providers, tuple(sorted([*endpoints, same], key=lambda e: e.id)))
        self.upstream = upstream
        self.clock = SystemClock()
        base = catalogue_snapshot(self.catalogue, self.clock.now(), real_providers=real)
        self.fleet = Fleet(base, self.clock, worker="w", epoch_s=0.0, prices_on=lambda _: base.prices)
        self.wire = wire(providers)
        self.policy = NO_POLICY
        self.router = Router(
            self.catalogue, self.fleet, self.clock, real=self.wire, real_providers=real,
            simulated=SimulatedProvider(base.behaviour, self.clock, time_scale=0.0),
        )  # fmt: skip

    def begin(self, *, stream=False, only=None, **body):
        self.body = {**BODY, "stream": stream, **body}
        snapshot, profile = self.fleet.snapshot(), profile_request(self.body)
        decision = decide(snapshot, profile, decision_id=new_id(self.clock), policy=self.policy, only=only)
        return self.router.begin(decision, stream=stream)

    async def run(self, **options):
        """The execution and all that was sent to the client of a stream."""
        execution = self.begin(**options)
        await self.router.execute(execution, self.body)
        sent = bytearray()

        async def write(events):
            sent.extend(events)
            self.upstream.read_on.set()

        if execution.stream is not None:
            await execution.relay(write)
        await execution.close()
        return execution, bytes(sent)

    def record(self, execution):
        return decision_record(
            execution.decision, execution, tenant_id="t", request_id="r", model="freerelay/auto", duration_s=1.0
        )


@asynccontextmanager
async def rigged(upstream, real=frozenset({"first", "second", "third", "fourth"}), **urls):
    made = Rig(upstream, lambda providers: OpenAIWire(providers, {}), real, urls)
    try:
        yield made
    finally:
        await made.wire.close()


def tried(execution):
    return [attempt.endpoint for attempt in execution.attempts]


def said(sent):
    """The events of a stream, parsed, but for [DONE]."""
    events = [event.removeprefix("data: ") for event in sent.decode().split("\n\n") if event]
    return [json.loads(event) for event in events if event != "[DONE]"]


def text(sent):
    choices = [event["choices"][0] for event in said(sent) if event.get("choices")]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


# -- the plain path
