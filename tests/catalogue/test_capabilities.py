"""What endpoints can do, and the snapshots that hold it."""

from __future__ import annotations

from dataclasses import replace

import builders
import numpy as np

from freerelay_core.catalogue import CAPABILITIES, load_catalogue
from freerelay_core.decision import decide
from freerelay_core.snapshot import Snapshot


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
