"""Settings of a deployment, from the environment (prefix `FREERELAY_`, and the usual names of its neighbours)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from freerelay_core.errors import ConfigurationError
from freerelay_core.logs import LogForm, LogLevel

__all__ = ["SHORTEST_KEY", "Settings", "load_settings", "unknown_variables"]

SHORTEST_KEY: Final = 32
"""Characters of a key that a deployment states: a shorter one is easily guessed."""

_PREFIX = "FREERELAY_"
_FOR_SHELLS = frozenset({"FREERELAY_DASHBOARD_URL", "FREERELAY_READY"})
"""What `freerelay serve` prints for a shell beside settings, and another start may find there."""


class Settings(BaseSettings):
    """Everything an operator may set. Each field is the environment variable `FREERELAY_<NAME>` unless it says so."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    home: Path = Path(".freerelay")
    """Folder that holds all local state: database, credentials, connection file. Deleting it gives a fresh install."""
    host: str = "127.0.0.1"
    port: int = Field(8501, ge=1, le=65535)
    database_url: SecretStr | None = Field(None, validation_alias=AliasChoices("DATABASE_URL", "database_url"))
    """Another PostgreSQL than the embedded one (variable `DATABASE_URL`)."""
    supabase_url: str | None = Field(
        None, pattern=r"^https?://[^\s/?#]+[^\s?#]*$", validation_alias=AliasChoices("SUPABASE_URL", "supabase_url")
    )
    """A Supabase project instead of PostgreSQL, over its REST interface (variable `SUPABASE_URL`)."""
    supabase_secret_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY", "supabase_secret_key"),
    )
    """That project's secret key (variable `SUPABASE_SECRET_KEY`, or `SUPABASE_SERVICE_ROLE_KEY` as it was called)."""
    operator_key: SecretStr | None = None
    """The operator's key; required unless `local`, generated into `home/credentials` otherwise."""
    demo: bool = False
    """Create the demo tenant also with `DATABASE_URL` or `SUPABASE_URL`."""
    demo_week: bool = True
    """Give a new demo tenant a generated week of decisions, marked as such."""
    keep_decisions_days: int | None = Field(None, ge=1)
    """Drop the decision log's days that are older; None keeps all."""

    catalogue: Path | None = None
    """Operator's YAML file that adds, changes or replaces providers and endpoints."""
    rules: Path | None = None
    """Operator's YAML file with routing rules."""
    providers: str = ""
    """Comma-separated providers that may be called with the vendor key found in the environment."""
    simulated: Literal["auto", "allow"] = "auto"
    """`auto`: simulated endpoints serve live traffic only while no real endpoint is configured. `allow`: always."""
    simulated_limits: bool = True
    """Whether simulated endpoints keep the limits of the ones they stand for."""
    simulated_time_scale: float = Field(1.0, ge=0.0, le=10.0)
    """Factor on the waits of simulated endpoints; records keep unscaled times."""

    explore_share: float = Field(0.01, ge=0.0, le=0.2)
    """Share of requests that may try an endpoint first that is close to the best and was seldom asked of late."""
    fleet_epoch_ms: int = Field(100, ge=1, le=60_000, validation_alias=AliasChoices("FLEET_EPOCH_MS", "fleet_epoch_ms"))
    """How often a new snapshot of the fleet is published to the router, ms."""
    drain_s: float = Field(30.0, ge=0.0, le=600.0)
    """How long open streams may go on after SIGTERM, s; after Ctrl-C at most 5 s."""

    tenant_rpm: str = ""
    """Requests a minute of a tenant: by tier ("free=60,gold=6000"), alike for all ("600"), or its own
    ("ann@example.com=60"); empty: no limit."""
    tenant_concurrency: str = "1000"
    """Open requests of a tenant, in the same form."""
    max_open_requests: int = Field(4_000, ge=1)
    """Open requests of this process, of all tenants together."""
    failed_keys_per_minute: int = Field(60, ge=1)
    """Refused keys that an address may send in a minute before it must wait."""

    log: LogForm = "text"
    """Form of the log on standard error: lines for people, or one JSON object a line."""
    log_level: LogLevel = "warning"
    """The least level that is logged."""
    access_log: bool = False
    """One line a request, with its ids, status and duration."""
    metrics_key: SecretStr | None = None
    """A key that may read `/metrics` and nothing else; the operator's may, too."""
    metrics_open: bool = False
    """`/metrics` answers everybody who reaches the port."""

    @field_validator("database_url", "supabase_url", "supabase_secret_key", "metrics_key", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @field_validator("metrics_key")
    @classmethod
    def _is_hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < SHORTEST_KEY:
            raise PydanticCustomError("short_key", f"Key should have at least {SHORTEST_KEY} characters")
        return value

    @property
    def local(self) -> bool:
        """Whether the data lies in the PostgreSQL of this install's home."""
        return self.database_url is None and self.supabase_url is None

    @property
    def enabled_providers(self) -> frozenset[str]:
        """Names in `providers`."""
        return frozenset(name.strip() for name in self.providers.split(",") if name.strip())


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment, with `overrides` above it.

    Raises `ConfigurationError` naming the variable and what is wrong with it.
    """
    try:
        settings = Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = str(problem["loc"][0])
        variable = name if name.isupper() else f"{_PREFIX}{name.upper()}"
        raise ConfigurationError(f"{variable}: {problem['msg']}", param=variable) from None
    _require_one_database(settings)
    return settings


def unknown_variables(names: Iterable[str]) -> list[tuple[str, str | None]]:
    """Those of these environment variables that look like a setting and are none, each with the one it may mean."""
    settings = {name.removeprefix(_PREFIX): name for name in _variables()}
    known = _FOR_SHELLS.union(settings.values())
    unknown = sorted(name for name in names if name.upper().startswith(_PREFIX) and name.upper() not in known)
    return [(name, _nearest(name.upper().removeprefix(_PREFIX), settings)) for name in unknown]


def _variables() -> list[str]:
    """The environment variables of all settings, as documented: the first name where there are several."""
    fields = Settings.model_fields.items()
    return [
        str(alias.choices[0])
        if isinstance(alias := field.validation_alias, AliasChoices)
        else f"{_PREFIX}{name.upper()}"
        for name, field in fields
    ]


def _nearest(name: str, known: dict[str, str]) -> str | None:
    near = get_close_matches(name, known, n=1)
    return known[near[0]] if near else None


def _require_one_database(settings: Settings) -> None:
    if settings.supabase_url is None:
        return
    if settings.database_url is not None:
        raise ConfigurationError(
            "DATABASE_URL and SUPABASE_URL are both set, and FreeRelay keeps its data in one place. Drop SUPABASE_URL "
            "to use the PostgreSQL connection, or DATABASE_URL to use the Supabase project over HTTP.",
            param="SUPABASE_URL",
        )
    if settings.supabase_secret_key is None:
        raise ConfigurationError(
            "With SUPABASE_URL set SUPABASE_SECRET_KEY to a secret key of the project (sb_secret_…), from its API "
            "settings.",
            param="SUPABASE_SECRET_KEY",
        )
    if _for_browsers(settings.supabase_secret_key.get_secret_value()):
        raise ConfigurationError(
            "SUPABASE_SECRET_KEY holds a publishable key, which may do nothing here. Take a secret key (sb_secret_…) "
            "or the service_role key from the project's API settings.",
            param="SUPABASE_SECRET_KEY",
        )


def _for_browsers(key: str) -> bool:
    """Whether this is a project's publishable key, or in its older form a token of another role than `service_role`."""
    _, dot, rest = key.partition(".")
    if not dot:
        return key.startswith("sb_publishable_")
    claims = rest.partition(".")[0]
    try:
        return bool(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["role"] != "service_role")
    except (ValueError, KeyError, TypeError):
        return False  # no token at all; the project itself will say so
