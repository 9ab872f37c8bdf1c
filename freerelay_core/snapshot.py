"""An immutable, numbered view of every endpoint at one instant: catalogue and fleet state as arrays.

A decision is a pure function of (snapshot, profile, directive, exponents), so the same snapshot gives the same decision
wherever it is loaded. Arrays over endpoints have the shape (E,) in the order of `endpoint_ids`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from freerelay_core.behaviour import Behaviour, prior_behaviour
from freerelay_core.catalogue import ABILITIES, CAPABILITIES, Catalogue, Endpoint, Figure, PriceTable, compile_prices
from freerelay_core.profile import OutputContract, TaskFamily

__all__ = [
    "AVAILABLE",
    "BREAKER_OPEN",
    "COOLING_DOWN",
    "PROVIDER_BUDGET_GONE",
    "QUOTA_GONE",
    "WITHDRAWN",
    "Learned",
    "Snapshot",
    "catalogue_snapshot",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]

AVAILABLE, BREAKER_OPEN, COOLING_DOWN, QUOTA_GONE, WITHDRAWN, PROVIDER_BUDGET_GONE = range(6)
"""States of an endpoint, as `Snapshot.availability` holds them; `WITHDRAWN` only in a scenario."""

KINDS = ("measured", "published", "prior")
"""What a figure rests on, strongest first; arrays hold the index."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What outcomes have taught beyond the catalogue, by task family (F, in the order of `TaskFamily`) and endpoint."""

    thinking_tokens: Floats
    """Hidden output tokens on a standard prompt, shape (F, E); a prior stands at the upper end of its interval."""
    input_ratio: Floats
    """This endpoint's input tokens over the estimated ones (tokenizers differ), shape (F, E)."""
    output_ratio: Floats
    """This endpoint's answer tokens over the expected ones (models differ in length), shape (F, E)."""
    usual_input_ratio: Floats
    """The same two over all endpoints: what the reference is measured by, shape (F,)."""
    usual_output_ratio: Floats
    quality_shift: Floats
    """What grades and kept contracts add to the expected quality, in logits, shape (F, E)."""
    graded: Floats
    """How many graded answers that rests on (older ones count less), shape (F, E)."""
    schema_kept: Floats
    """Answers that kept their output contract, and all that were checked; shape (contracts, E)."""
    schema_seen: Floats
    thinking_kinds: Codes
    """What the thinking tokens rest on, indices into `KINDS`, shape (F, E)."""
    success_shift: Floats
    """What sets a family apart from its endpoint's success, in logits, shape (F, E)."""

    @classmethod
    def nothing(cls, thinking_tokens: Floats, thinking_kinds: Codes) -> Learned:
        """Only the catalogue is known: thinking tokens of shape (E,), and what they rest on."""
        families, count = len(TaskFamily), len(thinking_tokens)
        return cls(
            thinking_tokens=np.tile(thinking_tokens, (families, 1)),
            input_ratio=np.ones((families, count)),
            output_ratio=np.ones((families, count)),
            usual_input_ratio=np.ones(families),
            usual_output_ratio=np.ones(families),
            quality_shift=np.zeros((families, count)),
            graded=np.zeros((families, count)),
            schema_kept=np.zeros((len(OutputContract), count)),
            schema_seen=np.zeros((len(OutputContract), count)),
            thinking_kinds=np.tile(thinking_kinds, (families, 1)),
            success_shift=np.zeros((families, count)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What is known of E endpoints at `created_at`."""

    id: str
    created_at: datetime
    endpoint_ids: tuple[str, ...]
    providers: tuple[str, ...]
    models: tuple[str, ...]
    prices: PriceTable
    behaviour: Behaviour
    context_tokens: Floats
    max_output_tokens: Floats
    max_request_tokens: Floats
    """Input and output of one request that the limits of a minute or day allow at all; inf where none is known."""
    capabilities: Bools
    """Shape (capabilities, E), in the order of `CAPABILITIES`."""
    abilities: Floats
    """Shape (abilities, E), in the order of `ABILITIES`; a prior stands at the lower end of its interval."""
    ability_kinds: Codes
    """Shape (abilities, E), indices into `KINDS`."""
    speed_kinds: Codes
    """Weaker of the kinds of first token and speed, indices into `KINDS`."""
    learned: Learned
    success: Floats
    """Expected share of answered requests over all families, breaker allowance included; in (0, 1]."""
    outcomes: Floats
    """Recent outcomes that `success` rests on beside the catalogue; older ones count less."""
    headroom: Floats
    """Share of the tightest limit that is left; in [0, 1]."""
    availability: Codes
    simulated: Bools
    """Served by the simulated provider."""
    live: Bools
    """May serve live traffic as far as simulation is concerned."""

    def __len__(self) -> int:
        return len(self.endpoint_ids)

    def age_s(self, now: datetime) -> float:
        """Seconds since the snapshot was taken."""
        return max(0.0, (now - self.created_at).total_seconds())

    def with_fleet(
        self,
        *,
        id: str,  # noqa: A002  (the field's name)
        created_at: datetime,
        success: Floats,
        headroom: Floats,
        availability: Codes,
        outcomes: Floats | None = None,
        learned: Learned | None = None,
        max_request_tokens: Floats | None = None,
    ) -> Snapshot:
        """The next snapshot: the same catalogue with the fleet's present state."""
        return replace(
            self,
            id=id,
            created_at=created_at,
            success=success,
            headroom=headroom,
            availability=availability,
            outcomes=self.outcomes if outcomes is None else outcomes,
            learned=learned or self.learned,
            max_request_tokens=self.max_request_tokens if max_request_tokens is None else max_request_tokens,
        )

    def dump(self) -> bytes:
        """The snapshot as bytes that `load` reads back, to the last bit, in any process."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {f"prices.{name}": getattr(self.prices, name) for name in _names(PriceTable)}
        arrays |= {f"behaviour.{name}": getattr(self.behaviour, name) for name in _names(Behaviour)}
        arrays |= {f"learned.{name}": getattr(self.learned, name) for name in _names(Learned)}
        head: dict[str, Any] = {"id": self.id, "created_at": self.created_at.isoformat()}
        head |= {name: getattr(self, name) for name in ("endpoint_ids", "providers", "models")}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, head=np.frombuffer(orjson.dumps(head), dtype=np.uint8), **arrays)
        return buffer.getvalue()

    @classmethod
    def load(cls, payload: bytes) -> Snapshot:
        """The snapshot that `dump` wrote."""
        with np.load(io.BytesIO(payload), allow_pickle=False) as stored:
            head = orjson.loads(stored["head"].tobytes())
            return cls(
                id=head["id"],
                created_at=datetime.fromisoformat(head["created_at"]).astimezone(UTC),
                endpoint_ids=tuple(head["endpoint_ids"]),
                providers=tuple(head["providers"]),
                models=tuple(head["models"]),
                prices=PriceTable(*(stored[f"prices.{name}"] for name in _names(PriceTable))),
                behaviour=Behaviour(*(stored[f"behaviour.{name}"] for name in _names(Behaviour))),
                learned=_learned(stored),
                **{name: stored[name] for name in _ARRAYS if name not in _NEWER},
                capabilities=_with_newer_capabilities(stored["capabilities"]),
                max_request_tokens=_max_request_tokens(stored),
                outcomes=np.asarray(stored["outcomes"])
                if "outcomes" in stored
                else np.zeros(len(head["endpoint_ids"])),
            )


_ARRAYS = (
    "context_tokens",
    "max_output_tokens",
    "max_request_tokens",
    "capabilities",
    "abilities",
    "ability_kinds",
    "speed_kinds",
    "success",
    "outcomes",
    "headroom",
    "availability",
    "simulated",
    "live",
)
_ASKED_OF_ALL = frozenset({"choices", "logit_bias"})
"""Capabilities that requests needed before it was known who lacks them."""
_NEWER = frozenset({"capabilities", "max_request_tokens", "outcomes"})
"""What a snapshot of an earlier release has otherwise, or not at all."""


def _learned(stored: Mapping[str, Any]) -> Learned:
    """What was learned; a snapshot of the first release knew only the catalogue's thinking tokens."""
    if "thinking_tokens" in stored:
        count = len(stored["thinking_tokens"])
        return Learned.nothing(stored["thinking_tokens"], np.full(count, KINDS.index("published"), dtype=np.int8))
    learned = {name: stored[f"learned.{name}"] for name in _names(Learned) if f"learned.{name}" in stored}
    # A snapshot of an earlier release does not say what its thinking tokens rest on, nor know of success by family.
    learned.setdefault(
        "thinking_kinds", np.full_like(learned["thinking_tokens"], KINDS.index("published"), dtype=np.int8)
    )
    learned.setdefault("success_shift", np.zeros_like(learned["thinking_tokens"]))
    return Learned(**learned)


def _with_newer_capabilities(stored: Bools) -> Bools:
    """A snapshot of an earlier release lacks the capabilities at the end: what was asked of all then, all have."""
    newer = [np.full(stored.shape[1], name in _ASKED_OF_ALL) for name in CAPABILITIES[len(stored) :]]
    return np.vstack([stored, *newer])


def _max_request_tokens(stored: Mapping[str, Any]) -> Floats:
    """A snapshot of an earlier release knows of no limits."""
    if "max_request_tokens" in stored:
        return np.asarray(stored["max_request_tokens"])
    return np.full(len(stored["context_tokens"]), np.inf)


def _names(table: type) -> list[str]:
    return [field.name for field in fields(table)]


def catalogue_snapshot(
    catalogue: Catalogue,
    at: datetime,
    *,
    real_providers: frozenset[str] = frozenset(),
    allow_simulated: bool = False,
) -> Snapshot:
    """The snapshot of a fleet that nothing is known of beyond the catalogue, with the prices of the day of `at`.

    Endpoints of `real_providers` are served by their vendor, all others are simulated. Simulated endpoints serve live
    traffic only while there is no real one, or where the operator allows it.
    """
    endpoints = catalogue.endpoints
    behaviour = prior_behaviour(endpoints)
    simulated = np.array([e.provider not in real_providers for e in endpoints], dtype=np.bool_)
    return Snapshot(
        id=f"catalogue-{at:%Y-%m-%d}",
        created_at=at,
        endpoint_ids=tuple(e.id for e in endpoints),
        providers=tuple(e.provider for e in endpoints),
        models=tuple(e.model for e in endpoints),
        prices=compile_prices(endpoints, at),
        behaviour=behaviour,
        context_tokens=np.array([e.context_tokens for e in endpoints], dtype=np.float64),
        max_output_tokens=np.array([e.max_output_tokens for e in endpoints], dtype=np.float64),
        max_request_tokens=np.array([min(_tokens_allowed(e), default=np.inf) for e in endpoints], dtype=np.float64),
        capabilities=np.array([[c in e.capabilities for e in endpoints] for c in CAPABILITIES], dtype=np.bool_),
        abilities=np.array([_ability_row(endpoints, name) for name in ABILITIES]),
        ability_kinds=np.array(
            [[KINDS.index(e.abilities[name].kind) for e in endpoints] for name in ABILITIES], dtype=np.int8
        ),
        speed_kinds=np.array(
            [max(KINDS.index(e.first_token_s.kind), KINDS.index(e.tokens_per_s.kind)) for e in endpoints],
            dtype=np.int8,
        ),
        learned=Learned.nothing(
            np.array([_thinking(e.thinking_tokens) for e in endpoints], dtype=np.float64),
            np.array([KINDS.index(e.thinking_tokens.kind) for e in endpoints], dtype=np.int8),
        ),
        success=1.0 - behaviour.failure_rate,
        outcomes=np.zeros(len(endpoints)),
        headroom=np.ones(len(endpoints)),
        availability=np.zeros(len(endpoints), dtype=np.int8),
        simulated=simulated,
        live=~simulated | (bool(simulated.all()) or allow_simulated),
    )


def _tokens_allowed(endpoint: Endpoint) -> list[int]:
    return [most for most in (endpoint.limits.tpm, endpoint.limits.tpd) if most is not None]


def _thinking(tokens: Figure) -> float:
    """An assumption enters at its slow end, as those of times do."""
    return tokens.high if tokens.kind == "prior" else tokens.value


def _ability_row(endpoints: Sequence[Endpoint], name: str) -> list[float]:
    figures = [e.abilities[name] for e in endpoints]
    return [figure.low if figure.kind == "prior" else figure.value for figure in figures]
