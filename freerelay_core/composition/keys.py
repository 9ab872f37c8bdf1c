"""The keys that an install has of its own: the operator's, and the demo tenant's where there is one."""

from __future__ import annotations

from dataclasses import dataclass, field

from freerelay_core.config import SHORTEST_KEY, Settings
from freerelay_core.errors import ConfigurationError
from freerelay_core.store import load_or_create_credentials

__all__ = ["OwnKeys", "own_keys", "stated_operator_key"]


@dataclass(frozen=True, slots=True)
class OwnKeys:
    operator_key: str = field(repr=False)
    demo_key: str | None = field(repr=False)
    """None where there is no demo tenant."""


def stated_operator_key(settings: Settings) -> str | None:
    """The operator's key that these settings state.

    Raises `ConfigurationError` when it is missing beside another database, or is easily guessed.
    """
    stated = None if settings.operator_key is None else settings.operator_key.get_secret_value()
    if stated is not None and len(stated) < SHORTEST_KEY:
        raise ConfigurationError(
            f"FREERELAY_OPERATOR_KEY must have at least {SHORTEST_KEY} characters.",
            param="FREERELAY_OPERATOR_KEY",
        )
    if stated is None and not settings.local:
        variable = "SUPABASE_URL" if settings.database_url is None else "DATABASE_URL"
        raise ConfigurationError(
            f"With {variable} the operator's key is not made up: set FREERELAY_OPERATOR_KEY to a secret of at least "
            f"{SHORTEST_KEY} random characters.",
            param="FREERELAY_OPERATOR_KEY",
        )
    return stated


def own_keys(settings: Settings) -> OwnKeys:
    """The keys under these settings; a local install's are made on first use.

    Raises `ConfigurationError` as `stated_operator_key` does.
    """
    stated = stated_operator_key(settings)
    if not settings.local and not settings.demo:
        return OwnKeys(stated or "", None)
    credentials = load_or_create_credentials(settings.home)
    return OwnKeys(stated or credentials.operator_key, credentials.demo_key)
