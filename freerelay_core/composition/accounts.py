"""Tenants, their keys, and taking back a change of settings: who may do what, in one place for pages and commands.

Every operation is told who asks for it. A tenant reaches its own keys and settings, the operator everybody's; whoever
asks for a tenant that is not theirs gets the same answer whether it exists or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from freerelay_core.clock import Clock
from freerelay_core.errors import Conflict, NotFound, PermissionDenied, UnprocessableRequest
from freerelay_core.preference import parse_choice
from freerelay_core.store import TIERS, Identity, KeyInfo, Store, Tenant, new_key

__all__ = [
    "LONGEST_LABEL",
    "LONGEST_LIFETIME_DAYS",
    "MOST_LIVE_KEYS",
    "OPERATOR",
    "Accounts",
    "CreatedKey",
    "key_state",
]

OPERATOR = Identity(role="operator", tenant=None)
"""Whoever holds the database itself, as the command line does."""

OPERATOR_ACTOR = "operator"
"""How the operator stands in a tenant's history."""

MOST_LIVE_KEYS = 20
"""Keys that a tenant may have at one time, without those that were revoked or have expired."""
LONGEST_LABEL = 40
LONGEST_LIFETIME_DAYS = 3650

_LONGEST_EMAIL = 254
_EMAIL = re.compile(r"[^\s@\"(),:;<>\[\]\\]+@[\w-]+(\.[\w-]+)+")


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A key that was just made. Nobody can ever see its `secret` again."""

    secret: str = field(repr=False)
    info: KeyInfo


def key_state(key: KeyInfo, now: datetime) -> Literal["live", "expired", "revoked"]:
    """Whether a key still works."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "live"


class Accounts:
    """What people do with tenants and keys. `remember` puts a changed tenant in force in this process at once.

    Other processes hear of every change from the database. Each method raises `PermissionDenied` where `who` may not,
    and `StoreUnavailable`.
    """

    def __init__(self, store: Store, clock: Clock, *, remember: Callable[[Tenant], None] | None = None) -> None:
        self._store = store
        self._clock = clock
        self._remember = remember

    # -- tenants

    async def tenants(self, who: Identity) -> list[Tenant]:
        """Every tenant, by address."""
        _require_operator(who)
        return await self._store.list_tenants()

    async def tenant_by_email(self, who: Identity, email: str) -> Tenant:
        """The tenant with this address, however it is capitalised. Raises `NotFound`."""
        _require_operator(who)
        # Somebody else's rows, in a database that we share, may have been written with capitals.
        given = email.strip()
        for address in dict.fromkeys((given, given.lower()) if given.isprintable() else ()):
            tenant = await self._store.tenant_by_email(address)
            if tenant is not None:
                return tenant
        raise NotFound("There is no tenant with this address; `freerelay tenant list` shows all.", param="email")

    async def create_tenant(self, who: Identity, email: str, *, tier: str, allow_override: bool) -> Tenant:
        """A new tenant, which has chosen nothing and has no key yet; its address is kept in lower case.

        Raises `UnprocessableRequest` for what is no address or no tier, `Conflict` when the address is taken.
        """
        _require_operator(who)
        _require_tier(tier)
        return await self._store.create_tenant(_address(email), tier=tier, allow_override=allow_override)

    async def update_tenant(
        self, who: Identity, tenant_id: str, *, tier: str | None = None, allow_override: bool | None = None
    ) -> Tenant:
        """Change what is given; in force at once, and in the tenant's history.

        Raises `NotFound`, `UnprocessableRequest`.
        """
        _require_operator(who)
        if tier is not None:
            _require_tier(tier)
        tenant = await self._store.update_tenant(
            tenant_id, actor=OPERATOR_ACTOR, tier=tier, allow_override=allow_override
        )
        return self._in_force(tenant)

    async def set_budget(self, who: Identity, tenant_id: str, budget_usd: float | None) -> Tenant:
        """Set USD a calendar month (UTC), None for no budget; in force at once, and in the tenant's history.

        Raises `NotFound`, `UnprocessableRequest`.
        """
        _require_operator(who)
        return self._in_force(await self._store.set_budget(tenant_id, budget_usd, actor=OPERATOR_ACTOR))

    # -- keys

    async def keys(self, who: Identity, tenant_id: str) -> list[KeyInfo]:
        """The tenant's keys, those that have ended too, newest first."""
        _require_access(who, tenant_id)
        return await self._store.list_keys(tenant_id)

    async def create_key(
        self, who: Identity, tenant_id: str, *, name: str, lifetime_days: int | None = None
    ) -> CreatedKey:
        """A new key of the tenant, which works at once; without `lifetime_days` it does not expire.

        Raises `NotFound`, `UnprocessableRequest` for a label or lifetime that cannot be, and `Conflict` when there are
        `MOST_LIVE_KEYS` already. Two calls at the same moment may both be the last one allowed.
        """
        _require_access(who, tenant_id)
        label, expires_at = _label(name), self._expiry(lifetime_days)
        now = self._clock.now()
        live = [key for key in await self._store.list_keys(tenant_id) if key_state(key, now) == "live"]
        if len(live) >= MOST_LIVE_KEYS:
            raise Conflict(
                f"There are {len(live)} keys that work, and no more than {MOST_LIVE_KEYS} are allowed. "
                "Revoke one that is no longer used.",
                code="too_many_keys",
            )
        key = new_key("live")
        info = await self._store.create_key(
            tenant_id, name=label, prefix=key.prefix, key_hash=key.digest, expires_at=expires_at
        )
        return CreatedKey(key.secret, info)

    async def rename_key(self, who: Identity, tenant_id: str, key_id: str, name: str) -> KeyInfo:
        """Give a key another label. Raises `NotFound` when it is not this tenant's, `UnprocessableRequest`."""
        _require_access(who, tenant_id)
        return await self._store.rename_key(tenant_id, key_id, _label(name))

    async def revoke_key(self, who: Identity, tenant_id: str, key_id: str) -> KeyInfo:
        """End a key, and with it every dashboard session that was opened with it; every server hears of it at once.

        Revoking it again changes nothing. Raises `NotFound` when it is not this tenant's.
        """
        _require_access(who, tenant_id)
        return await self._store.revoke_key(tenant_id, key_id)

    # -- settings

    async def undo_preference(self, who: Identity, *, actor: str, expected_version: int) -> Tenant:
        """Take back the newest change of the caller's routing preference; undoing that in turn repeats the change.

        `expected_version` is the version of the settings that the caller saw. Raises `Conflict` when they have changed
        since, `NotFound` when nothing was ever changed, and `UnprocessableRequest` when the former value, written by
        an older installation, is none that can be chosen today.
        """
        if who.tenant is None:
            raise PermissionDenied("Routing settings belong to a tenant, and the operator has none of its own.")
        changes = await self._store.settings_history(who.tenant.id)
        last = next((change for change in changes if change.field == "routing_preference"), None)
        if last is None:
            raise NotFound("There is no change of the routing preference that could be undone.")
        tenant = await self._store.set_routing_preference(
            who.tenant.id,
            parse_choice(last.old_value),
            actor=actor,
            expected_version=expected_version,
        )
        return self._in_force(tenant)

    # -- inside

    def _in_force(self, tenant: Tenant) -> Tenant:
        if self._remember is not None:
            self._remember(tenant)
        return tenant

    def _expiry(self, lifetime_days: int | None) -> datetime | None:
        if lifetime_days is None:
            return None
        if not 1 <= lifetime_days <= LONGEST_LIFETIME_DAYS:
            raise UnprocessableRequest(
                f"A key lasts from 1 to {LONGEST_LIFETIME_DAYS} days, or does not expire.", param="lifetime_days"
            )
        return self._clock.now() + timedelta(days=lifetime_days)


def _require_operator(who: Identity) -> None:
    if not who.is_operator:
        raise PermissionDenied("Only the operator may see or change tenants.")


def _require_access(who: Identity, tenant_id: str) -> None:
    """The same refusal for a tenant that is another and for one that does not exist."""
    if not who.is_operator and (who.tenant is None or who.tenant.id != tenant_id):
        raise PermissionDenied("A tenant may see and change its own keys only.")


def _require_tier(tier: str) -> None:
    if tier not in TIERS:
        raise UnprocessableRequest(f"tier must be one of {', '.join(TIERS)}.", param="tier")


def _address(email: str) -> str:
    address = email.strip().lower()
    if len(address) > _LONGEST_EMAIL or not address.isprintable() or not _EMAIL.fullmatch(address):
        raise UnprocessableRequest("This is no e-mail address: write it as name@example.com.", param="email")
    return address


def _label(name: str) -> str:
    label = " ".join(name.split())
    if not label or len(label) > LONGEST_LABEL or not label.isprintable():
        raise UnprocessableRequest(
            f"A label has 1 to {LONGEST_LABEL} printable characters, such as “laptop” or “nightly job”.", param="name"
        )
    return label
