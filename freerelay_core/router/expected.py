"""What a request is expected to need at one endpoint, as plain numbers: asked several times while it is carried out."""

from __future__ import annotations

from typing import NamedTuple

from freerelay_core.behaviour import PREFILL_TOKENS_PER_S
from freerelay_core.decision import Decision
from freerelay_core.scoring import thinking_tokens

__all__ = ["Expected", "expected_at"]


class Expected(NamedTuple):
    """Of one answer, at one endpoint, by the snapshot that ranked it."""

    thinking: float
    """Tokens that it thinks before it answers, had it no limit."""
    thinks: bool
    """Whether it ever does, as far as is known: hidden thinking cannot be told from the answer then."""
    tokens: float
    """Input, and all answers with their thinking."""
    first_token_s: float
    """Median, without prefill and thinking."""
    tokens_per_s: float
    """Median decode speed."""
    silent_s: float
    """A slow (95 %) first token, prefill included."""


def expected_at(decision: Decision, endpoint: int) -> Expected:
    """Worked out once for all requests that share the ranking."""
    known: dict[int, Expected] = decision.shared.setdefault(_EXPECTED, {})
    expected = known.get(endpoint)
    if expected is None:
        expected = known[endpoint] = _expected(decision, endpoint)
    return expected


_EXPECTED = "expected"
"""Where a decision keeps it."""


def _expected(decision: Decision, endpoint: int) -> Expected:
    snapshot, profile = decision.snapshot, decision.profile
    behaviour = snapshot.behaviour
    return Expected(
        thinking=float(thinking_tokens(snapshot, profile)[endpoint]),
        thinks=bool(snapshot.learned.thinking_tokens[:, endpoint].any()),
        tokens=profile.input_tokens + profile.answers * float(decision.evaluation.decoded_tokens[endpoint]),
        first_token_s=float(behaviour.first_token_median[endpoint]),
        tokens_per_s=float(behaviour.speed_median[endpoint]),
        silent_s=float(behaviour.first_token_p95[endpoint]) + profile.input_tokens / PREFILL_TOKENS_PER_S,
    )
