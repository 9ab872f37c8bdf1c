"""The state of the router, for operators and nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from api_server import OPERATOR_KEY
from upstreams import status


def state(server: Any) -> dict[str, Any]:
    with server.http(OPERATOR_KEY) as client:
        answer = client.get("/v1/router/state")
    assert answer.status_code == 200, answer.text
    return answer.json()


def endpoint(shown: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (each for each in shown["endpoints"] if each["endpoint"] == name)
    return found


def test_the_state_names_the_snapshot_the_process_and_every_endpoint(calm: Any) -> None:
    answer = calm.chat()
    shown = state(calm)
    assert shown["snapshot"]["id"].startswith(shown["process"]["worker"])
    assert shown["snapshot"]["age_s"] >= 0
    assert shown["process"]["ready"]
    assert shown["process"]["open_requests"] == 0
    assert shown["process"]["uptime_s"] > 0
    assert shown["decision_log"]["dropped"] == 0
    assert len(shown["endpoints"]) == len(calm.application.catalogue.endpoints)
    first = endpoint(shown, answer.headers["x-freerelay-endpoint"])
    assert first["serving"]
    assert first["why"] is None
    assert first["attempts"] >= 1
    assert first["breaker"] == {"state": "closed", "retry_s": 0.0, "failures": 0}
    assert 0 < first["pace"]["first_token_p50_s"] < first["pace"]["first_token_p95_s"]
    simulated = endpoint(shown, "openai/gpt-4o-mini")
    assert (simulated["simulated"], simulated["live"], simulated["serving"]) == (True, False, False)
    assert simulated["pace"] == simulated["catalogue_pace"]
    assert simulated["first_tokens_seen"] == simulated["speeds_seen"] == 0
    assert shown["decision_log"]["spilled"] == 0
    assert isinstance(shown["quotas"], list)
    assert simulated["why"] == "It is simulated, and real endpoints are configured."


def test_an_endpoint_that_does_not_serve_says_why_and_until_when(calm: Any, upstream: Any) -> None:
    before = endpoint(state(calm), "first/m")
    upstream.plan("first", status(429, retry_after="60"))
    calm.chat()
    first = endpoint(state(calm), "first/m")
    assert first["availability"] == "cooling_down"
    assert not first["serving"]
    assert first["why"] == "It asked us to wait (rate limit)."
    assert 0 < first["retry_in_s"] <= 60
    assert first["attempts"] == before["attempts"] + 1
    assert first["failures"] == before["failures"], "being asked to wait is no failure"


def test_failures_are_counted_and_open_the_breaker(calm: Any, upstream: Any) -> None:
    before = endpoint(state(calm), "first/m")
    upstream.plan("first", status(503))
    for _ in range(5):
        calm.chat()
    first = endpoint(state(calm), "first/m")
    assert first["availability"] == "breaker_open"
    assert "breaker is open" in first["why"]
    assert (first["breaker"]["state"], first["retry_in_s"]) == (
        "open",
        pytest.approx(first["breaker"]["retry_s"], abs=1),
    )
    assert first["failures"] == before["failures"] + 5
    assert first["success"] < before["success"]


@pytest.mark.parametrize(("who", "code"), [("tenant", 403), ("unknown", 401), ("none", 401)])
def test_the_state_is_for_the_operator(calm: Any, who: str, code: int) -> None:
    key = {"tenant": calm.key, "unknown": "fr_live_unknown", "none": ""}[who]
    with calm.http(key) as client:
        answer = client.get("/v1/router/state")
    assert answer.status_code == code
    assert set(answer.json()) == {"error"}
    message = answer.json()["error"]["message"]
    assert "the operator's key" in message
    assert "fr_live" not in message
