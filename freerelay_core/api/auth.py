"""Who is calling: reads the key from the request."""

from __future__ import annotations

from starlette.types import Scope

from freerelay_core.composition import current
from freerelay_core.errors import AuthenticationFailed, PermissionDenied, RateLimited
from freerelay_core.store import Identity, Tenant

__all__ = ["bearer", "caller", "require_tenant"]


async def caller(scope: Scope) -> Identity:
    """The identity behind the request's key. Raises `AuthenticationFailed`, `RateLimited`, `StoreUnavailable`.

    An address that has sent too many keys that are refused must wait before another one is looked up; a key that is
    known goes on.
    """
    application, key = current(), bearer(scope)
    identities, failed = application.identities, application.failed_keys
    address, now = (scope.get("client") or ("",))[0], application.clock.monotonic()
    wait_s = failed.wait_s(address, now)
    if wait_s and not identities.knows(key):
        raise RateLimited(
            "Too many keys from this address were refused. Check the key, and try again when the time is over.",
            code="too_many_failed_keys",
            retry_after_s=wait_s,
        )
    try:
        return await identities.identify(key)
    except AuthenticationFailed:
        failed.note(address, now)
        raise


def require_tenant(identity: Identity) -> Tenant:
    """The calling tenant. Raises `PermissionDenied` for the operator, who has no settings or traffic of its own."""
    if identity.tenant is None:
        raise PermissionDenied(
            "The operator's key cannot do this: use the key of a tenant (fr_live_…).", code="operator_key_not_allowed"
        )
    return identity.tenant


def bearer(scope: Scope) -> str:
    """The key that the request brings. Raises `AuthenticationFailed` unless it brings exactly one."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) == 1:
        scheme, _, key = values[0].partition(b" ")
        if scheme.lower() == b"bearer" and key.strip():
            token: str = key.strip().decode("latin-1")
            return token
    raise AuthenticationFailed(
        "Send exactly one header `Authorization: Bearer fr_live_…` with your API key.", code="missing_api_key"
    )
