"""Whatever of another tenant's a link names, the page answers as for something that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from builders import logged_decision

from pages import _reports_trace as reports
from pages import _simulator_trace as trace
from pages import _what_if_job as what_if

UNKNOWN = "01a21381-ebe3-7cea-81da-200f4055f1a6"


@pytest.fixture
def foreign(running) -> Iterator[dict[str, str]]:
    """Ids of another tenant's things, by the parameter that would name them."""
    application = running.application
    tenant_id, _ = running.new_tenant()
    decision = logged_decision(application.clock, tenant_id, endpoint="secret/endpoint")
    running.run(application.store.append_decisions([decision]))
    ranked = trace.JOBS.start(tenant_id, "secret trace", lambda _: None)
    reported = reports.JOBS.start(tenant_id, "secret report", lambda _: None)
    rehearsed = what_if.JOBS.start(what_if.OWNER, "secret scenario", lambda _: None)
    scenario = running.run(application.store.save_scenario("secret scenario", {"changes": []}))
    yield {
        "activity.decision": decision.id,
        "simulator.job": ranked.id,
        "reports.job": reported.id,
        "what-if.job": rehearsed.id,
        "what-if.scenario": scenario.id,
    }
    for jobs in (trace.JOBS, reports.JOBS, what_if.JOBS):
        jobs._jobs.clear()


def shown(page, identifier: str) -> list[str]:
    """Everything that the page says but for the id that was asked for and how old a snapshot is."""
    assert not page.exception
    parts = [*page.title, *page.header, *page.subheader, *page.markdown, *page.caption, *page.warning, *page.error]
    return [re.sub(rf"{identifier}|{identifier[:8]}|[0-9.]+\xa0m?s old", "", part.value) for part in parts]


PLACES = ["activity.decision", "simulator.job", "reports.job", "what-if.job", "what-if.scenario"]


@pytest.mark.parametrize("place", PLACES)
def test_another_tenant_s_thing_is_answered_like_an_unknown_one(running, reader, foreign, place):
    _, key = running.new_tenant()
    reader.sign_in(key)
    page, _, parameter = place.partition(".")
    query = {"simulator.job": {"input": "trace"}, "reports.job": {"question": "trace"}}.get(place, {})
    theirs = shown(reader.open(page, **{parameter: foreign[place]}, **query), foreign[place])
    unknown = shown(reader.open(page, **{parameter: UNKNOWN}, **query), UNKNOWN)
    assert theirs == unknown
    assert "secret" not in "".join(theirs)
