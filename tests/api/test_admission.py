"""Limits on a tenant's requests a minute and on an address's refused keys, as clients meet them."""

from __future__ import annotations

import pytest
from api_server import BODY


@pytest.fixture(scope="module")
def limited(start):
    with start(
        tenant_rpm="free=3,gold=1000", tenant_concurrency="gold=1000,free=1000", failed_keys_per_minute=3
    ) as server:
        yield server


def test_over_its_rate_a_tenant_is_told_when_to_come_back(limited):
    _, key = limited.tenant()
    answers = [limited.chat(key=key) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in answers} == {"3"}
    refused = answers[-1]
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 15 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")
    assert refused.headers["x-request-id"]


def test_a_dry_run_counts_too(limited):
    _, key = limited.tenant()
    with limited.http(key) as client:
        answers = [client.post("/v1/router/decide", json=BODY) for _ in range(4)]
        unread = client.post("/v1/router/decide", content=b"no JSON")
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0", "0"]
    assert unread.status_code == 429


def test_a_stream_says_how_the_tenant_stands(limited):
    _, key = limited.tenant()
    assert limited.chat(BODY | {"stream": True}, key=key).headers["x-ratelimit-remaining-requests"] == "2"


def test_an_answer_that_is_an_error_says_how_the_tenant_stands(limited):
    _, key = limited.tenant()
    for body in (BODY | {"messages": []}, BODY | {"model": "no/such"}, []):
        answer = limited.chat(body, key=key)
        assert answer.status_code >= 400
    assert answer.headers.get_list("x-ratelimit-remaining-requests") == ["0"]


def test_who_guesses_keys_must_wait_and_known_keys_go_on(limited):
    assert limited.chat().status_code == 200
    unknown = [limited.chat(key="fr_live_nonsense") for _ in range(4)]
    assert [answer.status_code for answer in unknown] == [401, 401, 401, 429]
    assert unknown[-1].json()["error"]["code"] == "too_many_failed_keys"
    assert 1 <= int(unknown[-1].headers["retry-after"]) <= 60
    assert limited.chat().status_code == 200
    with limited.http() as client:
        assert client.get("/v1/models").status_code == 200
