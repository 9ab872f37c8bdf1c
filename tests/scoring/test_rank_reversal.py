"""Two open-source routers score candidates against each other; there a further candidate reorders the rest, here never.

Both formulas are written from their description: a weighted sum with cost and 95 % latency over the pool's largest
(1 - cost / max cost), and a weighted sum of ratios to the best of the candidate set. Ours measures against absolute
references.
"""

from __future__ import annotations

import builders
import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from freerelay_core.decision import decide
from freerelay_core.preference import RoutingPreference


def over_the_largest(cost, latency):
    """`1 - cost / max cost`, and the same of latency, alike in weight."""
    cost, latency = np.array(cost), np.array(latency)
    return (1 - cost / cost.max()) + (1 - latency / latency.max())


def over_the_best(cost, latency):
    """How many times the best of the set each one costs and takes; less is better, alike in weight."""
    cost, latency = np.array(cost), np.array(latency)
    return -(cost / cost.min() + latency / latency.min())


def turned(score, pool, joins):
    """Whether the first two of a pool of (cost, latency) change places when another candidate joins."""
    before, after = (score(*zip(*each, strict=True)) for each in (pool, [*pool, joins]))
    return (before[0] - before[1]) * (after[0] - after[1]) < 0


def ours(pool):
    """Our order of the same candidates: cost in USD per million tokens out, latency in ms a token."""
    endpoints = [
        builders.endpoint(f"p/{place}", usd=(0, 0, cost), first_token_s=1e-6, tokens_per_s=1000 / latency)
        for place, (cost, latency) in enumerate(pool)
    ]
    snapshot = builders.snapshot(*endpoints)
    return [
        decide(snapshot, builders.request(), decision_id="d", tenant_preference=preference).endpoints
        for preference in RoutingPreference
    ]


CANDIDATES = st.tuples(st.floats(0.1, 100), st.floats(0.1, 100))


@pytest.mark.parametrize(
    ("score", "pool", "joins"),
    [
        # Cheap and slow stands above dear and fast, until something dear and slow makes their costs look alike.
        (over_the_largest, [(1.0, 3.0), (2.0, 2.2)], (100.0, 3.0)),
        # The same, until something fast makes both look slow, the slower one more so.
        (over_the_best, [(1.0, 3.0), (3.5, 1.0)], (50.0, 0.1)),
    ],
)
def test_where_scores_are_relative_another_candidate_reorders_two_and_here_it_does_not(score, pool, joins):
    assert turned(score, pool, joins)
    for alone, joined in zip(ours(pool), ours([*pool, joins]), strict=True):
        assert tuple(name for name in joined if name != "p/2") == alone


@pytest.mark.parametrize("score", [over_the_largest, over_the_best])
def test_such_candidates_are_easily_found(score):
    one, other, joins = find(
        st.tuples(CANDIDATES, CANDIDATES, CANDIDATES),
        lambda three: turned(score, list(three[:2]), three[2]),
        settings=settings(phases=[Phase.generate], max_examples=2000, derandomize=True, database=None),
    )
    assert turned(score, [one, other], joins)


@given(st.lists(CANDIDATES, min_size=2, max_size=6), CANDIDATES)
def test_no_candidate_ever_reorders_the_others_here(pool, joins):
    for alone, joined in zip(ours(pool), ours([*pool, joins]), strict=True):
        assert tuple(name for name in joined if name != f"p/{len(pool)}") == alone
