"""The simulator counts a tenant's budget as routing does, and says so; where it is not counted, that is said."""

from __future__ import annotations

import pytest
from builders import NOON, endpoint, request, snapshot

from freerelay_core.composition.accounts import OPERATOR
from freerelay_core.decision import decide
from freerelay_core.policy import NO_POLICY
from freerelay_core.reports import report_of_decision, report_of_simulation
from freerelay_core.scoring import Budget
from freerelay_core.simulation import read_trace, simulate
from pages import _simulator_words as words
from pages._simulator_input import DEFAULT
from pages._simulator_trace import JOBS, rank_trace
from pages._trace_job import Setting

TRACE = b"timestamp,input_tokens,output_tokens\n2026-11-23 10:00:00,900,200\n"


def plain(text: str) -> str:
    """Text without the escapes of Markdown, with ordinary spaces."""
    return text.replace("\\", "").replace("\u00a0", " ")


def shown(app) -> str:
    """All words on the page."""
    places = (app.header, app.markdown, app.caption, app.error, app.info)
    return plain("\n".join(element.value for place in places for element in place))


def budget_in_report(decision):
    scope = report_of_decision(decision, made_at=NOON).scope
    return [(figure.value, figure.unit) for figure in scope if figure.key == "budget_left_usd"]


@pytest.fixture
def budgeted(running):
    """Gives the demo tenant a budget; returns what `POST /v1/router/decide` then ranks for it on the page's form."""
    application = running.application

    async def decision():
        who = await application.identities.identify(running.demo_key)
        profile = DEFAULT._replace(hour_utc=application.clock.now().hour)
        return application.decide_body(who, {"messages": [{"role": "user", "content": "x"}]}, profile=profile)

    def give(usd):
        demo = running.run(application.store.tenant_by_email("demo@freerelay.local"))
        running.run(application.accounts.set_budget(OPERATOR, demo.id, usd))
        return running.run(decision())

    return give


@pytest.mark.parametrize("snapshot", ["live", "catalogue"])
def test_what_would_cost_more_than_the_budget_leaves_is_excluded_as_for_a_request(tenant_reader, budgeted, snapshot):
    decision = budgeted(0.0001)
    beyond = {row.endpoint for row in decision.excluded if row.reason == "budget_gone"}
    assert beyond
    page = tenant_reader.open("simulator", snapshot=snapshot)
    assert not page.exception
    assert list(page.dataframe[0].value["Endpoint"]) == list(decision.endpoints)
    assert list(page.dataframe[0].value["USD per request"]) == [row.cost_usd for row in decision.ranking]
    excluded = page.dataframe[-1].value
    assert set(excluded[excluded["Reason code"] == "budget_gone"]["Endpoint"]) == beyond
    assert f"{len(beyond)} endpoints would cost more than that and are excluded" in shown(page)
    assert "would cost more than is left of the tenant's budget" in shown(page)


def test_a_budget_that_excludes_nothing_is_named_and_none_is_not(tenant_reader, budgeted):
    budgeted(50.0)
    assert "$50.00 of $50.00 are left of this month's budget" in shown(tenant_reader.open("simulator"))
    budgeted(None)
    assert "left of this month's budget" not in shown(tenant_reader.open("simulator"))


def test_the_budget_s_part_in_a_ranking_is_told_in_words_and_in_the_report():
    fleet = snapshot(endpoint("a/dear", usd=(50.0, 5.0, 200.0)), endpoint("b/cheap", usd=(0.1, 0.01, 0.4)))

    def said(left, share):
        budget = Budget(left, share, fleet.live)
        return plain(words.budget_sentence(decide(fleet, request(), decision_id="d", budget=budget), 10.0))

    begin = "are left of this month's budget, which counts here as for a live request: "
    assert said(9.0, 0.9) == f"$9.00 of $10.00 {begin}it excludes no endpoint."
    assert said(1.0, 0.1).endswith("less than 20 %, so endpoints that cost something rank lower.")
    assert said(0.001, 0.0001).endswith("1 endpoint would cost more than that and is excluded.")
    assert said(0.0, 0.0).endswith("2 endpoints would cost more than that and are excluded.")
    decision = decide(fleet, request(), decision_id="d", budget=Budget(1.0, 0.1, fleet.live))
    assert budget_in_report(decision) == [(1.0, "USD")]
    assert budget_in_report(decide(fleet, request(), decision_id="d")) == []


def test_a_ranked_trace_says_that_no_budget_is_counted(reader, running):
    tenant_id, key = running.new_tenant()
    setting = Setting(running.application.fleet.snapshot(), NO_POLICY, tenant_id, "bronze", NOON)
    job = JOBS.start(tenant_id, "one.csv", lambda job: rank_trace(job, TRACE, "one.csv", DEFAULT, setting))
    assert job.wait(30)
    reader.sign_in(key)
    for query in ({}, {"job": job.id}):
        assert "budget is not counted" in shown(reader.open("simulator", input="trace", **query))
    simulation = simulate(read_trace(TRACE, origin="one.csv"), setting.snapshot)
    (method,) = (f.value for f in report_of_simulation(simulation, made_at=NOON).provenance if f.key == "method")
    assert "No budget of a tenant is counted." in method
