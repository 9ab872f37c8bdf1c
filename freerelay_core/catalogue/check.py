"""What an operator should know of a catalogue: problems that keep it from loading, and cautions that do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from freerelay_core.catalogue.describe import facts_of, figures_of
from freerelay_core.catalogue.endpoint import ABILITIES, Catalogue, Endpoint, Kind
from freerelay_core.catalogue.files import CatalogueFile, Problem, read_file
from freerelay_core.catalogue.load import SHIPPED, try_load
from freerelay_core.catalogue.prices import compile_prices
from freerelay_core.errors import ConfigurationError

__all__ = ["STALE_DAYS", "Caution", "Report", "check_catalogue"]

STALE_DAYS = 90
"""Speeds and limits change within a quarter; older figures are worth another look."""

_ABILITY = "ability."

Sort = Literal["stale", "unpriced", "no_streaming", "mode", "prior"]
_What = Literal["figures", "facts"]


@dataclass(frozen=True, slots=True)
class Caution:
    """Something that holds, and that a reader of rankings should know."""

    sort: Sort
    subject: str
    """An endpoint, a source, or `in all`."""
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
    own = None if operator_file is None else read_file(operator_file, problems)
    cautions = [
        *_stale(catalogue, at.astimezone(UTC).date()),
        *_unpriced(catalogue, own, at, problems),
        *_not_streaming(catalogue, own),
        *_modes(catalogue),
        *_priors(catalogue),
    ]
    return Report(catalogue, problems, cautions)


def _unpriced(
    catalogue: Catalogue, own: CatalogueFile | None, at: datetime, problems: list[Problem]
) -> Iterator[Caution]:
    """The endpoints without a price; those whose name the price list does not know are added to `problems`."""
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
            yield Caution("unpriced", endpoint.id, "has no price, so it is excluded where cost counts")


def _not_streaming(catalogue: Catalogue, own: CatalogueFile | None) -> Iterator[Caution]:
    """The operator's endpoints that do not say that they stream: mostly forgotten, as it once excluded nothing."""
    for endpoint in catalogue.endpoints:
        if own is not None and endpoint.id in own.content.endpoints and "streaming" not in endpoint.capabilities:
            text = "gets no request with stream: true (no_streaming); if it streams, add streaming to its capabilities"
            yield Caution("no_streaming", endpoint.id, text)


def _stale(catalogue: Catalogue, today: date) -> Iterator[Caution]:
    """Sources that are older than they should be with how much rests on them, then by endpoint the fields that do."""
    dates: dict[str, str] = {}
    resting: dict[str, set[str]] = defaultdict(set)
    endpoints = []
    for endpoint in catalogue.endpoints:
        old = [cell for cell in _cells(endpoint) if cell.date and (today - _earliest(cell.date)).days > STALE_DAYS]
        for cell in old:
            dates[cell.source] = cell.date
            resting[cell.source].add(endpoint.id)
        by_date = {day: [cell for cell in old if cell.date == day] for day in sorted({cell.date for cell in old})}
        if old:
            text = "; ".join(f"{day}: {_fields(cells)}" for day, cells in by_date.items())
            endpoints.append(Caution("stale", endpoint.id, text))
    for source in sorted(dates, key=lambda name: (dates[name], name)):
        count = len(resting[source])
        names = "1 endpoint rests" if count == 1 else f"{count} endpoints rest"
        yield Caution("stale", source, f"is of {dates[source]}, over {STALE_DAYS} days ago; {names} on it")
    yield from endpoints


class _Cell(NamedTuple):
    """One field of one endpoint and what it rests on."""

    field: str
    kind: Kind
    source: str
    date: str
    what: _What


def _cells(endpoint: Endpoint) -> list[_Cell]:
    facts = [_Cell(name, at.kind, at.source, at.date, what="facts") for name, at in facts_of(endpoint)]
    return facts + [_Cell(name, f.kind, f.source, f.date, what="figures") for name, _, f in figures_of(endpoint)]


def _fields(cells: Sequence[_Cell]) -> str:
    """The fields of these cells of one endpoint in few words."""
    names = [cell.field for cell in cells if not cell.field.startswith(_ABILITY)]
    abilities = [cell.field.removeprefix(_ABILITY) for cell in cells if cell.field.startswith(_ABILITY)]
    if abilities:
        names.append("ability" if len(abilities) == len(ABILITIES) else f"ability ({', '.join(abilities)})")
    return ", ".join(names)


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
    """How much is assumed in all, then by endpoint the fields that are."""
    cells = {endpoint.id: _cells(endpoint) for endpoint in catalogue.endpoints}
    every = [cell for of in cells.values() for cell in of]
    if not any(cell.kind == "prior" for cell in every):
        return
    yield Caution(
        "prior", "in all", f"{_assumed(every, 'figures')[1]} and {_assumed(every, 'facts')[1]} are assumptions"
    )
    for name, of in cells.items():
        (figures, count), (facts, _) = _assumed(of, "figures"), _assumed(of, "facts")
        parts = [f"{count} are assumptions: {_fields(figures)}"] if figures else []
        parts += [f"facts: {_fields(facts)}"] if facts else []
        if parts:
            yield Caution("prior", name, "; ".join(parts))


def _assumed(cells: Sequence[_Cell], what: _What) -> tuple[list[_Cell], str]:
    """The assumptions among the figures or facts of these cells, and how many they are of how many."""
    every = [cell for cell in cells if cell.what == what]
    assumed = [cell for cell in every if cell.kind == "prior"]
    return assumed, f"{len(assumed):,} of {len(every):,} {what}"
