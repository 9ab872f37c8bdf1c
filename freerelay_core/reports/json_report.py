"""A report as JSON: the model as it is, in its order, every number with all its digits."""

from __future__ import annotations

import orjson

from freerelay_core.reports.model import RankingReport

__all__ = ["write_json"]


def write_json(report: RankingReport) -> bytes:
    """The report as UTF-8 JSON, indented."""
    return orjson.dumps(
        report.as_dict() | {"sha256": report.sha256}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    )
