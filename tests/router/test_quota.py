"""Limits on the way of a request: counted, kept, and said to whoever finds none left; over real servers on loopback."""

from __future__ import annotations

from contextlib import asynccontextmanager

import builders
import pytest
from upstreams import good, refused_url, saying, status

from freerelay_core.catalogue import Catalogue, Limits, Provider
from freerelay_core.clock import SystemClock, new_id
from freerelay_core.decision import decide
from freerelay_core.fleet import Fleet, RateLedger
from freerelay_core.policy import NO_POLICY
from freerelay_core.profile import profile_request
from freerelay_core.providers import OpenAIWire
from freerelay_core.router import Router, have_to_wait
from freerelay_core.router.expected import expected_at
from freerelay_core.snapshot import QUOTA_GONE, catalogue_snapshot

pytestmark = pytest.mark.anyio

BODY = {"model": "freerelay/auto", "messages": [{"role": "user", "content": "Hello"}], "stream": False}


class Rig:
    """A router over `first/m` and, dearer, `second/m`, with a snapshot that lasts: the ledger alone is quick enough."""

    def __init__(self, upstream, first, second, first_url):
        endpoints = (
            builders.endpoint("first/m", usd=(0.01, 0.01, 0.01), upstream_model="first", limits=first),
            builders.endpoint("second/m", usd=(50, 50, 50), upstream_model="second", limits=second),
        )
        providers = {
            name: Provider(name, name, first_url if first_url and name == "first" else upstream.url, None, own=True)
            for name in ("first", "second")
        }
        self.clock = SystemClock()
        catalogue, real = Catalogue(providers, endpoints), frozenset(providers)
        base = catalogue_snapshot(catalogue, self.clock.now(), real_providers=real)
        self.fleet = Fleet(
            base, self.clock, worker="w", epoch_s=60.0, prices_on=lambda _: base.prices, ledger=RateLedger.of(endpoints)
        )
        self.wire = OpenAIWire(providers, {})
        self.router = Router(
            catalogue, self.fleet, self.clock, real=self.wire, simulated=self.wire, real_providers=real
        )

    async def run(self, snapshot=None):
        decision = decide(
            snapshot or self.fleet.snapshot(), profile_request(BODY), decision_id=new_id(self.clock), policy=NO_POLICY
        )
        execution = self.router.begin(decision, stream=False)
        await self.router.execute(execution, BODY)
        await execution.close()
        return execution

    def used(self, group="first/m"):
        return {
            each.limit: each.used for each in self.fleet.ledger.figures(self.clock.monotonic()) if each.group == group
        }


@asynccontextmanager
async def rigged(upstream, first=Limits(), second=Limits(), first_url=None):  # noqa: B008 -- frozen
    made = Rig(upstream, first, second, first_url)
    try:
        yield made
    finally:
        await made.wire.close()


async def test_the_fourth_request_of_three_a_minute_goes_to_the_next_and_with_none_left_waits(upstream):
    async with rigged(upstream, Limits(rpm=3), Limits(rpm=1)) as rig:
        before = rig.fleet.snapshot()
        answered = [(await rig.run(before)).endpoint for _ in range(4)]
        assert answered == ["first/m"] * 3 + ["second/m"]
        refused = await rig.run(before)
    assert upstream.models() == ["first"] * 3 + ["second"]
    assert (refused.attempts, refused.error.status, refused.error.code) == ([], 429, "rate_limit_exceeded")
    assert 55 < refused.error.retry_after_s <= 61
    assert "used up its quota" in refused.error.message


async def test_the_next_decision_leaves_out_what_is_used_up_and_says_when_it_is_back(upstream):
    async with rigged(upstream, Limits(rpm=1), Limits(rpm=1)) as rig:
        before = rig.fleet.snapshot()
        for _ in range(3):
            await rig.run(before)
        after = rig.fleet.snapshot()
        assert after.availability.tolist() == [QUOTA_GONE, QUOTA_GONE]
        decision = decide(after, profile_request(BODY), decision_id=new_id(rig.clock), policy=NO_POLICY)
        assert [each.reason for each in decision.excluded] == ["quota_gone", "quota_gone"]
        assert 55 < have_to_wait(rig.fleet, decision, [0, 1]).retry_after_s <= 61


async def test_the_provider_s_own_count_of_tokens_takes_the_place_of_the_expected(upstream):
    upstream.plan("first", saying("Hi", prompt_tokens=40, completion_tokens=2))
    async with rigged(upstream, Limits(tpm=10_000)) as rig:
        await rig.run()
        assert rig.used() == {"tpm": 42}


async def test_a_provider_that_was_never_reached_has_used_nothing(upstream):
    async with rigged(upstream, Limits(rpm=5, tpm=10_000), first_url=refused_url()) as rig:
        assert (await rig.run()).endpoint == "second/m"
        assert rig.used() == {"rpm": 0, "tpm": 0}


async def test_a_refusal_counts_as_a_request_without_tokens(upstream):
    upstream.plan("first", status(500))
    async with rigged(upstream, Limits(rpm=5, tpm=10_000)) as rig:
        await rig.run()
        assert rig.used() == {"rpm": 1, "tpm": 0}


async def test_what_the_headers_say_is_kept_to(upstream):
    async def nearly_spent(request):
        await request.answer(
            200, b'{"choices": [{"message": {"content": "Hi"}}]}',
            x_ratelimit_limit_requests="60", x_ratelimit_remaining_requests="1", x_ratelimit_reset_requests="59s",
        )  # fmt: skip

    upstream.plan("first", nearly_spent, status(500))
    upstream.plan("second", good)
    async with rigged(upstream) as rig:
        before = rig.fleet.snapshot()
        assert (await rig.run(before)).endpoint == "first/m"
        assert (await rig.run(before)).attempts[0].error == "status 500"
        assert [each.endpoint for each in (await rig.run(before)).attempts] == ["second/m"]


async def test_a_429_says_which_limit_it_was_where_the_headers_do(upstream):
    upstream.plan(
        "first",
        status(429, x_ratelimit_limit_tokens="6000", x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="60s"),
    )
    async with rigged(upstream) as rig:
        execution = await rig.run()
    assert execution.attempts[0].error == "status 429, no tokens a minute left"


async def test_a_request_that_no_minute_can_hold_is_left_out_with_a_reason_of_its_own(upstream):
    async with rigged(upstream, Limits(tpm=10)) as rig:
        execution = await rig.run()
    assert execution.endpoint == "second/m"
    assert [(each.endpoint, each.reason) for each in execution.decision.excluded] == [("first/m", "over_token_limit")]


def test_each_of_several_answers_is_expected_to_need_its_tokens():
    snapshot = builders.snapshot(builders.endpoint(thinking_tokens=100))
    one, three = (decide(snapshot, builders.request(answers=answers), decision_id="d") for answers in (1, 3))
    assert expected_at(three, 0).tokens - 500 == pytest.approx(3 * (expected_at(one, 0).tokens - 500))
