"""Which providers are called for real, and with which key.

A key that happens to lie in the environment never spends money unasked: a shipped provider counts only when the
operator names it in `FREERELAY_PROVIDERS`; one from the operator's own file is named by that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from freerelay_core.catalogue import Provider
from freerelay_core.errors import ConfigurationError

__all__ = ["VendorKeys", "find_vendor_keys"]


@dataclass(frozen=True, slots=True)
class VendorKeys:
    """What the environment gives."""

    enabled: frozenset[str]
    """Ids of the providers that are called for real."""
    keys: Mapping[str, str] = field(repr=False)
    """Vendor key by provider id; absent where the server asks for none."""
    idle: tuple[str, ...]
    """Names of variables that hold a key of a provider which is not enabled."""


def find_vendor_keys(
    providers: Mapping[str, Provider], named: frozenset[str], environment: Mapping[str, str]
) -> VendorKeys:
    """The enabled providers (`named`, and the operator's own) with their keys from `environment`.

    Raises `ConfigurationError` for a name that no provider has, a missing key, and one of FreeRelay's own keys.
    """
    unknown = sorted(named - set(providers))
    if unknown:
        raise ConfigurationError(
            f"FREERELAY_PROVIDERS names {unknown[0]!r}; known providers are {', '.join(sorted(providers))}.",
            param="FREERELAY_PROVIDERS",
        )
    enabled = named | {provider.id for provider in providers.values() if provider.own}
    keys: dict[str, str] = {}
    for provider_id in sorted(enabled):
        variable = providers[provider_id].key_variable
        if variable is not None:
            keys[provider_id] = _key(provider_id, variable, environment)
    used = {providers[provider_id].key_variable for provider_id in enabled}
    idle = {
        provider.key_variable
        for provider in providers.values()
        if provider.key_variable and provider.key_variable not in used and _is_vendor_key(provider, environment)
    }
    return VendorKeys(frozenset(enabled), keys, tuple(sorted(idle)))


def _key(provider_id: str, variable: str, environment: Mapping[str, str]) -> str:
    key = environment.get(variable, "").strip()
    if not key:
        raise ConfigurationError(
            f"The provider {provider_id} is enabled, but {variable} is not set: set it to the vendor's key, or take "
            f"{provider_id} out of FREERELAY_PROVIDERS.",
            param=variable,
        )
    if key.startswith("fr_"):
        raise ConfigurationError(
            f"{variable} holds a key of FreeRelay (fr_…), not one of the vendor of {provider_id}: it would be sent to "
            "that vendor. Set the vendor's own key.",
            param=variable,
        )
    if not key.isascii() or not key.isprintable():
        raise ConfigurationError(f"{variable} holds characters that no key has.", param=variable)
    return key


def _is_vendor_key(provider: Provider, environment: Mapping[str, str]) -> bool:
    value = environment.get(provider.key_variable or "", "").strip()
    return bool(value) and not value.startswith("fr_")
