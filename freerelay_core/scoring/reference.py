"""Every constant of the scoring, with its reason. Reference points are absolute: no factor depends on other endpoints.

What is assumed of an endpoint until outcomes say better stands on lower floors: failures and the reading of input in
`behaviour`, how much each assumption weighs against outcomes in `fleet.lessons`.

Elo figures are on the scale of the catalogue's abilities; difficulty anchors are the ability at which public tests are
passed half of the time.
"""

from __future__ import annotations

import numpy as np

from freerelay_core.profile import TaskFamily

ELO_PER_LOGIT = 100.0
"""Public pass rates rise by one logit for 42 to 177 Elo, median about 91 over ten tests. (173.7, the slope of Elo
itself, is the rate at which one model beats another, not the rate at which it solves a task.)"""

DIFFICULTY = np.array([1000.0, 1150.0, 1250.0, 1400.0, 1500.0])
"""Elo by depth. Easy: GSM8K, MMLU (about 1000-1100). Standard: MMLU-Pro 1210, MATH-500 1251, GPQA 1295. Hard: IFBench
1330-1371, LiveCodeBench 1342-1380, SciCode 1452-1503. Expert: Terminal-Bench hard 1463-1526, HLE 1541-1570. Trivial
lies below every test and is extrapolated."""

REFERENCE_THINKING = np.array([0.0, 0.0, 200.0, 2000.0, 8000.0])
"""Thinking tokens of the reference by depth; assumed. Thinking stands on both sides, so that hard questions are not
lost to whoever thinks least."""

THINKING_MULTIPLIER = np.array([0.1, 0.3, 0.6, 1.5, 3.0])
"""Thinking tokens at a depth over those on a standard prompt; assumed until reasoning tokens are observed."""

REFERENCE_FIRST_TOKEN_S = 0.5
REFERENCE_SPEED = 100.0
"""The reference answers after 0.5 s and decodes 100 tokens/s: an ordinary hosted model of 2026."""

LATENCY_TOLERANCE = np.array([2.0 / 3.0, 2.0, 8.0, np.inf])
"""How many times the reference's time halves the factor, by latency class: realtime, interactive, standard, batch.
The less patient, the more often `balanced` chooses as `performance-first` does (`benchmarks/quality.py` prints the
shares). Assumed: three times less patient while somebody types, four times more where an answer is only read later. In
a batch nobody waits: factor 1."""

ORDINARY_USD = (1.75, 0.175, 8.75)
"""USD per million tokens (input, cached, output): seven eighths of what four vendors list for their mid-frontier model
(2 and 10, November 2026). The dearer the reference, the more often `balanced` chooses as `performance-first` does, the
cheaper, as `cost-optimized` does; this stands between (`benchmarks/quality.py` prints the shares)."""

EXPERT_USD = (5.0, 0.5, 25.0)
"""The list price of a frontier model: more is at stake in an expert's question."""

REFERENCE_USD = np.array([ORDINARY_USD] * 4 + [EXPERT_USD]) / 1e6
"""Reference prices by depth, USD a token; shape (depths, 3)."""

SCHEMA = np.array(
    [
        # neither, JSON mode, structured output
        [1.0, 1.0, 1.0],  # text
        [0.5, 0.85, 1.0],  # JSON
        [0.5, 0.85, 1.0],  # schema
        [0.5, 0.85, 1.0],  # strict schema: the first two are excluded
    ]
)
"""Share of answers that keep the output contract, by contract and support; assumed until answers were checked."""

CACHED_FROM_TOKENS = 1_024
"""Shorter prompts are cached by no large vendor (OpenAI, Anthropic and Google name this least length), so what the long
prompts of a tenant find in the cache says nothing of its short ones."""

SCHEMA_PRIOR_WEIGHT = 20.0
"""The assumed share counts as this many checked answers."""

HEADROOM_BITES_BELOW = 0.2
"""Quota matters only when less than a fifth of it is left: a burst of a minute still fits then. Assumed."""

LOCKED_DOWN_PENALTY = 0.5
"""Safety factor of an endpoint that is not cleared for confidential use, under a locked-down posture: as much as an
answer half as likely to be good. Assumed; what must not happen at all is for a rule to exclude."""

ABOUT_EQUAL = 0.05
"""Endpoints whose utility is within 5 % of the winner's are about equal: the inputs are not surer than that."""

TIE_GRID = 1e-9
"""Log utilities are compared on this grid, so that other processors (last bits differ) give the same order."""

POLICY_WEIGHT = 2.0
"""What a rule's `prefer` is worth where the rule states no weight: as much as halving the utility of the rest."""

ABILITY_OF_FAMILY = {
    TaskFamily.CHAT: "chat",
    TaskFamily.CLASSIFY: "instruction",
    TaskFamily.EXTRACT: "instruction",
    TaskFamily.TRANSLATE: "multilingual",
    TaskFamily.SUMMARIZE: "long",
    TaskFamily.RAG: "long",
    TaskFamily.CODE: "code",
    TaskFamily.MATH: "math",
    TaskFamily.AGENT: "agent",
    TaskFamily.PLAN: "agent",
    TaskFamily.JUDGE: "general",
    TaskFamily.LEGAL: "long",
    TaskFamily.CREATIVE: "creative",
    TaskFamily.VISION: "general",
}
"""Which rated ability a task family reads: the one whose tests ask for the same. Classifying and extracting follow an
instruction; summaries, answers from documents and contracts hang on a long input; a plan is carried out by agents."""
