"""What each factor asks, said beside every table that has factors as rows or columns."""

from __future__ import annotations

from collections.abc import Mapping

from freerelay_core.scoring.reference import HEADROOM_BITES_BELOW
from pages._format import percent

__all__ = ["FACTOR_HELP", "factors_caption"]

FACTOR_HELP: Mapping[str, str] = {
    "policy": "Does one of the operator's rules prefer it? Below 1 where a rule prefers others.",
    "safety": "Is it cleared for confidential content? Below 1 where it is not and the request is locked down.",
    "schema": "Will it keep the form that the answer must have?",
    "quality": "Is it good enough for a request this hard?",
    "cost": "What does this request cost?",
    "success": "Will it answer at all?",
    "headroom": f"Is there quota and budget left? Below 1 from the last {percent(HEADROOM_BITES_BELOW)} on.",
    "latency": "How long until the answer is complete?",
}
"""By factor."""


def factors_caption() -> str:
    """All of them in Markdown, for a caption under a table; 1 is best."""
    return "Factors, 1 is best: " + " ".join(f"**{name}**: {words}" for name, words in FACTOR_HELP.items())
