"""Requests whose winner people agree on (`data/acceptance.yaml`), as profiles and sets of endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from freerelay_core.catalogue import Endpoint
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import Depth, LatencyClass, OutputContract, RequestProfile, TaskFamily

FILE: Mapping[str, Any] = yaml.safe_load((Path(__file__).parent / "data" / "acceptance.yaml").read_text("utf-8"))
CASES = {case["name"]: case for case in FILE["cases"]}
NARROW = [
    (CASES[case["name"]], preference, case)
    for case in FILE["without_google_free_and_self"]
    for preference in RoutingPreference
    if preference in case
]
"""Cases with a preference and its sets, where `narrower` endpoints compete."""


def named(endpoint: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns, or what it is short for, names this endpoint."""
    return any(fnmatchcase(endpoint, FILE["aliases"].get(pattern, pattern)) for pattern in patterns)


def narrower(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Without those that win by their price alone."""
    return [e for e in endpoints if e.provider not in {"google", "self-hosted"} and not e.free_tier]


def profile_of(case: Mapping[str, Any]) -> RequestProfile:
    input_tokens, cached_tokens, output_tokens = case["tokens"]
    return RequestProfile(
        family=TaskFamily(case["family"]),
        depth=Depth[case["depth"].upper()],
        latency_class=LatencyClass[case["latency"].upper()],
        contract=OutputContract[case.get("contract", "text").upper()],
        input_tokens=input_tokens,
        cached_tokens=cached_tokens,
        output_tokens=output_tokens,
        needs=frozenset(case.get("needs", ())),
    )
