"""The acceptance cases over the prototype catalogue, for which they were written: the winner must be in its set."""

from __future__ import annotations

import math

import pytest

from freerelay_core.decision import decide
from freerelay_core.preference import RoutingPreference
from tests import prototype
from tests.acceptance import CASES, FILE, NARROW, named, narrower, profile_of

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not prototype.FILE.exists(), reason="the data beside the project is absent"),
]


@pytest.fixture(scope="module")
def endpoints():
    return prototype.prototype_endpoints()


def decided(endpoints, case, preference):
    snapshot = prototype.prototype_snapshot(endpoints)
    return decide(snapshot, profile_of(case), decision_id="d", tenant_preference=preference)


@pytest.mark.parametrize("preference", list(RoutingPreference))
@pytest.mark.parametrize("name", CASES)
def test_the_winner_is_an_endpoint_that_people_would_choose(endpoints, name, preference):
    won = decided(endpoints, CASES[name], preference).endpoints[0]
    assert named(won, CASES[name][preference.value]), won
    assert not named(won, CASES[name].get("never", ()))
    first_token_s = next(e.first_token_s.value for e in endpoints if e.id == won)
    assert first_token_s <= CASES[name].get("first_token_s", math.inf)


@pytest.mark.parametrize("preference", list(RoutingPreference))
@pytest.mark.parametrize("name", CASES)
def test_without_endpoints_whose_latency_is_a_prior_it_or_one_about_equal_is(endpoints, name, preference):
    measured = [endpoint for endpoint in endpoints if not prototype.rests_on_a_prior_latency(endpoint)]
    assert 0 < len(measured) < len(endpoints)
    about_equal = [row.endpoint for row in decided(measured, CASES[name], preference).ranking if row.about_equal]
    assert any(named(endpoint, CASES[name][preference.value]) for endpoint in about_equal), about_equal


@pytest.mark.parametrize(("case", "preference", "sets"), NARROW)
def test_without_google_free_and_self_hosted_ones_the_next_best_win(endpoints, case, preference, sets):
    won = decided(narrower(endpoints), case, preference).endpoints[0]
    assert named(won, sets[preference.value]), won
    assert not named(won, sets.get("never", ()))


@pytest.mark.parametrize("preference", list(RoutingPreference))
def test_of_free_endpoints_one_that_people_would_choose_wins(endpoints, preference):
    won = decided([e for e in endpoints if e.free_tier], FILE["free_only"], preference).endpoints[0]
    assert named(won, FILE["free_only"]["all"]), won
