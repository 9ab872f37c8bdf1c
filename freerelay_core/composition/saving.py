"""Saving a tenant's preference; once, however often it is sent, where it comes with a key.

The answer is written before the change then, to be kept with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from freerelay_core.errors import Conflict
from freerelay_core.preference import RoutingPreference
from freerelay_core.store import Answered, IdempotencyKey, Store, Tenant

__all__ = ["save_preference", "save_preference_once"]

_TRIES = 20
"""Where other changes came between so often, the caller hears of it."""


async def save_preference(
    store: Store, tenant_id: str, preference: RoutingPreference | None, *, actor: str, expected_version: int | None
) -> Tenant:
    """Save it. Raises what `Store.set_routing_preference` raises."""
    try:
        return await store.set_routing_preference(tenant_id, preference, actor=actor, expected_version=expected_version)
    except Conflict as conflict:
        raise await _told(conflict, store, tenant_id, preference, expected_version) from None


async def save_preference_once(
    store: Store,
    tenant_id: str,
    preference: RoutingPreference | None,
    *,
    actor: str,
    expected_version: int | None,
    key: str,
    answer_for: Callable[[Tenant], Awaitable[str]],
) -> Answered:
    """Save it, unless that was done with this key. Raises what `Store.set_routing_preference_once` raises.

    `answer_for` writes the answer about the tenant as it will be. Tier and budget decide it, too, and the operator may
    change them at that moment: so the preference is saved on the very version of the settings that the answer was
    written for. A version that the caller has seen is no newer than the one that is read here.
    """
    name = IdempotencyKey.of(key, tenant_id=tenant_id, use=["settings"], request=[preference, expected_version])
    tries = 0
    while True:
        tenant = await store.tenant(tenant_id)
        answer = await answer_for(replace(tenant, routing_preference=preference))
        version = tenant.settings_version if expected_version is None else expected_version
        try:
            return await store.set_routing_preference_once(
                tenant_id, preference, actor=actor, expected_version=version, key=name, answer=answer
            )
        except Conflict as conflict:
            if conflict.code != "settings_changed":
                raise
            if expected_version is not None:
                raise await _told(conflict, store, tenant_id, preference, expected_version) from None
            tries += 1
            if tries == _TRIES:
                raise Conflict(
                    "The settings are being changed too often at the moment. Send it again, with the same key.",
                    code="settings_busy",
                ) from None


async def _told(
    conflict: Conflict,
    store: Store,
    tenant_id: str,
    preference: RoutingPreference | None,
    expected_version: int | None,
) -> Conflict:
    """The conflict over a version, as it is told: a stale write may want what the settings hold already."""
    stored = await store.tenant(tenant_id)
    if stored.routing_preference != preference:
        return conflict
    message = (
        f"The settings changed meanwhile, to version {stored.settings_version}, not {expected_version}, and the stored "
        f"preference is {'the default already' if preference is None else f'already {preference}'}: there is nothing "
        "to save."
    )
    return Conflict(message, code=conflict.code, param=conflict.param)
