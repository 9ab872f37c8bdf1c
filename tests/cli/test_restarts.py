"""Two servers behind haproxy, stopped and started again in turn under load, as `make restarts` does it."""

from __future__ import annotations

from benchmarks.drain import rolled
from benchmarks.phases import measured


def test_a_rolling_restart_behind_haproxy_fails_no_request_and_loses_no_decision():
    figures = {each["name"]: each["value"] for each in measured(lambda folder: rolled(folder, restarts=1))}
    assert figures["rolling_restarts"] == 2
    assert figures["rolling_requests"] > 100
    assert figures["rolling_failed"] == 0
    assert figures["rolling_exit_statuses"] == 0
    assert (figures["rolling_decisions_lost"], figures["rolling_decisions_twice"]) == (0, 0)
