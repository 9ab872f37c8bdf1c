"""Who may read the metrics, where the operator says so."""

from __future__ import annotations

from typing import Any

from api_server import OPERATOR_KEY

METRICS_KEY = "metrics-key-of-the-tests-0123456789"


def metrics(server: Any, key: str) -> Any:
    with server.http(key) as client:
        return client.get("/metrics")


def test_a_key_for_metrics_reads_them_and_nothing_else(start: Any) -> None:
    with start(metrics_key=METRICS_KEY) as server:
        assert "freerelay_ready 1.0" in metrics(server, METRICS_KEY).text
        assert metrics(server, OPERATOR_KEY).status_code == 200
        assert metrics(server, METRICS_KEY + "x").status_code == 401
        without = metrics(server, "")
        assert without.status_code == 401
        assert without.headers["www-authenticate"] == "Bearer"
        assert "FREERELAY_METRICS_KEY" in without.json()["error"]["message"]
        assert server.chat(key=METRICS_KEY).status_code == 401
        with server.http(METRICS_KEY) as client:
            assert client.get("/v1/router/state").status_code == 401


def test_metrics_may_be_open_on_a_private_network_and_nothing_else_is(start: Any) -> None:
    with start(metrics_open=True) as server:
        server.chat()
        text = metrics(server, "").text
        with server.http("") as client:
            assert client.get("/v1/router/state").status_code == 401
    assert 'basis="simulated"' in text
    assert 'phase="after"' not in text, "a simulated answer's time is not the clock's"
