"""The settings page in HTML: the answer on top, the three cards, the preview of a change, and the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from freerelay_core.preference import EXPONENTS, LEVELS, EffectivePreference, RoutingPreference
from freerelay_core.simulation import ENOUGH
from freerelay_core.store.values import SettingsChange
from pages._format import count, difference, moment, percent, quality, seconds, times, usd
from pages._outlook import DAYS, Figures, Outlook

__all__ = [
    "answer",
    "basis_line",
    "cards",
    "change_sentence",
    "change_words",
    "changes_table",
    "history",
    "purpose_of",
    "title_of",
]

_WISHES = {"cost": "cost", "quality": "quality", "latency": "speed"}
"""The factors among which the preferences choose, as people call them."""

_CARD_ENDPOINTS = 3
_CHANGED_ENDPOINTS = 5


def title_of(preference: RoutingPreference) -> str:
    """The preference's name as a title: "Cost-optimized"."""
    return preference.value.capitalize()


def answer(effective: EffectivePreference, chosen: str, outlook: Outlook, *, allow_override: bool) -> str:
    """Which preference is in force, and which level decides. `chosen` says by whom and when it was chosen."""
    levels = "".join(
        f"<li aria-current='true'>{level}</li>" if level == effective.level else f"<li>{level}</li>" for level in LEVELS
    )
    rule = f" by the operator's rule <code>{escape(effective.rule)}</code>" if effective.rule else ""
    notes = [escape(chosen)]
    notes += [
        f"For {percent(ruled.fraction)} of the requests below the operator's rule <code>{escape(ruled.rule)}</code> "
        f"decides: {ruled.preference}."
        for ruled in outlook.ruled
        if ruled.rule != effective.rule
    ]
    if allow_override:
        notes.append("A single request may ask for another with the header <code>X-FreeRelay-Preference</code>.")
    return (
        f"<div class='fr-answer'><p class='fr-answer-value'><strong>{title_of(effective.value)}</strong> is in force"
        f"{rule}</p><div class='fr-levels'><span id='fr-levels'>Decided by level</span><ol aria-labelledby='fr-levels'>"
        f"{levels}</ol></div><p class='fr-answer-notes'>{' '.join(notes)}</p></div>"
    )


def cards(outlook: Outlook, *, in_force: RoutingPreference, chosen: RoutingPreference) -> str:
    """What each preference means for the workload, side by side."""
    drawn = "".join(_card(outlook, p, in_force=in_force, chosen=chosen) for p in RoutingPreference)
    return f"<div class='fr-cards'>{drawn}</div>"


def _card(
    outlook: Outlook, preference: RoutingPreference, *, in_force: RoutingPreference, chosen: RoutingPreference
) -> str:
    figures, present = outlook.figures[preference], outlook.figures[in_force]
    cost, *others = _comparison(figures, present)
    is_present = preference is in_force
    tag = ""
    if is_present:
        tag = "<span class='fr-tag'>In force</span>"
    elif preference is chosen:
        tag = "<span class='fr-tag fr-tag-outline'>Preview</span>"
    rows = "".join(
        f"<div><dt>{row.short}</dt><dd>{row.new}{'' if is_present else f'<small>{row.words}</small>'}</dd></div>"
        for row in others
    )
    return (
        f"<article class='fr-card{' is-chosen' if preference is chosen else ''}'>"
        f"<header><h3>{title_of(preference)}</h3>{tag}</header>"
        f"<p class='fr-purpose'>{_purpose(outlook, preference)}</p>"
        f"<p class='fr-cost'><strong>{cost.new}</strong> per 1,000 requests"
        f"<small>{'the present estimate' if is_present else cost.words}</small></p>"
        f"<dl>{rows}</dl>{_shares(figures)}</article>"
    )


def _purpose(outlook: Outlook, preference: RoutingPreference) -> str:
    equal = outlook.equals(preference)
    if not equal:
        return purpose_of(preference)
    names = " and ".join(title_of(other) for other in equal)
    verb = "does" if len(equal) == 1 else "do"
    return f"{purpose_of(preference)} <strong>Here it chooses exactly as {names} {verb}.</strong>"


def purpose_of(preference: RoutingPreference) -> str:
    """What a preference wants, read from its exponents: "Cost counts 3 times as much as quality and speed."."""
    by_exponent: dict[float, list[str]] = {}
    for factor, name in _WISHES.items():
        by_exponent.setdefault(EXPONENTS[preference][factor], []).append(name)
    (least, others), *more = sorted(by_exponent.items())
    if not more:
        return f"{_and(others).capitalize()} count alike."
    clauses = [
        f"{_and(names)} count{'s' if len(names) == 1 else ''} {times(exponent / least)} as much as {_and(others)}"
        for exponent, names in reversed(more)
    ]
    return f"{'; '.join(clauses).capitalize()}."


def _and(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


@dataclass(frozen=True, slots=True)
class _Row:
    """A figure of two preferences: its name, a short one, the new and the old value, the difference in words."""

    name: str
    short: str
    new: str
    old: str
    words: str


def _comparison(new: Figures, old: Figures) -> tuple[_Row, _Row, _Row, _Row]:
    """Cost, median time, 95th percentile of time, and quality."""
    return (
        _Row(
            "Cost per 1,000 requests",
            "Cost",
            usd(new.cost_usd_per_1000),
            usd(old.cost_usd_per_1000),
            difference(new.cost_usd_per_1000, old.cost_usd_per_1000, "cost"),
        ),
        _Row(
            "Half done in (p50)",
            "Half done in",
            seconds(new.latency_p50_s),
            seconds(old.latency_p50_s),
            difference(new.latency_p50_s, old.latency_p50_s, "time"),
        ),
        _Row(
            "95 % done in (p95)",
            "95 % done in",
            seconds(new.latency_p95_s),
            seconds(old.latency_p95_s),
            difference(new.latency_p95_s, old.latency_p95_s, "time"),
        ),
        _Row(
            "Good answers",
            "Good answers",
            quality(new.quality),
            quality(old.quality),
            difference(new.quality, old.quality, "quality"),
        ),
    )


def _shares(figures: Figures) -> str:
    top = list(figures.share.items())[:_CARD_ENDPOINTS]
    rows = "".join(
        f"<li style='--share: {share}'><span>{escape(name)}</span><span>{percent(share)}</span></li>"
        for name, share in top
    )
    rest = len(figures.share) - len(top)
    others = sum(list(figures.share.values())[_CARD_ENDPOINTS:])
    more = f"<li class='fr-rest'><span>{count(rest, 'other')}</span><span>{percent(others)}</span></li>" if rest else ""
    return f"<section><h4>Who answers</h4><ul class='fr-shares'>{rows}{more}</ul></section>"


def change_sentence(outlook: Outlook, before: RoutingPreference, after: RoutingPreference) -> str:
    """What a change means, in one line of plain text."""
    new, old = outlook.figures[after], outlook.figures[before]
    changed = outlook.changed[before, after]
    if not changed:
        return (
            f"Nothing would change: {after} chooses the same endpoint as {before} for each of these "
            f"{count(outlook.requests)} requests."
        )
    cost, p50, _, good = (row.words for row in _comparison(new, old))
    parts = [
        "costs the same" if cost == "same" else f"costs {cost}",
        "a typical answer takes as long" if p50 == "same" else f"a typical answer is {p50}",
        "quality stays the same" if good == "same" else good,
    ]
    sentence = ", ".join(parts)
    share = percent(changed / outlook.requests)
    return f"{sentence[0].upper()}{sentence[1:]}. {share} of the requests get another first choice."


def changes_table(outlook: Outlook, before: RoutingPreference, after: RoutingPreference) -> str:
    """The preview: every figure now and then, and the endpoints that win or lose requests."""
    new, old = outlook.figures[after], outlook.figures[before]
    rows = "".join(
        f"<tr><th scope='row'>{row.name}</th><td>{row.old}</td><td>{row.new}</td><td>{row.words}</td></tr>"
        for row in _comparison(new, old)
    )
    changed = outlook.changed[before, after]
    rows += (
        f"<tr><th scope='row'>First choices changed</th><td></td><td>{count(changed)} of {count(outlook.requests)}"
        f"</td><td>{percent(changed / outlook.requests)}</td></tr>"
    )
    return (
        "<div class='fr-preview'><table class='fr-table'><caption class='fr-hidden'>What would change</caption><thead>"
        f"<tr><td></td><th scope='col'>Now</th><th scope='col'>Then</th><th scope='col'>Difference</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>{_moves(outlook, before, after)}</div>"
    )


def _moves(outlook: Outlook, before: RoutingPreference, after: RoutingPreference) -> str:
    changes = outlook.share_changes(before, after)
    if not changes:
        return ""
    rows = ""
    for change in changes[:_CHANGED_ENDPOINTS]:
        note = "won" if not change.before else "lost" if not change.after else ""
        rows += (
            f"<tr><th scope='row'>{escape(change.endpoint)}</th><td>{percent(change.before)}</td>"
            f"<td>{percent(change.after)}</td><td>{note}</td></tr>"
        )
    rest = len(changes) - _CHANGED_ENDPOINTS
    more = f"<tr><td colspan='4'>and smaller changes at {count(rest, 'endpoint')}</td></tr>" if rest > 0 else ""
    return (
        "<table class='fr-table fr-moves'><caption class='fr-hidden'>Endpoints won and lost</caption><thead><tr>"
        "<th scope='col'>Share of the requests</th><th scope='col'>Now</th><th scope='col'>Then</th>"
        f"<td></td></tr></thead><tbody>{rows}{more}</tbody></table>"
    )


def basis_line(outlook: Outlook) -> str:
    """What the figures rest on."""
    if outlook.is_own:
        demo = f" (of them {count(outlook.demo_requests)} demo data, not sent by you)" if outlook.demo_requests else ""
        traffic = f"your own newest {count(outlook.requests)} requests of the last {DAYS} days{demo}"
    else:
        traffic = (
            f"a standard workload of {count(outlook.requests)} requests, because you have sent "
            f"{count(outlook.own_requests)} in the last {DAYS} days and {ENOUGH} are needed to judge by your own"
        )
    kept = _kept(outlook)
    unserved = f" No endpoint can serve {count(outlook.unserved, 'request')} of them." if outlook.unserved else ""
    return (
        f"<p class='fr-basis'>Simulated on {traffic}.{kept}{unserved} Prices are today's list, abilities and speeds "
        f"the catalogue's, the fleet is snapshot <code>{escape(outlook.snapshot_id)}</code> of "
        f"{moment(outlook.snapshot_at)}. Estimates of what would happen, not measurements.</p>"
    )


def _kept(outlook: Outlook) -> str:
    """How many requests no preference of the tenant's changes."""
    parts = []
    if outlook.named_model:
        parts.append(f"{count(outlook.named_model)} of them name their model")
    if outlook.own_preference:
        parts.append(f"{count(outlook.own_preference)} ask for a preference themselves")
    return f" {' and '.join(parts)}: no choice here changes those." if parts else ""


def change_words(change: SettingsChange) -> str:
    """A change of a tenant's settings as plain text: "default → balanced", "budget: no budget → $50.00"."""
    if change.field == "budget_usd":
        before, after = (
            "no budget" if value is None else usd(float(value)) for value in (change.old_value, change.new_value)
        )
        return f"budget: {before} → {after}"
    name = "" if change.field == "routing_preference" else f"{change.field}: "
    return f"{name}{change.old_value or 'default'} → {change.new_value or 'default'}"


def history(changes: Sequence[SettingsChange]) -> str:
    """The changes of a tenant's settings, newest first."""
    rows = "".join(
        f"<tr><td>{moment(change.at)}</td><td>{escape(change.actor)}</td><td>{escape(change_words(change))}</td></tr>"
        for change in changes
    )
    return (
        "<table class='fr-table fr-history'><caption class='fr-hidden'>Changes of the settings</caption><thead><tr>"
        "<th scope='col'>When</th><th scope='col'>Who</th><th scope='col'>From → to</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )
