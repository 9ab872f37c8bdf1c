"""Dry runs and logged decisions: whole, repeatable, and the tenant's own."""

from __future__ import annotations

import itertools
import math
import uuid

import pytest
from api_server import BODY, HELLO, OPERATOR_KEY

from freerelay_core.decision import replay
from freerelay_core.preference import EXPONENTS, FACTORS, RoutingPreference

DECIDE = "/v1/router/decide"


def decide(server, body=BODY, key=None, **headers):
    with server.http(key, **headers) as client:
        answer = client.post(DECIDE, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_dry_run_shows_the_whole_ranking_with_contributions_that_add_up(server):
    shown = decide(server)
    assert shown["dry_run"] is True
    assert set(shown["exponents"]) == set(FACTORS)
    assert shown["snapshot"]["age_s"] >= 0
    ranking = shown["ranking"]
    assert len(ranking) + len(shown["excluded"]) == len(server.application.catalogue.endpoints)
    assert all(a["utility"] >= b["utility"] for a, b in itertools.pairwise(ranking))
    for row in ranking:
        factors = row["factors"].values()
        for factor in factors:
            assert factor["contribution"] == pytest.approx(factor["exponent"] * math.log(factor["value"]))
        assert row["utility"] == pytest.approx(math.exp(sum(factor["contribution"] for factor in factors)))
        assert {"endpoint", "provider", "model", "score", "cost_usd", "quality", "basis"} <= set(row)
        assert row["latency_s"]["p50"] <= row["latency_s"]["p95"]
    assert all(row["reason"] for row in shown["excluded"])


def test_a_dry_run_is_not_stored(server):
    shown = decide(server)
    with server.http() as client:
        assert client.get(f"/v1/decisions/{shown['decision_id']}").status_code == 404


@pytest.mark.parametrize("key", [None, OPERATOR_KEY])
@pytest.mark.parametrize("preference", list(RoutingPreference))
def test_a_dry_run_follows_the_override(server, key, preference):
    shown = decide(server, key=key, **{"X-FreeRelay-Preference": preference.value})
    assert shown["preference"] == {"value": preference.value, "level": "request", "rule": None}
    assert shown["exponents"] == dict(EXPONENTS[preference])


def test_a_dry_run_of_a_pinned_model_excludes_the_rest(server):
    shown = decide(server, BODY | {"model": "openai/gpt-4o-mini"})
    assert [row["endpoint"] for row in shown["ranking"]] == ["openai/gpt-4o-mini"]
    assert {row["reason"] for row in shown["excluded"]} == {"not_requested"}


def test_a_dry_run_needs_no_model(server):
    assert decide(server, {"messages": HELLO})["ranking"]


def test_a_live_decision_is_found_at_once_and_after_it_is_written(server):
    answer = server.chat()
    first = server.decision(answer)
    server.run(server.application.decision_log.close())
    assert server.application.decision_log.pending == 0
    assert server.decision(answer) == first
    assert first["outcome"]["status"] == 200
    assert first["outcome"]["basis"] == "simulated"
    assert first["request_id"] == answer.headers["x-request-id"]
    assert first["model"] == "freerelay/auto"


def test_a_logged_decision_can_be_repeated_from_its_log(server):
    logged = server.decision(server.chat())
    endpoints = [row["endpoint"] for row in logged["ranking"]]
    again = replay(
        endpoints, logged["log_factors"], logged["exponents"], [row["cost_usd"] for row in logged["ranking"]]
    )
    assert [endpoint for endpoint, _ in again] == endpoints


def test_the_log_holds_no_word_of_the_conversation(server):
    answer = server.chat(BODY | {"messages": [{"role": "user", "content": "xylophone quince"}]})
    assert "xylophone" not in str(server.decision(answer))


def test_another_tenant_s_decision_answers_as_an_unknown_one_does(server):
    answer = server.chat()
    identifier = answer.headers["x-freerelay-decision-id"]
    _, other = server.tenant()
    for written in (False, True):
        if written:
            server.run(server.application.decision_log.close())
        with server.http(other) as client:
            foreign = client.get(f"/v1/decisions/{identifier}")
            answers = [client.get(f"/v1/decisions/{name}") for name in (uuid.uuid4(), "x", "%00", "a" * 300)]
        assert foreign.status_code == 404
        assert {(a.status_code, a.content) for a in answers} == {(404, foreign.content)}


def test_the_operator_sees_every_tenant_s_decision(server):
    answer = server.chat()
    assert server.decision(answer, OPERATOR_KEY)["decision_id"] == answer.headers["x-freerelay-decision-id"]
