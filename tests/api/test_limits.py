"""Limits as a client meets them: simulated endpoints keep those of the ones they stand for, unless told not to."""

from __future__ import annotations

from api_server import BODY

PINNED = BODY | {"model": "cerebras-free/gpt-oss-120b"}
"""Five requests a minute, by the shipped catalogue."""


def test_a_simulated_endpoint_keeps_its_limits_and_the_rest_of_the_fleet_still_answers(start):
    with start() as server:
        assert [server.chat(PINNED).status_code for _ in range(5)] == [200] * 5
        refused = server.chat(PINNED)
        assert refused.status_code == 429
        assert 30 < int(refused.headers["retry-after"]) <= 61
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert "used up its quota" in refused.json()["error"]["message"]
        assert server.chat(BODY).status_code == 200


def test_limits_of_simulated_endpoints_can_be_lifted(start):
    with start(simulated_limits=False) as server:
        assert [server.chat(PINNED).status_code for _ in range(7)] == [200] * 7
