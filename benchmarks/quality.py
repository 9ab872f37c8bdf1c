"""How well the ranking chooses: whether the preferences differ, and what public outcomes of nine models say of it.

    python benchmarks/quality.py [--data DIR] [--seeds 10] [--json]

Part one needs no data: shares of equal first choices of two preferences over 195 requests (13 families x 5 pairs of
depth and latency class x 3 sizes) on the shipped catalogue, of all endpoints and of those without google, free and
self-hosted ones; over every pair of depth and class; and under other constants of the scoring. With `--data` also over
DIR/azure-llm-2023/AzureLLMInferenceTrace_conv.csv, in each family; and once more with the catalogue's limits counted on
the trace's own clock, as if it were the whole traffic of one account. The constants are then tried over the catalogue
in DIR/catalogue-proto-2026-11 too, and `prototype_shares_off` says how far its shares are from the published ones.

The winners of the acceptance cases (tests/data/acceptance.yaml) follow, over the same catalogues.

Part two (`outcomes.py`) needs `--data`: DIR/router-outcomes-9/outcomes.csv, or any file of its format by that name. Its
rows are split at random into those that are learned from and those that count, once a seed; baselines stand in the
same run. A file of DIR that is absent is said and skipped.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from figures import figure
from outcomes import outcomes

from freerelay_core.catalogue import Catalogue, Endpoint, load_catalogue
from freerelay_core.decision import Choice, choose, decide
from freerelay_core.fleet import RateLedger
from freerelay_core.preference import PREFERENCE_EXPONENTS, RoutingPreference
from freerelay_core.profile import Depth, LatencyClass, ProfileBatch, RequestProfile, TaskFamily
from freerelay_core.scoring import evaluate, log_utility, reference
from freerelay_core.simulation import read_trace
from freerelay_core.snapshot import Snapshot, catalogue_snapshot
from tests.acceptance import CASES, FILE, NARROW, named, narrower, profile_of
from tests.prototype import prototype_endpoints, prototype_snapshot

Floats = npt.NDArray[np.float64]
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

# -- part one: the preferences must differ

COST, BALANCED, PERFORMANCE = RoutingPreference
PAIRS = {
    "equal_cost_balanced": (COST, BALANCED),
    "equal_balanced_performance": (BALANCED, PERFORMANCE),
    "equal_cost_performance": (COST, PERFORMANCE),
}
MOST_EQUAL = {"equal_cost_balanced": 0.55, "equal_balanced_performance": 0.45, "equal_cost_performance": 0.20}

FAMILIES = [family for family in TaskFamily if family is not TaskFamily.VISION]
DEPTHS_AND_CLASSES = (
    (Depth.EASY, LatencyClass.INTERACTIVE),
    (Depth.STANDARD, LatencyClass.INTERACTIVE),
    (Depth.STANDARD, LatencyClass.STANDARD),
    (Depth.HARD, LatencyClass.STANDARD),
    (Depth.EXPERT, LatencyClass.STANDARD),
)
SIZES = ((400, 150), (1_500, 600), (8_000, 1_500))
"""Input and output tokens. Of all fives of pairs and threes of sizes these give the 24 shares that were published for
four sets of constants over the prototype catalogue best: 0.013 off in the mean, 2.5 requests of 195. Any share depends
on what is asked: trivial questions alone have one winner nine times of ten, so every pair is counted beside."""

EVERY_DEPTH_AND_CLASS = tuple(product(Depth, LatencyClass))

PROTOTYPE = "catalogue-proto-2026-11/endpoints.csv"
OUTCOMES = "router-outcomes-9/outcomes.csv"
TRACE = "azure-llm-2023/AzureLLMInferenceTrace_conv.csv"
DEPTH_ON_THE_TRACE = Depth.STANDARD


def requests(pairs: Sequence[tuple[Depth, LatencyClass]] = DEPTHS_AND_CLASSES) -> ProfileBatch:
    """Every family in every size with each of these pairs; the 195 unless others are named."""
    return ProfileBatch.of(
        [
            RequestProfile(family, depth, latency, input_tokens=input_tokens, output_tokens=output_tokens)
            for family, (depth, latency), (input_tokens, output_tokens) in product(FAMILIES, pairs, SIZES)
        ]
    )


@dataclass(frozen=True, slots=True)
class Constants:
    """What the shares hang on: tolerance by latency class (realtime, interactive, standard), prices in USD a million
    (input, output).
    """

    tolerance: tuple[float, float, float]
    ordinary: tuple[float, float]
    expert: tuple[float, float]
    published: tuple[float, ...] | None = None
    """Shares over the prototype catalogue: of each pair of preferences, all endpoints and the narrower choice."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The scoring with these constants."""
        tolerance, prices = reference.LATENCY_TOLERANCE.copy(), reference.REFERENCE_USD.copy()
        try:
            reference.LATENCY_TOLERANCE[:3] = self.tolerance
            for depth, (tokens_in, tokens_out) in enumerate([self.ordinary] * 4 + [self.expert]):
                reference.REFERENCE_USD[depth] = np.array([tokens_in, tokens_in / 10, tokens_out]) / 1e6
            yield
        finally:
            reference.LATENCY_TOLERANCE[:], reference.REFERENCE_USD[:] = tolerance, prices


OTHER_CONSTANTS = (
    Constants((1 / 3, 1.0, 4.0), (2.0, 10.0), (5.0, 25.0), (0.41, 0.32, 0.57, 0.62, 0.16, 0.15)),
    Constants((2 / 3, 2.0, 8.0), (1.25, 6.25), (3.1, 15.6), (0.53, 0.59, 0.31, 0.42, 0.12, 0.10)),
    Constants((2 / 3, 2.0, 8.0), (1.25, 6.25), (5.0, 25.0), (0.51, 0.51, 0.32, 0.43, 0.10, 0.09)),
    Constants((2 / 3, 2.0, 8.0), (1.5, 7.5), (5.0, 25.0)),
    Constants((2 / 3, 2.0, 8.0), (1.75, 8.75), (5.0, 25.0)),
    Constants((2 / 3, 2.0, 8.0), (2.0, 10.0), (5.0, 25.0)),
    Constants((1 / 3, 1.0, 4.0), (1.75, 8.75), (5.0, 25.0)),
    Constants((1.0, 3.0, 12.0), (1.75, 8.75), (5.0, 25.0)),
    Constants((1.0, 3.0, 12.0), (1.0, 5.0), (7.5, 37.5), (0.32, 0.63, 0.41, 0.45, 0.10, 0.26)),
)


def print_constants(label: str, whole: Snapshot, narrow: Snapshot) -> list[tuple[float, ...]]:
    """The shares under other constants, which it also returns, and what the winners are worth: quality of the hard and
    expert ones over the best that was to be had, and USD a request, by preference.
    """
    print(f"\nequal under other constants, {label}: all endpoints, then the narrower choice", file=sys.stderr)
    print(f"  {'interactive, ordinary, expert':34}{'c = b':>12}{'b = p':>12}{'c = p':>12}", end="", file=sys.stderr)
    print(f"{'quality c/b/p':>20}{'USD c/b/p':>26}", file=sys.stderr)
    asked = requests()
    demanding = asked.depth >= Depth.HARD
    table = []
    for constants in OTHER_CONSTANTS:
        with constants.applied():
            chosen = [winners(snapshot, asked) for snapshot in (whole, narrow)]
            best = np.exp(evaluate(whole, asked).log_quality).max(axis=1)
        shares = [equal_shares([{p: choice.endpoint for p, choice in each.items()}]) for each in chosen]
        table.append(tuple(each[name] for name in PAIRS for each in shares))
        prices = (f"{tokens_in:g}/{tokens_out:g}" for tokens_in, tokens_out in (constants.ordinary, constants.expert))
        row = f"  {', '.join((f'{constants.tolerance[1]:g}', *prices)):34}"
        row += "".join(f"{each[name]:{width}.2f}" for name in PAIRS for each, width in zip(shares, (7, 5), strict=True))
        quality = (float(np.mean((choice.quality / best)[demanding])) for choice in chosen[0].values())
        row += f"{' / '.join(f'{value:.2f}' for value in quality):>20}"
        row += f"{' / '.join(f'{choice.cost_usd.mean():.4f}' for choice in chosen[0].values()):>26}"
        print(row, file=sys.stderr)
    return table


def constants_tried(data: Path | None) -> list[dict[str, Any]]:
    """The table over the shipped catalogue; over the prototype one, how far it is from the published shares."""
    print_constants("shipped catalogue", *catalogues().values())
    if (path := _found(data, PROTOTYPE)) is None:
        return []
    endpoints = prototype_endpoints(path)
    table = print_constants("prototype catalogue", *map(prototype_snapshot, (endpoints, narrower(endpoints))))
    pairs = [(row, c.published) for row, c in zip(table, OTHER_CONSTANTS, strict=True) if c.published is not None]
    off = float(np.mean([np.abs(np.subtract(row, published)) for row, published in pairs]))
    return [figure("prototype_shares_off", off, "mean share")]


def catalogues() -> dict[str, Snapshot]:
    """The shipped catalogue: whole, and without the endpoints that win by their price alone."""
    shipped = load_catalogue()
    return {
        "all endpoints": catalogue_snapshot(shipped, NOON),
        "without google, free, self-hosted": catalogue_snapshot(
            Catalogue(shipped.providers, tuple(narrower(shipped.endpoints))), NOON
        ),
    }


def winners(snapshot: Snapshot, profiles: ProfileBatch) -> dict[RoutingPreference, Choice]:
    """The first choices under every preference."""
    evaluation = evaluate(snapshot, profiles)
    return {preference: choose(evaluation, PREFERENCE_EXPONENTS[preference]) for preference in RoutingPreference}


def equal_shares(chosen: Sequence[Mapping[RoutingPreference, npt.NDArray[np.intp]]]) -> dict[str, float]:
    """The share of requests that two preferences give to the same endpoint, for each pair."""
    first = {p: np.concatenate([each[p] for each in chosen]) for p in RoutingPreference}
    return {name: float(np.mean(first[one] == first[other])) for name, (one, other) in PAIRS.items()}


def on_trace(snapshot: Snapshot, path: Path) -> dict[str, float]:
    """The same over a trace, each of its requests asked once in every family."""
    content = path.read_bytes()
    first = []
    for family in FAMILIES:
        like = RequestProfile(family, DEPTH_ON_THE_TRACE, LatencyClass.INTERACTIVE)
        chosen = winners(snapshot, read_trace(content, origin=path.name, like=like).profiles)
        first.append({preference: choice.endpoint for preference, choice in chosen.items()})
    return equal_shares(first)


def limited_on_trace(snapshot: Snapshot, endpoints: Sequence[Endpoint], path: Path) -> tuple[dict[str, float], float]:
    """The same with limits: a request goes to the best endpoint whose quota admits it. Each family and preference is
    the whole traffic of an account of its own. Limits only refuse here; what headroom does to a ranking is left out.

    Also the share of requests, over all preferences, that did not go to their first choice.
    """
    content = path.read_bytes()
    with path.open(encoding="utf-8", newline="") as file:
        times = np.array([row["TIMESTAMP"] for row in csv.DictReader(file)], dtype="datetime64[us]")
    seconds = (times.astype(np.int64) / 1e6).tolist()
    first, moved = [], []
    for family in FAMILIES:
        like = RequestProfile(family, DEPTH_ON_THE_TRACE, LatencyClass.INTERACTIVE)
        profiles = read_trace(content, origin=path.name, like=like).profiles
        evaluation = evaluate(snapshot, profiles)
        tokens = profiles.input_tokens[:, None] + evaluation.decoded_tokens
        chosen = {}
        for preference in RoutingPreference:
            utilities = np.where(
                evaluation.excluded, -np.inf, log_utility(evaluation.log_factors, PREFERENCE_EXPONENTS[preference])
            )
            order = np.argsort(-utilities, axis=1, kind="stable")
            chosen[preference] = _admitted(RateLedger.of(endpoints), seconds, order, utilities, tokens)
            moved.append(chosen[preference] != order[:, 0])
        first.append(chosen)
    return equal_shares(first), float(np.mean(moved))


def _admitted(
    ledger: RateLedger, seconds: Sequence[float], order: npt.NDArray[np.intp], utilities: Floats, tokens: Floats
) -> npt.NDArray[np.intp]:
    """The first endpoint in the order of each request that admits it; -1 where none does. Times are UTC."""
    winners = np.full(len(seconds), -1, dtype=np.intp)
    for row, now in enumerate(seconds):
        for endpoint in order[row]:
            if not np.isfinite(utilities[row, endpoint]):
                break
            if ledger.reserve(ledger.group_of[endpoint], float(tokens[row, endpoint]), now) is not None:
                winners[row] = endpoint
                break
    return winners


def preferences_differ(data: Path | None) -> list[dict[str, Any]]:
    """Part one."""
    figures: list[dict[str, Any]] = []
    for label, snapshot in catalogues().items():
        asked = requests()
        chosen = winners(snapshot, asked)
        first = {preference: choice.endpoint for preference, choice in chosen.items()}
        suffix = "" if label == "all endpoints" else "_narrow"
        shares = equal_shares([first])
        _print(f"equal first choices, 195 requests, {label}", shares)
        figures += [figure(f"{name}{suffix}", share, "share", most=MOST_EQUAL[name]) for name, share in shares.items()]
        every = requests(EVERY_DEPTH_AND_CLASS)
        all_first = {preference: choice.endpoint for preference, choice in winners(snapshot, every).items()}
        shares = equal_shares([all_first])
        _print(f"equal first choices, every depth and class, {label}", shares)
        figures += [figure(f"{name}_every_class{suffix}", share, "share") for name, share in shares.items()]
        for depth in Depth:
            share = equal_shares([{p: endpoint[every.depth == depth] for p, endpoint in all_first.items()}])
            print(f"  {depth.label:18}" + "".join(f"{value:9.2f}" for value in share.values()), file=sys.stderr)
        for preference, choice in chosen.items():
            print(
                f"  {preference:18} {choice.cost_usd.mean():8.4f} USD a request, quality {choice.quality.mean():.3f}",
                file=sys.stderr,
            )
        if (trace := _found(data, TRACE)) is not None:
            shares = on_trace(snapshot, trace)
            _print(f"equal first choices, trace x {len(FAMILIES)} families, {label}", shares)
            figures += [figure(f"{name}_trace{suffix}", share, "share") for name, share in shares.items()]
            endpoints = [each for each in load_catalogue().endpoints if each.id in snapshot.endpoint_ids]
            shares, moved = limited_on_trace(snapshot, endpoints, trace)
            _print(f"the same with limits on the trace's clock, {label}", shares | {"not at the first choice": moved})
            figures += [figure(f"{name}_trace_limited{suffix}", share, "share") for name, share in shares.items()]
            figures.append(figure(f"moved_by_limits_trace{suffix}", moved, "share"))
    return figures


# -- the acceptance cases


def acceptance(data: Path | None) -> list[dict[str, Any]]:
    """The winners of the cases on which people agree, and the share of them in the sets that people named."""
    fleets = {"shipped catalogue": load_catalogue().endpoints}
    if (path := _found(data, PROTOTYPE)) is not None:
        fleets["prototype catalogue"] = tuple(prototype_endpoints(path))
    figures = []
    for label, endpoints in fleets.items():
        suffix = "_prototype" if label.startswith("prototype") else ""
        wide = [(case, preference, case) for case in CASES.values() for preference in RoutingPreference]
        figures.append(_in_sets(f"acceptance_in_set{suffix}", label, endpoints, wide))
        where = f"{label}, without google, free, self-hosted"
        figures.append(_in_sets(f"acceptance_in_set{suffix}_narrow", where, narrower(endpoints), NARROW))
        case = FILE["free_only"]
        free = [(case, preference, {preference: case["all"]}) for preference in RoutingPreference]
        tiers = [endpoint for endpoint in endpoints if endpoint.free_tier]
        figures.append(_in_sets(f"acceptance_in_set{suffix}_free", f"{label}, free endpoints", tiers, free))
    return figures


def _in_sets(
    name: str,
    label: str,
    endpoints: Sequence[Endpoint],
    asked: Sequence[tuple[Mapping[str, Any], RoutingPreference, Mapping[str, Any]]],
) -> dict[str, Any]:
    """Print the winner of each case under each preference: "=" where only one about equal is in the set."""
    snapshot = prototype_snapshot(list(endpoints))
    print(f"\nwinners, {label}", file=sys.stderr)
    hits = 0
    for case, preference, sets in asked:
        decision = decide(snapshot, profile_of(case), decision_id="d", tenant_preference=preference)
        winner, wanted = decision.row(0), sets[preference]
        hit = named(winner.endpoint, wanted)
        near = any(row.about_equal and named(row.endpoint, wanted) for row in decision.ranking)
        mark = " " if hit else "=" if near else "!"
        print(f"{mark} {case['name']:24}{preference:20}{winner.endpoint}", file=sys.stderr)
        hits += hit
    return figure(name, hits / len(asked), "share")


def main() -> None:
    """Measure, print tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder that holds azure-llm-2023/ and router-outcomes-9/")
    parser.add_argument("--seeds", type=int, default=10, help="how many splits into learning and counting rows")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    figures = preferences_differ(arguments.data) + constants_tried(arguments.data) + acceptance(arguments.data)
    if (graded := _found(arguments.data, OUTCOMES)) is not None:
        figures += outcomes(graded, arguments.seeds)
    if arguments.json:
        print(json.dumps(figures))
        return
    for each in figures:
        print(f"{each['name']}: {each['value']} {each['unit']} (aim {each['aim']}, met {each['met']})")


def _found(data: Path | None, name: str) -> Path | None:
    """A file of the data, or None where there are no data or not this one, which is said."""
    if data is None:
        return None
    path = data / name
    if not path.is_file():
        print(f"skipped, as there is no {path}", file=sys.stderr)
        return None
    return path


def _print(title: str, values: Mapping[str, float]) -> None:
    print(f"\n{title}", file=sys.stderr)
    for name, value in values.items():
        print(f"  {name:28}{value:9.3f}", file=sys.stderr)


if __name__ == "__main__":
    main()
