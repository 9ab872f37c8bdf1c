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


def test_whoever_answers_in_the_place_of_the_first_choice_is_said_to(start, upstream, tmp_path):
    """Within one snapshot the first choice has used up what it may be asked in a minute."""
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(f"""
providers:
  first: {{base_url: "{upstream.url}"}}
  second: {{base_url: "{upstream.url}"}}
endpoints:
  first/m: {{like: openai/gpt-4o-mini, upstream_model: first, price: free, limits: {{rpm: 1}}}}
  second/m: {{like: openai/gpt-4o-mini, upstream_model: second, price: {{input: 50, output: 50}}}}
""")
    with start(catalogue=catalogue, fleet_epoch_ms=10_000) as server:
        chosen, instead, *_ = answers = [server.chat(), server.chat()]
        assert [answer.headers["x-freerelay-endpoint"] for answer in answers] == ["first/m", "second/m"]
        assert chosen.headers["x-freerelay-reason"].startswith("first/m over second/m")
        assert instead.headers["x-freerelay-reason"].startswith(
            "second/m, because first/m takes no more requests at the moment; ranked first: first/m over second/m"
        )
        assert server.decision(chosen)["exploration"] == {"explored": False, "propensity": 1.0}
        assert server.decision(instead)["exploration"] == {"explored": False, "propensity": None}
