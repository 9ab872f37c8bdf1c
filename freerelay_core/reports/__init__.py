"""Ranking reports: one model, one writer a format (`FORMATS`), the same numbers in each to the last digit.

report_of_decision(...)     the ranking of one request
report_of_simulation(...)   a trace under the preferences
report_of_what_if(...)      a scenario against the present
RankingReport(...)          any other result that can be told in figures and tables
"""

from freerelay_core.reports.build import Provenance, report_of_decision, report_of_simulation, report_of_what_if
from freerelay_core.reports.formats import ReportFormat, file_name
from freerelay_core.reports.model import OF_ROW, BarChart, Figure, RankingReport, ReportColumn, ReportTable

__all__ = [
    "OF_ROW",
    "BarChart",
    "Figure",
    "Provenance",
    "RankingReport",
    "ReportColumn",
    "ReportFormat",
    "ReportTable",
    "file_name",
    "report_of_decision",
    "report_of_simulation",
    "report_of_what_if",
]
