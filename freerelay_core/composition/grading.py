"""Grades that tenants give to answers: kept once a decision, and what routing learns from them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from freerelay_core.errors import StoreUnavailable, UnprocessableRequest
from freerelay_core.fleet import Fleet
from freerelay_core.profile import RequestProfile
from freerelay_core.scoring import catalogue_quality
from freerelay_core.store import Answered, DecisionLog, DecisionRecord, IdempotencyKey, Store, Tenant

__all__ = ["GradedDecision", "Grading"]

_MOST_REMEMBERED = 1_000
"""Decisions, 150 kB: whoever heard nothing of a grade sends it again within seconds."""


@dataclass(frozen=True, slots=True)
class GradedDecision:
    """A grade that is kept. `learned` is false where the endpoint is gone, or now is of another nature, or where a
    limit cut the answer off, so that it says nothing of the endpoint's ability.
    """

    decision_id: str
    endpoint: str
    family: str
    score: float
    learned: bool


class Grading:
    """Keeps grades (0 to 1), and lets the fleet learn the endpoint's quality from them. `index`: endpoints by id.

    Both methods raise `NotFound`, `Conflict` for a second grade, `UnprocessableRequest` where nothing was answered, and
    `StoreUnavailable`.
    """

    def __init__(self, store: Store, decision_log: DecisionLog, fleet: Fleet, index: Mapping[str, int]) -> None:
        self._store = store
        self._decision_log = decision_log
        self._fleet = fleet
        self._index = index
        self._learned: OrderedDict[str, bool] = OrderedDict()  # of decisions graded with a key: the last ones

    async def grade(self, tenant: Tenant, decision_id: str, score: float) -> GradedDecision:
        """Keep the tenant's grade of the answer to this decision."""
        record = await self._decision_log.find(tenant.id, decision_id)
        graded = self._graded(record, score)
        await self._store.add_feedback(tenant.id, record.id, score)
        self._learn(record, graded)
        return graded

    async def grade_once(
        self, tenant: Tenant, decision_id: str, score: float, *, key: str, answer: Callable[[GradedDecision], str]
    ) -> Answered:
        """`grade`, once for all requests on this decision that the tenant sends with this key: all are answered alike.

        Where the store was not heard it may have written the grade all the same: that is learned when it comes again.

        Raises, besides, `UnprocessableRequest` where the key came with another score, and `Conflict` while a request
        with it is being answered.
        """
        record = await self._decision_log.find(tenant.id, decision_id)
        graded = self._graded(record, score)
        try:
            answered = await self._store.add_feedback_once(
                tenant.id,
                record.id,
                score,
                key=IdempotencyKey.of(key, tenant_id=tenant.id, use=["feedback", record.id], request=[score]),
                answer=answer(graded),
            )
        except StoreUnavailable:
            self._remember(record.id, learned=self._learned.get(record.id, False))
            raise
        if not (answered.replayed and self._learned.get(record.id, True)):
            self._learn(record, graded)
        self._remember(record.id, learned=True)
        return answered

    def _remember(self, decision_id: str, *, learned: bool) -> None:
        self._learned[decision_id] = learned
        self._learned.move_to_end(decision_id)
        if len(self._learned) > _MOST_REMEMBERED:
            self._learned.popitem(last=False)

    def _graded(self, record: DecisionRecord, score: float) -> GradedDecision:
        came, family = record.outcome, record.profile["family"]
        if record.demo or came.endpoint is None or came.status != 200:
            why = "it was generated for a first look" if record.demo else "nothing was answered"
            raise UnprocessableRequest(f"This decision cannot be graded: {why}.", param="decision_id")
        index = self._index.get(came.endpoint)
        simulated = index is not None and bool(self._fleet.snapshot().simulated[index])
        learned = index is not None and simulated == (came.basis == "simulated") and not _cut_off(record)
        return GradedDecision(record.id, came.endpoint, family, score, learned=learned)

    def _learn(self, record: DecisionRecord, graded: GradedDecision) -> None:
        if graded.learned:
            index, profile = self._index[graded.endpoint], RequestProfile.from_dict(record.profile)
            expected = catalogue_quality(self._fleet.snapshot(), index, profile)
            self._fleet.learn("quality", graded.family, index, graded.score, expected=expected)


def _cut_off(record: DecisionRecord) -> bool:
    """Whether a limit ended the answer: the provider said so, or it has all the tokens that the request allowed."""
    limit = record.profile.get("answer_limit")  # missing in what an earlier release recorded
    written = record.outcome.output_tokens
    used_up = limit is not None and written is not None and written >= limit
    return used_up or any(attempt.get("cut_off") for attempt in record.outcome.attempts)
