"""The formats of a report. A new one is a line here, beside the file of its writer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from enum import StrEnum
from pathlib import PurePath
from typing import Self

from freerelay_core.errors import InvalidRequest
from freerelay_core.reports.csv_report import write_csv
from freerelay_core.reports.html_report import write_html
from freerelay_core.reports.json_report import write_json
from freerelay_core.reports.model import RankingReport

__all__ = ["ReportFormat", "file_name"]

Writer = Callable[[RankingReport], bytes]


class ReportFormat(StrEnum):
    """Name (and suffix), media type and writer of each format."""

    CSV = "csv", "text/csv", write_csv
    JSON = "json", "application/json", write_json
    HTML = "html", "text/html", write_html

    media_type: str
    write: Writer

    def __new__(cls, name: str, media_type: str, write: Writer) -> Self:
        member = str.__new__(cls, name)
        member._value_ = name
        member.media_type = media_type
        member.write = write
        return member

    @classmethod
    def of_file(cls, path: PurePath) -> ReportFormat:
        """The format that the name of a file ends in. Raises `InvalidRequest` naming those there are."""
        ending = path.suffix.removeprefix(".").lower()
        found = next((form for form in cls if form == ending), None)
        if found is None:
            *others, last = (f".{form}" for form in cls)
            raise InvalidRequest(
                f"{path}: its name does not tell the format of the report: let it end in {', '.join(others)} or "
                f"{last}, or say which with --format.",
                param="format",
            )
        return found


def file_name(report: RankingReport, form: ReportFormat) -> str:
    """What the file is called: `ranking-2026-11-24.csv`, by the day (UTC) on which the report was made."""
    return f"ranking-{report.made_at.astimezone(UTC):%Y-%m-%d}.{form}"
