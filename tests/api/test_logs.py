"""What is logged of real requests: lines that say whose they are, and nothing that nobody should read."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest
from api_server import BODY, OPERATOR_KEY
from upstreams import status

from freerelay_core.logs import follow, set_up_logs

CANARY = "canary-in-a-prompt"


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Any:
    """Puts the log into JSON with access lines; gives what has been logged since the last look."""
    set_up_logs("json", "debug", access=True)
    yield lambda: [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    set_up_logs("text", "warning", access=False)


def access(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in found if line["logger"] == "freerelay_core.access"]


def next_access(lines: Any) -> list[dict[str, Any]]:
    """The access lines since the last look, once there are some: they are written when the answer has gone out."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + 5
    while not found and time.monotonic() < deadline:
        found = access(lines())
    return found


def test_a_request_has_one_line_with_its_ids_status_and_time(calm: Any, lines: Any) -> None:
    answer = calm.chat()
    (line,) = next_access(lines)
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/chat/completions", 200)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["decision_id"] == answer.headers["x-freerelay-decision-id"]
    assert line["tenant_id"] == calm.run(calm.application.identities.identify(calm.key)).tenant.id
    assert line["endpoint"] == "first/m"
    assert 0 < line["duration_s"] < 60
    assert line["level"] == "info"
    assert line["time"].endswith("Z")


def test_whatever_is_logged_inside_a_request_carries_its_ids(calm: Any, upstream: Any, lines: Any) -> None:
    upstream.plan("first", status(401))
    answer = calm.chat()
    (warning,) = (line for line in lines() if "check the vendor key" in line["message"])
    assert warning["level"] == "warning"
    assert warning["logger"] == "freerelay_core.router.attempts"
    assert warning["request_id"] == answer.headers["x-request-id"]
    assert warning["decision_id"] == answer.headers["x-freerelay-decision-id"]


def test_no_key_body_or_query_is_in_any_line(calm: Any, upstream: Any, lines: Any) -> None:
    upstream.plan("first", status(500, {"error": {"message": CANARY}}))
    calm.chat(BODY | {"messages": [{"role": "user", "content": CANARY}], "user": CANARY})
    calm.chat({"messages": CANARY})
    with calm.http(OPERATOR_KEY) as client:
        client.get("/metrics", params={"key": CANARY})
        client.get(f"/v1/{calm.key}")
        client.get("/v1/fr_live_unknown", headers={"authorization": "Bearer fr_live_unknown", "x-note": CANARY})
    found, deadline = lines(), time.monotonic() + 5
    while len(access(found)) < 5 and time.monotonic() < deadline:  # the last is written when its answer has gone out
        found += lines()
    assert len(access(found)) == 5
    said = json.dumps(found)
    for secret in (CANARY, calm.key, OPERATOR_KEY, "fr_live_unknown"):
        assert secret not in said


def test_a_fault_of_ours_is_one_line_with_its_traceback(calm: Any, lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("Bearer fr_live_secret\nand more")

    monkeypatch.setattr(calm.application, "decide_body", broken)
    answer = calm.chat()
    assert answer.status_code == 500
    (line,) = (line for line in lines() if line["level"] == "error")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert "RuntimeError: Bearer ***" in line["traceback"]


def test_without_access_lines_a_good_request_says_nothing(calm: Any, capfd: pytest.CaptureFixture[str]) -> None:
    calm.chat()
    assert capfd.readouterr().err == ""


def test_a_line_for_people_is_one_line_whatever_is_in_it(capfd: pytest.CaptureFixture[str]) -> None:
    set_up_logs("text", "info", access=False)
    follow("req_1")
    logging.getLogger("freerelay_core.test").info("one\ntwo\x1b[31m %s", "gsk_abcdefghijk")
    set_up_logs("text", "warning", access=False)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith(r" INFO    freerelay_core.test one\x0atwo\x1b[31m *** [request_id=req_1]")


def test_json_bears_what_is_no_unicode(lines: Any) -> None:
    # To our own handler alone: what the test runner keeps of the log it sends between processes, and cannot.
    (handler,) = [each for each in logging.getLogger().handlers if type(each).__module__ == "freerelay_core.logs"]
    handler.handle(logging.makeLogRecord({"name": "test", "levelno": 30, "msg": "half \ud83d of one"}))
    (line,) = lines()
    assert line["message"] == "half \ud83d of one"


@pytest.mark.parametrize("name", ["uvicorn.error", "somebody.else"])
def test_other_peoples_lines_go_the_same_way(lines: Any, name: str) -> None:
    logging.getLogger(name).warning("said")
    assert [line["logger"] for line in lines()] == [name]
