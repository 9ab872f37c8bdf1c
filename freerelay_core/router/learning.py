"""What one answered request teaches the fleet: tokens, thinking, cached input, and whether the form was kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freerelay_core.behaviour import PREFILL_TOKENS_PER_S
from freerelay_core.decision import Decision
from freerelay_core.fleet import Fleet
from freerelay_core.profile import OutputContract
from freerelay_core.providers import Usage, keeps_contract, read_answer
from freerelay_core.router.directed import directed_body
from freerelay_core.router.execution import Attempt, Execution
from freerelay_core.router.expected import expected_at
from freerelay_core.scoring import catalogue_quality
from freerelay_core.scoring.reference import CACHED_FROM_TOKENS, THINKING_MULTIPLIER

__all__ = ["learn"]

_LEAST_TOKENS = 20
"""Shorter prompts say nothing of a tokenizer: the frame around the messages weighs more than the words."""
_LEAST_DECODE_S = 0.05
"""An answer that came in one burst was held back somewhere: its speed is not the endpoint's."""
_LEAST_FIRST_TOKEN_S = 1e-4
_ROOM = 4.0
"""Times the expected answer and thinking from which on a limit cuts off next to none; assumed."""
_LARGEST_RATIO = 8.0
"""One answer counts as at most this many times as long as expected, or as short: no single one may bend a mean far."""


def learn(fleet: Fleet, execution: Execution, body: Mapping[str, Any], *, tenant_id: str) -> None:
    """Take in an ended execution; sets its `schema_pass`. What was cut short or estimated teaches nothing."""
    answering = execution.answering
    if answering is None or answering.error is not None or execution.status != 200 or execution.error is not None:
        return
    decision, endpoint = execution.decision, answering.index
    cut_off = answering.cut_off or _used_up(decision, execution.usage)
    contract, single = decision.profile.contract, body.get("n") in (None, 1)
    if contract is not OutputContract.TEXT and single:
        execution.schema_pass = keeps_contract(directed_body(body, decision).get("response_format"), _text(execution))
        if execution.schema_pass is not None and not cut_off:
            _learn_form(fleet, decision, endpoint, kept=execution.schema_pass)
    if execution.usage is not None:
        _learn_input(fleet, decision, endpoint, execution.usage, tenant_id)
    if execution.usage is not None and single:  # several answers are counted together and written side by side
        if _has_room(decision, endpoint):
            _learn_output(fleet, decision, endpoint, execution.usage, cut_off=cut_off)
        if answering.first_token_s is not None:
            _learn_times(fleet, decision, answering, answering.first_token_s, execution.usage)
        else:
            _learn_duration(fleet, decision, answering, execution.usage)


def _learn_form(fleet: Fleet, decision: Decision, endpoint: int, *, kept: bool) -> None:
    """Take in whether the contract was kept.

    A broken answer is no good one: a family in which more are broken than elsewhere at the endpoint loses quality.
    """
    profile = decision.profile
    fleet.learn_by_family(
        "schema",
        profile.contract.label,
        profile.family,
        endpoint,
        float(kept),
        part=catalogue_quality(decision.snapshot, endpoint, profile),
    )


def _text(execution: Execution) -> str:
    if execution.stream is not None:
        return execution.stream.reader.text
    return execution.text or read_answer(execution.body).text


def _learn_input(fleet: Fleet, decision: Decision, endpoint: int, usage: Usage, tenant_id: str) -> None:
    profile, family = decision.profile, decision.profile.family.value
    if profile.input_tokens >= _LEAST_TOKENS and usage.input_tokens:
        ratio = _bounded(usage.input_tokens / profile.input_tokens)
        fleet.learn("input_ratio", family, endpoint, ratio)
        fleet.learn_for_all("input_ratio", family, ratio)
    if usage.input_tokens >= CACHED_FROM_TOKENS:
        fleet.learn("cached_share", tenant_id, endpoint, usage.cached_tokens / usage.input_tokens)


def _learn_output(fleet: Fleet, decision: Decision, endpoint: int, usage: Usage, *, cut_off: bool) -> None:
    """Take in how long it thought and wrote.

    What was cut off would have been longer, so it teaches only thinking that is longer than expected already: an
    endpoint that thinks away all it can write would never be found out else.
    """
    profile, family = decision.profile, decision.profile.family.value
    expected = expected_at(decision, endpoint)
    if usage.reasoning_tokens is None and expected.thinks:
        return  # the answer and its thinking cannot be told apart
    thinking = usage.reasoning_tokens or 0
    if thinking > expected.thinking or (expected.thinks and not cut_off):
        fleet.learn("thinking_tokens", family, endpoint, thinking / float(THINKING_MULTIPLIER[profile.depth]))
    answer = usage.output_tokens - thinking
    if answer > 0 and not cut_off and profile.output_tokens:
        ratio = _bounded(answer / profile.output_tokens)
        fleet.learn("output_ratio", family, endpoint, ratio)
        fleet.learn_for_all("output_ratio", family, ratio)


def _learn_times(fleet: Fleet, decision: Decision, attempt: Attempt, first_token_s: float, usage: Usage) -> None:
    """Take in first token and decode speed, as the behaviour model has them: prefill and thinking are told apart."""
    if _hides_thinking(decision, attempt, usage):
        return
    thinking = usage.reasoning_tokens or 0
    answer, decode_s = usage.output_tokens - thinking, attempt.duration_s - first_token_s
    speed = answer / decode_s if answer >= _LEAST_TOKENS and decode_s >= _LEAST_DECODE_S else None
    usual = speed or expected_at(decision, attempt.index).tokens_per_s
    first = first_token_s - usage.input_tokens / PREFILL_TOKENS_PER_S - thinking / usual
    fleet.record_times(
        attempt.index,
        # What is taken off is partly assumed, so it never makes a measured time better than tenfold.
        first_token_s=max(first, 0.1 * first_token_s, _LEAST_FIRST_TOKEN_S),
        tokens_per_s=speed,
    )


def _learn_duration(fleet: Fleet, decision: Decision, attempt: Attempt, usage: Usage) -> None:
    """Take in how long an answer in one piece took: it does not say when it began, so both figures move alike."""
    if _hides_thinking(decision, attempt, usage):
        return
    expected, prefill = expected_at(decision, attempt.index), usage.input_tokens / PREFILL_TOKENS_PER_S
    first, speed = expected.first_token_s, expected.tokens_per_s
    took = max(attempt.duration_s - prefill, 0.1 * attempt.duration_s)
    ratio = _bounded(took / (first + usage.output_tokens / speed))
    fleet.record_duration(
        attempt.index, first_token_s=first * ratio, tokens_per_s=speed / ratio, tokens=usage.output_tokens
    )


def _used_up(decision: Decision, usage: Usage | None) -> bool:
    """Whether the answer has all the tokens of the request's limit: some providers say of none what ended it."""
    limit = decision.profile.answer_limit
    return limit is not None and usage is not None and usage.output_tokens >= limit


def _has_room(decision: Decision, endpoint: int) -> bool:
    """Whether the request's limit leaves room for several times what was expected.

    Nearer to it only the short answers would come whole, and teach that all are short: so what counts is known before,
    not how this one ended. The endpoint's own limit is no such bound: it is there in every request, and who thinks
    longer than the catalogue says would never be found out.
    """
    profile = decision.profile
    if profile.answer_limit is None:
        return True
    return profile.answer_limit >= _ROOM * (profile.output_tokens + expected_at(decision, endpoint).thinking)


def _hides_thinking(decision: Decision, attempt: Attempt, usage: Usage) -> bool:
    """Whether tokens that the provider does not state may have been written before the answer."""
    return usage.reasoning_tokens is None and expected_at(decision, attempt.index).thinks


def _bounded(ratio: float) -> float:
    return min(max(ratio, 1 / _LARGEST_RATIO), _LARGEST_RATIO)
