"""Who is looking at the page, and how a page calls the running application.

The identity is resolved from the browser's cookie on every run: neither `session_state` nor a cache may vouch for
anybody. The store is asynchronous and lives on the application's event loop; pages run in threads of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

import streamlit as st

from freerelay_core.api.session import COOKIE
from freerelay_core.composition import Application, current
from freerelay_core.errors import AuthenticationFailed, StoreUnavailable
from freerelay_core.scoring import Budget
from freerelay_core.snapshot import Snapshot
from freerelay_core.store.keys import key_digest
from freerelay_core.store.values import Identity, Tenant
from pages._format import seconds

__all__ = ["application", "budget_left", "fleet_snapshot", "identity", "key_prefix", "run", "signed_in"]

T = TypeVar("T")


def application() -> Application:
    """The running application of this process. Raises `Unavailable` when there is none."""
    return current()


def run(coroutine: Coroutine[Any, Any, T], timeout: float = 5.0) -> T:
    """The result of `coroutine`, run on the application's event loop.

    Raises what it raises, and `StoreUnavailable` when it takes longer than `timeout` seconds.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, application().loop)
    try:
        return future.result(timeout)
    except FutureTimeoutError:
        future.cancel()
        raise StoreUnavailable(f"No answer within {seconds(timeout)}. Try again in a moment.") from None


def signed_in() -> Identity | None:
    """Who is signed in, if anybody. Raises `StoreUnavailable` when that cannot be known."""
    session = st.context.cookies.get(COOKIE)
    if not session:
        return None
    return run(application().store.session(key_digest(session)))


def identity() -> Identity:
    """Who is signed in. Raises `AuthenticationFailed` when nobody is; `_main.py` then shows the sign-in page."""
    who = signed_in()
    if who is None:
        raise AuthenticationFailed("Your session has ended. Sign in again.")
    return who


def fleet_snapshot() -> Snapshot:
    """The fleet as it is now; read on the loop to which it belongs."""

    async def read() -> Snapshot:
        return application().fleet.snapshot()

    return run(read())


def budget_left(tenant: Tenant) -> Budget | None:
    """What routing counts as left of the tenant's budget now, None where it has none; read on the same loop."""

    async def read() -> Budget | None:
        return application().budgets.of(tenant)

    return run(read())


@st.cache_data(max_entries=1024, show_spinner=False)
def key_prefix(tenant_id: str, key_id: str) -> str:
    """The part of a tenant's key that may be shown; empty when the key is not this tenant's. It never changes."""
    keys = run(application().store.list_keys(tenant_id))
    return next((key.prefix for key in keys if key.id == key_id), "")
