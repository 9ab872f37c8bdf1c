"""Secrets put wherever a request can hold text come back in no error, log line, logged decision, state or metric."""

from __future__ import annotations

import logging

from api_server import BODY, OPERATOR_KEY, asked

CANARY = "zq7Xk2vWm9Lp4RtB"
WINDOWS = [CANARY[start : start + 10] for start in range(len(CANARY) - 9)]
CHAT, DECIDE = "/v1/chat/completions", "/v1/router/decide"
WITH_MESSAGE = {"model": "freerelay/auto", "messages": [{"role": "user", "content": f"My word is {CANARY}."}]}
REFUSED = [
    ("POST", CHAT, BODY | {"routing": {CANARY: 1}}),
    ("POST", CHAT, BODY | {"routing": {"preference": CANARY}}),
    ("POST", CHAT, BODY | {"routing": {"task": CANARY}}),
    ("POST", CHAT, BODY | {"routing": {"depth": CANARY}}),
    ("POST", CHAT, BODY | {"messages": CANARY}),
    ("POST", CHAT, BODY | {"messages": [{"role": 1, CANARY: CANARY}]}),
    ("POST", CHAT, BODY | {"max_tokens": CANARY}),
    ("POST", CHAT, BODY | {"stream": CANARY}),
    ("POST", CHAT, BODY | {"tools": CANARY}),
    ("POST", CHAT, [CANARY]),
    ("POST", "/v1/tenant/settings", {"routing_preference": CANARY}),
    ("POST", "/v1/tenant/settings", {"routing_preference": "balanced", CANARY: CANARY}),
    ("POST", "/v1/tenant/settings", {"routing_preference": "balanced", "settings_version": CANARY}),
    ("POST", f"/v1/decisions/{CANARY}/feedback", {"score": CANARY}),
    ("POST", f"/v1/decisions/{CANARY}/feedback", {"score": 1}),
    ("GET", f"/v1/decisions/{CANARY}", None),
    ("GET", f"/v1/{CANARY}", None),
    ("POST", f"/{CANARY}", {}),
    ("DELETE", f"/v1/models/{CANARY}", None),
]


def told(text: str) -> list[str]:
    return [window for window in (*WINDOWS, OPERATOR_KEY[:10]) if window in text]


def test_no_secret_of_a_request_is_repeated_anywhere(server, caplog):
    caplog.set_level(logging.DEBUG, logger="freerelay_core")
    with server.http() as client:
        for method, path, body in REFUSED:
            answer = client.request(method, path, json=body, headers={"x-note": CANARY})
            assert not told(answer.text + str(answer.headers)), (method, path, body, answer.text)
        decided = client.post(DECIDE, json=WITH_MESSAGE | {"user": CANARY, CANARY: CANARY})
        assert not told(decided.text)
        answered = client.post(CHAT, json=WITH_MESSAGE | {"user": CANARY, "metadata": {CANARY: CANARY}})
    assert answered.status_code == 200
    assert not told(str(answered.headers))
    assert not told(str(server.decision(answered)))
    with server.http(f"fr_live_{CANARY}") as client:
        refused = client.get("/v1/models")
    assert refused.status_code == 401
    assert not told(refused.text)
    asked(server)
    with server.http(OPERATOR_KEY) as client:
        for path in ("/metrics", "/v1/router/state"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert not told(answer.text)
    assert not told(caplog.text)
