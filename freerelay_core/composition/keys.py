"""The keys that an install has of its own: the operator's, and the demo tenant's where there is one."""

from __future__ import annotations

from dataclasses import dataclass, field

from freerelay_core.config import Settings
from freerelay_core.errors import ConfigurationError
from freerelay_core.store import load_or_create_credentials

__all__ = ["OwnKeys", "own_keys"]

SHORTEST_OPERATOR_KEY = 32


@dataclass(frozen=True, slots=True)
class OwnKeys:
    operator_key: str = field(repr=False)
    demo_key: str | None = field(repr=False)
    """None where there is no demo tenant."""


def own_keys(settings: Settings) -> OwnKeys:
    """The keys under these settings; a local install's are made on first use.

    Raises `ConfigurationError` when the operator's key is missing beside another database, or is easily guessed.
    """
    stated = None if settings.operator_key is None else settings.operator_key.get_secret_value()
    if stated is not None and len(stated) < SHORTEST_OPERATOR_KEY:
        raise ConfigurationError(
            f"FREERELAY_OPERATOR_KEY must have at least {SHORTEST_OPERATOR_KEY} characters.",
            param="FREERELAY_OPERATOR_KEY",
        )
    if stated is None and not settings.local:
        variable = "SUPABASE_URL" if settings.database_url is None else "DATABASE_URL"
        raise ConfigurationError(
            f"With {variable} the operator's key is not made up: set FREERELAY_OPERATOR_KEY to a secret of at least "
            f"{SHORTEST_OPERATOR_KEY} random characters.",
            param="FREERELAY_OPERATOR_KEY",
        )
    if not settings.local and not settings.demo:
        return OwnKeys(stated or "", None)
    credentials = load_or_create_credentials(settings.home)
    return OwnKeys(stated or credentials.operator_key, credentials.demo_key)
