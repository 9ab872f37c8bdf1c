"""What runs beside the requests: hearing of changes, log, snapshots, and minding the database, the rules and memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from itertools import islice

from freerelay_core.clock import Clock
from freerelay_core.composition.heap import give_back
from freerelay_core.composition.rules import RulesInForce
from freerelay_core.errors import Conflict, FreeRelayError, StoreUnavailable
from freerelay_core.fleet import Budgets, Fleet
from freerelay_core.store import (
    DecisionLog,
    KnownIdentities,
    PublishedSnapshot,
    Store,
    Tenant,
    key_digest,
)
from freerelay_core.store.embedded import DatabaseLease

__all__ = ["DEMO_EMAIL", "Beside"]

DEMO_EMAIL = "demo@freerelay.local"
DEMO_TIER = "gold"

_PUBLISH_EVERY_S = 5.0
_FLUSH_USES_EVERY_S = 10.0
_SHARE_LESSONS_EVERY_S = 5.0
_READ_SPEND_EVERY_S = 2.0
_MIND_DATABASE_EVERY_S = 0.1
_RESTART_AGAIN_S = 1.0
_RENEW_RULES_EVERY_S = 1.0
_GIVE_BACK_EVERY_S = 10.0
_REACH_AGAIN_S = 1.0
_FOLLOW_LIMIT_S = 2.0
"""How long a start waits for changes to be heard of. Requests can be served without, at the price of a look-up more."""
_SHOWN_PREFIX = 12
_DEMO_BATCH = 50

log = logging.getLogger(__name__)


class Beside:
    """The tasks of an application. `lease` is given where this process may own the database; with `demo_week` a demo
    tenant that is made now gets a generated past. `limited` are addresses of tenants, by the variable that names them.
    """

    def __init__(
        self,
        store: Store,
        identities: KnownIdentities,
        decision_log: DecisionLog,
        fleet: Fleet,
        clock: Clock,
        *,
        rules: RulesInForce,
        budgets: Budgets,
        limited: Mapping[str, Sequence[str]],
        demo_key: str | None,
        demo_week: bool,
        lease: DatabaseLease | None,
    ) -> None:
        self._store = store
        self._identities = identities
        self._decision_log = decision_log
        self._fleet = fleet
        self._clock = clock
        self._rules = rules
        self._budgets = budgets
        self._limited = limited
        self._demo_key = demo_key
        self._demo_week = demo_week
        self._lease = lease
        self._tasks: list[asyncio.Task[None]] = []
        self._follows_changes = False
        self._began = clock.now()
        self.store_reached = asyncio.Event()

    async def start(self) -> None:
        """Reach the store, and start everything; a store that is away is tried again beside the requests."""
        try:
            await self._reach_store()
        except StoreUnavailable as error:
            log.warning("the database does not answer yet; FreeRelay is not ready until it does: %s", error.message)
        self._begin(self._run(), "beside requests")
        self._begin(self._renew_rules(), "renew the rules")
        self._begin(self._give_back_memory(), "give back memory")
        if self._lease is not None and self._lease.owner:
            self._begin(self._mind(self._lease), "mind the database")

    async def stop(self) -> None:
        """End the tasks; the last uses of keys are written if the store answers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.store_reached.is_set():
            await self._when_it_answers(self._identities.flush_last_used)
            await self._when_it_answers(self._save_lessons)

    def _begin(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_report_end)
        self._tasks.append(task)

    async def _run(self) -> None:
        while not self.store_reached.is_set():
            await self._clock.sleep(_REACH_AGAIN_S)
            await self._when_it_answers(self._reach_store)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._decision_log.run())
            group.create_task(self._publish())
            group.create_task(self._flush_uses())
            group.create_task(self._share_lessons())
            group.create_task(self._follow_spend())
            group.create_task(self._resume_quotas())
            if any(self._limited.values()):
                group.create_task(self._look_for_limited())

    async def _reach_store(self) -> None:
        await self._store.open()
        if not self._follows_changes:
            self._follows_changes = True
            self._begin(self._store.listen(self._identities), "hear of changes")
        if self._demo_key is not None:
            tenant, is_new = await _ensure_demo_tenant(self._store, self._demo_key)
            if is_new and self._demo_week:
                self._begin(self._fill_demo_week(tenant.id), "fill the demo week")
        self._fleet.adopt(await self._store.lessons())
        await self._read_spend()
        await self._changes_followed()
        self.store_reached.set()

    async def _changes_followed(self) -> None:
        """Wait until changes are heard of: whatever was asked for before that has to be asked for twice."""
        try:
            async with asyncio.timeout(_FOLLOW_LIMIT_S):
                await self._identities.followed.wait()
        except TimeoutError:
            log.warning("changes by other workers are not heard of yet; each counts within 30 s all the same")

    async def _fill_demo_week(self, tenant_id: str) -> None:
        """Append the generated decisions, some at a time. A week that fails is only less to look at."""
        from freerelay_core.composition.demo_week import demo_week  # noqa: PLC0415 -- the first start alone needs it

        records = demo_week(self._fleet.snapshot(), self._fleet, self._clock, tenant_id)
        try:
            while batch := await asyncio.to_thread(lambda: list(islice(records, _DEMO_BATCH))):
                await self._store.append_decisions(batch)
        except FreeRelayError as error:
            log.warning("the demo week could not be written: %s", error.message)

    async def _publish(self) -> None:
        published: PublishedSnapshot | None = None
        while True:
            snapshot = self._fleet.snapshot()
            if published is None or published.id != snapshot.id:
                payload = await asyncio.to_thread(snapshot.dump)
                published = PublishedSnapshot(snapshot.id, snapshot.created_at, payload)
            present = published
            await self._when_it_answers(lambda: self._store.publish_snapshot(present))  # noqa: B023  (awaited here)
            await self._clock.sleep(_PUBLISH_EVERY_S)

    async def _flush_uses(self) -> None:
        while True:
            await self._clock.sleep(_FLUSH_USES_EVERY_S)
            await self._when_it_answers(self._identities.flush_last_used)

    async def _share_lessons(self) -> None:
        while True:
            await self._clock.sleep(_SHARE_LESSONS_EVERY_S)
            await self._when_it_answers(self._save_lessons)

    async def _save_lessons(self) -> None:
        """Add what was learned here to the store, and take over what all workers have learned.

        What a store that broke off may or may not have taken is added again: a mean that counts an outcome twice is
        nearer to the truth than one that has lost it. What is cancelled on the way out is not.
        """
        unsaved = self._fleet.lessons.take_unsaved()
        try:
            together = await self._store.add_lessons(unsaved)
        except FreeRelayError:
            self._fleet.lessons.restore(unsaved)
            raise
        self._fleet.adopt(together)

    async def _follow_spend(self) -> None:
        while True:
            await self._clock.sleep(_READ_SPEND_EVERY_S)
            await self._when_it_answers(self._read_spend)

    async def _read_spend(self) -> None:
        day = self._clock.now().date()
        self._budgets.adopt(await self._store.spend_elsewhere(day=day, worker=self._budgets.worker))

    async def _resume_quotas(self) -> None:
        while not await self._when_it_answers(self._count_sent_today):
            await self._clock.sleep(_REACH_AGAIN_S)

    async def _count_sent_today(self) -> None:
        """Count against the quotas of a day what was sent before this process began."""
        now, sent = self._clock.now(), dict[str, tuple[int, int]]()
        for began_s, endpoints in self._fleet.quota_days().items():
            sent |= await self._store.quota_used(endpoints, since=now - timedelta(seconds=began_s), until=self._began)
        for endpoint, (requests, tokens) in sent.items():
            self._fleet.resume(endpoint, requests, tokens)

    async def _look_for_limited(self) -> None:
        while not await self._when_it_answers(self._name_absent):
            await self._clock.sleep(_REACH_AGAIN_S)

    async def _name_absent(self) -> None:
        """Warn of addresses with a limit of their own that no tenant has: they may be misspelt."""
        present = {tenant.email.lower() for tenant in await self._store.list_tenants()}
        for variable, addresses in self._limited.items():
            for address in addresses:
                if address not in present:
                    log.warning("%s names %s, and no tenant has this address now", variable, address)

    async def _renew_rules(self) -> None:
        while True:
            await self._clock.sleep(_RENEW_RULES_EVERY_S)
            await asyncio.to_thread(self._rules.renew)

    async def _give_back_memory(self) -> None:
        while True:
            await self._clock.sleep(_GIVE_BACK_EVERY_S)
            await asyncio.to_thread(give_back)

    async def _mind(self, lease: DatabaseLease) -> None:
        """Start the database that this process owns again whenever it has died."""
        while True:
            await self._clock.sleep(_MIND_DATABASE_EVERY_S)
            if await asyncio.to_thread(lease.alive):  # on macOS it may run `ps`
                continue
            try:
                await asyncio.to_thread(lease.restart)
                log.warning("PostgreSQL ended unexpectedly and was started again")
            except FreeRelayError as error:
                log.error("PostgreSQL ended and does not start: %s", error.message)  # noqa: TRY400  (no traceback)
                await self._clock.sleep(_RESTART_AGAIN_S)

    async def _when_it_answers(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do it, or leave it for the next time when the store is away; returns whether it is done."""
        try:
            await work()
        except StoreUnavailable as error:
            log.info("the database is away: %s", error.message)
            return False
        return True


def _report_end(task: asyncio.Task[None]) -> None:
    """These tasks end by being cancelled only."""
    if not task.cancelled() and task.exception() is not None:
        log.critical("%s ended by a fault of FreeRelay", task.get_name(), exc_info=task.exception())


async def _ensure_demo_tenant(store: Store, secret: str) -> tuple[Tenant, bool]:
    """The demo tenant, with this key, and whether it was made now. A key that was revoked stays so."""
    tenant = await store.tenant_by_email(DEMO_EMAIL)
    is_new = tenant is None
    if tenant is None:
        try:
            tenant = await store.create_tenant(DEMO_EMAIL, tier=DEMO_TIER, allow_override=True)
        except Conflict:  # another worker was quicker
            return await _ensure_demo_tenant(store, secret)
    try:
        await store.create_key(tenant.id, name="demo", prefix=secret[:_SHOWN_PREFIX], key_hash=key_digest(secret))
    except Conflict:
        log.debug("the demo key is known already")
    return tenant, is_new
