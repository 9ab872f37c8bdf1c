"""`Idempotency-Key`: a change of settings that is sent again is made once, and answered as it was at first."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from api_server import BODY, away, database_of
from serving import eventually

from freerelay_core.api.idempotency import IDEMPOTENCY_KEY, REPLAYED
from tests.store.helpers import Sql

SETTINGS = "/v1/tenant/settings"


@pytest.fixture
def tenant(server):
    made, key = server.tenant()
    with server.http(key) as client:
        client.tenant, client.key = made, key
        yield client


@pytest.fixture
def sql(server):
    with closing(Sql(database_of(server))) as opened:
        yield opened


def save(client, preference="cost-optimized", *, key="k", **body):
    return client.post(SETTINGS, json={"routing_preference": preference} | body, headers={IDEMPOTENCY_KEY: key})


def version(client):
    return client.get(SETTINGS).json()["settings_version"]


def refusal(answer):
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def test_a_change_sent_again_is_answered_alike_and_made_once(server, tenant):
    first = save(tenant)
    save(tenant, "performance-first", key="somebody-else-s")

    again = save(tenant)

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert (first.headers.get(REPLAYED), again.headers.get(REPLAYED)) == (None, "true")
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    now = tenant.get(SETTINGS).json()
    assert (now["routing_preference"], now["settings_version"]) == (
        "performance-first",
        first.json()["settings_version"] + 1,
    )
    history = server.run(server.application.store.settings_history(tenant.tenant.id))
    assert [change.new_value for change in history] == ["performance-first", "cost-optimized"]
    assert history[0].actor.startswith("key:")


def test_the_answer_is_the_one_that_is_given_without_a_key(tenant):
    """And what is in force is what it says."""
    with_key = save(tenant).json()
    assert list(with_key) == list(tenant.post(SETTINGS, json={"routing_preference": "cost-optimized"}).json())
    now = tenant.get(SETTINGS).json()
    assert {**now, "budget": None} == {**with_key, "budget": None}
    assert with_key["budget"]["budget_usd"] is None
    assert with_key["effective"] == {"value": "cost-optimized", "level": "tenant", "rule": None}
    assert tenant.post("/v1/router/decide", json=BODY).json()["preference"]["value"] == "cost-optimized"


def test_the_same_key_with_another_body_is_refused(tenant):
    first = save(tenant)
    for body in ({"preference": "balanced"}, {"preference": None}, {"settings_version": 1}):
        assert refusal(save(tenant, **body)) == (422, "idempotency_key_reused", IDEMPOTENCY_KEY)
    assert version(tenant) == first.json()["settings_version"]
    assert save(tenant, settings_version=None).content == first.content, "which says the same"


def test_a_key_older_than_a_day_is_new_again(tenant, sql):
    first = save(tenant)
    sql.owner("update remembered_answers set at = at - interval '23 hours 59 minutes'")
    assert save(tenant).content == first.content
    sql.owner("update remembered_answers set at = at - interval '1 minute'")
    renewed = save(tenant, "performance-first")
    assert (renewed.status_code, renewed.headers.get(REPLAYED)) == (200, None)
    assert renewed.json()["settings_version"] == first.json()["settings_version"] + 1


def test_another_tenant_s_key_is_another_key(server, tenant):
    save(tenant)
    _, other = server.tenant()
    with server.http(other) as client:
        answer = save(client, "performance-first")
        assert (answer.status_code, answer.headers.get(REPLAYED)) == (200, None)
        assert save(client, "performance-first").content == answer.content
    assert tenant.get(SETTINGS).json()["routing_preference"] == "cost-optimized"


def test_requests_at_once_are_answered_alike_and_one_of_them_writes(server, tenant):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: save(tenant), range(24)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum(REPLAYED not in answer.headers for answer in answers) == 1
    assert len(server.run(server.application.store.settings_history(tenant.tenant.id))) == 1


def test_changes_at_once_with_keys_of_their_own_are_all_made(server, tenant):
    wishes = ["cost-optimized", "performance-first", "balanced", None] * 2
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: save(tenant, wishes[n], key=f"k{n}"), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert version(tenant) == max(answer.json()["settings_version"] for answer in answers)
    last = max(answers, key=lambda answer: answer.json()["settings_version"]).json()
    assert last["routing_preference"] == tenant.get(SETTINGS).json()["routing_preference"]


def test_a_refusal_is_not_remembered(tenant):
    stale = save(tenant, settings_version=version(tenant) + 1)
    assert refusal(stale) == (409, "settings_changed", "settings_version")
    assert refusal(save(tenant, "turbo"))[2] == "routing_preference"
    saved = save(tenant, settings_version=version(tenant))
    assert (saved.status_code, saved.headers.get(REPLAYED)) == (200, None)
    assert save(tenant, settings_version=saved.json()["settings_version"] - 1).content == saved.content


def test_while_the_store_is_away_nothing_is_written_or_remembered(server, tenant, postgres):
    before = version(tenant)  # the server knows the key from here
    with away(server, postgres.dsn):
        answer = save(tenant)
        assert refusal(answer) == (503, "store_unavailable", None)
        assert answer.headers["retry-after"] == "2"
    eventually(lambda: save(tenant).status_code == 200)
    assert version(tenant) == before + 1
    assert save(tenant).headers[REPLAYED] == "true"


def test_what_is_kept_does_not_hold_the_key(tenant, sql):
    save(tenant, key="a-key-that-nobody-else-sends")
    rows = sql.owner("select r::text from remembered_answers r where user_id = %s", tenant.tenant.id)
    assert len(rows) == 1
    assert "a-key-that-nobody-else-sends" not in rows[0][0]


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"two words", "schlüssel".encode(), b"\xff", b"tab\there"])
def test_what_is_no_key_is_refused_and_nothing_is_written(tenant, key):
    before = version(tenant)
    answer = tenant.post(SETTINGS, json={"routing_preference": "cost-optimized"}, headers=[(IDEMPOTENCY_KEY, key)])
    assert refusal(answer) == (422, "invalid_value", IDEMPOTENCY_KEY)
    assert version(tenant) == before


def test_two_keys_are_refused(tenant):
    answer = tenant.post(
        SETTINGS,
        json={"routing_preference": "cost-optimized"},
        headers=[(IDEMPOTENCY_KEY, "a"), (IDEMPOTENCY_KEY, "b")],
    )
    assert refusal(answer) == (422, "invalid_value", IDEMPOTENCY_KEY)


@pytest.mark.parametrize("key", ["x", "!~", "x" * 255, '"8e03978e-40d5-43e8-bc93-6894a57f9324"'])
def test_any_visible_text_is_a_key(tenant, key):
    assert save(tenant, key=key).status_code == 200
    assert save(tenant, key=key).headers[REPLAYED] == "true"


def test_a_client_that_leaves_before_its_answer_gets_it_when_it_asks_again(server, tenant):
    body = b'{"routing_preference": "cost-optimized"}'
    head = f"POST {SETTINGS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {tenant.key}\r\n{IDEMPOTENCY_KEY}: k\r\n"
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
    before = tenant.tenant.settings_version
    assert save(tenant).json()["settings_version"] == before + 1
    assert version(tenant) == before + 1
