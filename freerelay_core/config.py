"""Settings of a deployment, from the environment (prefix `FREERELAY_`, and the usual names of its neighbours)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from freerelay_core.errors import ConfigurationError

__all__ = ["Settings", "load_settings"]


class Settings(BaseSettings):
    """Everything an operator may set. Each field is the environment variable `FREERELAY_<NAME>` unless it says so."""

    model_config = SettingsConfigDict(env_prefix="FREERELAY_", extra="ignore", frozen=True, populate_by_name=True)

    home: Path = Path(".freerelay")
    """Folder that holds all local state: database, credentials, connection file. Deleting it gives a fresh install."""
    host: str = "127.0.0.1"
    port: int = Field(8501, ge=1, le=65535)
    database_url: SecretStr | None = Field(None, validation_alias=AliasChoices("DATABASE_URL", "database_url"))
    """Another PostgreSQL than the embedded one (variable `DATABASE_URL`)."""
    operator_key: SecretStr | None = None
    """The operator's key; required with `DATABASE_URL`, generated into `home/credentials` otherwise."""
    demo: bool = False
    """Create the demo tenant also with `DATABASE_URL`."""

    catalogue: Path | None = None
    """Operator's YAML file that adds, changes or replaces providers and endpoints."""
    rules: Path | None = None
    """Operator's YAML file with routing rules."""
    providers: str = ""
    """Comma-separated providers that may be called with the vendor key found in the environment."""
    simulated: Literal["auto", "allow"] = "auto"
    """`auto`: simulated endpoints serve live traffic only while no real endpoint is configured. `allow`: always."""
    simulated_time_scale: float = Field(1.0, ge=0.0, le=10.0)
    """Factor on the waits of simulated endpoints; records keep unscaled times."""

    fleet_epoch_ms: int = Field(100, ge=1, le=60_000, validation_alias=AliasChoices("FLEET_EPOCH_MS", "fleet_epoch_ms"))
    """How often a new snapshot of the fleet is published to the router, ms."""
    drain_s: float = Field(5.0, ge=0.0, le=600.0)
    """How long open streams may go on after the first stop signal, s."""

    @field_validator("database_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @property
    def enabled_providers(self) -> frozenset[str]:
        """Names in `providers`."""
        return frozenset(name.strip() for name in self.providers.split(",") if name.strip())


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment, with `overrides` above it.

    Raises `ConfigurationError` naming the variable and what is wrong with it.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = str(problem["loc"][0])
        variable = name if name.isupper() else f"FREERELAY_{name.upper()}"
        raise ConfigurationError(f"{variable}: {problem['msg']}", param=variable) from None
