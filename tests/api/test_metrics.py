"""What a scraper reads after real requests through the real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from api_server import BODY, OPERATOR_KEY
from prometheus_client.parser import text_string_to_metric_families
from upstreams import broken_stream, status


def read(server: Any, key: str = OPERATOR_KEY) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by its name and labels."""
    with server.http(key) as client:
        answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(answer.text))
    assert all(family.documentation for family in families)
    samples = [sample for family in families for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples), "no sample may come twice"
    return found


@pytest.fixture
def gained(calm: Any) -> Callable[..., float]:
    """How much a sample of `calm` has grown since the test began."""
    before = read(calm)

    def gained(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return read(calm).get(key, 0.0) - before.get(key, 0.0)

    return gained


def test_a_failover_is_seen_at_the_attempts_the_outcome_and_the_time(calm: Any, upstream: Any, gained: Any) -> None:
    upstream.plan("first", status(503))
    assert calm.chat().headers["x-freerelay-endpoint"] == "second/m"
    assert gained("freerelay_attempts_total", endpoint="first/m", result="failed") == 1
    assert gained("freerelay_attempts_total", endpoint="second/m", result="ok") == 1
    assert gained("freerelay_failovers_total") == 1
    assert gained("freerelay_outcomes_total", endpoint="second/m", status="2xx", basis="measured") == 1
    assert gained("freerelay_decisions_total", preference="balanced", level="default") == 1
    assert gained("freerelay_upstream_duration_seconds_count", endpoint="second/m") == 1
    assert gained("freerelay_upstream_duration_seconds_count", endpoint="first/m") == 0
    assert gained("freerelay_request_duration_seconds_count", kind="json", basis="measured") == 1
    assert gained("freerelay_overhead_seconds_count", phase="before") == 1
    assert gained("freerelay_overhead_seconds_count", phase="after") == 1
    assert 0 < gained("freerelay_overhead_seconds_sum", phase="before") < 1
    assert gained("freerelay_overhead_seconds_bucket", phase="before", le="+Inf") == 1


def test_a_stream_has_a_first_token(calm: Any, gained: Any) -> None:
    for _ in calm.openai().chat.completions.create(**BODY, stream=True):
        pass
    assert gained("freerelay_first_token_seconds_count", endpoint="first/m") == 1
    assert gained("freerelay_request_duration_seconds_count", kind="stream", basis="measured") == 1


def test_a_stream_that_breaks_off_is_an_interrupted_attempt(calm: Any, upstream: Any, gained: Any) -> None:
    upstream.plan("first", broken_stream())
    upstream.read_on.set()
    calm.chat(BODY | {"stream": True})
    assert gained("freerelay_attempts_total", endpoint="first/m", result="interrupted") == 1
    assert gained("freerelay_outcomes_total", endpoint="first/m", status="5xx", basis="measured") == 1


@pytest.mark.parametrize(
    ("plan", "result", "outcome"),
    [
        (status(400), "refused", {"endpoint": "first/m", "status": "4xx"}),
        (status(429, retry_after="0"), "rate_limited", {"endpoint": "none", "status": "4xx"}),
    ],
)
def test_what_a_provider_will_not_answer_has_a_result_of_its_own(
    calm: Any, upstream: Any, gained: Any, plan: Any, result: str, outcome: dict[str, str]
) -> None:
    upstream.plan("first", plan)
    upstream.plan("second", plan)
    calm.chat()
    assert gained("freerelay_attempts_total", endpoint="first/m", result=result) == 1
    assert gained("freerelay_outcomes_total", basis="measured", **outcome) == 1


def test_what_is_refused_before_a_decision_is_counted_by_its_reason(calm: Any, gained: Any) -> None:
    calm.chat({"messages": "no"})
    with calm.http("fr_live_canary") as client:
        client.post("/v1/chat/completions", json=BODY)
    assert gained("freerelay_rejected_requests_total", reason="invalid_api_key") == 1
    assert sum(value for (name, _), value in read(calm).items() if name == "freerelay_rejected_requests_total") >= 2
    assert gained("freerelay_decisions_total", preference="balanced", level="default") == 0


def test_the_gauges_say_what_holds_now(calm: Any, upstream: Any) -> None:
    upstream.plan("first", status(429, retry_after="60"))
    calm.chat()
    found = read(calm)

    def state(endpoint: str, name: str) -> float:
        return found["freerelay_endpoint_state", frozenset({("endpoint", endpoint), ("state", name)})]

    assert state("first/m", "cooling_down") == 1
    assert state("first/m", "available") == 0
    assert state("second/m", "available") == 1
    assert 0 < found["freerelay_endpoint_retry_seconds", frozenset({("endpoint", "first/m")})] <= 60
    endpoints = {dict(labels)["endpoint"] for name, labels in found if name == "freerelay_endpoint_state"}
    assert endpoints == {"first/m", "second/m"}, "those that take no live traffic are left out"
    assert found["freerelay_open_requests", frozenset()] == 0
    assert found["freerelay_known_identities", frozenset()] >= 1
    assert found["freerelay_snapshots_total", frozenset()] >= 1
    assert found["freerelay_decision_log_dropped_total", frozenset()] == 0
    assert found["process_resident_memory_bytes", frozenset()] > 0


def test_labels_never_hold_what_a_client_or_tenant_names(calm: Any) -> None:
    tenant, key = calm.tenant()
    calm.chat(BODY | {"model": "canary-model"}, key=key)
    calm.chat(key=key, **{"x-freerelay-preference": "canary-preference"})
    with calm.http(OPERATOR_KEY) as client:
        text = client.get("/metrics").text
    for canary in ("canary", tenant.id, tenant.email, key, calm.key, OPERATOR_KEY):
        assert canary not in text


@pytest.mark.parametrize("key", ["", "tenant", "fr_live_unknown"])
def test_the_metrics_are_for_the_operator(calm: Any, key: str) -> None:
    with calm.http(calm.key if key == "tenant" else key) as client:
        answer = client.get("/metrics")
    assert answer.status_code == (403 if key == "tenant" else 401)
    assert "freerelay_" not in answer.text
    said = answer.json()["error"]
    assert said["code"] == {"": "missing_api_key", "tenant": "permission_denied"}.get(key, "invalid_api_key")
    assert "fr_live" not in said["message"]
    for wanted in ("the operator's key", "FREERELAY_METRICS_KEY"):
        assert wanted in said["message"]
