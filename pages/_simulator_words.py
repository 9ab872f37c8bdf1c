"""What a simulation means, in sentences: pure functions of core values, no widgets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from freerelay_core.decision import Decision, ExcludedEndpoint, RankedEndpoint
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import OutputContract, RequestProfile
from freerelay_core.scoring import Excluded
from freerelay_core.scoring.reference import HEADROOM_BITES_BELOW
from freerelay_core.snapshot import Snapshot
from pages import _format as fmt

__all__ = [
    "ABSOLUTE",
    "answer",
    "axes_sentence",
    "budget_sentence",
    "comparison_sentence",
    "comparison_title",
    "excluded_reasons",
    "excluded_title",
    "headline",
    "listed",
    "output_words",
    "preferences_sentence",
    "profile_words",
    "rule_sentence",
    "scatter_title",
    "snapshot_words",
]

NEGLIGIBLE = 0.001
"""Differences in ln U below this are not spoken of."""

ABSOLUTE = (
    "The order does not depend on which other endpoints are listed: every factor is measured against fixed reference "
    "prices, speeds and difficulties, so adding or removing an endpoint never reorders the others. Scores are shares "
    "of the winner's utility."
)


def headline(decision: Decision) -> str:
    """Who ranks first, in one line."""
    if not decision.order:
        return "No endpoint can serve this request"
    equals = [row.endpoint for row in _about_equal(decision)]
    if equals:
        return f"{decision.endpoints[0]} ranks first, about equal with {listed(equals, most=2)}"
    return f"{decision.endpoints[0]} ranks first"


def answer(decision: Decision) -> str:
    """The winner's figures, and why it stands above the runner-up."""
    if not decision.order:
        return excluded_reasons(decision.excluded)
    winner, answers = decision.row(0), decision.profile.answers
    several = f", {fmt.count(answers, 'answer')} each" if answers > 1 else ""
    figures = (
        f"Under {decision.preference.value} it costs {fmt.usd_per_1000(winner.cost_usd * 1000)} like this{several}, "
        f"takes {fmt.seconds(winner.latency_p50_s)} (95 of 100 within {fmt.seconds(winner.latency_p95_s)}), and "
        f"{fmt.quality(winner.quality)} answers are good."
    )
    if len(decision.order) == 1:
        return f"{figures} It is the only endpoint that can serve this request."
    return f"{figures} {comparison_sentence(decision, 0, 1, subject='It')}"


def rule_sentence(decision: Decision) -> str | None:
    """That an operator's rule decides the preference, where one does."""
    if decision.preference.level != "rule":
        return None
    return (
        f"The operator's rule {decision.preference.rule} sets {decision.preference.value} for this request, whatever "
        "is chosen here."
    )


def budget_sentence(decision: Decision, budget_usd: float | None) -> str | None:
    """What is left of the tenant's budget (`budget_usd` in all) and what that does to the ranking; None without one."""
    if decision.budget is None or budget_usd is None:
        return None
    beyond = int((decision.evaluation.excluded == Excluded.BUDGET_GONE).sum())
    if beyond:
        effect = (
            f"{fmt.count(beyond, 'endpoint')} would cost more than that and {'is' if beyond == 1 else 'are'} excluded"
        )
    elif float(decision.budget.share) < HEADROOM_BITES_BELOW:
        effect = f"less than {fmt.percent(HEADROOM_BITES_BELOW)}, so endpoints that cost something rank lower"
    else:
        effect = "it excludes no endpoint"
    return (
        f"{fmt.usd(float(decision.budget.left_usd))} of {fmt.usd(budget_usd)} are left of this month's budget, "
        f"which counts here as for a live request: {effect}."
    )


def scatter_title(decision: Decision) -> str:
    """What the winner's place among costs and times means."""
    rows = decision.ranking
    winner = rows[0]
    both = [row for row in rows[1:] if row.cost_usd < winner.cost_usd and row.latency_p50_s < winner.latency_p50_s]
    if not both:
        return f"Nothing is both cheaper and faster than {winner.endpoint}"
    best = both[0]
    if best.quality < winner.quality - 0.005:
        return (
            f"{_endpoints(len(both))} cheaper and faster than {winner.endpoint}, but its quality is higher: "
            f"{fmt.quality(winner.quality)} good answers against {fmt.quality(best.quality)} at {best.endpoint}"
        )
    return f"{_endpoints(len(both))} cheaper and faster than {winner.endpoint}, which wins on other factors"


def comparison_title(a: RankedEndpoint, b: RankedEndpoint, by_factor: Mapping[str, float]) -> str:
    """Which factor speaks most for the better of two, and which against it."""
    ahead, behind, pros, cons = _weighed(a, b, by_factor)
    if not pros:
        return f"{a.endpoint} and {b.endpoint} are equal in every factor"
    but = f", though {cons[0]} speaks against it" if cons else ""
    return f"{pros[0].capitalize()} puts {ahead.endpoint} above {behind.endpoint}{but}"


def comparison_sentence(decision: Decision, a: int, b: int, *, subject: str = "") -> str:
    """Why the better of the endpoints at two positions ranks above the other, in the words that the API gives.

    `subject` stands for the better one's name where it has just been named.
    """
    better, other = min(a, b), max(a, b)
    words = decision.compare(better, other)[1]
    return f"{subject or decision.endpoints[better]} ranks above {decision.endpoints[other]}{words}."


def _weighed(
    a: RankedEndpoint, b: RankedEndpoint, by_factor: Mapping[str, float]
) -> tuple[RankedEndpoint, RankedEndpoint, list[str], list[str]]:
    """The better and the other of two, and the factors for and against the better one, strongest first."""
    sign = 1 if sum(by_factor.values()) >= 0 else -1
    ranked = sorted(by_factor, key=lambda name: -sign * by_factor[name])
    pros = [name for name in ranked if sign * by_factor[name] > NEGLIGIBLE]
    cons = [name for name in reversed(ranked) if sign * by_factor[name] < -NEGLIGIBLE]
    return (a, b, pros, cons) if sign > 0 else (b, a, pros, cons)


def preferences_sentence(decisions: Mapping[RoutingPreference, Decision]) -> str:
    """What choosing another preference would change for this request."""
    winners = {preference: decision.row(0) for preference, decision in decisions.items() if decision.order}
    if not winners:
        return "No preference helps: no endpoint can serve this request."
    if len({row.endpoint for row in winners.values()}) == 1:
        return f"All three preferences choose {next(iter(winners.values())).endpoint} for this request."
    cheapest, best = RoutingPreference.COST_OPTIMIZED, RoutingPreference.PERFORMANCE_FIRST
    low, high = winners[cheapest], winners[best]
    chosen: dict[str, list[str]] = {}
    for preference, row in winners.items():
        chosen.setdefault(row.endpoint, []).append(preference.value)
    who = "; ".join(
        f"{listed(names, most=3)} {'chooses' if len(names) == 1 else 'choose'} {endpoint}"
        for endpoint, names in chosen.items()
    )
    parts = [
        _instead(fmt.usd(high.cost_usd * 1000), " per 1,000 requests", fmt.usd(low.cost_usd * 1000), "the same cost"),
        _instead(fmt.seconds(high.latency_p50_s), "", fmt.seconds(low.latency_p50_s), "the same time"),
        _instead(fmt.quality(high.quality), " good answers", fmt.quality(low.quality), "as many good answers"),
    ]
    if low.endpoint == high.endpoint:
        return f"{who[0].upper()}{who[1:]}."
    return f"{who[0].upper()}{who[1:]}. From {cheapest} to {best}: {', '.join(parts)}."


def _instead(new: str, unit: str, old: str, same: str) -> str:
    """A figure against another as both are shown."""
    return same if new == old else f"{new}{unit} instead of {old}"


def excluded_title(excluded: Sequence[ExcludedEndpoint], total: int) -> str:
    """How many endpoints are excluded."""
    if not excluded:
        return f"No endpoint is excluded: all {fmt.count(total)} can serve this request"
    verb = "is" if len(excluded) == 1 else "are"
    return f"{fmt.count(len(excluded))} of {fmt.count(total)} endpoints {verb} excluded"


def excluded_reasons(excluded: Sequence[ExcludedEndpoint]) -> str:
    """The reasons for exclusion, counted, the commonest first."""
    counts = Counter(row.detail for row in excluded).most_common()
    return f"{'; '.join(f'{fmt.count(number)} × {detail}' for detail, number in counts)}."


def profile_words(profile: RequestProfile) -> str:
    """The request, in one line."""
    form = "" if profile.contract is OutputContract.TEXT else f", {profile.contract.label} answer"
    needs = f", needs {listed(sorted(profile.needs), most=4)}" if profile.needs else ""
    return (
        f"{profile.family.value.capitalize()}, {profile.depth.label}, {fmt.count(profile.input_tokens, 'token')} in, "
        f"{output_words(profile)}, {profile.latency_class.label}{form}{needs}"
    )


def output_words(profile: RequestProfile) -> str:
    """How much is written: of one answer, how many there are where there are several, and the limit of each."""
    several = f" in each of {fmt.count(profile.answers, 'answer')}" if profile.answers > 1 else ""
    limit = "" if profile.answer_limit is None else f", limited to {fmt.count(profile.answer_limit)}"
    return f"{fmt.count(profile.output_tokens, 'token')} out{several}{limit}"


def axes_sentence(profile: RequestProfile) -> str:
    """The axes that only rules read, in one line."""
    said = (
        _PRECISION[profile.precision],
        _TOPOLOGY[profile.topology],
        _TOOLS[profile.tool_dependence],
        _DETERMINISM[profile.determinism],
        _ECONOMICS[profile.economics],
    )
    return f"{', '.join(filter(None, said)).capitalize()}."


_PRECISION = ("many answers will do", "", "one right answer")
_TOPOLOGY = ("one message", "a conversation", "a long document", "passages to answer from", "results of tools")
_TOOLS = ("", "tools offered", "a call of a tool required", "tools in use")
_DETERMINISM = ("variety wanted", "", "the same answer wanted each time")
_ECONOMICS = ("may wait to be cheap", "", "may cost more to be first")
"""What the levels of an axis mean; empty for the ordinary one."""


def snapshot_words(snapshot: Snapshot, now: datetime) -> str:
    """Which snapshot, and how old."""
    return f"Snapshot {snapshot.id}, {fmt.seconds(snapshot.age_s(now))} old"


def listed(names: Sequence[str], *, most: int) -> str:
    """Names in a row, the rest counted: "a, b and 3 more"."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {fmt.count(len(names) - most)} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))


def _about_equal(decision: Decision) -> list[RankedEndpoint]:
    """Those behind the winner that are about equal to it."""
    found = []
    for position in range(1, len(decision.order)):
        row = decision.row(position)
        if not row.about_equal:
            break
        found.append(row)
    return found


def _endpoints(number: int) -> str:
    return "1 endpoint is" if number == 1 else f"{fmt.count(number)} endpoints are"
