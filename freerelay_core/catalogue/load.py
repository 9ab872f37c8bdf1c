"""Reads the shipped catalogue and the operator's file above it, and refuses what cannot be right, naming the field.

An operator's file adds or changes providers and endpoints by id, field by field; with `replace: true` it stands alone.
`like: <id>` starts an endpoint from another one, so that a local server is three lines; `successor_of: <id>` starts one
that nobody has rated yet from the model before it, whose figures then count as assumptions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from freerelay_core.catalogue.build import build_endpoint, build_wire
from freerelay_core.catalogue.endpoint import Catalogue, Endpoint, Origin, Provider
from freerelay_core.catalogue.files import CatalogueFile, Problem, read_file, validated
from freerelay_core.catalogue.shapes import FACTS, RawEndpoint, RawSource
from freerelay_core.catalogue.waits import Waits
from freerelay_core.catalogue.wire import Wire
from freerelay_core.errors import ConfigurationError

__all__ = ["SHIPPED", "load_catalogue", "try_load"]

SHIPPED = Path(__file__).parent
"""Folder of `sources.yaml` and `endpoints/<provider>.yaml`."""

Fields = dict[str, Any]
_Wire = tuple[Wire, Mapping[str, Origin]]

_TERMS = ("price", "free_tier", "limits", "quota_group")
"""What a provider asks and allows for a model: never taken over from another provider or model."""

_TIMES = ("first_token_s", "tokens_per_s")
_FIGURES = (*_TIMES, "thinking_tokens", "ability")


def load_catalogue(operator_file: Path | None = None) -> Catalogue:
    """The shipped catalogue, changed by `operator_file` where one is given.

    Raises `ConfigurationError` naming the file, the line, the field and the reason.
    """
    problems: list[Problem] = []
    catalogue = try_load(operator_file, problems)
    if catalogue is None:
        raise problems[0].as_error()
    return catalogue


def try_load(operator_file: Path | None, problems: list[Problem]) -> Catalogue | None:
    """The catalogue, or None with everything that is wrong added to `problems`."""
    shipped, wrong = _shipped()
    problems += wrong
    own = None if operator_file is None else read_file(operator_file, problems)
    if problems:
        return None
    layers: list[Sequence[CatalogueFile]] = [shipped, [own] if own else []]
    if own and own.content.replace:
        layers = layers[1:]
    sources = _sources(layers)
    providers = _providers(layers, operator_file, _wires([shipped, *layers], problems), problems)
    known: dict[str, Fields] = {}
    endpoints: dict[str, Endpoint] = {}
    for layer in layers:
        for endpoint_id, (file, fields) in _Layer(layer, known, problems).resolved().items():
            known[endpoint_id] = fields
            endpoint = _endpoint(file, endpoint_id, fields, providers=providers, sources=sources, problems=problems)
            if endpoint is not None:
                endpoints[endpoint_id] = endpoint
    if not endpoints and not problems:
        last = layers[-1][-1] if layers[-1] else layers[0][-1]
        problems.append(last.problem(("endpoints",), "a catalogue needs at least one endpoint."))
    return None if problems else Catalogue(providers, tuple(endpoints.values()))


@cache
def _shipped() -> tuple[tuple[CatalogueFile, ...], tuple[Problem, ...]]:
    """The shipped files, read once a process: they do not change while it runs. Nobody alters what they hold."""
    problems: list[Problem] = []
    paths = [SHIPPED / "sources.yaml", *sorted((SHIPPED / "endpoints").glob("*.yaml"))]
    files = [read_file(path, problems) for path in paths]
    return tuple(file for file in files if file), tuple(problems)


def _sources(layers: Iterable[Iterable[CatalogueFile]]) -> dict[str, RawSource]:
    return {name: source for layer in layers for file in layer for name, source in file.content.sources.items()}


def _wires(layers: Sequence[Iterable[CatalogueFile]], problems: list[Problem]) -> dict[str, _Wire]:
    """The wires by name; the shipped ones can be named by a catalogue that replaces the shipped endpoints, too."""
    sources = _sources(layers)
    wires: dict[str, _Wire] = {}
    for file in (file for layer in layers for file in layer):
        for name, raw in file.content.wires.items():
            try:
                wires[name] = build_wire(name, raw, sources)
            except ConfigurationError as error:
                problems.append(file.problem(("wires", name, error.param or ""), error.message))
    return wires


def _providers(
    layers: Iterable[Iterable[CatalogueFile]],
    operator_file: Path | None,
    wires: Mapping[str, _Wire],
    problems: list[Problem],
) -> dict[str, Provider]:
    """The providers; one whose server is stated anew is another one, any other entry changes the one below it."""
    providers: dict[str, Provider] = {}
    for file in (file for layer in layers for file in layer):
        for provider_id, raw in file.content.providers.items():
            stated: Fields = {
                name: value
                for name in ("name", "key_variable", "budget_usd_per_month", "budget_usd_per_day")
                if (value := getattr(raw, name)) is not None
            }
            if raw.waits is not None:
                stated["waits"] = Waits(**raw.waits.model_dump())
            if raw.wire is not None and raw.wire in wires:
                stated["wire"], stated["wire_origins"] = wires[raw.wire]
            elif raw.wire is not None:
                reason = f"no wire is called {raw.wire!r}; known are {', '.join(sorted(wires))}."
                problems.append(file.problem(("providers", provider_id, "wire"), reason))
            if raw.base_url is not None:
                named: Fields = {"name": provider_id, "key_variable": None} | stated
                url, own = raw.base_url.rstrip("/"), file.path == operator_file
                providers[provider_id] = Provider(id=provider_id, base_url=url, own=own, **named)
            elif provider_id in providers:
                providers[provider_id] = replace(providers[provider_id], **stated)
            else:
                problems.append(file.problem(("providers", provider_id), "a new provider needs its base_url."))
    return providers


class _Layer:
    """The endpoints that some files state, filled in from each other and from those of the layer below.

    Order does not matter within a layer. What a layer changes does not reach back into the one below.
    """

    def __init__(self, files: Sequence[CatalogueFile], below: Mapping[str, Fields], problems: list[Problem]) -> None:
        self._below = below
        self._problems = problems
        self._stated: dict[str, tuple[CatalogueFile, Fields]] = {}
        self._done: dict[str, Fields | None] = {}
        for file in files:
            for endpoint_id, fields in file.content.endpoints.items():
                if endpoint_id in self._stated:
                    other = self._stated[endpoint_id][0].path
                    problems.append(file.problem(("endpoints", endpoint_id), f"is in {other} already."))
                self._stated[endpoint_id] = (file, fields)

    def resolved(self) -> dict[str, tuple[CatalogueFile, Fields]]:
        """Every endpoint of the layer with all its fields, as far as they could be filled in."""
        filled = {endpoint_id: self._fields(endpoint_id) for endpoint_id in self._stated}
        return {name: (self._stated[name][0], fields) for name, fields in filled.items() if fields is not None}

    def _fields(self, endpoint_id: str) -> Fields | None:
        if endpoint_id not in self._done:
            self._done[endpoint_id] = None  # a circle finds this
            self._done[endpoint_id] = self._filled(endpoint_id)
        return self._done[endpoint_id]

    def _filled(self, endpoint_id: str) -> Fields | None:
        file, stated = self._stated[endpoint_id]
        own = dict(stated)
        like, before = own.pop("like", None), own.pop("successor_of", None)
        start = like if before is None else before
        if start is None:
            below = self._below.get(endpoint_id, {})
            return below | _facts_beside(own, below) | own
        field = ("endpoints", endpoint_id, "like" if before is None else "successor_of")
        if like is not None and before is not None:
            self._problems.append(file.problem(field, "like and successor_of exclude each other."))
            return None
        base = self._base(endpoint_id, start)
        if base is None:
            reason = f"no endpoint is called {start!r}, or it cannot be filled in itself."
            self._problems.append(file.problem(field, reason))
            return None
        left = {"mode"} if "@" in endpoint_id else set()
        if before is not None or start.partition("/")[0] != endpoint_id.partition("/")[0]:
            left.update(_TERMS)
        taken = {name: value for name, value in base.items() if name not in left}
        taken |= _assumed(base, start, _TIMES if before is None else _FIGURES)
        return taken | _facts_beside(own, taken) | own

    def _base(self, endpoint_id: str, start: Any) -> Fields | None:
        """The fields of the endpoint to start from, its effort among them as `mode`; None where there is none."""
        if not isinstance(start, str):
            return None
        base = self._fields(start) if start in self._stated and start != endpoint_id else self._below.get(start)
        effort = start.partition("@")[2]
        return base | {"mode": effort} if base and effort else base


def _facts_beside(own: Fields, base: Fields) -> Fields:
    """The sources of the facts of `base` that `own` leaves as they are: they do not speak for what `own` states."""
    facts, left = base.get("facts"), [name for name in FACTS if name not in own]
    if isinstance(facts, str):
        facts = {"rest": facts}
    if not isinstance(facts, dict) or len(left) == len(FACTS):
        return {}
    sources = {name: facts.get(name, facts.get("rest")) for name in left}
    return {"facts": {name: source for name, source in sources.items() if source is not None}}


def _assumed(base: Fields, start: str, names: Iterable[str]) -> Fields:
    """Figures taken over from `start` as assumptions.

    Speeds belong to the server that was measured, the figures of a model to that model: on another one they are priors.
    """
    taken: Fields = {}
    for name in names:
        figure = base.get(name)
        if isinstance(figure, dict):
            taken[name] = figure | {"via": start} | ({} if name == "ability" else {"kind": "prior"})
    return taken


def _endpoint(
    file: CatalogueFile,
    endpoint_id: str,
    fields: Fields,
    *,
    providers: Mapping[str, Provider],
    sources: Mapping[str, RawSource],
    problems: list[Problem],
) -> Endpoint | None:
    provider, _, rest = endpoint_id.partition("/")
    if not rest.partition("@")[0] or provider not in providers:
        reason = "the id must be provider/model or provider/model@effort, with a provider listed under `providers`."
        problems.append(file.problem(("endpoints", endpoint_id), reason))
        return None
    under = ("endpoints", endpoint_id)
    raw = validated(RawEndpoint, fields, file.path, under, problems)
    if raw is None:
        return None
    try:
        return build_endpoint(endpoint_id, raw, sources, providers[provider].wire)
    except ConfigurationError as error:
        problems.append(file.problem((*under, *(error.param or "").split(".")), error.message))
        return None
