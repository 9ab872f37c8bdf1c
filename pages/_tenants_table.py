"""The tenants in HTML: who they are, what they may, what they sent and spent of late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from freerelay_core.composition.spending import Spending
from freerelay_core.preference import DEFAULT_PREFERENCE
from freerelay_core.store.values import Tenant, Traffic
from pages._format import count, moment, usd

__all__ = ["override_words", "preference_words", "tenants_table"]

_NONE = Traffic()
_COLUMNS = (
    *("Tenant", "Tier", "Preference", "Override", "Requests, 24 h", "Cost, 24 h"),
    *("Budget a month", "Spent this month", "Left", "Forecast", "Settings changed"),
)
_NUMBERS = frozenset(_COLUMNS[4:10])


def tenants_table(
    tenants: Sequence[Tenant], traffic: Mapping[str, Traffic] | None, spending: Mapping[str, Spending]
) -> str:
    """One row a tenant. `traffic` is that of the last 24 h by tenant id, None where unknown; `spending` the month's."""
    rows = "".join(
        _row(tenant, None if traffic is None else traffic.get(tenant.id, _NONE), spending.get(tenant.id))
        for tenant in tenants
    )
    heads = "".join(f"<th scope='col'{_class(name)}>{name}</th>" for name in _COLUMNS)
    return (
        "<table class='fr-table fr-stack'><caption class='fr-hidden'>Tenants</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _row(tenant: Tenant, traffic: Traffic | None, spending: Spending | None) -> str:
    told = spending.forecast if spending else None
    cells = {
        "Tier": tenant.tier,
        "Preference": preference_words(tenant),
        "Override": override_words(allowed=tenant.allow_override),
        "Requests, 24 h": "unknown" if traffic is None else count(traffic.requests),
        "Cost, 24 h": usd(None if traffic is None else traffic.cost_usd),
        "Budget a month": "none" if tenant.budget_usd is None else usd(tenant.budget_usd),
        "Spent this month": usd(spending.spent_usd if spending else None),
        "Left": "no budget" if tenant.budget_usd is None else usd(spending.left_usd if spending else None),
        "Forecast": f"{usd(told.low_usd)} to {usd(told.high_usd)}" if told else "too early",
        "Settings changed": moment(tenant.updated_at) if tenant.settings_version > 1 else "never",
    }
    drawn = "".join(f"<td{_class(name)} data-column='{name}'>{escape(value)}</td>" for name, value in cells.items())
    return f"<tr><th scope='row'>{escape(tenant.email)}</th>{drawn}</tr>"


def _class(column: str) -> str:
    return " class='fr-number'" if column in _NUMBERS else ""


def preference_words(tenant: Tenant) -> str:
    """What the tenant chose, or the default that stands in for a choice."""
    return tenant.routing_preference or f"default ({DEFAULT_PREFERENCE})"


def override_words(*, allowed: bool) -> str:
    """Whether a single request may ask for another preference."""
    return "allowed" if allowed else "not allowed"
