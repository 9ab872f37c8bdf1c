"""A tenant's spend of the month against its budget, with its forecast: one view for API, pages and commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from freerelay_core.amounts import usd_figure
from freerelay_core.fleet.budget import counted
from freerelay_core.fleet.forecast import DAYS_BACK, Forecast, forecast, next_month
from freerelay_core.store import DailySpend, Store, Tenant

__all__ = ["Spending", "next_month", "spending_of", "spendings"]


@dataclass(frozen=True, slots=True)
class Spending:
    """What a tenant has spent in the month of `at`, USD."""

    at: datetime
    budget_usd: float | None
    spent_usd: float
    forecast: Forecast | None
    simulated: bool
    """Simulated and generated cost is counted, as no real endpoint serves; else measured cost alone."""

    @property
    def month(self) -> str:
        """The month's name."""
        return f"{self.at:%B}"

    @property
    def left_usd(self) -> float | None:
        """None where there is no budget."""
        return None if self.budget_usd is None else max(0.0, self.budget_usd - self.spent_usd)

    def as_dict(self) -> dict[str, Any]:
        """The shape in which the API shows it; all amounts in USD."""
        told = self.forecast
        return {
            "month": f"{self.at:%Y-%m}",
            "budget_usd": self.budget_usd,
            "spent_usd": self.spent_usd,
            "left_usd": self.left_usd,
            "basis": "simulated" if self.simulated else "measured",
            "renewed_at": next_month(self.at),
            "forecast": told
            and {
                "expected_usd": told.expected_usd,
                "low_usd": told.low_usd,
                "high_usd": told.high_usd,
                "runs_out": told.runs_out,
            },
            "words": self.words,
        }

    @property
    def words(self) -> str:
        """The forecast and what it means for the budget, in a sentence or two."""
        return self.words_with(lambda usd: f"{usd_figure(usd)} USD")

    def words_with(self, money: Callable[[float], str]) -> str:
        """`words`, their amounts (USD) written by `money` with its unit."""
        told, budget = self.forecast, self.budget_usd
        if budget is not None and self.spent_usd >= budget:
            return f"The budget of {money(budget)} is used up. The operator can raise it."
        if told is None:
            return "Too early for a forecast: it needs three whole days with traffic."
        pace = (
            f"At this pace {money(told.expected_usd)} ({money(told.low_usd)} to {money(told.high_usd)}) "
            f"by the end of {self.month}"
        )
        if budget is None:
            return f"{pace}."
        if told.runs_out is not None:
            return f"{pace}; the budget of {money(budget)} runs out about {told.runs_out.day} {told.runs_out:%B}."
        return f"{pace}; the budget of {money(budget)} {'lasts' if told.high_usd <= budget else 'may not last'}."


async def spending_of(store: Store, tenant: Tenant, now: datetime, *, simulated: bool) -> Spending:
    """One tenant's, as the store has it now. Raises `StoreUnavailable`."""
    days = await store.daily_spend(tenant.id, since=_since(now))
    return _spending(tenant, days, now, simulated=simulated)


async def spendings(store: Store, tenants: Iterable[Tenant], now: datetime, *, simulated: bool) -> dict[str, Spending]:
    """Each of these tenants', by id, in one question. For operators only."""
    by_tenant: dict[str, list[DailySpend]] = {}
    for each in await store.daily_spend(None, since=_since(now)):
        by_tenant.setdefault(each.tenant_id, []).append(each)
    return {t.id: _spending(t, by_tenant.get(t.id, ()), now, simulated=simulated) for t in tenants}


def _since(now: datetime) -> date:
    return min(now.date().replace(day=1), now.date() - timedelta(days=DAYS_BACK))


def _spending(tenant: Tenant, days: Iterable[DailySpend], now: datetime, *, simulated: bool) -> Spending:
    daily: dict[date, float] = {}
    for each in days:
        if counted(each.basis, simulated=simulated):
            daily[each.day] = daily.get(each.day, 0.0) + each.cost_usd
    spent = sum(usd for day, usd in daily.items() if (day.year, day.month) == (now.year, now.month))
    return Spending(now, tenant.budget_usd, spent, forecast(daily, now, tenant.budget_usd), simulated)
