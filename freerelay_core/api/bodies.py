"""What the bodies of our own routes may hold; that of a chat request is read by the profile and the wishes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from freerelay_core.preference import RoutingPreference

__all__ = ["Feedback", "SettingsChange"]


class SettingsChange(BaseModel):
    """What a tenant may change of its own settings."""

    model_config = ConfigDict(extra="forbid")

    routing_preference: Any = Field(json_schema_extra={"type": "string", "enum": list(RoutingPreference)})
    settings_version: int | None = Field(None, strict=True, ge=0, lt=2**63)


class Feedback(BaseModel):
    """A grade of an answer."""

    model_config = ConfigDict(extra="forbid")

    score: float = Field(strict=True, ge=0, le=1, allow_inf_nan=False)
    """0 useless, 1 as good as could be."""
