"""What became of the requests that this process has carried out: counted where an execution ends, read at a scrape.

Plain numbers under plain keys, for one event loop: counting costs a request a few microseconds. Every key comes from
the catalogue or from our own code, never from a client, so that their number is bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict

from freerelay_core.router import CLIENT_LEFT, Execution
from freerelay_core.router.execution import Attempt

__all__ = ["DURATIONS_S", "FIRST_TOKENS_S", "OVERHEADS_S", "Histogram", "Tally"]

FIRST_TOKENS_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
"""Upper bounds, s. Published first tokens of models lie between 0.1 s and, where they think, a minute."""
DURATIONS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
"""Upper bounds, s; the last is above the longest that a request may take."""
OVERHEADS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Upper bounds, s. What we add should be under a millisecond."""

NO_ENDPOINT = "none"


class Histogram:
    """How often a value fell into each bucket: `counts[i]` of those up to `bounds[i]`, the last of those above all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Tally:
    """Counts since the start of this process."""

    def __init__(self) -> None:
        self.open = 0
        """Decided requests that have not ended."""
        self.decisions: defaultdict[tuple[str, ...], int] = defaultdict(int)
        """By preference and the level that decided it."""
        self.outcomes: defaultdict[tuple[str, ...], int] = defaultdict(int)
        """By the endpoint that answered (`none` where nobody did), class of status and basis."""
        self.attempts: defaultdict[tuple[str, ...], int] = defaultdict(int)
        """By endpoint and result."""
        self.explored = 0
        """Decisions that tried another endpoint than the best first, to learn of it."""
        self.failovers = 0
        """Attempts made because the one before failed."""
        self.hedges: defaultdict[str, int] = defaultdict(int)
        """Second attempts beside a slow first one, by result: `won` or `lost`."""
        self.rejected: defaultdict[str, int] = defaultdict(int)
        """Requests refused before a decision, by the code of the error."""
        self.first_token_s: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(FIRST_TOKENS_S))
        self.upstream_s: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(DURATIONS_S))
        """How long answering attempts took, by endpoint."""
        self.request_s: defaultdict[tuple[str, ...], Histogram] = defaultdict(lambda: Histogram(DURATIONS_S))
        """How long clients waited for the end, by kind of answer (`stream`, `json`) and basis."""
        self.overhead_s: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(OVERHEADS_S))
        """What we added, by phase: `before` the first attempt, `after` the end of the one that answered."""

    def begin(self) -> None:
        """A decided request begins."""
        self.open += 1

    def end(self, execution: Execution, *, arrived: float, ended: float) -> None:
        """A request that began has ended, however. `arrived` and `ended` are monotonic seconds."""
        self.open -= 1
        decision, attempt, simulated = execution.decision, execution.attempt, execution.simulated
        basis = "simulated" if simulated else "measured"
        self.decisions[decision.preference.value, decision.preference.level] += 1
        self.outcomes[execution.endpoint or NO_ENDPOINT, _status_class(execution.status), basis] += 1
        self.request_s["stream" if execution.streaming else "json", basis].observe(ended - arrived)
        if attempt is None:
            return
        self.explored += execution.explored
        for number, each in enumerate(execution.attempts):
            self.attempts[each.endpoint, _result(execution, each)] += 1
            if each.hedge_after_s is not None:
                self.hedges["lost" if each is not execution.answering else "won"] += 1
            elif number:
                self.failovers += 1
        self.overhead_s["before"].observe(execution.attempts[0].started - arrived)
        if execution.answering is None or execution.error is not None:
            return
        self.upstream_s[attempt.endpoint].observe(attempt.duration_s)
        if attempt.first_token_s is not None:
            self.first_token_s[attempt.endpoint].observe(attempt.first_token_s)
        if not simulated:  # whose time is not the clock's
            self.overhead_s["after"].observe(max(0.0, ended - attempt.started - attempt.duration_s))

    def reject(self, code: str) -> None:
        """A request was refused before a decision."""
        self.rejected[code] += 1


def _status_class(status: int) -> str:
    if status == CLIENT_LEFT:
        return "client_left"
    return f"{status // 100}xx" if status else "5xx"  # 0: a fault of ours that no answer could be made of


def _result(execution: Execution, attempt: Attempt) -> str:
    """What came of an attempt, in one word."""
    if attempt.lost:
        return "lost"
    if attempt.error is None:
        return "ok"
    if execution.status == CLIENT_LEFT and attempt is execution.attempt:
        return "client_left"
    if attempt is execution.answering:
        return "refused" if attempt.status != 200 else "interrupted"
    return "rate_limited" if attempt.rate_limited else "timeout" if attempt.timed_out else "failed"
