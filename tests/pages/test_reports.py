"""The reports page shows the very file that it offers, for the requests that were asked for and of nobody else."""

from __future__ import annotations

import json
import threading
from html import unescape
from typing import Any

import pytest
from builders import request
from streamlit.testing.v1 import AppTest

from freerelay_core.policy import NO_POLICY
from freerelay_core.preference import FACTORS, EffectivePreference, RoutingPreference
from freerelay_core.profile import RequestProfile
from freerelay_core.reports import Figure, RankingReport, ReportFormat, report_of_decision, report_of_simulation
from freerelay_core.simulation import read_trace, simulate, standard_workload
from pages import _simulator_request as request_view
from pages import _simulator_trace_view as trace_view
from pages._reports_trace import JOBS, make_reports
from pages._trace_job import Setting
from tests.reports.samples import MADE_AT, ordinary_decision, ordinary_simulation
from tests.store.helpers import decision


def plain(text: str) -> str:
    """Text without the escapes of Markdown."""
    return text.replace("\\", "")


def shown(app: AppTest) -> dict[str, Any]:
    """The report that the page previews as JSON."""
    assert not app.exception
    (preview,) = (part.proto.body for part in app.get("html") if part.proto.body.startswith("<pre"))
    return json.loads(unescape(preview[preview.index(">") + 1 :].removesuffix("</pre>")))


def figures(report: dict[str, Any], part: str) -> dict[str, Any]:
    return {figure["key"]: figure["value"] for figure in report[part]}


def record(running: Any, tenant_id: str, *tokens: int, demo: bool = False) -> None:
    """Log a decision for each number of input tokens."""
    profiles = [request(input_tokens=number).as_dict() for number in tokens]
    records = [decision(tenant_id, profile=profile, demo=demo) for profile in profiles]
    running.run(running.application.store.append_decisions(records))


@pytest.fixture
def new_reader(reader: Any, running: Any) -> Any:
    """Somebody signed in as a new tenant, with its id as `tenant_id`."""
    reader.tenant_id, key = running.new_tenant()
    reader.sign_in(key)
    return reader


def test_the_page_opens_with_the_report_on_the_standard_workload(new_reader: Any) -> None:
    page = new_reader.open("reports")
    assert not page.exception
    kinds = [element.type for element in page.main if element.type in {"title", "header", "download_button"}]
    assert kinds == ["title", "header", "download_button"]
    assert plain(page.header[0].value).startswith("Ranking of endpoints for 600 requests under 3 preferences")
    assert page.download_button(key="download").label.startswith("Download ranking-")
    assert page.download_button(key="download").label.endswith(".html")


def test_the_numbers_are_those_of_the_core(new_reader: Any, running: Any) -> None:
    report = shown(new_reader.open("reports", format="json"))
    simulation = simulate(standard_workload(), running.application.fleet.snapshot())
    for row in report["tables"]["preferences"]["rows"]:
        result = simulation.results[RoutingPreference(row["preference"])]
        assert (row["cost_usd"], row["unserved"]) == (result.cost_usd, result.unserved)
    assert figures(report, "scope")["origin"] == simulation.trace.origin


def test_the_preview_of_the_csv_is_what_is_in_the_file(new_reader: Any) -> None:
    report = shown(new_reader.open("reports", format="json"))
    table = new_reader.open("reports", format="csv").dataframe[0].value
    assert list(table.columns) == ["section", "item", "field", "value", "unit", "basis"]
    costs = table[(table.section == "preferences") & (table.field == "cost_usd")].value
    assert list(costs.astype(float)) == [row["cost_usd"] for row in report["tables"]["preferences"]["rows"]]
    assert report["sha256"] in set(table.value)


def test_a_link_restores_question_preference_and_format(new_reader: Any) -> None:
    record(new_reader._running, new_reader.tenant_id, 100)
    report = shown(new_reader.open("reports", question="recorded", under="balanced", format="json"))
    assert [row["preference"] for row in report["tables"]["preferences"]["rows"]] == ["balanced"]
    assert figures(report, "summary")["requests"] == 1


def test_a_bad_link_falls_back_and_says_so(new_reader: Any) -> None:
    page = new_reader.open("reports", question="everybody", format="pdf", under="cheapest")
    said = plain(page.warning[0].value)
    for part in ("question=everybody (can be workload, recorded, trace)", "format=pdf", "under=cheapest"):
        assert part in said
    assert "600 requests" in page.header[0].value


def test_recorded_requests_are_the_tenant_s_own_and_generated_ones_are_counted(new_reader: Any, running: Any) -> None:
    other, _ = running.new_tenant()
    record(running, other, 5_000_000)
    record(running, new_reader.tenant_id, 100, 200)
    record(running, new_reader.tenant_id, 300, demo=True)
    report = shown(new_reader.open("reports", question="recorded", format="json"))
    assert figures(report, "summary")["requests"] == 3
    assert figures(report, "summary")["input_tokens"] == 600
    scope = figures(report, "scope")
    assert (scope["demo"], scope["unreadable"]) == (1, 0)
    assert "UTC" in scope["range"]


def test_recorded_requests_keep_their_own_preference_and_the_model_they_named(new_reader: Any, running: Any) -> None:
    own = EffectivePreference(RoutingPreference.COST_OPTIMIZED, "request")
    named = "fireworks/kimi-k2.6"
    running.run(
        running.application.store.append_decisions(
            [
                decision(new_reader.tenant_id, profile=request().as_dict(), model=named),
                decision(new_reader.tenant_id, profile=request().as_dict(), model="freerelay/auto", preference=own),
            ]
        )
    )
    report = shown(new_reader.open("reports", question="recorded", under="performance-first", format="json"))
    scope = figures(report, "scope")
    assert (scope["named_model"], scope["own_preference"]) == (1, 0), "this tenant may not ask for a preference"
    assert named in json.dumps(report)


def test_the_operator_s_recorded_requests_are_those_of_every_tenant(operator_reader: Any, running: Any) -> None:
    running.run(running.application.store.remove_demo_decisions(_demo(running)))
    for number in (100, 200):
        record(running, running.new_tenant()[0], number)
    report = shown(operator_reader.open("reports", question="recorded", format="json", under="cost-optimized"))
    assert figures(report, "summary")["input_tokens"] == 300
    assert figures(report, "scope")["ranked_as"] == "no tenant in particular"


def _demo(running: Any) -> str:
    return running.run(running.application.store.tenant_by_email("demo@freerelay.local")).id


def test_where_nothing_was_recorded_the_next_step_is_said(new_reader: Any) -> None:
    page = new_reader.open("reports", question="recorded")
    assert page.header[0].value == "Nothing was recorded in the last 7 days"
    assert "Send a first request" in page.markdown[0].value
    assert not page.download_button


def test_without_a_trace_file_the_page_asks_for_one(new_reader: Any) -> None:
    page = new_reader.open("reports", question="trace")
    assert page.header[0].value == "Which trace is the report about?"
    assert not page.download_button


CONTENT = b"timestamp,input_tokens,output_tokens\n" + b"2026-11-23 10:00:00,900,200\n2026-11-23 11:00:00,90,20\n" * 50


def test_a_trace_is_reported_in_the_background_and_its_link_has_every_preference(new_reader: Any, running: Any) -> None:
    fleet = running.application.fleet.snapshot()
    setting = Setting(fleet, NO_POLICY, new_reader.tenant_id, "bronze", MADE_AT)
    whose = Figure("ranked_as", "Ranked as", "a@example.com")
    owner = new_reader.tenant_id
    job = JOBS.start(owner, "day.csv", lambda job: make_reports(job, CONTENT, "day.csv", setting, whose))
    assert job.wait(30)
    trace = read_trace(CONTENT, origin="day.csv")
    for under in ("all", *RoutingPreference):
        report = shown(new_reader.open("reports", question="trace", format="json", under=str(under), job=job.id))
        preferences = tuple(RoutingPreference) if under == "all" else (under,)
        simulation = simulate(trace, fleet, preferences=preferences)
        alone = report_of_simulation(simulation, made_at=MADE_AT, extra_scope=(whose,))
        assert report["tables"] == json.loads(ReportFormat.JSON.write(alone))["tables"], "as simulated by itself"
        assert report["sha256"] == alone.sha256


def test_a_running_report_says_how_far_it_is_and_is_cancelled(new_reader: Any) -> None:
    go_on = threading.Event()

    def work(job: Any) -> Any:
        job.report(40, 100)
        go_on.wait(30)

    job = JOBS.start(new_reader.tenant_id, "long.csv", work)
    try:
        page = new_reader.open("reports", question="trace")
        assert page.header[0].value == r"Ranking long\.csv"
        assert page.query_params["job"] == job.id
        assert page.get("progress")[0].proto.text == "40 of 100\u00a0requests done"
        page.button(key="cancel_job").click().run()
        assert job.cancelled()
        assert page.header[0].value == r"long\.csv was cancelled"
        assert "Choose Make the report" in page.markdown[0].value
    finally:
        go_on.set()


def test_the_simulator_offers_its_ranking_in_every_format(new_reader: Any) -> None:
    page = new_reader.open("simulator")
    labels = [button.label for button in page.download_button]
    assert [label for label in labels if label.startswith("Report as ")] == [
        "Report as CSV",
        "Report as JSON",
        "Report as HTML",
    ]


def column(table: Any, label: str) -> list[Any]:
    """A column of a table of the simulator."""
    return list(table.as_columns()[label])


def reported(report: RankingReport, table: str, key: str) -> list[Any]:
    return [row[key] for row in report.as_dict()["tables"][table]["rows"]]


def test_a_report_has_the_numbers_of_the_simulator_to_the_last_digit() -> None:
    decision = ordinary_decision()
    table, report = request_view.ranking_table(decision, ""), report_of_decision(decision, made_at=MADE_AT)
    labels = {
        "Endpoint": "endpoint",
        "Score, 0-100": "score",
        "USD per 1,000": "cost_usd_per_1000",
        "p50, s": "latency_p50_s",
        "p95, s": "latency_p95_s",
        "Good, %": "quality_percent",
        "USD per request": "cost_usd",
        "Served by": "served_by",
    }
    for label, key in labels.items():
        assert column(table, label) == reported(report, "ranking", key)
    for position, row in enumerate(decision.ranking):
        *shown, total = column(request_view.contributions_table(row, ""), "Exponent x ln value")
        keys = [*FACTORS, "ln_utility"]
        assert [*shown, total] == [reported(report, "contributions", key)[position] for key in keys]


def test_a_trace_s_report_has_the_numbers_of_the_simulator_to_the_last_digit() -> None:
    answer = trace_view.TraceAnswer.of(ordinary_simulation(), RequestProfile(), MADE_AT)
    table = trace_view.figures_table(answer, "")
    labels = {"USD per 1,000": "cost_usd_per_1000", "USD in all": "cost_usd", "p95, s": "latency_p95_s"}
    for label, key in (labels | {"Good, %": "quality_percent", "Unserved": "unserved"}).items():
        assert column(table, label) == reported(answer.report, "preferences", key)
    shares = trace_view.share_table(answer, "")
    for preference in RoutingPreference:
        known = dict(zip(column(shares, "Endpoint"), column(shares, f"{preference}, %"), strict=True))
        ranked = reported(answer.report, f"ranking.{preference}", "endpoint")
        assert [known[name] for name in ranked] == reported(answer.report, f"ranking.{preference}", "share_percent")
