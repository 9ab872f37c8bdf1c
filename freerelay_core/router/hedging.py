"""Hedging: a second endpoint is asked when the first is slower than it should be, and the quicker of the two answers.

As in "The Tail at Scale" (Dean and Barroso, CACM 56(2), 2013): waiting for the slow end of what is expected keeps the
extra requests few. Until the first content has arrived nothing is sent to the client, so either may answer.

    first ----------------------- p95 ---------- ... cancelled, on record with what it has cost
                                   `-- second ------ first content (stream) or whole answer (JSON): it answers
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import numpy as np

from freerelay_core.behaviour import PREFILL_TOKENS_PER_S
from freerelay_core.decision import Decision
from freerelay_core.providers import Usage
from freerelay_core.router.execution import Answer, Attempt, AttemptFailed
from freerelay_core.scoring import thinking_tokens

__all__ = ["HedgeBudget", "Try", "hedged", "lost_usage", "patience_s"]

REQUESTS_A_HEDGE = 20
"""At most one request in so many (5 %) is hedged: more would be load without gain (Dean and Barroso)."""
LONGEST_BURST = 10
"""Hedges that a quiet time may save up; assumed."""

Try: TypeAlias = Callable[[Attempt], Coroutine[Any, Any, Answer]]


class HedgeBudget:
    """A token bucket: every request earns a twentieth of a hedge, every hedge spends a whole one. It starts empty."""

    def __init__(self) -> None:
        self._earned = 0

    def earn(self) -> None:
        """Count one request."""
        self._earned = min(self._earned + 1, LONGEST_BURST * REQUESTS_A_HEDGE)

    @property
    def allows(self) -> bool:
        """Whether one more hedge may be."""
        return self._earned >= REQUESTS_A_HEDGE

    def spend(self) -> None:
        """Count one hedge."""
        self._earned -= REQUESTS_A_HEDGE


def patience_s(decision: Decision, index: int, *, streaming: bool) -> float:
    """How long an endpoint may take before a second is asked, s: the slow (95 %) end of what is expected of it.

    To the first content of a stream; to the end of an answer in one piece, of which nothing is seen before.
    """
    if not streaming:
        return float(decision.latencies_s[1][index])
    thinking = np.minimum(thinking_tokens(decision.snapshot, decision.profile), decision.evaluation.decoded_tokens)
    _, p95 = decision.snapshot.behaviour.duration_quantiles(float(decision.profile.input_tokens), thinking)
    return float(p95[index])


async def hedged(
    first: Attempt, second: Callable[[], Attempt | None], try_: Try, *, after_s: float
) -> tuple[Attempt, Answer]:
    """The answer of `first`, or of `second()`, which is asked after `after_s` seconds without one.

    A refusal wins only where there is nothing else. Raises `AttemptFailed` when both fail. Whoever has not ended by
    then is cancelled.
    """
    running = {asyncio.create_task(try_(first)): first}
    winner: asyncio.Task[Answer] | None = None
    try:
        done, _ = await asyncio.wait(running, timeout=after_s)
        if not done and (other := second()) is not None:
            running[asyncio.create_task(try_(other))] = other
        winner = await _winner(list(running))
    finally:
        await _end_others(running, winner)
    return running[winner], winner.result()


async def _winner(tasks: list[asyncio.Task[Answer]]) -> asyncio.Task[Answer]:
    """The first that answers, else the first that is refused. Raises the last failure."""
    waiting = set(tasks)
    refused: asyncio.Task[Answer] | None = None
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in (task for task in tasks if task in done):
            error = task.exception()
            if error is None and not task.result().refused:
                return task
            if error is None:
                refused = refused or task
            elif not isinstance(error, AttemptFailed):
                raise error
    if refused is None:
        raise tasks[-1].exception() or RuntimeError("an attempt neither answered nor failed")
    return refused


async def _end_others(running: dict[asyncio.Task[Answer], Attempt], winner: asyncio.Task[Answer] | None) -> None:
    """Cancel whoever still works, and let go of an answer that came too late."""
    others = {task: attempt for task, attempt in running.items() if task is not winner}
    for task in others:
        task.cancel()
    results = await asyncio.gather(*others, return_exceptions=True)
    for attempt, result in zip(others.values(), results, strict=True):
        if isinstance(result, AttemptFailed) or (isinstance(result, Answer) and result.refused):
            continue
        attempt.lost = True
        if winner is not None:
            attempt.error = f"cancelled: {running[winner].endpoint} was quicker"
        if isinstance(result, Answer):
            attempt.usage = result.usage
            if result.stream is not None:
                await result.stream.answer.close()


def lost_usage(decision: Decision, attempt: Attempt) -> tuple[Usage, bool]:
    """What a lost attempt has used, and whether that is an estimate: its prompt, and what it should have decoded."""
    if attempt.usage is not None:
        return attempt.usage, False
    behaviour, profile, e = decision.snapshot.behaviour, decision.profile, attempt.index
    before = float(behaviour.first_token_median[e]) + profile.input_tokens / PREFILL_TOKENS_PER_S
    decoded = max(0.0, attempt.duration_s - before) * float(behaviour.speed_median[e])
    most = float(decision.evaluation.decoded_tokens[e])
    return Usage(profile.input_tokens, round(profile.answers * min(decoded, most)), profile.cached_tokens), True
