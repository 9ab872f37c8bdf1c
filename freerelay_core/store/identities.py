"""Who a key belongs to, remembered so that most requests need no database.

    never seen -> asked -> fresh (30 s, asked again beside the requests from 24 s on) -> asked again -> fresh
                    |         |-- changed or missed changes: asked again before next use
                    |         `-- store away: last answer for up to 5 min
                    `-> unknown, revoked or expired: refused, remembered for 5 s

A store that is away is never a refusal: a key not seen before gets `StoreUnavailable`, and that is not remembered. The
cache is keyed by the digest of the whole secret, never by a part of it.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime

from freerelay_core.clock import Clock
from freerelay_core.errors import AuthenticationFailed, StoreUnavailable
from freerelay_core.store.base import Store
from freerelay_core.store.keys import key_digest, well_formed
from freerelay_core.store.values import Identity, Tenant

__all__ = ["KnownIdentities"]

FRESH_S = 30.0
"""How long an answer serves without asking: the bound on a revocation whose notice was lost."""
_AHEAD_S = 24.0
"""From this age on it is asked for beside the requests: nobody waits, not even for a store that does not answer."""
STALE_S = 300.0
"""How old an answer may be that serves while the store is away."""
UNKNOWN_S = 5.0
"""How long a refused digest is refused without asking."""

_MOST_KNOWN = 50_000
_MOST_UNKNOWN = 10_000

_OPERATOR = Identity(role="operator", tenant=None)


@dataclass(slots=True)
class _Entry:
    """A key seen before. `asked_at` is when its answer was asked for (monotonic seconds)."""

    identity: Identity
    asked_at: float
    generation: int
    outdated: bool = False


@dataclass(slots=True, eq=False)
class _Lookup:
    """A question on its way to the store, shared by all who wait for the same digest."""

    asked_at: float
    generation: int
    outdated: bool = False
    """Settings changed since it was asked: the answer may be the older one."""
    ended: bool = False
    """The key changed since it was asked: the answer must not be kept."""
    task: asyncio.Task[Identity | StoreUnavailable | None] = field(init=False)


class KnownIdentities:
    """The identities behind API keys; a `ChangeListener`. For one event loop."""

    def __init__(self, store: Store, clock: Clock, *, operator_digest: str | None = None) -> None:
        self._store = store
        self._clock = clock
        self._operator_digest = operator_digest
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._by_tenant: defaultdict[str, set[str]] = defaultdict(set)
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._lookups: dict[str, _Lookup] = {}
        self._generation = 0
        self._store_away = False
        self._last_used: dict[str, datetime] = {}
        self.followed = asyncio.Event()
        """Set once changes are heard of: what is asked for from then on need not be asked for again."""

    @property
    def known(self) -> int:
        """How many keys are remembered."""
        return len(self._entries)

    def knows(self, secret: str) -> bool:
        """Whether a key was good when it was last asked for, without asking."""
        digest = key_digest(secret)
        return digest in self._entries or self._is_operator(digest)

    async def identify(self, secret: str) -> Identity:
        """The identity behind `secret`.

        Raises `AuthenticationFailed`, in the same words for a malformed, unknown, revoked or expired key, and
        `StoreUnavailable` when the store is away and this key was not seen in the last 5 minutes.
        """
        digest = key_digest(secret)
        if self._is_operator(digest):
            return _OPERATOR
        entry = self._entries.get(digest)
        if entry is not None and self._is_fresh(entry):
            self._entries.move_to_end(digest)
            identity = entry.identity
            if self._clock.monotonic() - entry.asked_at > _AHEAD_S:
                self._ask_ahead(digest)
        elif entry is None and (not well_formed(secret, "live") or self._is_refused(digest)):
            raise _refusal()
        else:
            identity = await self._ask(digest)
        now = self._clock.now()
        if identity.expires_at is not None and identity.expires_at <= now:
            self._forget(digest)
            raise _refusal()
        if identity.key_id is not None:
            self._last_used[identity.key_id] = now
        return identity

    def _is_operator(self, digest: str) -> bool:
        return self._operator_digest is not None and hmac.compare_digest(digest, self._operator_digest)

    def remember(self, tenant: Tenant) -> None:
        """Put a tenant's row that was just written or read in force at once."""
        for digest in self._by_tenant.get(tenant.id, ()):
            entry = self._entries[digest]
            if _version(entry.identity) <= tenant.settings_version:
                entry.identity = replace(entry.identity, tenant=tenant)
        self._outdate_lookups()

    async def flush_last_used(self) -> None:
        """Write when keys were last used, all in one go. Raises `StoreUnavailable`; the times are kept for the next."""
        used, self._last_used = self._last_used, {}
        try:
            await self._store.touch_keys(used)
        except BaseException:
            self._last_used = {**used, **self._last_used}
            raise

    # -- ChangeListener

    def settings_changed(self, tenant_id: str, settings_version: int) -> None:
        """The tenant's keys are asked for before their next use, unless they show this version already."""
        for digest in self._by_tenant.get(tenant_id, ()):
            entry = self._entries[digest]
            if _version(entry.identity) < settings_version:
                entry.outdated = True
        self._outdate_lookups()

    def key_changed(self, key_hash: str) -> None:
        """Nothing remembered of this key counts any more, not even while the store is away."""
        self._forget(key_hash)
        self._unknown.pop(key_hash, None)
        lookup = self._lookups.pop(key_hash, None)
        if lookup is not None:
            lookup.ended = True

    def reconnected(self) -> None:
        """Everything is asked for again before its next use."""
        self._generation += 1
        self._outdate_lookups()
        self.followed.set()

    # -- inside

    def _outdate_lookups(self) -> None:
        """Whoever comes from now on asks anew; those who wait already get the answer that was right when they came."""
        for lookup in self._lookups.values():
            lookup.outdated = True
        self._lookups.clear()

    def _is_fresh(self, entry: _Entry) -> bool:
        return (
            not entry.outdated
            and entry.generation == self._generation
            and self._clock.monotonic() - entry.asked_at < FRESH_S
        )

    def _is_refused(self, digest: str) -> bool:
        return self._unknown.get(digest, 0.0) > self._clock.monotonic()

    def _last_answer(self, digest: str) -> Identity | None:
        """What may serve while the store is away, with its age."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        age_s = self._clock.monotonic() - entry.asked_at
        return None if age_s > STALE_S else replace(entry.identity, settings_age_s=age_s)

    async def _ask(self, digest: str) -> Identity:
        last = self._last_answer(digest)
        if self._store_away and last is not None:
            # Nobody waits for a store that is known to be away; one question at a time finds out when it is back.
            if not self._lookups:
                self._look_up(digest)
            return last
        lookup = self._lookups.get(digest) or self._look_up(digest)
        # Shielded: a caller that leaves must not take the answer from the others.
        answer = await asyncio.shield(lookup.task)
        if isinstance(answer, StoreUnavailable):
            last = self._last_answer(digest)
            if last is None:
                raise StoreUnavailable(answer.message) from answer
            return last
        if answer is None:
            raise _refusal()
        return answer

    def _ask_ahead(self, digest: str) -> None:
        """Ask beside the requests; a store that is known to be away one question at a time."""
        if digest not in self._lookups and not (self._store_away and self._lookups):
            self._look_up(digest)

    def _look_up(self, digest: str) -> _Lookup:
        lookup = _Lookup(self._clock.monotonic(), self._generation)
        lookup.task = asyncio.create_task(self._answer(digest, lookup), name="identify")
        self._lookups[digest] = lookup
        return lookup

    async def _answer(self, digest: str, lookup: _Lookup) -> Identity | StoreUnavailable | None:
        try:
            identity = await self._store.identify(digest)
        except StoreUnavailable as error:
            self._store_away = True
            return error
        finally:
            if self._lookups.get(digest) is lookup:
                del self._lookups[digest]
        self._store_away = False
        if identity is None:
            self._refuse(digest)
            return None
        return identity if lookup.ended else self._keep(digest, identity, lookup)

    def _keep(self, digest: str, identity: Identity, lookup: _Lookup) -> Identity:
        """Remember the answer, except that a newer row of the same tenant, known meanwhile, stays in force.

        Returns what counts.
        """
        known = self._entries.get(digest)
        if known is not None and _is_newer(known.identity.tenant, identity.tenant):
            identity = replace(identity, tenant=known.identity.tenant)
        self._forget(digest)
        if len(self._entries) >= _MOST_KNOWN:
            self._forget(next(iter(self._entries)))
        self._entries[digest] = _Entry(identity, lookup.asked_at, lookup.generation, lookup.outdated)
        if identity.tenant is not None:
            self._by_tenant[identity.tenant.id].add(digest)
        return identity

    def _refuse(self, digest: str) -> None:
        """Forget the key and remember that it is refused."""
        self._forget(digest)
        self._unknown.pop(digest, None)
        if len(self._unknown) >= _MOST_UNKNOWN:
            self._unknown.popitem(last=False)
        self._unknown[digest] = self._clock.monotonic() + UNKNOWN_S

    def _forget(self, digest: str) -> None:
        entry = self._entries.pop(digest, None)
        if entry is None or entry.identity.tenant is None:
            return
        digests = self._by_tenant[entry.identity.tenant.id]
        digests.discard(digest)
        if not digests:
            del self._by_tenant[entry.identity.tenant.id]


def _is_newer(one: Tenant | None, other: Tenant | None) -> bool:
    """Whether both are the same tenant and `one` is the later row."""
    return (
        one is not None and other is not None and one.id == other.id and one.settings_version > other.settings_version
    )


def _version(identity: Identity) -> int:
    return -1 if identity.tenant is None else identity.tenant.settings_version


def _refusal() -> AuthenticationFailed:
    return AuthenticationFailed(
        "This API key is not valid: send `Authorization: Bearer fr_live_…` with a key that is not revoked or expired."
    )
