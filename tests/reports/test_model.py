"""A report holds the numbers of the core to the last bit, says what they rest on, and repeats itself."""

from __future__ import annotations

import math
from datetime import timedelta
from itertools import combinations

import pytest
from builders import endpoint, request, snapshot

from freerelay_core.decision import decide
from freerelay_core.preference import EXPONENTS, FACTORS, RoutingPreference
from freerelay_core.reports import (
    Figure,
    RankingReport,
    ReportColumn,
    ReportFormat,
    ReportTable,
    file_name,
    report_of_decision,
    report_of_simulation,
)
from freerelay_core.simulation import simulate, standard_workload
from tests.reports.samples import MADE_AT, fleet, ordinary_decision, ordinary_simulation, reports

REPORTS = reports()


def rows(report: RankingReport, table: str) -> list[dict]:
    return report.as_dict()["tables"][table]["rows"]


def figures(report: RankingReport, part: str) -> dict:
    return {figure["key"]: figure["value"] for figure in report.as_dict()[part]}


def test_the_ranking_of_a_request_is_the_decision_s():
    decision = ordinary_decision()
    report = report_of_decision(decision, made_at=MADE_AT)
    ranking = rows(report, "ranking")
    assert [row["endpoint"] for row in ranking] == list(decision.endpoints)
    for shown, row in zip(ranking, decision.ranking, strict=True):
        assert (shown["score"], shown["cost_usd"]) == (row.score, row.cost_usd)
        assert shown["cost_usd_per_1000"] == row.cost_usd * 1000
        assert (shown["latency_p50_s"], shown["latency_p95_s"]) == (row.latency_p50_s, row.latency_p95_s)
        assert (shown["quality_percent"], shown["basis"]) == (row.quality * 100, row.basis)
    assert rows(report, "excluded") == [row.as_dict() for row in decision.excluded] != []
    assert report.finding == f"{decision.reason}."
    assert figures(report, "summary")["winner"] == decision.endpoints[0]


def test_factors_and_contributions_are_the_decision_s_and_sum_to_the_log_of_the_utility():
    decision = ordinary_decision()
    report = report_of_decision(decision, made_at=MADE_AT)
    for row, values, parts in zip(
        decision.ranking, rows(report, "factors"), rows(report, "contributions"), strict=True
    ):
        for name in FACTORS:
            assert (values[name], decision.exponents[name], parts[name]) == row.factors[name]
        assert values["utility"] == row.utility
        assert parts["ln_utility"] == pytest.approx(math.log(row.utility))
    assert rows(report, "exponents") == [
        {"preference": "balanced", "level": "default", "rule": "none", **EXPONENTS[RoutingPreference.BALANCED]}
    ]


def test_a_trace_has_a_ranking_and_figures_for_each_preference_and_their_differences():
    simulation = ordinary_simulation()
    report = report_of_simulation(simulation, made_at=MADE_AT)
    shown = {row["preference"]: row for row in rows(report, "preferences")}
    assert list(shown) == [preference.value for preference in RoutingPreference]
    for preference, result in simulation.results.items():
        assert shown[preference]["cost_usd"] == result.cost_usd
        assert shown[preference]["latency_p95_s"] == result.latency_p95_s
        assert shown[preference]["quality_percent"] == result.quality * 100
        ranking = rows(report, f"ranking.{preference}")
        assert {row["endpoint"]: row["share_percent"] for row in ranking} == {
            name: share * 100 for name, share in result.share.items()
        }
        assert sum(row["requests"] for row in ranking) == len(simulation.trace) - result.unserved
    for row, (a, b) in zip(rows(report, "differences"), combinations(RoutingPreference, 2), strict=True):
        assert (row["first"], row["second"], row["changed"]) == (a, b, simulation.changed(a, b))
        gap = simulation.results[b].cost_usd_per_1000 - simulation.results[a].cost_usd_per_1000
        assert row["cost_usd_per_1000"] == gap


def test_requests_with_profiles_of_their_own_are_taken_for_nothing_else():
    assert "read_as" not in figures(REPORTS["trace"], "scope")
    assert figures(REPORTS["hostile trace"], "scope")["read_as"] == "chat, easy, interactive, text"


def test_one_preference_alone_is_compared_with_nothing():
    cheap = RoutingPreference.COST_OPTIMIZED
    simulation = simulate(standard_workload(50), snapshot(*fleet("a", "b")), preferences=(cheap,))
    report = report_of_simulation(simulation, made_at=MADE_AT)
    assert [table.name for table in report.tables] == ["preferences", f"ranking.{cheap}", "exponents"]


def test_what_a_report_rests_on_is_named():
    simulation = ordinary_simulation()
    known = figures(report_of_simulation(simulation, made_at=MADE_AT), "provenance")
    assert known["snapshot_id"] == simulation.snapshot.id
    assert known["snapshot_age_s"] == 90
    assert (known["trace_sha256"], known["seed"]) == (simulation.trace.sha256, 7)
    assert known["made_at"] == MADE_AT.isoformat()
    assert {"version_freerelay", "version_numpy", "version_genai-prices"} <= set(known)
    assert "seed" not in figures(report_of_decision(ordinary_decision(), made_at=MADE_AT), "provenance")


@pytest.mark.parametrize("name", REPORTS)
def test_every_number_says_what_it_rests_on(name):
    for table in REPORTS[name].tables:
        for row in table.rows:
            for column, cell in zip(table.columns, row, strict=True):
                assert isinstance(cell, str) or column.key == "rank" or table.basis(row, column), column


@pytest.mark.parametrize("form", ReportFormat)
def test_the_same_input_gives_the_same_bytes_and_another_moment_another_hash(form):
    once, again = (report_of_simulation(ordinary_simulation(), made_at=MADE_AT) for _ in range(2))
    assert form.write(once) == form.write(again)
    later = report_of_simulation(ordinary_simulation(), made_at=MADE_AT + timedelta(seconds=1))
    assert form.write(later) != form.write(once)
    assert later.sha256 != once.sha256


def test_a_request_that_nothing_can_serve_is_reported_with_the_reasons():
    decision = decide(snapshot(endpoint()), request(needs=frozenset({"vision"})), decision_id="d")
    report = report_of_decision(decision, made_at=MADE_AT)
    assert report.finding == "No endpoint can serve this request."
    assert [row["reason"] for row in rows(report, "excluded")] == ["no_vision"]
    for form in ReportFormat:
        assert form.write(report)


def test_a_trace_that_nothing_can_serve_is_reported_as_unserved():
    trace = standard_workload(20)
    report = report_of_simulation(simulate(trace, snapshot(endpoint(context_tokens=1))), made_at=MADE_AT)
    assert report.finding == "No endpoint can serve these requests."
    assert {row["unserved"] for row in rows(report, "preferences")} == {20}
    for form in ReportFormat:
        assert form.write(report)


def test_any_other_result_can_be_reported_and_what_is_not_a_number_is_unknown():
    table = ReportTable(
        "effects",
        "Effects",
        (ReportColumn("tenant", "Tenant"), ReportColumn("change", "Change", "USD", "simulated", 2)),
        [["a@example.com", -0.25], ["b\0@example.com", float("nan")]],
    )
    report = RankingReport(
        kind="what-if",
        title="Groq away",
        finding="It costs more.",
        made_at=MADE_AT,
        scope=[Figure("scenario", "Scenario", "Groq away")],
        summary=[],
        tables=[table],
        provenance=[],
    )
    assert report.table("effects").rows == (("a@example.com", -0.25), ("b\ufffd@example.com", None))
    assert b"unknown" in ReportFormat.HTML.write(report)


def test_a_file_is_named_by_the_day_in_utc():
    names = [file_name(REPORTS["trace"], form) for form in ReportFormat]
    assert names == ["ranking-2026-11-24.csv", "ranking-2026-11-24.json", "ranking-2026-11-24.html"]
