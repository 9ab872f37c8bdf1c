"""Broken requests in number against a running server; `make malformed` sends many more."""

from __future__ import annotations

import asyncio

from api_server import asked

from benchmarks.malformed import assault


def test_no_broken_request_brings_a_5xx_a_hang_or_an_answer_without_the_error_shape(server):
    decision_id, _ = asked(server)
    findings = asyncio.run(assault(server.port, server.key, decision_id, requests=2_000, seed=7, large=False))
    assert findings.faults == []
    assert findings.total == 2_000
    assert findings.statuses[200] > 100, "most of the rest of a broken request is sound, and some is all the same"
    assert findings.statuses.keys() >= {400, 401, 422, 431}


def test_a_body_of_very_many_values_is_refused_before_it_is_parsed(server):
    for members in (b"[]", b'""', b"0", b'{"a":1}'):
        body = b'{"model":"freerelay/auto","a":[' + b",".join([members] * 100_001) + b"]}"
        with server.http() as client:
            answer = client.post("/v1/chat/completions", content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "too_many_values")


def test_commas_and_brackets_within_a_text_are_no_values(server):
    text = r"a\",[{\\" * 40_000
    answer = server.chat({"model": "freerelay/auto", "messages": [{"role": "user", "content": text}], "max_tokens": 5})
    assert answer.status_code == 200, answer.text


def test_a_large_body_is_decided_as_a_small_one_is(server):
    text = "Prove that there are infinitely many primes. " * 8_000
    body = {"messages": [{"role": "user", "content": text}], "routing": {"depth": "expert"}}
    with server.http(**{"x-freerelay-task": "legal"}) as client:
        decided = client.post("/v1/router/decide", json=body).json()
        wrong = client.post("/v1/router/decide", json=body | {"routing": {"depth": 7}}).json()
    assert decided["profile"]["family"] == "legal"
    assert decided["profile"]["depth"] == "expert"
    assert wrong["error"]["param"] == "routing.depth"
    answer = server.chat(body | {"model": "freerelay/auto", "max_tokens": 5}, **{"x-freerelay-task": "legal"})
    assert answer.status_code == 200, answer.text
    assert server.decision(answer)["profile"]["family"] == "legal"


def test_a_body_that_comes_again_is_decided_by_what_its_headers_say_now(server):
    body = {"messages": [{"role": "user", "content": "Come again: " * 20}]}
    families = []
    for headers in ({}, {"x-freerelay-task": "legal"}, {}, {"x-freerelay-task": "math"}):
        with server.http(**headers) as client:
            families.append(client.post("/v1/router/decide", json=body).json()["profile"]["family"])
    assert families == ["chat", "legal", "chat", "math"]


def test_long_bodies_that_differ_in_their_end_are_told_apart(server):
    text = "All work and no play. " * 1_000
    with server.http() as client:
        tokens = [
            client.post("/v1/router/decide", json={"messages": [{"role": "user", "content": text * count}]}).json()[
                "profile"
            ]["input_tokens"]
            for count in (1, 2, 1)
        ]
    assert tokens[0] == tokens[2] < tokens[1]
