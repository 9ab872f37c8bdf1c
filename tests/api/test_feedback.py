"""Grades, and what answers teach: the next ranking knows of them, and so does the next start."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from api_server import BODY, asked, grade, ranked
from serving import eventually
from upstreams import saying, status

from freerelay_core.api.idempotency import IDEMPOTENCY_KEY, REPLAYED
from freerelay_core.clock import new_id

JSON_BODY = BODY | {"response_format": {"type": "json_object"}}
LONG = "Tell me about the sea and the ships that sail on it. " * 20


def test_a_grade_moves_the_expected_quality_of_who_answered(calm):
    before = ranked(calm)
    for _ in range(5):
        decision_id, endpoint = asked(calm)
        answer = grade(calm, decision_id, 0.0)
        assert answer.status_code == 200
        assert answer.json() == {
            "decision_id": decision_id, "endpoint": endpoint, "family": "chat", "score": 0.0, "learned": True,
        }  # fmt: skip
    eventually(lambda: ranked(calm)[endpoint]["graded"] > 4.5)  # a snapshot serves for a tenth of a second
    after = ranked(calm)
    assert after[endpoint]["quality"] < 0.9 * before[endpoint]["quality"]
    assert (before[endpoint]["graded"], after[endpoint]["graded"]) == (0, pytest.approx(5, abs=0.1))


def test_a_decision_is_graded_once_and_by_its_tenant_alone(calm):
    decision_id, _ = asked(calm)
    _, other = calm.tenant()
    assert grade(calm, decision_id, 1.0, key=other).status_code == 404
    assert grade(calm, decision_id, 1.0).status_code == 200
    again = grade(calm, decision_id, 0.0)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "graded_already")
    assert grade(calm, new_id(calm.application.clock), 1.0).status_code == 404
    assert grade(calm, "no-id", 1.0).status_code == 404


ALLOWED = "must be a number from 0 (useless) to 1 (as good as could be)."
BEYOND = [{"score": score} for score in (2, -0.1, "good", "1", True, None, [1])]


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        *((body, "score", f"score {ALLOWED}") for body in BEYOND),
        ({}, "score", f"score is missing; it {ALLOWED}"),
        ({"grade": 1}, "grade", "The field grade is not known. The field is score."),
    ],
)
def test_a_score_that_is_none_is_refused_with_what_one_is(calm, body, param, message):
    decision_id, _ = asked(calm)
    with calm.http() as client:
        answer = client.post(f"/v1/decisions/{decision_id}/feedback", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["message"]) == (422, param, message)


def test_what_failed_cannot_be_graded(calm, upstream):
    for model in ("first", "second"):
        upstream.plan(model, status(500))
    answer = calm.chat()
    assert answer.status_code == 502
    refused = grade(calm, answer.headers["x-freerelay-decision-id"], 0.0)
    assert refused.status_code == 422
    assert "nothing was answered" in refused.json()["error"]["message"]


def test_an_answer_is_held_against_its_contract_and_the_next_ranking_knows(calm, upstream):
    upstream.plan("first", saying("Sure! Here you are."))
    before = ranked(calm, JSON_BODY)["first/m"]["factors"]["schema"]["value"]
    with calm.http() as client:
        for _ in range(5):
            decision_id, _ = asked(calm, JSON_BODY)
        assert client.get(f"/v1/decisions/{decision_id}").json()["outcome"]["schema_pass"] is False
        eventually(lambda: ranked(calm, JSON_BODY)["first/m"]["factors"]["schema"]["value"] < 0.9 * before)
        upstream.plan("first", saying('{"ok": true}'))
        decision_id, _ = asked(calm, JSON_BODY)
        assert client.get(f"/v1/decisions/{decision_id}").json()["outcome"]["schema_pass"] is True
        decision_id, _ = asked(calm)
        assert client.get(f"/v1/decisions/{decision_id}").json()["outcome"]["schema_pass"] is None


def test_the_tokens_that_a_provider_counts_correct_what_is_expected_of_it(calm, upstream):
    body = BODY | {"messages": [{"role": "user", "content": LONG}]}
    expected = ranked(calm, body)["second/m"]["cost_usd"]
    upstream.plan("second", saying("x", prompt_tokens=900, completion_tokens=1500))
    for _ in range(10):
        asked(calm, body | {"model": "second/m"})
    eventually(lambda: ranked(calm, body)["second/m"]["cost_usd"] > 1.5 * expected)


# -- Idempotency-Key ---------------------------------------------------------------------------------------------------


def refusal(answer):
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def rate(server, decision_id, score, *, key="k", of=None):
    with server.http(of) as client:
        return client.post(
            f"/v1/decisions/{decision_id}/feedback", json={"score": score}, headers={IDEMPOTENCY_KEY: key}
        )


def test_a_grade_sent_again_is_answered_alike_and_taught_once(calm):
    decision_id, endpoint = asked(calm)
    before = ranked(calm)[endpoint]["graded"]
    first = rate(calm, decision_id, 1)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda score: rate(calm, decision_id.upper(), score), [1, 1.0] * 4))
    assert first.status_code == 200
    assert first.json() == {
        "decision_id": decision_id, "endpoint": endpoint, "family": "chat", "score": 1.0, "learned": True,
    }  # fmt: skip
    assert REPLAYED not in first.headers
    assert {(answer.status_code, answer.content, answer.headers[REPLAYED]) for answer in again} == {
        (200, first.content, "true")
    }
    eventually(lambda: ranked(calm)[endpoint]["graded"] > before + 0.5)
    assert ranked(calm)[endpoint]["graded"] < before + 1.5


def test_the_same_key_grades_each_decision_and_none_twice(calm):
    (one, _), (other, _) = asked(calm), asked(calm)
    assert rate(calm, one, 0.5).status_code == 200
    assert rate(calm, other, 0.75).status_code == 200
    assert refusal(rate(calm, one, 0.75)) == (422, "idempotency_key_reused", IDEMPOTENCY_KEY)
    assert refusal(rate(calm, one, 0.5, key="another")) == (409, "graded_already", None)
    assert refusal(grade(calm, one, 0.5)) == (409, "graded_already", None)
    assert refusal(rate(calm, one, 0.5, key="two words")) == (422, "invalid_value", IDEMPOTENCY_KEY)


def test_a_tenant_cannot_have_another_one_s_answer(calm):
    decision_id, _ = asked(calm)
    assert rate(calm, decision_id, 0.5).status_code == 200
    _, other = calm.tenant()
    assert rate(calm, decision_id, 0.5, of=other).status_code == 404


def test_chat_takes_the_header_and_answers_anew(calm, upstream):
    answers = [calm.chat(BODY, **{IDEMPOTENCY_KEY: "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(upstream.received) == 2
    assert all(REPLAYED not in answer.headers for answer in answers)
