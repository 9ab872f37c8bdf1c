"""One decision: the ranking of a request with everything it rests on, and the words for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freerelay_core.catalogue import ABILITIES
from freerelay_core.decision.exploration import chance_of, unsettled
from freerelay_core.errors import NobodyAble, NoEndpointLeft
from freerelay_core.policy import (
    Directive,
    Requirement,
    limit_of,
)
from freerelay_core.preference import (
    FACTORS,
    EffectivePreference,
    exponent_array,
)
from freerelay_core.profile import RequestProfile, TaskFamily
from freerelay_core.scoring import (
    ABOUT_EQUAL,
    OF_LENGTH,
    OF_REQUEST,
    STANDING,
    Budget,
    Comparison,
    Evaluation,
    Excluded,
    Expected,
    Room,
    Sensitivity,
    compare,
    comparison_words,
    reference_cost_usd,
    sensitivity,
)
from freerelay_core.scoring.reference import ABILITY_OF_FAMILY
from freerelay_core.snapshot import KINDS, Snapshot

__all__ = ["Decision", "ExcludedEndpoint", "RankedEndpoint"]

Floats = npt.NDArray[np.float64]


class RankedEndpoint(NamedTuple):
    """One row of a ranking. Cost in USD a request, latencies in s, quality the expected share of good answers."""

    endpoint: str
    provider: str
    model: str
    score: float
    """100 for the winner, in proportion to the utility for the rest."""
    utility: float
    log_utility: float
    cost_usd: float
    latency_p50_s: float
    latency_p95_s: float
    quality: float
    graded: float
    """How many graded answers to requests of this family the quality rests on; older ones count less."""
    basis: str
    """The weakest of what its figures rest on: measured, published or prior."""
    simulated: bool
    """Served by the simulated provider."""
    about_equal: bool
    """Within 5 % of the winner's utility."""
    factors: Mapping[str, tuple[float, float, float]]
    """Value, exponent and contribution (exponent x ln value) of each factor."""

    def as_dict(self) -> dict[str, Any]:
        """The shape in which the API, the log and reports show it."""
        return {
            "endpoint": self.endpoint,
            "provider": self.provider,
            "model": self.model,
            "score": self.score,
            "utility": self.utility,
            "log_utility": self.log_utility,
            "cost_usd": self.cost_usd,
            "latency_s": {"p50": self.latency_p50_s, "p95": self.latency_p95_s},
            "quality": self.quality,
            "graded": self.graded,
            "basis": self.basis,
            "simulated": self.simulated,
            "about_equal": self.about_equal,
            "factors": {
                name: {"value": value, "exponent": exponent, "contribution": contribution}
                for name, (value, exponent, contribution) in self.factors.items()
            },
        }


@dataclass(frozen=True, slots=True)
class ExcludedEndpoint:
    """An endpoint that could not serve the request: the stable reason, and the words for a person."""

    endpoint: str
    reason: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        return {"endpoint": self.endpoint, "reason": self.reason, "detail": self.detail}


@dataclass(frozen=True, eq=False)
class Decision:
    """The ranking of one request, with everything it rests on. Ranked rows are built when they are asked for."""

    id: str
    snapshot: Snapshot
    preference: EffectivePreference
    profile: RequestProfile
    directive: Directive
    exponents: Mapping[str, float]
    evaluation: Evaluation
    """Of shape (K, E) and (E,)."""
    log_utilities: Floats
    """Shape (E,); meaningless where excluded."""
    order: tuple[int, ...]
    """Indices of the ranked endpoints, best first."""
    budget: Budget | None
    """What was left of the tenant's budget; None where it has none."""
    despite_breakers: bool
    """Everything that can serve the request is failing, so what is ranked are endpoints whose breakers are open."""
    explore: float
    """The probability with which an unsettled endpoint is tried first (`decision.exploration`), if there is one."""
    shared: dict[str, Any] = field(default_factory=dict, repr=False)
    """What others have worked out of the ranking, for all requests that share it (`again`)."""

    def again(self, decision_id: str, budget: Budget | None) -> Decision:
        """The same ranking for another request that is alike; what is drawn by its id and its budget are its own.

        The budget must leave the ranking as it is.
        """
        twin = object.__new__(Decision)
        own = twin.__dict__
        own.update(self.__dict__)
        own["id"], own["budget"] = decision_id, budget
        own.pop("sensitivity", None)  # it says how far the budget reaches
        own["plan"] = twin._planned()  # where `cached_property` would keep it, without its lock
        return twin

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Ids of the ranked endpoints, best first."""
        ids = self.snapshot.endpoint_ids
        return tuple([ids[e] for e in self.order])

    @cached_property
    def plan(self) -> tuple[int, ...]:
        """Indices of the ranked endpoints in the order of trying: best first, but for what is explored."""
        return self._planned()

    def _planned(self) -> tuple[int, ...]:
        if not self.explore or (chance := chance_of(self.id)) >= self.explore or not self._unsettled:
            return self.order
        first = self._unsettled[int(chance / self.explore * len(self._unsettled))]
        return (first, *(e for e in self.order if e != first))

    @property
    def explores(self) -> bool:
        """Whether another endpoint than the best is tried first, to learn of it."""
        return self.plan is not self.order

    @property
    def propensity(self) -> float:
        """The probability with which the endpoint that is tried first was to be tried first."""
        if self.explores:
            return self.explore / len(self._unsettled)
        return 1.0 - self.explore if self.explore and self._unsettled else 1.0

    @cached_property
    def _unsettled(self) -> tuple[int, ...]:
        return unsettled(self.order, self.log_utilities, self.snapshot)

    @cached_property
    def latencies_s(self) -> tuple[Floats, Floats]:
        """Median and 95 % quantile of the whole duration at every endpoint, s; arrays of shape (E,)."""
        return self.snapshot.behaviour.duration_quantiles(
            float(self.profile.input_tokens), self.evaluation.decoded_tokens
        )

    def row(self, position: int) -> RankedEndpoint:
        """The ranked endpoint at this position, 0 being the winner."""
        return self._rows([self.order[position]])[0]

    @property
    def ranking(self) -> list[RankedEndpoint]:
        """All ranked endpoints, best first."""
        return self._rows(self.order)

    def _rows(self, chosen: Sequence[int]) -> list[RankedEndpoint]:
        """Rows of some ranked endpoints. Column by column: numbers leave numpy many at a time, not one by one."""
        if not chosen:
            return []
        snapshot, evaluation, at = self.snapshot, self.evaluation, np.array(chosen, dtype=np.intp)
        logs, weights = evaluation.of_one.take(at, axis=1), exponent_array(self.exponents)
        named, best = weights.tolist(), float(self.log_utilities[self.order[0]])
        columns = (
            self.log_utilities[at],
            evaluation.cost_usd[at],
            *(times[at] for times in self.latencies_s),
            snapshot.learned.graded[_FAMILY[self.profile.family], at],
            self._weakest_kinds(at),
            snapshot.simulated[at],
            np.exp(logs).T,
            (weights[:, None] * logs).T,
        )
        rows = []
        for e, log_utility, cost, p50, p95, graded, kind, simulated, values, contributions in zip(
            chosen, *(column.tolist() for column in columns), strict=True
        ):
            ratio = math.exp(log_utility - best)
            factors = dict(zip(FACTORS, zip(values, named, contributions, strict=True), strict=True))
            rows.append(
                RankedEndpoint(
                    endpoint=snapshot.endpoint_ids[e],
                    provider=snapshot.providers[e],
                    model=snapshot.models[e],
                    score=100.0 * ratio,
                    utility=math.exp(log_utility),
                    log_utility=log_utility,
                    cost_usd=cost,
                    latency_p50_s=p50,
                    latency_p95_s=p95,
                    quality=factors["quality"][0],
                    graded=graded,
                    basis=KINDS[kind],
                    simulated=simulated,
                    about_equal=ratio >= 1.0 - ABOUT_EQUAL,
                    factors=factors,
                )
            )
        return rows

    @property
    def excluded(self) -> list[ExcludedEndpoint]:
        """Endpoints that could not serve the request, each with its reason, in order of id."""
        codes = self.evaluation.excluded
        return [
            ExcludedEndpoint(self.snapshot.endpoint_ids[e], Excluded(codes[e]).reason, self._detail(int(e)))
            for e in np.flatnonzero(codes)
        ]

    @cached_property
    def dropped(self) -> tuple[Requirement, ...]:
        """Requirements of rules that nothing left could meet, so that they did not count."""
        if not self.directive.requirements:
            return ()
        soft = [r for r in self.directive.requirements if r.may_be_dropped]
        return tuple(r for r in soft if not self.order or self._is_outside(r, self.order[0]))

    def _is_outside(self, requirement: Requirement, endpoint: int) -> bool:
        cost, decoded = self.evaluation.cost_usd, self.evaluation.decoded_tokens
        expected = Expected(cost, float(self.profile.input_tokens), decoded)
        return bool(limit_of(requirement, self.snapshot).outside(expected, self.snapshot)[endpoint])

    def compare(self, a: int, b: int) -> tuple[Comparison, str]:
        """Why the endpoint at position `a` stands above (or below) the one at `b`: by factor, and in words.

        The words follow "A over B".
        """
        first, second = self.order[a], self.order[b]
        log_quality, p50 = self.evaluation.log_quality, self.latencies_s[0]
        logs = self.evaluation.of_one
        comparison = compare(logs[:, first].tolist(), logs[:, second].tolist(), self.exponents)
        return comparison, comparison_words(
            comparison,
            cost_usd=(self._known_cost(first), self._known_cost(second)),
            latency_s=(float(p50[first]), float(p50[second])),
            quality=(math.exp(log_quality[first]), math.exp(log_quality[second])),
            whole=self._whole(first, second),
            rules=self.directive.rules,
        )

    def _whole(self, first: int, second: int) -> tuple[float, float]:
        log_whole = self.evaluation.log_whole
        return (1.0, 1.0) if log_whole is None else (math.exp(log_whole[first]), math.exp(log_whole[second]))

    def _known_cost(self, endpoint: int) -> float | None:
        """USD; None without a price, which is ranked where cost does not count."""
        return float(self.evaluation.cost_usd[endpoint]) if self.snapshot.prices.priced[endpoint] else None

    @cached_property
    def reason(self) -> str:
        """One line that a person understands: why the winner won."""
        winner = self.snapshot.endpoint_ids[self.order[0]]
        if len(self.order) == 1:
            named = Excluded.NOT_REQUESTED in self.evaluation.excluded
            why = "the endpoint that the request names" if named else "the only endpoint that can serve this request"
            words = f"{winner} is {why}"
        else:
            words = f"{winner} over {self.snapshot.endpoint_ids[self.order[1]]}{self.compare(0, 1)[1]}"
        return f"every able endpoint is failing; trying the likeliest: {words}" if self.despite_breakers else words

    @cached_property
    def sensitivity(self) -> Sensitivity | None:
        """What, changed alone, would put another endpoint first; None with fewer than two."""
        logs = self.evaluation.of_one.take(self.order, axis=1)
        usd = reference_cost_usd(self.snapshot, self.profile)
        whole = self.evaluation.log_whole
        return sensitivity(
            self.endpoints,
            logs,
            exponent_array(self.exponents),
            usd,
            self._room(),
            log_whole=0.0 if whole is None else whole.take(self.order),
        )

    def _room(self) -> Room:
        """How far the winner may worsen before a rule or the tenant's budget excludes it."""
        if not self.order:
            return Room()
        winner, stated = self.order[0], [r for r in self.directive.requirements if r not in self.dropped]
        usd = [r.max_cost_usd for r in stated if r.max_cost_usd is not None]
        if self.budget is not None and self.budget.counts[winner]:
            usd.append(float(self.budget.left_usd))
        seconds = min((r.max_latency_s for r in stated if r.max_latency_s is not None), default=math.inf)
        return Room(min(usd, default=math.inf), seconds / float(self.latencies_s[1][winner]))

    def require_endpoint(self) -> None:
        """Raise, with the reasons counted, when everything is excluded.

        `NobodyAble` where only another request helps, else `NoEndpointLeft`.
        """
        if self.order:
            return
        codes = {Excluded(code) for code in self.evaluation.excluded}
        of_request = codes & OF_REQUEST
        if not of_request or not codes <= STANDING:
            raise NoEndpointLeft(self._refusal(), retry_after_s=5.0)
        if of_request <= OF_LENGTH:
            raise NobodyAble(self._refusal(), code="context_length_exceeded", param="messages")
        raise NobodyAble(self._refusal())

    def _refusal(self) -> str:
        """Why nothing is ranked: of a named endpoint its reason, else all reasons counted."""
        meant = [excluded for excluded in self.excluded if excluded.reason != Excluded.NOT_REQUESTED.reason]
        if len(meant) == 1:
            return f"{meant[0].endpoint} cannot serve this request: {meant[0].detail}."
        counts: dict[str, int] = {}
        for excluded in meant:
            counts[excluded.detail] = counts.get(excluded.detail, 0) + 1
        reasons = "; ".join(f"{count} x {detail}" for detail, count in sorted(counts.items(), key=lambda i: -i[1]))
        return f"No endpoint can serve this request: {reasons}."

    def as_dict(self, now: datetime) -> dict[str, Any]:
        """The shape of `POST /v1/router/decide`."""
        return {
            "decision_id": self.id,
            "snapshot": {"id": self.snapshot.id, "age_s": self.snapshot.age_s(now)},
            "preference": self.preference.as_dict(),
            "profile": self.profile.as_dict(),
            "rules": list(self.directive.rules),
            "actions": self.directive.actions(self.dropped),
            "exponents": dict(self.exponents),
            "reason": self.reason if self.order else None,
            "sensitivity": self.sensitivity.as_dict() if self.sensitivity else None,
            "ranking": [row.as_dict() for row in self.ranking],
            "excluded": [row.as_dict() for row in self.excluded],
        }

    def _weakest_kinds(self, endpoints: npt.NDArray[np.intp]) -> npt.NDArray[np.int8]:
        """What the figures of these endpoints rest on at the weakest, indices into `KINDS`."""
        family, snapshot = self.profile.family, self.snapshot
        ability, row = ABILITIES.index(ABILITY_OF_FAMILY[family]), _FAMILY[family]
        thinks = snapshot.learned.thinking_tokens[row, endpoints] > 0
        weakest: npt.NDArray[np.int8] = np.maximum(
            np.maximum(snapshot.ability_kinds[ability, endpoints], snapshot.speed_kinds[endpoints]),
            snapshot.learned.thinking_kinds[row, endpoints] * thinks,
        )
        return weakest

    def _detail(self, endpoint: int) -> str:
        code = Excluded(self.evaluation.excluded[endpoint])
        if code is Excluded.EXCLUDED_BY_RULE:
            return f"excluded by rule {self.directive.excluded_by(self.snapshot.endpoint_ids[endpoint])}"
        if code in _OF_REQUIREMENTS:
            return next(
                r.words
                for r in self.directive.requirements
                if limit_of(r, self.snapshot).reason is code and r not in self.dropped and self._is_outside(r, endpoint)
            )
        return _DETAILS[code]


_FAMILY = {family: index for index, family in enumerate(TaskFamily)}
_OF_REQUIREMENTS = (Excluded.OUTSIDE_REQUIRED, Excluded.OVER_MAX_COST, Excluded.OVER_MAX_LATENCY)
_DETAILS = {
    Excluded.CONTEXT_TOO_SMALL: "the request is longer than its context",
    Excluded.OUTPUT_LIMIT_TOO_SMALL: "the answer is longer than it may write",
    Excluded.NO_LOGPROBS: "gives no log probabilities",
    Excluded.NO_CHOICES: "gives one answer to a request, and several are asked for (n)",
    Excluded.NO_LOGIT_BIAS: "refuses logit_bias",
    Excluded.NO_STREAMING: "cannot stream its answer",
    Excluded.NO_STRUCTURED_OUTPUT: "cannot keep a strict JSON schema",
    Excluded.NO_JSON_MODE: "cannot promise JSON, which a rule enforces",
    Excluded.NO_TOOLS: "cannot call tools",
    Excluded.NO_VISION: "cannot read pictures",
    Excluded.NOT_CONFIDENTIAL: "is not cleared for confidential content",
    Excluded.UNPRICED: "has no known price",
    Excluded.BUDGET_GONE: "would cost more than is left of the tenant's budget",
    Excluded.QUOTA_GONE: "its quota is used up",
    Excluded.OVER_TOKEN_LIMIT: "the request needs more tokens than its quota of a minute or day",
    Excluded.PROVIDER_BUDGET_GONE: "its provider's budget is used up",
    Excluded.COOLING_DOWN: "asked us to wait (rate limit)",
    Excluded.BREAKER_OPEN: "is failing (breaker open)",
    Excluded.SIMULATED: "is simulated, and real endpoints are configured",
    Excluded.WITHDRAWN: "is withdrawn in this scenario",
    Excluded.NOT_REQUESTED: "another endpoint was named",
}
