"""The decision log: taken on the request path in a microsecond, written in batches beside it.

    recorded -> pending -> written        find() sees it from the first moment
                   `-> dropped, counted   when the store was away for longer than the capacity lasts

A decision stays pending until its batch is known to be written. What was written just before a connection broke is
sent again; the store leaves it as it is.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from freerelay_core.clock import Clock
from freerelay_core.errors import StoreUnavailable, UnprocessableRequest
from freerelay_core.store.base import Store
from freerelay_core.store.values import DecisionRecord

__all__ = ["DecisionLog"]

_LONGEST_DELAY_S = 5.0
_SLICE = 8
"""Records made in one go, about half a millisecond."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pending:
    """A decision on its way. `make` builds its record, once, off the request path."""

    id: str
    tenant_id: str
    make: Callable[[], DecisionRecord]
    record: DecisionRecord | None = None

    def made(self) -> DecisionRecord:
        if self.record is None:
            self.record = self.make()
        return self.record


class DecisionLog:
    """The log's writer and reader. For one event loop; `run` must be running for anything to be written."""

    def __init__(
        self, store: Store, clock: Clock, *, capacity: int = 20_000, batch: int = 500, interval_s: float = 0.2
    ) -> None:
        self._store = store
        self._clock = clock
        self._capacity = capacity
        self._batch = batch
        self._interval_s = interval_s
        self._pending: dict[str, _Pending] = {}
        self._dropped = 0
        self._full = False
        self._recorded = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def pending(self) -> int:
        """Decisions recorded and not yet known to be written."""
        return len(self._pending)

    @property
    def dropped(self) -> int:
        """Decisions lost: the log was full, they could not be made or stored, or the store was away at the end."""
        return self._dropped

    def record(self, decision_id: str, tenant_id: str, make: Callable[[], DecisionRecord]) -> None:
        """Take a decision. Never waits and never raises; when the log is full the decision is dropped and counted."""
        if len(self._pending) >= self._capacity:
            self._dropped += 1
            if not self._full:
                self._full = True
                _log.error("decision log full (%d wait for the store): new decisions are dropped", self._capacity)
            return
        self._pending[decision_id] = _Pending(decision_id, tenant_id, make)
        self._recorded.set()

    async def find(self, tenant_id: str | None, decision_id: str) -> DecisionRecord:
        """One decision of this tenant (of any when None: operators only), written or not. Raises `NotFound`."""
        pending = self._pending.get(decision_id)
        if pending is not None and tenant_id in (None, pending.tenant_id):
            return pending.made()
        return await self._store.decision(tenant_id, decision_id)

    async def run(self) -> None:
        """Write what is recorded until cancelled. While the store is away, try again after 0.2 s to 5 s."""
        delay = self._interval_s
        while True:
            await self._recorded.wait()
            if len(self._pending) < self._batch or delay > self._interval_s:
                await self._clock.sleep(delay)
            try:
                await self._write_batch()
            except Exception as error:  # noqa: BLE001 -- nothing may end the writer; what failed stays pending
                delay = min(2 * delay, _LONGEST_DELAY_S) * random.uniform(0.75, 1.0)  # noqa: S311 -- no secret
                level = logging.INFO if isinstance(error, StoreUnavailable) else logging.ERROR
                _log.log(level, "%d decisions wait, next attempt in %.1f s: %s", len(self._pending), delay, error)
            else:
                delay = self._interval_s

    async def close(self, *, limit_s: float = 5.0) -> None:
        """Write what is pending, for at most `limit_s`; what is left then is dropped, counted and said."""
        try:
            async with asyncio.timeout(limit_s):
                while self._pending:
                    try:
                        await self._write_batch()
                    except Exception as error:  # noqa: BLE001 -- whatever it was, there is time to try again
                        _log.info("decision log not written yet: %s", error)
                        await self._clock.sleep(self._interval_s)
        except TimeoutError:
            _log.error("%d decisions are lost: the store was away when the log closed", len(self._pending))
            self._dropped += len(self._pending)
            self._pending.clear()

    async def _write_batch(self) -> None:
        """Write the oldest pending decisions. Raises whatever the store raises; what is not written stays pending."""
        async with self._writing:
            batch = list(islice(self._pending.values(), self._batch))
            records = await _made(batch)
            for pending in batch:
                if pending.record is None:
                    self._drop(pending.id)
            try:
                await self._store.append_decisions(records)
                for record in records:
                    self._pending.pop(record.id, None)
            except UnprocessableRequest:
                await self._write_singly(records)
            self._full = False
            if not self._pending:
                self._recorded.clear()

    async def _write_singly(self, records: Sequence[DecisionRecord]) -> None:
        """One bad record must not hold up the others."""
        for record in records:
            try:
                await self._store.append_decisions([record])
                self._pending.pop(record.id, None)
            except UnprocessableRequest as error:
                _log.error("decision %s dropped: %s", record.id, error)
                self._drop(record.id)

    def _drop(self, decision_id: str) -> None:
        if self._pending.pop(decision_id, None) is not None:
            self._dropped += 1


async def _made(batch: Sequence[_Pending]) -> list[DecisionRecord]:
    """The records that can be made; the others keep none.

    Made on the event loop, a few at a time between requests. A thread would be no kinder: it computes, and whenever the
    loop waits for the network it loses the interpreter to that thread for a whole switch interval (40 % of the rate).
    """
    records = []
    for number, pending in enumerate(batch, start=1):
        if number % _SLICE == 0:
            await asyncio.sleep(0)
        try:
            records.append(pending.made())
        except Exception:  # noqa: BLE001 -- one decision's fault must not hold up the others
            _log.exception("decision %s dropped: its record cannot be made", pending.id)
    return records
