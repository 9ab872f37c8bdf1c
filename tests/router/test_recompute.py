"""A decision repeats from its log alone (record, JSON of the API, report), and a changed log does not."""

from __future__ import annotations

import json
from dataclasses import replace

import builders
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.api.shapes import decision_shape
from freerelay_core.clock import SystemClock, new_id
from freerelay_core.decision import decide
from freerelay_core.errors import InvalidRequest
from freerelay_core.preference import FACTORS, RoutingPreference
from freerelay_core.reports import ReportFormat, report_of_decision
from freerelay_core.router import Execution, decision_record
from freerelay_core.router.recompute import recompute, recompute_document

NEAR_TIES = [builders.endpoint("a/one"), builders.endpoint("b/two", ability=1300.001), builders.endpoint("c/one")]


def decided(endpoints=NEAR_TIES, profile=None, preference=RoutingPreference.BALANCED):
    return decide(
        builders.snapshot(*endpoints),
        profile or builders.request(),
        decision_id=new_id(SystemClock()),
        tenant_preference=preference,
    )


def on_record(decision):
    execution = Execution(decision, fleet=None, clock=SystemClock(), streaming=False)
    return decision_record(decision, execution, tenant_id="t", request_id="r", model="m", duration_s=1.0)


def documents(decision):
    """The decision in every form in which it can be saved as JSON, read back."""
    forms = (
        orjson.dumps(decision_shape(on_record(decision)), default=dict),
        orjson.dumps(decision.as_dict(builders.NOON)),
        ReportFormat.JSON.write(report_of_decision(decision, made_at=builders.NOON)),
    )
    return [json.loads(form) for form in forms]


@given(builders.endpoints(1), builders.profiles, st.sampled_from(RoutingPreference))
def test_a_decision_repeats_to_the_last_bit_from_its_record_and_from_every_document(endpoints, profile, preference):
    decision = decided(endpoints, profile, preference)
    again = [recompute(on_record(decision)), *(recompute_document(d, source="x") for d in documents(decision))]
    expected = tuple((decision.snapshot.endpoint_ids[e], float(decision.log_utilities[e])) for e in decision.order)
    for each in again:
        assert each.ranking == expected
        assert (each.same_order, each.same_bits, each.agrees) == (True, True, True)


def test_a_log_in_which_a_few_bits_were_changed_does_not_repeat():
    record = on_record(decided())
    quality = list(record.log_factors["quality"])
    quality[1] *= 1 + 2**-45
    again = recompute(record._replace(log_factors={**record.log_factors, "quality": quality}))
    assert (again.same_order, again.same_bits, again.agrees) == (True, False, False)


def test_a_log_in_another_order_does_not_repeat():
    record = on_record(decided())
    swapped = {name: list(reversed(column)) for name, column in record.log_factors.items()}
    again = recompute(record._replace(log_factors=swapped, exponents={**record.exponents, "quality": 1000.0}))
    assert (again.same_order, again.agrees) == (False, False)


def test_where_no_scores_are_on_record_the_order_alone_is_compared():
    record = on_record(decided())
    again = recompute(record._replace(ranking=replace(record.ranking, log_utility=())))
    assert (again.same_order, again.same_bits, again.agrees) == (True, None, True)


def test_a_decision_in_which_nothing_was_ranked_repeats():
    decision = decided(profile=builders.request(needs=frozenset({"vision"})))
    assert all(recompute_document(document, source="x").agrees for document in documents(decision))


@pytest.mark.parametrize("lost", ["ranking", "exponents", "decision_id"])
def test_a_document_that_lacks_something_is_refused_naming_it(lost):
    document = documents(decided())[0]
    del document[lost]
    with pytest.raises(InvalidRequest, match=rf"saved\.json: lacks '{lost}'"):
        recompute_document(document, source="saved.json")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ranking": 7}, "'ranking' must be a list with an object for each endpoint"),
        ({"ranking": [1]}, "'ranking' must be a list with an object for each endpoint"),
        ({"ranking": [{"endpoint": []}]}, "'log_factors.policy' must be a list with a number for each endpoint"),
        ({"exponents": dict.fromkeys(FACTORS, "much")}, "'exponents.policy' must hold numbers"),
        ({"log_factors": {"policy": [0.0]}}, "'log_factors.policy' must be a list with a number"),
        ({"log_factors": {"policy": ["a", "b", "c"]}}, "'log_factors.policy' must hold numbers"),
        ({"log_factors": []}, "'log_factors' must be an object"),
        ({"tables": []}, "'tables' must be an object"),
        ({"tables": {"contributions": {"rows": 3}}}, "'tables.contributions.rows' must be a list"),
        ({"exponents": None}, "'exponents' must be an object"),
    ],
)
def test_a_document_that_is_no_decision_is_refused_saying_what_is_wrong_and_what_to_give(wrong, said):
    with pytest.raises(InvalidRequest) as refused:
        recompute_document(documents(decided())[0] | wrong, source="saved.json")
    message = str(refused.value)
    assert message.startswith(f"saved.json: is not a decision: {said}")
    assert ". Give what GET /v1/decisions/{id} or POST /v1/router/decide answers" in message


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"endpoint": 1}, "every 'endpoint' must be a text"),
        ({"cost_usd": "dear"}, "'cost_usd' must hold numbers"),
        ({"log_utility": True}, "'log_utility' must hold numbers"),
    ],
)
def test_so_is_one_with_a_row_that_is_none_of_a_decision(row, said):
    document = documents(decided())[0]
    document["ranking"][1] |= row
    with pytest.raises(InvalidRequest, match=f"is not a decision: {said}"):
        recompute_document(document, source="saved.json")
