"""What tenants and providers have spent in the present month, against their budgets. For one event loop.

    spent = elsewhere (all other workers, as the store last said) + here (what this worker put on record) + held

A request that is under way holds what it is expected to cost; the hold goes when its record is made, which says what it
did cost. The store leaves out what this worker wrote, so nothing counts twice however the two are timed. A new month
begins with new accounts; what is still under way is settled on the old ones, which nobody asks for any more.

Real money and simulated are never added up: where any endpoint is real, budgets count measured cost alone; else
they count simulated and generated cost, so that a demo can show what a budget does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from freerelay_core.catalogue import Provider
from freerelay_core.clock import Clock
from freerelay_core.scoring import Budget
from freerelay_core.snapshot import Snapshot
from freerelay_core.store import DecisionRecord, SpendElsewhere, SpendOfMonth, Tenant

__all__ = ["Account", "Budgets", "Hold", "counted"]

_STEP = 0.01
"""A provider's share is published again when it has moved by so much: every step is a new snapshot."""


class Account:
    """What one tenant or provider has spent in one period, USD."""

    __slots__ = ("_holds", "elsewhere", "held", "here")

    def __init__(self) -> None:
        self.elsewhere = self.here = self.held = 0.0
        self._holds = 0

    @property
    def spent_usd(self) -> float:
        """All of it, with what is expected of requests under way."""
        return self.elsewhere + self.here + self.held

    def hold(self, usd: float) -> None:
        """Set aside what a request is expected to cost."""
        self._holds += 1
        self.held += usd

    def release(self, usd: float) -> None:
        """Give back what `hold` set aside; after the last one nothing is left of rounding."""
        self._holds -= 1
        self.held = max(0.0, self.held - usd) if self._holds else 0.0


@dataclass(frozen=True, slots=True)
class Hold:
    """What a request under way has set aside."""

    accounts: tuple[Account, ...]
    usd: float


def counted(basis: str, *, simulated: bool) -> bool:
    """Whether cost of this basis counts against a budget of real money, or (`simulated`) of simulated."""
    return (basis != "measured") is simulated


class Budgets:
    """The accounts of one worker; `publish` takes the shares that are left to providers whenever they have changed."""

    def __init__(
        self,
        base: Snapshot,
        providers: Mapping[str, Provider],
        clock: Clock,
        *,
        worker: str,
        publish: Callable[[Mapping[str, float]], None],
    ) -> None:
        self.worker = worker
        self.simulated = bool(base.simulated.all())
        """Whether budgets of tenants count simulated money."""
        self._counts = np.ones(len(base), dtype=np.bool_) if self.simulated else ~base.simulated
        self._provider_of = base.providers
        self._simulated_providers = {p for p, s in zip(base.providers, base.simulated.tolist(), strict=True) if s}
        self._limited = {name: p for name, p in providers.items() if p.has_budget}
        self._clock = clock
        self._publish = publish
        self._published = dict.fromkeys(self._limited, 1.0)
        self._tenants: dict[str, Account] = {}
        self._months: dict[str, Account] = {}
        self._days: dict[str, Account] = {}
        self._today = clock.now().date()

    # -- asked by requests

    def of(self, tenant: Tenant) -> Budget | None:
        """What is left to a tenant; None where it has no budget."""
        if tenant.budget_usd is None:
            return None
        left = max(0.0, tenant.budget_usd - self.spent_usd(tenant.id))
        return Budget(left, left / tenant.budget_usd if tenant.budget_usd else 0.0, self._counts)

    def spent_usd(self, tenant_id: str) -> float:
        """What the tenant has spent this month, as far as this worker knows."""
        self._turn()
        account = self._tenants.get(tenant_id)
        return account.spent_usd if account else 0.0

    def concern(self, tenant: Tenant) -> bool:
        """Whether any budget may limit this tenant's requests: its own, or that of a provider."""
        return tenant.budget_usd is not None or bool(self._limited)

    def hold(self, tenant: Tenant, endpoint: int, usd: float) -> Hold | None:
        """Set aside what a request is expected to cost at its first choice; None where no budget asks for it."""
        if usd <= 0.0 or not self.concern(tenant):
            return None
        self._turn()
        provider = self._provider_of[endpoint]
        accounts = []
        if tenant.budget_usd is not None and self._counts[endpoint]:
            accounts.append(_of(self._tenants, tenant.id))
        if provider in self._limited:
            accounts += (_of(self._months, provider), _of(self._days, provider))
        for account in accounts:
            account.hold(usd)
        if provider in self._limited:
            self._look(provider)
        return Hold(tuple(accounts), usd)

    # -- told of outcomes

    def booked(self, record: DecisionRecord, hold: Hold | None) -> DecisionRecord:
        """Put a decision's cost on its accounts in place of its hold; returns the record."""
        self._turn()
        if hold is not None:
            for account in hold.accounts:
                account.release(hold.usd)
        day, basis = record.created_at.date(), record.outcome.basis
        if (day.year, day.month) == (self._today.year, self._today.month):
            for provider, usd in _paid(record):
                if counted(basis, simulated=self.simulated):
                    _of(self._tenants, record.tenant_id).here += usd
                if counted(basis, simulated=provider in self._simulated_providers):
                    _of(self._months, provider).here += usd
                    if day == self._today:
                        _of(self._days, provider).here += usd
        for provider in self._limited:
            self._look(provider)
        return record

    def adopt(self, read: SpendElsewhere) -> None:
        """Take over what all other workers have spent; an answer about another day says nothing."""
        self._turn()
        if read.day != self._today:
            return
        for tenant_id, sums in read.tenants.items():
            _of(self._tenants, tenant_id).elsewhere = _sum(sums, simulated=self.simulated)
        for tenant_id, account in self._tenants.items():
            if tenant_id not in read.tenants:
                account.elsewhere = 0.0
        for provider in self._limited:
            sums = read.providers.get(provider, ())
            simulated = provider in self._simulated_providers
            _of(self._months, provider).elsewhere = _sum(sums, simulated=simulated)
            _of(self._days, provider).elsewhere = _sum(sums, simulated=simulated, today=True)
            self._look(provider)

    # -- inside

    def _turn(self) -> None:
        """Begin new accounts where a new day or month has begun."""
        day = self._clock.now().date()
        if day == self._today:
            return
        if (day.year, day.month) != (self._today.year, self._today.month):
            self._tenants, self._months = {}, {}
        self._days, self._today = {}, day
        for provider in self._limited:
            self._look(provider)

    def _look(self, name: str) -> None:
        """Publish a provider's share where it has changed enough to matter."""
        limits = self._limited[name]
        shares = [
            max(0.0, 1.0 - _of(accounts, name).spent_usd / most) if most else 0.0
            for accounts, most in ((self._months, limits.budget_usd_per_month), (self._days, limits.budget_usd_per_day))
            if most is not None
        ]
        share, before = min(shares), self._published[name]
        if (share > 0) is not (before > 0) or abs(share - before) >= _STEP:
            self._published[name] = share
            self._publish(self._published)


def _of(accounts: dict[str, Account], name: str) -> Account:
    account = accounts.get(name)
    if account is None:
        account = accounts[name] = Account()
    return account


def _sum(sums: Sequence[SpendOfMonth], *, simulated: bool, today: bool = False) -> float:
    return sum(each.day_usd if today else each.month_usd for each in sums if counted(each.basis, simulated=simulated))


def _paid(record: DecisionRecord) -> Iterator[tuple[str, float]]:
    """Who is paid what, as the trigger `decisions_after_insert` adds it up."""
    outcome = record.outcome
    if not outcome.cost_usd:
        return
    parts = [(each["endpoint"], each["cost_usd"]) for each in outcome.attempts if each.get("cost_usd") is not None]
    if len(outcome.attempts) < 2 or not parts:
        parts = [(outcome.endpoint or "", outcome.cost_usd)]
    for endpoint, usd in parts:
        yield endpoint.partition("/")[0], usd
