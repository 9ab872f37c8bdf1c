"""What each preference would mean for a tenant's traffic."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import builders
import numpy as np
import pytest

from freerelay_core.catalogue import load_catalogue
from freerelay_core.decision import AUTO
from freerelay_core.policy import NO_POLICY, Policy, load_policy
from freerelay_core.preference import EXPONENTS, RoutingPreference
from freerelay_core.profile import Depth, RequestProfile, TaskFamily
from freerelay_core.simulation import ENOUGH
from freerelay_core.snapshot import Snapshot, catalogue_snapshot
from freerelay_core.store.values import RecordedRequest, SettingsChange, Tenant
from pages import _cards
from pages._outlook import Outlook, outlook

COST, BALANCED, PERFORMANCE = RoutingPreference
EASY = RequestProfile(input_tokens=400, output_tokens=200)
HARD = RequestProfile(family=TaskFamily.MATH, depth=Depth.EXPERT, input_tokens=800, output_tokens=1500)


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return catalogue_snapshot(load_catalogue(None), builders.NOON)


def looked_at(
    snapshot: Snapshot, recent: list[RequestProfile] | None = None, policy: Policy = NO_POLICY, tier: str = "gold"
) -> Outlook:
    return outlook([recorded(profile) for profile in recent or []], snapshot, policy, tenant=tenant(tier))


def tenant(tier: str = "gold", *, allow_override: bool = True) -> Tenant:
    return Tenant("t-1", "one@example.org", tier, None, allow_override, 1, builders.NOON)


def recorded(
    profile: RequestProfile, *, model: str = AUTO, override: RoutingPreference | None = None
) -> RecordedRequest:
    return RecordedRequest("t-1", builders.NOON, profile.as_dict(), model, override, demo=False)


def rules(folder: Path, snapshot: Snapshot, text: str) -> Policy:
    (folder / "rules.yaml").write_text(text)
    return load_policy(folder / "rules.yaml", snapshot.endpoint_ids)


def test_too_few_own_requests_are_replaced_by_the_standard_workload(snapshot: Snapshot) -> None:
    view = looked_at(snapshot, [EASY] * (ENOUGH - 1))
    assert not view.is_own
    assert "standard workload of 600 requests" in _cards.basis_line(view)
    assert f"sent {ENOUGH - 1} in" in _cards.basis_line(view)


def test_enough_own_requests_are_what_counts(snapshot: Snapshot) -> None:
    view = looked_at(snapshot, [EASY] * ENOUGH)
    assert view.is_own
    assert view.requests == ENOUGH
    assert "your own newest 100 requests" in _cards.basis_line(view)


def test_requests_with_wishes_of_their_own_are_ranked_by_these_under_every_preference(snapshot: Snapshot) -> None:
    pinned, gone = (recorded(EASY, model=name) for name in ("fireworks/kimi-k2.6", "gone/model"))
    kept = recorded(EASY, override=COST)
    view = outlook([pinned] * 30 + [kept] * 50 + [gone] + [recorded(EASY)] * 20, snapshot, NO_POLICY, tenant=tenant())
    usual, cheap = (
        looked_at(snapshot, [EASY] * ENOUGH).figures[preference].share for preference in (PERFORMANCE, COST)
    )
    (fast,), (cheapest,) = usual, cheap
    assert view.figures[PERFORMANCE].share == {cheapest: 0.5, "fireworks/kimi-k2.6": 0.3, fast: 0.2}
    assert view.figures[COST].share == {cheapest: 0.7, "fireworks/kimi-k2.6": 0.3}
    assert view.changed[COST, PERFORMANCE] == 20
    assert view.unserved == 1
    line = _cards.basis_line(view)
    assert "31 of them name their model and 50 ask for a preference themselves: no choice here changes those." in line
    assert "no choice here" not in _cards.basis_line(looked_at(snapshot, [EASY] * ENOUGH))


def test_a_preference_that_a_request_may_no_longer_ask_for_does_not_count(snapshot: Snapshot) -> None:
    recent = [recorded(EASY, override=COST)] * ENOUGH
    view = outlook(recent, snapshot, NO_POLICY, tenant=tenant(allow_override=False))
    assert view.own_preference == 0
    assert view.changed[COST, PERFORMANCE] == ENOUGH


def test_requests_that_another_release_wrote_are_no_reason_to_show_nothing(snapshot: Snapshot) -> None:
    odd = replace(recorded(EASY), profile={"family": "of another release"})
    view = outlook([odd] * ENOUGH, snapshot, NO_POLICY, tenant=tenant())
    assert not view.is_own
    assert view.own_requests == ENOUGH


def test_the_shares_that_are_lost_are_those_that_are_won(snapshot: Snapshot) -> None:
    changes = looked_at(snapshot).share_changes(BALANCED, COST)
    assert math.isclose(sum(change.before for change in changes), sum(change.after for change in changes))
    moved = [abs(change.after - change.before) for change in changes]
    assert moved == sorted(moved, reverse=True)
    assert all(moved)


def test_preferences_that_choose_alike_are_named(snapshot: Snapshot) -> None:
    fleet = replace(snapshot, availability=np.where(np.arange(len(snapshot)) == 0, 0, 1))  # one endpoint is left
    view = looked_at(fleet)
    assert view.equals(BALANCED) == [COST, PERFORMANCE]
    assert "chooses exactly as Cost-optimized and Performance-first do" in _cards.cards(
        view, in_force=BALANCED, chosen=BALANCED
    )
    assert _cards.change_sentence(view, BALANCED, COST).startswith("Nothing would change")


def test_simulated_endpoints_beside_real_ones_count_for_nothing() -> None:
    mixed = catalogue_snapshot(load_catalogue(None), builders.NOON, real_providers=frozenset({"groq"}))
    served = {name.partition("/")[0] for figures in looked_at(mixed).figures.values() for name in figures.share}
    assert served == {"groq"}


def test_a_rule_that_names_a_preference_shows_how_much_it_decides(snapshot: Snapshot, tmp_path: Path) -> None:
    policy = rules(
        tmp_path,
        snapshot,
        "rules: [{name: hard <i>maths</i>, when: 'task == \"math\"', routing_preference: performance-first}]",
    )
    view = looked_at(snapshot, [EASY] * 150 + [HARD] * 50, policy)
    (ruled,) = view.ruled
    assert (ruled.rule, ruled.preference, ruled.fraction) == ("hard <i>maths</i>", PERFORMANCE, 0.25)
    with_rule, without = view.figures[COST], looked_at(snapshot, [EASY] * 150 + [HARD] * 50).figures[COST]
    assert with_rule.quality > without.quality


def test_requests_that_nothing_can_serve_are_counted(snapshot: Snapshot, tmp_path: Path) -> None:
    policy = rules(tmp_path, snapshot, "rules: [{name: stop, when: 'task == \"math\"', exclude: ['*']}]")
    view = looked_at(snapshot, [EASY] * 99 + [HARD], policy)
    assert view.unserved == 1
    assert "No endpoint can serve 1\u00a0request of them" in _cards.basis_line(view)


def test_what_a_card_says_of_a_preference_is_what_its_exponents_say() -> None:
    weights = {p: (row["cost"], row["quality"], row["latency"]) for p, row in EXPONENTS.items()}
    cost, quality, latency = weights[COST]
    assert cost == 3 * quality == 3 * latency
    assert "3 times as much as quality and speed" in _cards.purpose_of(COST)
    assert len(set(weights[BALANCED])) == 1
    cost, quality, latency = weights[PERFORMANCE]
    assert quality == latency == 3 * cost
    assert "3 times as much as cost" in _cards.purpose_of(PERFORMANCE)


def test_names_of_others_are_text_and_not_html() -> None:
    hostile = "<img src=x onerror=alert(1)>"
    drawn = _cards.history([SettingsChange("t", "tier", hostile, None, hostile, builders.NOON)])
    assert "<img" not in drawn
    assert "tier: &lt;img" in drawn
