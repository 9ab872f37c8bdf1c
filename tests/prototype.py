"""The prototype catalogue beside the project, as endpoints: figures that the acceptance cases were written over."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

from freerelay_core.catalogue import ABILITIES, Catalogue, Endpoint, Figure, FixedPrice, Provider
from freerelay_core.snapshot import Snapshot, catalogue_snapshot

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FILE = Path(__file__).parents[2] / "shared/data/catalogue-proto-2026-11/endpoints.csv"

_FLAGS = {"v": "vision", "t": "tools", "s": "structured_output", "j": "json_mode", "p": "confidential"}
_WIDEST_OUTPUT = 1_000_000
"""The file states no limit."""


def prototype_endpoints(path: Path = FILE) -> list[Endpoint]:
    """Every endpoint in the file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_endpoint(row) for row in csv.DictReader(file)]


def prototype_snapshot(endpoints: list[Endpoint]) -> Snapshot:
    providers = {e.provider: Provider(e.provider, e.provider, "http://127.0.0.1:9", None) for e in endpoints}
    return catalogue_snapshot(Catalogue(providers, tuple(endpoints)), NOON)


def rests_on_a_prior_latency(endpoint: Endpoint) -> bool:
    return endpoint.tokens_per_s.kind == "prior"


def _endpoint(row: dict[str, str]) -> Endpoint:
    name = row["endpoint"]
    provider, _, rest = name.partition("/")
    model, _, effort = rest.partition("@")
    speed_kind = "prior" if "prior" in row["latency_source"] else "published"

    def figure(value: str, kind: str = "published") -> Figure:
        # The file holds what the figures enter as; intervals were applied when it was made.
        return Figure(float(value), float(value), float(value), kind, "prototype", "2026-11-24")

    usd = (row["usd_in_per_m"], row["usd_cached_per_m"], row["usd_out_per_m"])
    return Endpoint(
        id=name,
        provider=provider,
        model=model,
        effort=effort or None,
        upstream_model=model,
        price=FixedPrice(*(float(price or usd[0]) for price in usd)),
        context_tokens=int(row["context"]),
        max_output_tokens=_WIDEST_OUTPUT,
        capabilities=frozenset(name for flag, name in _FLAGS.items() if flag in row["flags"]),
        free_tier="f" in row["flags"],
        abilities={ability: figure(row[ability]) for ability in ABILITIES},
        first_token_s=figure(row["ttft_base_s"], speed_kind),
        tokens_per_s=figure(row["tokens_per_s"], speed_kind),
        thinking_tokens=figure(row["thinking_tokens"]),
    )
