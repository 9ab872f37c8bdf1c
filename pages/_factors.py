"""What each factor asks, said beside every table that has factors as rows or columns."""

from __future__ import annotations

from collections.abc import Mapping

from freerelay_core.scoring.reference import HEADROOM_BITES_BELOW
from pages._format import percent

__all__ = ["FACTOR_HELP", "factors_caption"]

FACTOR_HELP: Mapping[str, str] = {
    "policy": "Does one of the operator's rules prefer it? Where one prefers others, it gets less.",
    "safety": "Is it cleared for confidential content? Counts only where the request is locked down.",
    "schema": "Will it keep the form that the answer must have?",
    "quality": "Is it good enough for a request this hard?",
    "cost": "What does this request cost?",
    "success": "Will it answer at all?",
    "headroom": f"Is there quota and budget left? Counts from the last {percent(HEADROOM_BITES_BELOW)} on.",
    "latency": "How long until the answer is complete?",
}
"""By factor."""


def factors_caption() -> str:
    """All of them in Markdown, for a caption under a table."""
    return "What the factors ask. " + " ".join(f"**{name}**: {words}" for name, words in FACTOR_HELP.items())
