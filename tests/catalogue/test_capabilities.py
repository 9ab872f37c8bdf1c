"""What endpoints can do, and the snapshots that hold it."""

from __future__ import annotations

from dataclasses import replace

import builders
import numpy as np
import pytest

from freerelay_core.catalogue import CAPABILITIES, load_catalogue
from freerelay_core.decision import decide
from freerelay_core.errors import NobodyAble
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import RequestProfile, profile_request
from freerelay_core.simulation import simulate, trace_of
from freerelay_core.snapshot import Snapshot, catalogue_snapshot


def row(snapshot, name):
    return snapshot.capabilities[CAPABILITIES.index(name)].tolist()


def test_several_calls_in_one_answer_are_a_capability_of_their_own():
    one = builders.endpoint("a/one", capabilities=frozenset({"tools"}))
    many = builders.endpoint("b/many", capabilities=frozenset({"tools", "parallel_tools"}))
    snapshot = builders.snapshot(one, many)
    assert row(snapshot, "parallel_tools") == [False, True]
    assert row(snapshot, "tools") == [True, True]
    shipped = load_catalogue().endpoints
    assert all("tools" in e.capabilities for e in shipped if "parallel_tools" in e.capabilities)
    assert any("parallel_tools" in e.capabilities for e in shipped)


MUTE = builders.endpoint("a/mute", capabilities=frozenset({"tools"}))
STREAMS = builders.endpoint("b/streams", usd=(90, 9, 90), capabilities=frozenset({"streaming"}))
STREAMED = profile_request({"messages": [{"role": "user", "content": "Hello"}], "stream": True})


def test_who_does_not_stream_is_not_asked_to():
    snapshot = builders.snapshot(MUTE, STREAMS)
    decision = decide(snapshot, STREAMED, decision_id="d")
    assert decision.endpoints == ("b/streams",)
    (row,) = decision.excluded
    assert (row.endpoint, row.reason, row.detail) == ("a/mute", "no_streaming", "cannot stream its answer")
    whole = decide(snapshot, STREAMED._replace(needs=frozenset(), stream=False), decision_id="d")
    assert set(whole.endpoints) == {"a/mute", "b/streams"}


def test_where_nobody_streams_the_client_is_told_to_ask_otherwise():
    with pytest.raises(NobodyAble, match="a/mute cannot serve this request: cannot stream its answer") as caught:
        decide(builders.snapshot(MUTE), STREAMED, decision_id="d").require_endpoint()
    assert (caught.value.status, caught.value.code) == (400, "no_able_endpoint")


def test_simulations_of_streamed_requests_leave_out_who_does_not_stream():
    whole = STREAMED._replace(needs=frozenset(), stream=False)
    result = simulate(trace_of([STREAMED, whole], origin="t"), builders.snapshot(MUTE, STREAMS))
    assert result.results[RoutingPreference.COST_OPTIMIZED].share == {"a/mute": 0.5, "b/streams": 0.5}


def test_a_request_on_record_from_before_streaming_was_a_need_is_decided_as_it_was():
    earlier = RequestProfile.from_dict(STREAMED.as_dict() | {"needs": []})
    assert earlier.stream
    assert not decide(builders.snapshot(MUTE, STREAMS), earlier, decision_id="d").excluded


def test_the_shipped_catalogue_serves_streamed_requests_as_all_others():
    snapshot = catalogue_snapshot(load_catalogue(), builders.NOON)
    streamed, without = (
        decide(snapshot, profile, decision_id="d") for profile in (STREAMED, STREAMED._replace(needs=frozenset()))
    )
    assert streamed.endpoints == without.endpoints
    assert [row.as_dict() for row in streamed.ranking] == [row.as_dict() for row in without.ranking]
    assert {row.reason for row in streamed.excluded} == {row.reason for row in without.excluded}


def test_a_snapshot_of_an_earlier_release_lacks_the_newest_capabilities_and_still_decides():
    endpoints = (builders.endpoint("a/one"), builders.endpoint("b/many", capabilities=frozenset(CAPABILITIES)))
    now = builders.snapshot(*endpoints)
    kept = CAPABILITIES.index("parallel_tools")
    earlier = Snapshot.load(replace(now, capabilities=now.capabilities[:kept]).dump())
    assert np.array_equal(earlier.capabilities[:kept], now.capabilities[:kept])
    assert row(earlier, "parallel_tools") == [False, False]
    assert row(earlier, "choices") == [True, True], "requests for several answers went to everybody then"
    profile = builders.request(needs=frozenset({"tools"}))
    assert decide(earlier, profile, decision_id="d").endpoints == decide(now, profile, decision_id="d").endpoints
