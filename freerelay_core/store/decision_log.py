"""The decision log: each is taken as the row that it will be, and written in batches.

    recorded -> pending --------------> written      find() sees it from the first moment
                   |`-> spilled to files -^          while the store is away and many are pending, and at the end
                    `-> dropped, counted             when the files are full too, or cannot be written

A decision stays pending or spilled until its batch is known to be written. What was written just before a connection
broke is sent again; the store leaves it as it is.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from freerelay_core.clock import Clock
from freerelay_core.errors import StoreUnavailable, UnprocessableRequest
from freerelay_core.store.base import Store
from freerelay_core.store.decision_rows import DecisionRow, decision_as_row
from freerelay_core.store.refusals import checked_id
from freerelay_core.store.spill import Spill
from freerelay_core.store.values import DecisionRecord

__all__ = ["DecisionLog"]

_LONGEST_DELAY_S = 5.0
_KEPT_WHILE_AWAY_BYTES = 8 << 20
"""So much stays in memory while the store is known to be away; a decision over 20 endpoints is 5 kB, over 90 16 kB."""
_PART_BYTES = 1_000_000
"""Of rows in one statement: they are copied twice on their way, and the driver keeps a buffer of that size. Parts of a
batch are written beside each other: the event loop sends 100 kB of each in a turn, and where hundreds of requests share
a turn one alone would fall behind them."""
_PARTS = 4
"""Of a batch; each has a connection of its own."""
_SPILL_AGAIN_S = 5.0
_ADOPT_EVERY_S = 60.0

_log = logging.getLogger(__name__)


class DecisionLog:
    """The log's writer and reader. For one event loop; `run` must be running for anything to be written.

    Memory holds `capacity_bytes` of decisions and the last one that begins below it. With a `spill` the oldest go there
    from half of that on; without one what memory does not hold is dropped.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        spill: Spill | None = None,
        capacity_bytes: int = 64 << 20,
        batch: int = 500,
        interval_s: float = 0.1,
    ) -> None:
        self._store = store
        self._clock = clock
        self._spill = spill
        self._capacity_bytes = capacity_bytes
        self._batch = batch
        self._interval_s = interval_s
        self._pending: dict[str, DecisionRow] = {}
        self._taken: set[str] = set()  # pending, and in a batch that is being written or spilled
        self._pending_bytes = 0
        self._many_bytes = capacity_bytes // 2
        self._written = 0
        self._dropped = 0
        self._full = False
        self._spill_fails = False
        self._waiting = asyncio.Event()
        self._filling = asyncio.Event()
        self._writing = asyncio.Lock()
        self._spilling = asyncio.Lock()

    @property
    def pending(self) -> int:
        """Decisions in memory, not yet known to be written."""
        return len(self._pending)

    @property
    def spilled(self) -> int:
        """Decisions in this process's files, not yet known to be written."""
        return 0 if self._spill is None else self._spill.count

    @property
    def written(self) -> int:
        """Decisions known to be in the store, of those that this process recorded or took over."""
        return self._written

    @property
    def dropped(self) -> int:
        """Decisions lost: there was no room, they could not be made, read or stored, or were torn in their file."""
        return self._dropped

    def record(self, decision_id: str, make: Callable[[], DecisionRecord]) -> None:
        """Take the decision that `make` gives. Never waits and never raises: what has no place is dropped and counted.

        `make` is called in any case, because it also books what was spent. The row is made here and now: kept as
        objects until it is written it would take more memory, and all of that would be walked by the garbage collector.
        """
        try:
            row = decision_as_row(make())
        except Exception:  # noqa: BLE001 -- the request was answered; whatever is wrong with its record must not break it
            _log.exception("decision %s dropped: its record cannot be made", decision_id)
            self._dropped += 1
            return
        if self._pending_bytes >= self._many_bytes:
            self._filling.set()
            if self._pending_bytes >= self._capacity_bytes:
                self._refuse()
                return
        self._pending[row.id] = row
        self._pending_bytes += row.size
        self._waiting.set()

    async def find(self, tenant_id: str | None, decision_id: str) -> DecisionRecord:
        """One decision of this tenant (of any when None: operators only), written or not. Raises `NotFound`."""
        decision_id = checked_id(decision_id)
        pending = self._pending.get(decision_id)
        if pending is not None and tenant_id in (None, pending.tenant_id):
            return pending.record()
        if self._spill is not None:
            owner = self._spill.tenant_of(decision_id)
            if owner is not None and tenant_id in (None, owner):
                return self._spill.read(decision_id).record()
        return await self._store.decision(tenant_id, decision_id)

    async def run(self) -> None:
        """Write what is recorded until cancelled. While the store is away, try again after 0.2 s to 5 s."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write())
            if self._spill is not None:
                group.create_task(self._spill_what_is_many(self._spill))
                group.create_task(self._adopt_now_and_then(self._spill))

    async def close(self, *, limit_s: float = 5.0) -> None:
        """Write all there is, for at most `limit_s`; what is left waits in files, or is dropped, counted and said."""
        try:
            async with asyncio.timeout(limit_s):
                while self._pending or self.spilled:
                    try:
                        await self._write_batches()
                    except Exception as error:  # noqa: BLE001 -- whatever it was, there is time to try again
                        _log.info("decision log not written yet: %s", error)
                        await self._clock.sleep(self._interval_s)
        except TimeoutError:
            if self._spill is not None:
                while self._pending and await self._spill_batch(self._spill):
                    pass
            if self._pending:
                _log.error("%d decisions are lost: the store was away when the log closed", len(self._pending))
                self._dropped += len(self._pending)
                self._pending.clear()
                self._pending_bytes = 0
        if self._spill is not None:
            if self._spill.count:
                _log.warning(
                    "the store is away: %d decisions wait in %s for the next start",
                    self._spill.count,
                    self._spill.folder,
                )
            async with self._spilling:
                self._spill.close()

    # -- to the store

    async def _write(self) -> None:
        delay = self._interval_s
        while True:
            await self._waiting.wait()
            if len(self._pending) < self._batch or delay > self._interval_s:
                await self._clock.sleep(delay)
            try:
                await self._write_batches()
            except Exception as error:  # noqa: BLE001 -- nothing may end the writer; what failed stays where it is
                delay = min(2 * delay, _LONGEST_DELAY_S) * random.uniform(0.75, 1.0)  # noqa: S311 -- no secret
                self._many_bytes = min(_KEPT_WHILE_AWAY_BYTES, self._capacity_bytes // 2)
                level = logging.INFO if isinstance(error, StoreUnavailable) else logging.ERROR
                waiting = len(self._pending) + self.spilled
                _log.log(level, "%d decisions wait, next attempt in %.1f s: %s", waiting, delay, error)
            else:
                delay = self._interval_s
                self._many_bytes = self._capacity_bytes // 2

    async def _write_batches(self) -> None:
        """Write the oldest pending decisions, and the oldest spilled ones beside them.

        Raises whatever the store raises; what is not written stays where it is.
        """
        async with self._writing:
            with self._oldest_pending() as batch:
                await self._append_parts(_parts(batch), self._forget)
            self._full = False
            spill = self._spill
            if spill is not None and spill.count:
                await self._append_parts(_parts(self._read(spill, spill.oldest(self._batch))), spill.discard)
            elif self._pending and not batch:
                async with self._spilling:  # all of them are on their way to the first file: callers must not spin
                    pass
            if not self._pending and not self.spilled:
                self._waiting.clear()

    async def _append_parts(self, parts: Iterable[Sequence[DecisionRow]], done: Callable[[str], None]) -> None:
        """Write the parts, some at once. Raises what the first raises that fails, when all have come to their end."""
        parts = iter(parts)
        while some := list(islice(parts, _PARTS)):
            ends = await asyncio.gather(*(self._append(part, done) for part in some), return_exceptions=True)
            for end in ends:
                if end is not None:
                    raise end

    async def _append(self, rows: Sequence[DecisionRow], done: Callable[[str], None]) -> None:
        try:
            await self._store.append_decision_rows(rows)
        except UnprocessableRequest:
            await self._append_singly(rows, done)
            return
        self._written += len(rows)
        for row in rows:
            done(row.id)

    async def _append_singly(self, rows: Sequence[DecisionRow], done: Callable[[str], None]) -> None:
        """One bad record must not hold up the others."""
        for row in rows:
            try:
                await self._store.append_decision_rows([row])
                self._written += 1
            except UnprocessableRequest as error:
                _log.error("decision %s dropped: %s", row.id, error)
                self._dropped += 1
            done(row.id)

    def _read(self, spill: Spill, ids: Sequence[str]) -> list[DecisionRow]:
        """The spilled decisions that can be read; the others are dropped."""
        rows = []
        for decision_id in ids:
            try:
                rows.append(spill.read(decision_id))
            except OSError:
                _log.exception("decision %s dropped: it cannot be read from its file", decision_id)
                self._dropped += 1
                spill.discard(decision_id)
        return rows

    # -- to files

    async def _spill_what_is_many(self, spill: Spill) -> None:
        while True:
            await self._filling.wait()
            # Shielded: what has gone to the file must also leave memory.
            if not await asyncio.shield(self._spill_batch(spill)):
                await self._clock.sleep(_SPILL_AGAIN_S)
            if self._pending_bytes < self._many_bytes:
                self._filling.clear()

    async def _spill_batch(self, spill: Spill) -> bool:
        """Move the oldest pending decisions to a file; False where it takes none now."""
        async with self._spilling:
            with self._oldest_pending() as batch:
                if not batch:
                    return False
                try:
                    await spill.add(batch)
                except OSError as error:
                    if not self._spill_fails:
                        self._spill_fails = True
                        _log.error("decisions cannot wait in %s (%s): they wait in memory", spill.folder, error)
                    return False
                self._spill_fails = False
                if spill.count == len(batch):
                    _log.warning("the store is away or too slow: decisions wait in %s meanwhile", spill.folder)
                for row in batch:
                    self._forget(row.id)
        return True

    async def _adopt_now_and_then(self, spill: Spill) -> None:
        while True:
            await asyncio.shield(self._adopt(spill))
            await self._clock.sleep(_ADOPT_EVERY_S)

    async def _adopt(self, spill: Spill) -> None:
        """Take over what dead processes left in files."""
        async with self._spilling:
            before = spill.count
            try:
                torn = await spill.adopt()
            except OSError as error:
                _log.warning("decisions that wait in %s cannot be read: %s", spill.folder, error)
                return
            if torn:
                _log.error("%d decisions in %s were torn when their process ended: dropped", torn, spill.folder)
                self._dropped += torn
            if spill.count > before:
                _log.warning("%d decisions of an earlier process are written now", spill.count - before)
                self._waiting.set()

    # -- pending

    @contextmanager
    def _oldest_pending(self) -> Iterator[list[DecisionRow]]:
        """A batch of decisions that is nobody else's as long as it lasts."""
        free = (pending for pending in self._pending.values() if pending.id not in self._taken)
        batch = list(islice(free, self._batch))
        ids = {pending.id for pending in batch}
        self._taken |= ids
        try:
            yield batch
        finally:
            self._taken -= ids

    def _forget(self, decision_id: str) -> None:
        forgotten = self._pending.pop(decision_id, None)
        if forgotten is not None:
            self._pending_bytes -= forgotten.size

    def _refuse(self) -> None:
        self._dropped += 1
        if not self._full:
            self._full = True
            _log.error("decision log full (%d wait for the store): new decisions are dropped", len(self._pending))


def _parts(rows: Iterable[DecisionRow]) -> Iterator[list[DecisionRow]]:
    """The rows in parts of at most `_PART_BYTES`, a larger row by itself; what rows share is sent once in each."""
    part: list[DecisionRow] = []
    shared: set[str] = set()
    size = 0
    for row in rows:
        if part and size + row.size > _PART_BYTES:
            yield part
            part, shared, size = [], set(), 0
        part.append(row)
        size += len(row.head) if row.tail in shared else row.size
        shared.add(row.tail)
    if part:
        yield part
