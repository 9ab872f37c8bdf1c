"""What a condition may read. To add a variable, add its row to `VARIABLES`: nothing else knows the names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freerelay_core.preference import DEFAULT_PREFERENCE, RoutingPreference
from freerelay_core.profile import NEEDS, ProfileBatch, RequestProfile
from freerelay_core.snapshot import BREAKER_OPEN, WITHDRAWN, Snapshot

__all__ = ["VARIABLES", "Conditions", "Facts", "Variable", "conditions_of", "in_hundredths"]


@dataclass(frozen=True, slots=True)
class Conditions:
    """The state of the world around a request. The defaults are neutral."""

    healthy_share: float = 1.0
    """Share of the endpoints in service whose breaker is closed; in [0, 1]."""
    failing_providers: tuple[str, ...] = ()
    """Providers in service of whose endpoints every breaker is open, by id."""
    schema_success: float = 1.0
    """Share of the checked answers that kept their output contract, over all endpoints (older ones count less)."""
    weekday: int = 1
    """ISO day of the week (UTC), 1 is Monday."""


@lru_cache(maxsize=16)
def conditions_of(snapshot: Snapshot) -> Conditions:
    """The conditions at the moment of `snapshot`. Its day is the day whose prices count, too."""
    in_service = snapshot.live & (snapshot.availability != WITHDRAWN)
    learned = snapshot.learned
    healthy = in_service & (snapshot.availability != BREAKER_OPEN)
    return Conditions(
        healthy_share=float(healthy.sum() / served) if (served := in_service.sum()) else 1.0,
        failing_providers=tuple(sorted(_providers(snapshot, in_service) - _providers(snapshot, healthy))),
        schema_success=float(learned.schema_kept.sum() / seen) if (seen := learned.schema_seen.sum()) else 1.0,
        weekday=snapshot.created_at.isoweekday(),
    )


def _providers(snapshot: Snapshot, chosen: npt.NDArray[np.bool_]) -> set[str]:
    return {snapshot.providers[e] for e in np.flatnonzero(chosen)}


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a condition may read of one request."""

    profile: RequestProfile
    tenant: str | None = None
    tier: str | None = None
    preference: RoutingPreference | None = None
    """The tenant's own; None where it never chose."""
    conditions: Conditions = Conditions()
    budget_left: float = 1.0
    """Share of the tenant's budget that is left; 1 where there is none."""


def in_hundredths(share: float) -> float:
    """A share as conditions read it: in steps, so that what was found for the same values can be remembered."""
    return int(share * 100 + 1e-9) / 100


class Variable(NamedTuple):
    """One variable of conditions."""

    meaning: str
    value: Callable[[Facts], Any]
    column: Callable[[ProfileBatch], npt.NDArray[Any]] | None = None
    """What differs between the requests of a batch, as numbers that tell them apart, shape (R,); None where the whole
    batch is alike."""


def _need(name: str) -> Callable[[ProfileBatch], npt.NDArray[np.bool_]]:
    row = NEEDS.index(name)
    return lambda batch: batch.needs[row]


VARIABLES: Mapping[str, Variable] = MappingProxyType(
    {
        "task": Variable("task family: chat, code, rag, …", lambda f: f.profile.family.value, lambda b: b.family),
        "depth": Variable("how hard, 0 (trivial) to 4 (expert)", lambda f: int(f.profile.depth), lambda b: b.depth),
        "latency_class": Variable(
            "realtime, interactive, standard or batch",
            lambda f: f.profile.latency_class.label,
            lambda b: b.latency_class,
        ),
        "contract": Variable(
            "form of the answer: text, json, schema or strict", lambda f: f.profile.contract.label, lambda b: b.contract
        ),
        "input_tokens": Variable("expected tokens in", lambda f: f.profile.input_tokens, lambda b: b.input_tokens),
        "output_tokens": Variable(
            "expected tokens out, without thinking", lambda f: f.profile.output_tokens, lambda b: b.output_tokens
        ),
        "tools": Variable("offers tools", lambda f: "tools" in f.profile.needs, _need("tools")),
        "vision": Variable("has a picture", lambda f: "vision" in f.profile.needs, _need("vision")),
        "confidential": Variable(
            "asks for confidential treatment", lambda f: "confidential" in f.profile.needs, _need("confidential")
        ),
        "locked_down": Variable(
            "should stay with endpoints cleared for confidential content",
            lambda f: f.profile.locked_down,
            lambda b: b.locked_down,
        ),
        "precision": Variable(
            "how exact the answer must be: loose, normal or exact",
            lambda f: f.profile.precision.label,
            lambda b: b.precision,
        ),
        "topology": Variable(
            "where the context comes from: single, conversation, long_document, retrieved or tool_loop",
            lambda f: f.profile.topology.label,
            lambda b: b.topology,
        ),
        "tool_dependence": Variable(
            "none, offered, required or in_use", lambda f: f.profile.tool_dependence.label, lambda b: b.tool_dependence
        ),
        "determinism": Variable(
            "free, default or fixed", lambda f: f.profile.determinism.label, lambda b: b.determinism
        ),
        "economics": Variable("bulk, standard or priority", lambda f: f.profile.economics.label, lambda b: b.economics),
        "stream": Variable("is to be streamed; false in simulations", lambda f: f.profile.stream),
        "hour": Variable("hour of the day (UTC), 0 to 23", lambda f: f.profile.hour_utc, lambda b: b.hour_utc),
        "weekday": Variable("day of the week (UTC), 1 (Monday) to 7", lambda f: f.conditions.weekday),
        "tenant": Variable("the tenant's id", lambda f: f.tenant or ""),
        "tier": Variable("the tenant's tier", lambda f: f.tier or ""),
        "preference": Variable(
            f"the tenant's routing preference, {DEFAULT_PREFERENCE} where it never chose",
            lambda f: (f.preference or DEFAULT_PREFERENCE).value,
        ),
        "healthy_share": Variable(
            "share of the endpoints in service whose breaker is closed, 0.0 to 1.0",
            lambda f: f.conditions.healthy_share,
        ),
        "failing_providers": Variable(
            'list of the providers that fail, as in "groq" in failing_providers: every breaker of theirs is open',
            lambda f: f.conditions.failing_providers,
        ),
        "schema_success": Variable(
            "share of the checked answers that kept their output contract, 0.0 to 1.0; 1.0 where none was checked",
            lambda f: f.conditions.schema_success,
        ),
        "budget_left": Variable(
            "share of the tenant's budget that is left, 0.0 to 1.0 in whole hundredths; 1.0 where it has none",
            lambda f: in_hundredths(f.budget_left),
        ),
    }
)
"""The variables by name, in the order in which messages list them."""
