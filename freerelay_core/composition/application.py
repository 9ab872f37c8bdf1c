"""The running application: made once a process, started and stopped in one order, asked by the API and the pages.

Start: configuration, database, store, router; then what runs beside the requests. Stop goes the other way round, so
that the decision log is written before its store closes, and the database stops last.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from freerelay_core.amounts import usd_figure
from freerelay_core.catalogue import Catalogue, compile_prices, load_catalogue
from freerelay_core.clock import Clock, SystemClock, new_id
from freerelay_core.composition.accounts import Accounts
from freerelay_core.composition.admission import Admission, FailedKeys
from freerelay_core.composition.beside import Beside
from freerelay_core.composition.grading import Grading
from freerelay_core.composition.keys import own_keys
from freerelay_core.composition.rules import RulesInForce
from freerelay_core.composition.saving import save_preference, save_preference_once
from freerelay_core.composition.spending import Spending, next_month, spending_of
from freerelay_core.composition.stores import store_elsewhere
from freerelay_core.composition.tally import Tally
from freerelay_core.composition.wishes import read_wishes
from freerelay_core.config import Settings
from freerelay_core.decision import Alike, Decision, decide
from freerelay_core.errors import BudgetExhausted, NotFound, PermissionDenied, Unavailable
from freerelay_core.fleet import Budgets, Fleet, Hold, RateLedger
from freerelay_core.policy import NO_DIRECTIVE, Facts, Policy
from freerelay_core.preference import EffectivePreference, effective_preference, parse_choice
from freerelay_core.profile import KnownProfiles, RequestProfile, profile_request
from freerelay_core.providers import OpenAIWire, SimulatedProvider, VendorKeys, find_vendor_keys
from freerelay_core.router import Router, have_to_wait
from freerelay_core.scoring import Excluded
from freerelay_core.snapshot import Snapshot, catalogue_snapshot
from freerelay_core.store import (
    Answered,
    DecisionLog,
    Identity,
    KnownIdentities,
    PostgresStore,
    Spill,
    Store,
    Tenant,
    key_digest,
)
from freerelay_core.store.embedded import DatabaseLease, acquire_database

__all__ = ["SESSION_LIFETIME", "Application", "SettingsView", "current"]

SESSION_LIFETIME = timedelta(hours=12)

_WRITE_LOG_S = 5.0
"""How long the end waits for the database to take what is pending."""

_WAITING = frozenset({Excluded.COOLING_DOWN, Excluded.QUOTA_GONE})
_TENANT_VARIABLES = frozenset({"tenant", "tier", "preference"})
"""What a rule may read that is the same for all requests of a tenant."""


@dataclass(frozen=True, slots=True)
class SettingsView:
    """A tenant's settings, and the preference that decides an ordinary request of it."""

    tenant: Tenant
    effective: EffectivePreference
    spending: Spending


class Application:
    """Everything that serves requests in this process. `start` makes it, `stop` ends it."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], clock: Clock) -> None:
        """Read the configuration; nothing runs yet. Raises `ConfigurationError`."""
        self.settings = settings
        self.clock = clock
        self.started = clock.monotonic()
        self.tally = Tally()
        self.loop = asyncio.get_running_loop()
        self.catalogue: Catalogue = load_catalogue(settings.catalogue)
        self.rules = RulesInForce(settings.rules, [e.id for e in self.catalogue.endpoints])
        self.vendor_keys: VendorKeys = find_vendor_keys(
            self.catalogue.providers, settings.enabled_providers, environment
        )
        base = self._catalogue_snapshot(clock.now())
        worker = secrets.token_hex(4)
        self.fleet = Fleet(
            base,
            clock,
            worker=worker,
            epoch_s=settings.fleet_epoch_ms / 1000,
            prices_on=lambda day: compile_prices(self.catalogue.endpoints, day),
            ledger=RateLedger.of(
                self.catalogue.endpoints,
                counted=None if settings.simulated_limits else (~base.simulated).tolist(),
            ),
        )
        self.budgets = Budgets(base, self.catalogue.providers, clock, worker=worker, publish=self.fleet.limit_spending)
        self._alike = Alike()
        self._profiles = KnownProfiles()
        self._index = {endpoint.id: index for index, endpoint in enumerate(self.catalogue.endpoints)}
        self._running = AsyncExitStack()
        self.store: Store
        self.identities: KnownIdentities
        self.accounts: Accounts
        self.decision_log: DecisionLog
        self.grading: Grading
        self.router: Router
        self.demo_key: str | None
        self._beside: Beside

    @classmethod
    async def start(cls, settings: Settings, *, environment: Mapping[str, str] = os.environ) -> Self:
        """The application, serving; at most one a process.

        Raises `ConfigurationError`. A database that is away is none: `ready` then says so until it is back.
        """
        global _current  # noqa: PLW0603  (the one of this process)
        if _current is not None:
            raise RuntimeError("one application is running in this process already")
        application = cls(settings, environment, SystemClock())
        try:
            await application._begin()
        except BaseException:
            await application.stop()
            raise
        _current = application
        return application

    async def stop(self) -> None:
        """Write what is pending, close everything, and stop the database if this process owns it."""
        global _current  # noqa: PLW0603
        if _current is self:
            _current = None
        await self._running.aclose()

    async def _begin(self) -> None:
        self.store, lease = await self._database()
        self._running.push_async_callback(self.store.close)
        keys = own_keys(self.settings)
        self.demo_key = keys.demo_key
        self.admission = Admission(self.settings, self.clock)
        self.failed_keys = FailedKeys(self.settings.failed_keys_per_minute)
        self.identities = KnownIdentities(self.store, self.clock, operator_digest=key_digest(keys.operator_key))
        self.accounts = Accounts(self.store, self.clock, remember=self.identities.remember)
        self.decision_log = DecisionLog(
            self.store, self.clock, spill=Spill(self.settings.home / "decisions-waiting", self.clock)
        )
        self.grading = Grading(self.store, self.decision_log, self.fleet, self._index)
        real = OpenAIWire(self.catalogue.providers, self.vendor_keys.keys)
        self._running.push_async_callback(real.close)
        self.router = Router(
            self.catalogue,
            self.fleet,
            self.clock,
            real=real,
            simulated=SimulatedProvider(
                self.fleet.snapshot().behaviour, self.clock, time_scale=self.settings.simulated_time_scale
            ),
            real_providers=self.vendor_keys.enabled,
        )
        self._beside = Beside(
            self.store,
            self.identities,
            self.decision_log,
            self.fleet,
            self.clock,
            rules=self.rules,
            budgets=self.budgets,
            limited=self.admission.addresses,
            demo_key=keys.demo_key,
            demo_week=self.settings.demo_week,
            lease=lease,
        )
        self._running.push_async_callback(self._close_log)
        self._running.push_async_callback(self._beside.stop)
        await self._beside.start()

    async def _database(self) -> tuple[Store, DatabaseLease | None]:
        store = store_elsewhere(self.settings, self.clock)
        if store is not None:
            return store, None
        lease = await asyncio.to_thread(acquire_database, self.settings.home)
        self._running.push_async_callback(asyncio.to_thread, lease.release)
        days = self.settings.keep_decisions_days
        return PostgresStore(lease.dsn, clock=self.clock, keep_decisions_days=days), lease

    async def _close_log(self) -> None:
        await self.decision_log.close(limit_s=_WRITE_LOG_S if self.ready else 0.0)

    # -- what is asked of it

    @property
    def policy(self) -> Policy:
        """The rules in force."""
        return self.rules.policy

    @property
    def ready(self) -> bool:
        """Whether the store has been reached since the start. Later absences are lived through."""
        return self._beside.store_reached.is_set()

    def profile_body(
        self, body: Mapping[str, Any], *, task: str | None = None, depth: str | None = None
    ) -> RequestProfile:
        """What `decide_body` takes from the texts of a body. May run in a thread, for a large one."""
        wishes = read_wishes(body, task=task, depth=depth)
        return profile_request(body, hour_utc=self.clock.now().hour, task=wishes.task, depth=wishes.depth)

    def decide_body(
        self,
        identity: Identity,
        body: Mapping[str, Any],
        *,
        digest: bytes | None = None,
        task: str | None = None,
        depth: str | None = None,
        override: str | None = None,
        profile: RequestProfile | None = None,
        live: bool = False,
    ) -> Decision:
        """The decision on a chat-completions body: the one path for traffic, dry runs and pages.

        `task`, `depth` and `override` (a preference) stand above what the body's `routing` says. `profile` is the
        body's, where `profile_body` has made it with the same `task` and `depth` already; else `digest`, that of the
        body's bytes, spares the work where it came before. `live` decides for real traffic; a dry run may rank
        simulated endpoints beside real ones. The ranking may be empty.
        Raises `PermissionDenied` for an override that the operator does not allow, `NotFound` for an unknown model.
        """
        wishes = read_wishes(body, preference=override, task=task, depth=depth, model_required=live)
        snapshot, tenant = self.fleet.snapshot(), identity.tenant
        if wishes.endpoint is not None:
            self.catalogue.endpoint(wishes.endpoint)
            if live:
                self.require_servable(wishes.endpoint)
        if wishes.preference is not None and tenant is not None and not tenant.allow_override:
            raise PermissionDenied(
                "This tenant may not override its routing preference for one request. Leave out "
                "X-FreeRelay-Preference and routing.preference, or ask the operator to allow it.",
                code="override_not_allowed",
            )
        if profile is None:
            hour_utc = self.clock.now().hour
            if digest is None:
                profile = profile_request(body, hour_utc=hour_utc, task=wishes.task, depth=wishes.depth)
            else:
                profile = self._profiles.profile(body, digest, hour_utc=hour_utc, task=wishes.task, depth=wishes.depth)
        cached = self.fleet.lessons.cached_share(tenant.id) if tenant else None
        cached_share = cached.expected(profile) if cached is not None else None
        budget = self.budgets.of(tenant) if tenant else None
        ranks = self._alike.decide if live else decide
        return ranks(
            snapshot,
            profile,
            decision_id=new_id(self.clock),
            policy=self.policy,
            tenant_preference=tenant.routing_preference if tenant else None,
            request_preference=wishes.preference,
            tenant_id=tenant.id if tenant else None,
            tier=tenant.tier if tenant else None,
            only=wishes.endpoint,
            live=live,
            cached_share=cached_share,
            budget=budget,
            explore=self.settings.explore_share if live else 0.0,
        )

    def hold(self, tenant: Tenant, decision: Decision) -> Hold | None:
        """Set aside what the endpoint that is tried first is expected to cost, where a budget is concerned."""
        if not decision.order or not self.budgets.concern(tenant):
            return None
        first = decision.plan[0]
        return self.budgets.hold(tenant, first, float(decision.evaluation.cost_usd[first]))

    def require_endpoint(self, decision: Decision) -> None:
        """Raise when nothing is ranked.

        `RateLimited` where waiting helps, `BudgetExhausted` where money would, `NobodyAble` where another
        request would, else `NoEndpointLeft` with the reasons.
        """
        if decision.order:
            return
        waiting = [e for e, code in enumerate(decision.evaluation.excluded) if code in _WAITING]
        if error := have_to_wait(self.fleet, decision, waiting):
            raise error
        dear = decision.evaluation.cost_usd[decision.evaluation.excluded == Excluded.BUDGET_GONE]
        if decision.budget is not None and dear.size:
            raise _exhausted(float(decision.budget.left_usd), float(dear.min()), self.clock.now())
        decision.require_endpoint()

    def require_servable(self, endpoint_id: str) -> None:
        """Raise `NotFound` for an endpoint that is unknown, or simulated while real ones are configured."""
        index = self._index.get(endpoint_id)
        if index is None:
            self.catalogue.endpoint(endpoint_id)  # raises the error that says what may be named
        elif not self.fleet.snapshot().live[index]:
            raise NotFound(
                f"{endpoint_id} is simulated, and real endpoints are configured. Use freerelay/auto, or a name from "
                "GET /v1/models.",
                code="model_not_found",
                param="model",
            )

    async def settings_view(self, tenant_id: str) -> SettingsView:
        """The tenant's settings as the store has them now. Raises `NotFound`, `StoreUnavailable`."""
        tenant = await self.store.tenant(tenant_id)
        self.identities.remember(tenant)
        return await self._view(tenant)

    async def set_preference(
        self, tenant_id: str, value: object, *, actor: str, expected_version: int | None = None
    ) -> SettingsView:
        """Save the tenant's routing preference, None for the default; the next request on this worker follows it.

        Raises `UnprocessableRequest` naming the three values, `NotFound`, `Conflict`, `StoreUnavailable`.
        """
        tenant = await save_preference(
            self.store, tenant_id, parse_choice(value), actor=actor, expected_version=expected_version
        )
        self.identities.remember(tenant)
        return await self._view(tenant)

    async def set_preference_once(
        self,
        tenant_id: str,
        value: object,
        *,
        actor: str,
        expected_version: int | None,
        key: str,
        answer: Callable[[SettingsView], str],
    ) -> Answered:
        """`set_preference`, made once for all requests of the tenant with this key, which are answered alike.

        `answer` writes it as `Store.set_routing_preference_once` keeps it. Raises, besides, `UnprocessableRequest`
        where the key came with another request, and `Conflict` while one with this key is answered.
        """

        async def answer_for(tenant: Tenant) -> str:
            return answer(await self._view(tenant))

        answered = await save_preference_once(
            self.store,
            tenant_id,
            parse_choice(value),
            actor=actor,
            expected_version=expected_version,
            key=key,
            answer_for=answer_for,
        )
        if answered.tenant is not None:
            self.identities.remember(answered.tenant)
        return answered

    async def open_session(self, secret: str) -> str:
        """A dashboard session for the holder of this key: its id, to be kept in a cookie for `SESSION_LIFETIME`.

        Raises `AuthenticationFailed`, `StoreUnavailable`.
        """
        identity = await self.identities.identify(secret)
        session_id = secrets.token_urlsafe(32)
        await self.store.create_session(
            key_digest(session_id),
            role=identity.role,
            tenant_id=identity.tenant.id if identity.tenant else None,
            key_id=identity.key_id,
            expires_at=self.clock.now() + SESSION_LIFETIME,
        )
        return session_id

    async def end_session(self, session_id: str) -> None:
        """Sign out. Raises `StoreUnavailable`."""
        await self.store.end_session(key_digest(session_id))

    async def _view(self, tenant: Tenant) -> SettingsView:
        spending = await spending_of(self.store, tenant, self.clock.now(), simulated=self.budgets.simulated)
        return SettingsView(tenant, self._effective(tenant), spending)

    def _effective(self, tenant: Tenant) -> EffectivePreference:
        """What decides this tenant's requests. A rule that looks at the request speaks for itself, one by one."""
        directive = NO_DIRECTIVE
        if _TENANT_VARIABLES.issuperset(self.policy.variables):
            directive = self.policy.directive(
                Facts(RequestProfile(), tenant.id, tenant.tier, tenant.routing_preference)
            )
        return effective_preference(
            tenant=tenant.routing_preference, rule=directive.routing_preference, rule_name=directive.preference_rule
        )

    def _catalogue_snapshot(self, at: datetime) -> Snapshot:
        return catalogue_snapshot(
            self.catalogue,
            at,
            real_providers=self.vendor_keys.enabled,
            allow_simulated=self.settings.simulated == "allow",
        )


def _exhausted(left_usd: float, needed_usd: float, now: datetime) -> BudgetExhausted:
    renewed = next_month(now)
    return BudgetExhausted(
        f"{usd_figure(left_usd)} USD are left of this tenant's budget for {now:%B %Y}, and this request is expected to "
        f"cost at least {usd_figure(needed_usd)} USD. The operator can raise the budget; it starts anew on "
        f"{renewed.day} {renewed:%B}.",
        retry_after_s=(renewed - now).total_seconds(),
    )


_current: Application | None = None


def current() -> Application:
    """The running application of this process. Raises `Unavailable` when there is none."""
    if _current is None:
        raise Unavailable("FreeRelay is starting or stopping. Try again in a moment.", retry_after_s=1.0)
    return _current
