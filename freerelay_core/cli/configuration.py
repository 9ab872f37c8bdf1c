"""What the operator has configured, read and checked once for every command."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum

from freerelay_core.catalogue import Catalogue, load_catalogue
from freerelay_core.cli.store import place_of_store, with_store
from freerelay_core.clock import Clock
from freerelay_core.config import Settings, load_settings
from freerelay_core.errors import Unavailable
from freerelay_core.policy import Policy, load_policy
from freerelay_core.providers import VendorKeys, find_vendor_keys
from freerelay_core.snapshot import Snapshot, catalogue_snapshot

__all__ = ["Configuration", "SnapshotChoice", "load_configuration"]


class SnapshotChoice(StrEnum):
    """What a command ranks by."""

    CATALOGUE = "catalogue"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings and what they name."""

    settings: Settings
    catalogue: Catalogue
    policy: Policy
    vendor_keys: VendorKeys

    def snapshot(self, choice: SnapshotChoice, clock: Clock) -> Snapshot:
        """The fleet as the catalogue alone describes it, or as a running server saw it last.

        Only `live` needs the store. Raises `ConfigurationError` when there is none, and `Unavailable` when no server
        has left a snapshot there.
        """
        if choice is SnapshotChoice.LIVE:
            published = with_store(self.settings, clock, lambda store: store.latest_snapshot())
            if published is None:
                raise Unavailable(
                    f"No server has published a snapshot yet {place_of_store(self.settings)}: start `freerelay serve`, "
                    "name the database of the one that runs, or leave out --snapshot."
                )
            return Snapshot.load(published.payload)
        return catalogue_snapshot(
            self.catalogue,
            clock.now(),
            real_providers=self.vendor_keys.enabled,
            allow_simulated=self.settings.simulated == "allow",
        )


def load_configuration(**overrides: object) -> Configuration:
    """The configuration in the environment, with `overrides` above its settings.

    Raises `ConfigurationError` naming the setting or the file, the field and the reason.
    """
    settings = load_settings(**overrides)
    catalogue = load_catalogue(settings.catalogue)
    return Configuration(
        settings=settings,
        catalogue=catalogue,
        policy=load_policy(settings.rules, [endpoint.id for endpoint in catalogue.endpoints]),
        vendor_keys=find_vendor_keys(catalogue.providers, settings.enabled_providers, os.environ),
    )
