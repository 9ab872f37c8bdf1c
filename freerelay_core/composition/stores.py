"""Which store the settings name."""

from __future__ import annotations

from freerelay_core.clock import Clock
from freerelay_core.config import Settings
from freerelay_core.store import PostgresStore, Store

__all__ = ["store_elsewhere"]


def store_elsewhere(settings: Settings, clock: Clock) -> Store | None:
    """The store at `DATABASE_URL` or `SUPABASE_URL`, not open yet; None where the data lies in this install's home.

    To be called where an event loop runs. Raises `ConfigurationError` for a connection string that cannot be read.
    """
    days = settings.keep_decisions_days
    if settings.database_url is not None:
        return PostgresStore(settings.database_url.get_secret_value(), clock=clock, keep_decisions_days=days)
    if settings.supabase_url is None or settings.supabase_secret_key is None:
        return None
    from freerelay_core.store.supabase import SupabaseStore  # noqa: PLC0415 -- half a second, for those who use it

    secret_key = settings.supabase_secret_key.get_secret_value()
    return SupabaseStore(settings.supabase_url, secret_key, clock=clock, keep_decisions_days=days)
