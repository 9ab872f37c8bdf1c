"""The sum and the order, against the plainest way to write them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from freerelay_core.preference import FACTORS
from freerelay_core.scoring import best, compare, log_utility, order

K = len(FACTORS)
LOGS = st.floats(-30, 0, width=64)
EXPONENTS = arrays(np.float64, K, elements=st.floats(0, 10))


def one_after_another(logs, exponents):
    """ln U of one endpoint, in Python's own arithmetic."""
    total = logs[0] * exponents[0]
    for log, exponent in zip(logs[1:], exponents[1:], strict=True):
        total = total + log * exponent
    return total


@given(st.integers(1, 5).flatmap(lambda n: arrays(np.float64, (K, n), elements=LOGS)), EXPONENTS)
def test_one_request_is_summed_factor_after_factor(logs, exponents):
    expected = [one_after_another(column.tolist(), exponents.tolist()) for column in logs.T]
    assert log_utility(logs, exponents).tolist() == expected


@given(arrays(np.float64, (K, 3, 2), elements=LOGS), arrays(np.float64, (3, K), elements=st.floats(0, 10)))
def test_a_batch_is_summed_alike_with_exponents_for_all_or_for_each_request(logs, exponents):
    for_all = log_utility(logs, exponents[0])
    for_each = log_utility(logs, exponents.T[:, :, None])
    for request in range(3):
        # Equal to the last bit but for the sign of a zero, which numpy's reduction drops.
        assert for_all[request].tolist() == log_utility(logs[:, request], exponents[0]).tolist()
        assert for_each[request].tolist() == log_utility(logs[:, request], exponents[request]).tolist()


def test_exponents_that_are_not_one_a_factor_are_refused():
    for count in (K - 1, K + 1):
        for shape in ((K, 2, 2), (K, 2), (K, 1)):
            with pytest.raises(ValueError, match=r"zip|broadcast"):
                log_utility(np.zeros(shape), np.ones(count))
    with pytest.raises(ValueError, match="zip"):
        compare([0.0] * (K - 1), [0.0] * (K - 1), dict.fromkeys(FACTORS, 1.0))


@given(
    arrays(np.float64, (4, 5), elements=st.sampled_from([-1.0, -1.0 - 1e-10, -2.0, -3.0])),
    arrays(np.float64, (4, 5), elements=st.sampled_from([0.0, 1.0, 2.0])),
    arrays(np.int8, (4, 5), elements=st.sampled_from([0, 0, 3])),
)
def test_the_best_of_each_request_is_the_first_of_its_order_and_nothing_where_nothing_is_allowed(
    log_utilities, cost, excluded
):
    excluded[3] = 1
    chosen = best(log_utilities.copy(), cost, np.flatnonzero(excluded.T))
    for request in range(4):
        ranked = order(log_utilities[request], cost[request], excluded[request])
        assert sorted(ranked.tolist()) == np.flatnonzero(excluded[request] == 0).tolist()
        assert chosen[request] == (ranked[0] if len(ranked) else -1)


def test_a_difference_below_the_grid_is_a_tie_and_goes_to_the_cheaper_then_to_the_first():
    excluded = np.zeros(3, dtype=np.int8)
    level = np.array([-1.0, -1.0 + 1e-10, -1.0])
    assert order(level, np.array([2.0, 2.0, 1.0]), excluded).tolist() == [2, 0, 1]
    assert order(np.array([-1.0, -1.0 + 1e-8, -1.0]), np.array([2.0, 2.0, 1.0]), excluded).tolist() == [1, 2, 0]
