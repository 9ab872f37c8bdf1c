"""Limits as a client meets them: simulated endpoints keep those of the ones they stand for, unless told not to."""

from __future__ import annotations

from functools import partial

import pytest
from api_server import BODY, OPERATOR_KEY, running
from serving import eventually

from freerelay_core.errors import StoreUnavailable
from freerelay_core.store.postgres import PostgresStore

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


@pytest.fixture
def begin(databases, migrated_template, tmp_path):
    """`with begin() as server`: one more start on the same database; the endpoint may be asked thrice a day."""
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text("endpoints: {cerebras-free/gpt-oss-120b: {limits: {rpd: 3}}}")
    yield partial(
        running,
        home=tmp_path,
        database_url=databases.create("api_limits", template=migrated_template),
        operator_key=OPERATOR_KEY,
        demo=True,
        catalogue=catalogue,
        simulated_time_scale=0.01,
        demo_week=False,
    )
    databases.drop("api_limits")


def test_a_restart_does_not_forget_what_was_sent_today(begin):
    with begin() as server:
        assert [server.chat(PINNED).status_code for _ in range(2)] == [200] * 2
    with begin() as server:
        eventually(lambda: _left_today(server) == 1)
        assert [server.chat(PINNED).status_code for _ in range(2)] == [200, 429]


def test_what_was_sent_today_is_counted_once_the_database_answers(begin, monkeypatch):
    with begin() as server:
        assert server.chat(PINNED).status_code == 200
    asked, quota_used = [], PostgresStore.quota_used

    async def away_at_first(store, *arguments, **named):
        asked.append(named)
        if len(asked) == 1:
            raise StoreUnavailable("The database does not answer.")
        return await quota_used(store, *arguments, **named)

    monkeypatch.setattr(PostgresStore, "quota_used", away_at_first)
    with begin() as server:
        eventually(lambda: _left_today(server) == 2)
    assert len(asked) > 1


def _left_today(server):
    quotas = server.http(OPERATOR_KEY).get("/v1/router/state").json()["quotas"]
    return next(
        each["left"] for each in quotas if (each["group"], each["limit"]) == ("cerebras-free/gpt-oss-120b", "rpd")
    )
