"""Requests whose winner people agree on, over the shipped catalogue. Sets, not endpoints: many wins are near ties."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import product

import pytest

from freerelay_core.catalogue import Catalogue, load_catalogue
from freerelay_core.decision import decide
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import Depth, profile_request
from freerelay_core.scoring import thinking_tokens
from freerelay_core.snapshot import catalogue_snapshot
from tests.acceptance import CASES, FILE, NARROW, named, narrower, profile_of

CATALOGUE = load_catalogue()


def snapshot_of(endpoints):
    return catalogue_snapshot(Catalogue(CATALOGUE.providers, tuple(endpoints)), datetime(2026, 11, 24, 12, tzinfo=UTC))


SNAPSHOT = snapshot_of(CATALOGUE.endpoints)
WITHOUT_GOOGLE_FREE_AND_SELF = snapshot_of(narrower(CATALOGUE.endpoints))
FREE = snapshot_of(e for e in CATALOGUE.endpoints if e.free_tier)


def decided(snapshot, case, preference):
    return decide(snapshot, profile_of(case), decision_id="d", tenant_preference=preference)


def about_equal(decision):
    return [row.endpoint for row in decision.ranking if row.about_equal]


@pytest.mark.parametrize("preference", list(RoutingPreference))
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_winner_or_one_about_equal_is_an_endpoint_that_people_would_choose(case, preference):
    decision = decided(SNAPSHOT, case, preference)
    assert any(named(endpoint, case[preference.value]) for endpoint in about_equal(decision)), about_equal(decision)
    assert not named(decision.endpoints[0], case.get("never", ()))
    first_token_s = {e.id: e.first_token_s.value for e in CATALOGUE.endpoints}[decision.endpoints[0]]
    assert first_token_s <= case.get("first_token_s", math.inf)


@pytest.mark.parametrize(("case", "preference", "sets"), NARROW)
def test_without_google_free_and_self_hosted_ones_the_next_best_win(case, preference, sets):
    decision = decided(WITHOUT_GOOGLE_FREE_AND_SELF, case, preference)
    assert any(named(endpoint, sets[preference.value]) for endpoint in about_equal(decision)), about_equal(decision)
    assert not named(decision.endpoints[0], sets.get("never", ()))


@pytest.mark.parametrize("preference", list(RoutingPreference))
def test_of_free_endpoints_one_that_people_would_choose_wins(preference):
    case = FILE["free_only"]
    assert any(named(endpoint, case["all"]) for endpoint in about_equal(decided(FREE, case, preference)))


@pytest.mark.parametrize("family", ["chat", "code", "math", "extract", "summarize"])
def test_no_winner_is_expected_to_think_up_the_limit_of_the_request(family):
    for depth, limit, preference in product(Depth, (16, 100, 500, 4_096), RoutingPreference):
        body = {"messages": [{"role": "user", "content": "word " * 200}], "max_tokens": limit}
        profile = profile_request(body, hour_utc=12, task=family, depth=depth.label)
        decision = decide(SNAPSHOT, profile, decision_id="d", tenant_preference=preference)
        thinking = thinking_tokens(SNAPSHOT, profile)[decision.order[0]]
        assert thinking + profile.output_tokens / 2 <= limit, decision.reason


def test_no_winner_is_beaten_in_every_factor():
    for case in CASES.values():
        for preference in RoutingPreference:
            winner, *others = decided(SNAPSHOT, case, preference).ranking
            for other in others:
                pairs = [(other.factors[name][0], winner.factors[name][0]) for name in winner.factors]
                assert not (all(a >= b for a, b in pairs) and any(a > b for a, b in pairs))
