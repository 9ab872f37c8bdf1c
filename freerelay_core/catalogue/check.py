"""What an operator should know of a catalogue: problems that keep it from loading, and cautions that do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from freerelay_core.catalogue.describe import figures_of
from freerelay_core.catalogue.endpoint import Catalogue, Endpoint
from freerelay_core.catalogue.files import Problem, read_file
from freerelay_core.catalogue.load import SHIPPED, try_load
from freerelay_core.catalogue.prices import compile_prices
from freerelay_core.errors import ConfigurationError

__all__ = ["STALE_DAYS", "Caution", "Report", "check_catalogue"]

STALE_DAYS = 90
"""Speeds and limits change within a quarter; older figures are worth another look."""

Sort = Literal["stale", "unpriced", "mode", "prior"]


@dataclass(frozen=True, slots=True)
class Caution:
    """Something that holds, and that a reader of rankings should know."""

    sort: Sort
    subject: str
    """An endpoint or a source."""
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. There is no catalogue where there are problems with its files."""

    catalogue: Catalogue | None
    problems: Sequence[Problem]
    cautions: Sequence[Caution]


def check_catalogue(operator_file: Path | None, at: datetime) -> Report:
    """Check the shipped catalogue with the operator's file above it, as of `at`."""
    problems: list[Problem] = []
    catalogue = try_load(operator_file, problems)
    if catalogue is None:
        return Report(None, problems, ())
    unpriced = _unpriced(catalogue, operator_file, at, problems)
    return Report(
        catalogue,
        problems,
        [*_stale(catalogue, at.astimezone(UTC).date()), *unpriced, *_modes(catalogue), *_priors(catalogue)],
    )


def _unpriced(catalogue: Catalogue, operator_file: Path | None, at: datetime, problems: list[Problem]) -> list[Caution]:
    """The endpoints without a price; those whose name the price list does not know are added to `problems`."""
    own = None if operator_file is None else read_file(operator_file, problems)
    unpriced = []
    for endpoint in catalogue.endpoints:
        try:
            priced = bool(compile_prices([endpoint], at).priced[0])
        except ConfigurationError as error:
            field = ("endpoints", endpoint.id, "price")
            stated = own is not None and endpoint.id in own.content.endpoints
            problem = own.problem(field, error.message) if own and stated else None
            problems.append(problem or Problem(SHIPPED, None, ".".join(field), error.message))
            continue
        if not priced:
            unpriced.append(Caution("unpriced", endpoint.id, "has no price, so it is excluded where cost counts"))
    return unpriced


def _stale(catalogue: Catalogue, today: date) -> Iterator[Caution]:
    """Sources that are older than they should be, with how much rests on them."""
    dates: dict[str, str] = {}
    resting: dict[str, set[str]] = defaultdict(set)
    for endpoint in catalogue.endpoints:
        for source, stated in _sources(endpoint):
            dates[source] = stated
            resting[source].add(endpoint.id)
    for source in sorted(dates, key=lambda name: (dates[name], name)):
        days = (today - _earliest(dates[source])).days if dates[source] else 0
        if days > STALE_DAYS:
            count = len(resting[source])
            names = "1 endpoint rests" if count == 1 else f"{count} endpoints rest"
            yield Caution("stale", source, f"is of {dates[source]}, over {STALE_DAYS} days ago; {names} on it")


def _sources(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    for _, _, figure in figures_of(endpoint):
        yield figure.source, figure.date
    for origin in endpoint.origins.values():
        yield origin.source, origin.date


def _earliest(stated: str) -> date:
    """The first day that a date like 2026, 2026-03 or 2026-03-31 may mean."""
    year, month, day = (*map(int, stated.split("-")), 1, 1)[:3]
    return date(year, month, day)


def _modes(catalogue: Catalogue) -> Iterator[Caution]:
    """Assumptions that rest on another effort, and figures whose source does not say which effort they are of."""
    for endpoint in catalogue.endpoints:
        others = {f.mode for _, _, f in figures_of(endpoint) if f.mode not in (None, endpoint.mode)}
        if others:
            yield Caution("mode", endpoint.id, f"assumptions rest on the effort {', '.join(sorted(map(str, others)))}")
        silent = sum(f.mode is None and f.kind != "prior" for _, _, f in figures_of(endpoint))
        if endpoint.effort and silent:
            yield Caution("mode", endpoint.id, f"{silent} figures are of rows that do not name the effort")


def _priors(catalogue: Catalogue) -> Iterator[Caution]:
    """How much of each endpoint is assumed."""
    for endpoint in catalogue.endpoints:
        kinds = [figure.kind for _, _, figure in figures_of(endpoint)]
        if "prior" in kinds:
            yield Caution("prior", endpoint.id, f"{kinds.count('prior')} of {len(kinds)} figures are assumptions")
