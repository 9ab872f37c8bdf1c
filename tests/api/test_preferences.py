"""Whose preference decides a request, and what else a caller may say about its routing."""

from __future__ import annotations

import pytest
from api_server import BODY, OPERATOR_KEY


def test_a_saved_preference_decides_the_very_next_request(server):
    _, key = server.tenant()
    with server.http(key) as client:
        before = client.post("/v1/chat/completions", json=BODY)
        assert before.headers["x-freerelay-preference"] == "balanced; level=default"
        for name in ("cost-optimized", "performance-first"):
            assert client.post("/v1/tenant/settings", json={"routing_preference": name}).status_code == 200
            after = client.post("/v1/chat/completions", json=BODY)
            assert after.headers["x-freerelay-preference"] == f"{name}; level=tenant"
            assert server.decision(after, key)["exponents"]["cost"] == (1.5 if name == "cost-optimized" else 0.5)


@pytest.mark.parametrize("where", ["header", "body"])
def test_an_override_counts_where_the_operator_allows_it(server, where):
    answers = {}
    for allowed in (True, False):
        _, key = server.tenant(allow_override=allowed)
        if where == "header":
            answers[allowed] = server.chat(key=key, **{"X-FreeRelay-Preference": "cost-optimized"})
        else:
            answers[allowed] = server.chat(BODY | {"routing": {"preference": "cost-optimized"}}, key=key)
    assert answers[True].headers["x-freerelay-preference"] == "cost-optimized; level=request"
    assert answers[False].status_code == 403
    assert answers[False].json()["error"]["code"] == "override_not_allowed"


def test_the_header_stands_above_the_body(server):
    answer = server.chat(
        BODY | {"routing": {"preference": "cost-optimized"}}, **{"X-FreeRelay-Preference": "performance-first"}
    )
    assert answer.headers["x-freerelay-preference"] == "performance-first; level=request"


@pytest.mark.parametrize(
    ("headers", "routing"),
    [({"X-FreeRelay-Task": "math", "X-FreeRelay-Depth": "expert"}, None), ({}, {"task": "math", "depth": "expert"})],
)
def test_task_and_depth_can_be_stated(server, headers, routing):
    answer = server.chat(BODY | ({"routing": routing} if routing else {}), **headers)
    profile = server.decision(answer)["profile"]
    assert (profile["family"], profile["depth"]) == ("math", "expert")


@pytest.mark.parametrize(
    ("headers", "more", "named"),
    [
        ({"X-FreeRelay-Preference": "cheap"}, {}, "cost-optimized, balanced, performance-first"),
        ({"X-FreeRelay-Task": "poetry"}, {}, "creative"),
        ({"X-FreeRelay-Depth": "abyss"}, {}, "expert"),
        ({}, {"routing": {"preference": "cheap"}}, "cost-optimized, balanced, performance-first"),
        ({}, {"routing": {"preferense": "balanced"}}, "known are preference, task, depth, confidential"),
        ({}, {"routing": {"task": 7}}, "routing.task must be text"),
        ({}, {"routing": {"confidential": "yes"}}, "routing.confidential must be true or false"),
        ({}, {"routing": []}, "routing must be an object"),
        ({}, {"stream": "yes"}, "stream must be true or false"),
        ({}, {"max_tokens": 0}, "max_tokens"),
        ({}, {"n": 0}, "n must be a whole number of at least 1"),
        ({}, {"messages": "hi"}, "messages"),
        ({}, {"messages": [{"role": "user"}, "x"]}, "messages[1]"),
    ],
)
def test_what_cannot_be_meant_is_refused_naming_the_way_out(server, headers, more, named):
    answer = server.chat(BODY | more, **headers)
    assert answer.status_code == 422
    assert named in answer.json()["error"]["message"]


def test_the_operator_has_no_traffic(server):
    answer = server.chat(key=OPERATOR_KEY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "operator_key_not_allowed")
