"""How many requests of a trace share a ranking with one before, and what a decision with its reason then costs, µs.

    python benchmarks/alike.py --trace FILE.csv [--json]

The requests of the trace (a CSV that `freerelay simulate` reads) arrive in their order, 100 to 3,000 a second, all of
one tenant and one family, at 20 shipped endpoints; every tenth of a second there is a new snapshot, as in the fleet.
Their input is rounded as that of a live request is, and the answer expected is the usual one, because how long it will
be nobody knows. Beside it each is decided alone.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.decision import shipped_snapshot
from benchmarks.figures import figure, report
from freerelay_core.decision import Alike, Decision, decide
from freerelay_core.policy import NO_POLICY
from freerelay_core.profile import RequestProfile, rounded_tokens
from freerelay_core.simulation import read_trace
from freerelay_core.snapshot import Snapshot

SNAPSHOTS_A_SECOND = 10
RATES = (100, 500, 1_000, 3_000)
USUAL_ANSWER = 250
MOST = 10_000
"""Requests of the trace."""
ASKED: dict[str, Any] = {
    "tenant_preference": None, "request_preference": None, "tenant_id": "t", "tier": "gold", "only": None,
    "policy": NO_POLICY, "live": False, "cached_share": None, "budget": None, "explore": 0.0,
}  # fmt: skip


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trace", type=Path, required=True, help="requests with their tokens")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    trace = read_trace(arguments.trace.read_bytes(), origin=arguments.trace.name)
    read = [trace.profiles.profile(row) for row in range(min(MOST, len(trace)))]
    profiles = [
        profile._replace(input_tokens=rounded_tokens(profile.input_tokens), output_tokens=USUAL_ANSWER)
        for profile in read
    ]
    figures = []
    for rate in RATES:
        shared, alike_us = _measured(profiles, rate, alike=True)
        _, alone_us = _measured(profiles, rate, alike=False)
        figures += [
            figure(f"alike_share_{rate}", shared, "of requests"),
            figure(f"alike_us_{rate}", alike_us, "us"),
            figure(f"alike_ratio_{rate}", alike_us / alone_us, "of alone"),
        ]
    report(figures, as_json=arguments.json)


def _measured(profiles: list[RequestProfile], rate: int, *, alike: bool) -> tuple[float, float]:
    """The share that met a ranking, and µs a decision with its reason."""
    ranks, base, known, taken = Alike().decide if alike else decide, shipped_snapshot(20), set(), 0.0
    for start in range(0, len(profiles), rate // SNAPSHOTS_A_SECOND):
        snapshot: Snapshot = replace(base, id=f"{start}")
        began = time.perf_counter()
        made: list[Decision] = []
        for number, profile in enumerate(profiles[start : start + rate // SNAPSHOTS_A_SECOND]):
            decision = ranks(snapshot, profile, decision_id=f"{number}", **ASKED)
            decision.reason  # noqa: B018 - worked out when it is asked for
            made.append(decision)
        taken += time.perf_counter() - began
        known |= {(start, id(decision.evaluation)) for decision in made}
    return 1.0 - len(known) / len(profiles), taken / len(profiles) * 1e6


if __name__ == "__main__":
    main()
