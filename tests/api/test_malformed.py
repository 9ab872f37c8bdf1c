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
