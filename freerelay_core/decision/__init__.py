"""Where policy, factors and scoring meet: the one place that ranks, a live request or a million simulated ones.

    decide(...)                       one request -> Decision (ranking with contributions, exclusions with reasons)
    Alike().decide(...)               the same for live requests, which share a ranking where they are alike
    evaluate_batch(...), choose(...)   R requests -> Choice   (the winner of each, its cost, time and quality)

Both evaluate factors with `scoring.evaluate` and rank with `scoring.log_utility`; request i of a batch gets the
bits that it gets alone.
"""

from freerelay_core.decision.alike import Alike
from freerelay_core.decision.batch import Choice, choose, directives_of, evaluate_batch, utility_of
from freerelay_core.decision.decision import Decision, ExcludedEndpoint, RankedEndpoint
from freerelay_core.decision.named import AUTO, mask_of_named, named_endpoint
from freerelay_core.decision.request import decide, replay

__all__ = [
    "AUTO",
    "Alike",
    "Choice",
    "Decision",
    "ExcludedEndpoint",
    "RankedEndpoint",
    "choose",
    "decide",
    "directives_of",
    "evaluate_batch",
    "mask_of_named",
    "named_endpoint",
    "replay",
    "utility_of",
]
