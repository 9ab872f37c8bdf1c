"""Requests whose winner people agree on, over the shipped catalogue. Sets, not endpoints: many wins are near ties."""

from __future__ import annotations

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from freerelay_core.catalogue import load_catalogue
from freerelay_core.decision import decide
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import Depth, LatencyClass, OutputContract, RequestProfile, TaskFamily
from freerelay_core.snapshot import catalogue_snapshot

FILE = yaml.safe_load((Path(__file__).parents[1] / "data" / "acceptance.yaml").read_text("utf-8"))
SNAPSHOT = catalogue_snapshot(load_catalogue(), datetime(2026, 11, 24, 12, tzinfo=UTC))


def named(endpoint, patterns):
    return any(fnmatchcase(endpoint, FILE["aliases"].get(pattern, pattern)) for pattern in patterns)


def profile_of(case):
    input_tokens, cached_tokens, output_tokens = case["tokens"]
    return RequestProfile(
        family=TaskFamily(case["family"]),
        depth=Depth[case["depth"].upper()],
        latency_class=LatencyClass[case["latency"].upper()],
        contract=OutputContract[case.get("contract", "text").upper()],
        input_tokens=input_tokens,
        cached_tokens=cached_tokens,
        output_tokens=output_tokens,
        needs=frozenset(case.get("needs", ())),
    )


@pytest.mark.parametrize("preference", list(RoutingPreference))
@pytest.mark.parametrize("case", FILE["cases"], ids=lambda case: case["name"])
def test_the_winner_or_one_about_equal_is_an_endpoint_that_people_would_choose(case, preference):
    decision = decide(SNAPSHOT, profile_of(case), decision_id="d", tenant_preference=preference)
    about_equal = [row.endpoint for row in decision.ranking if row.about_equal]
    assert any(named(endpoint, case[preference.value]) for endpoint in about_equal), about_equal
    assert not named(decision.endpoints[0], case.get("never", ()))


def test_no_winner_is_beaten_in_every_factor():
    for case in FILE["cases"]:
        for preference in RoutingPreference:
            decision = decide(SNAPSHOT, profile_of(case), decision_id="d", tenant_preference=preference)
            winner, *others = decision.ranking
            for other in others:
                pairs = [(other.factors[name][0], winner.factors[name][0]) for name in winner.factors]
                assert not (all(a >= b for a, b in pairs) and any(a > b for a, b in pairs))
