"""A pytest plugin for CI: a skipped test fails the run, unless it carries the mark `shared`."""

from __future__ import annotations

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # a worker of pytest-xdist: its controller counts
        return
    skipped = [report.nodeid for report in reporter.stats.get("skipped", []) if "shared" not in report.keywords]
    if skipped:
        reporter.write_line(f"Skipped, which only tests marked `shared` may be: {', '.join(skipped)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
