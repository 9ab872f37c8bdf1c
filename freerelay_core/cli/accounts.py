"""The accounts of this deployment, for the commands that list and change them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from freerelay_core.cli.store import with_store
from freerelay_core.clock import SystemClock
from freerelay_core.composition.accounts import Accounts
from freerelay_core.config import load_settings

__all__ = ["with_accounts"]

T = TypeVar("T")


def with_accounts(work: Callable[[Accounts], Awaitable[T]], *, may_create: bool = False) -> T:
    """The result of `work` on them. Running servers hear of every change from the database.

    Raises `ConfigurationError` where there is no database yet, unless it `may_create` one.
    """
    clock = SystemClock()
    return with_store(load_settings(), clock, lambda store: work(Accounts(store, clock)), may_create=may_create)
