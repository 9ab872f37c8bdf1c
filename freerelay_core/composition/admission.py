"""Who may come in: requests a minute and open requests of each tenant (by tier, or its own), and how many are open.

    arrives -> room in the process? -> key -> tenant's open requests? -> tenant's rate? -> body is read, and so on
                 503 overloaded               429 too_many_open_requests   429 rate_limit_exceeded

The rate is a bucket that holds a minute's requests and fills evenly: after a pause all of them may come at once. Counts
are those of this process; nothing waits here, so there is no queue that could grow.
"""

from __future__ import annotations

import ipaddress
import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from freerelay_core.clock import Clock
from freerelay_core.config import Settings
from freerelay_core.errors import ConfigurationError, RateExceeded, RateLimited, Unavailable
from freerelay_core.store import TIERS, Tenant

__all__ = ["Admission", "FailedKeys", "Rate", "read_limits"]

_MINUTE_S = 60.0
_MOST_TENANTS = 20_000
"""Tenants that are remembered; beyond that those are forgotten whose bucket is full and who have nothing open."""
_MOST_ADDRESSES = 10_000


class Rate(NamedTuple):
    """How a tenant stands with its requests a minute."""

    limit: int
    remaining: int
    reset_s: float
    """Seconds until all of them may come at once again."""


class _Standing:
    """What a tenant has used."""

    __slots__ = ("full_at", "open")

    def __init__(self) -> None:
        self.full_at = 0.0
        """When its bucket is full, monotonic seconds."""
        self.open = 0


class Admission:
    """Counts requests in and out. For one event loop."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Raises `ConfigurationError` for limits that name no tier or no number."""
        self._clock = clock
        self._rpm = read_limits(settings.tenant_rpm, "FREERELAY_TENANT_RPM")
        self._concurrency = read_limits(settings.tenant_concurrency, "FREERELAY_TENANT_CONCURRENCY")
        self._most = settings.max_open_requests
        self.addresses = {
            "FREERELAY_TENANT_RPM": sorted(self._rpm.keys() - TIERS),
            "FREERELAY_TENANT_CONCURRENCY": sorted(self._concurrency.keys() - TIERS),
        }
        """Tenants that have a limit of their own, in lower case, by the variable that names them."""
        self._standings: dict[str, _Standing] = {}
        self.open = 0
        """Requests that have come in and not gone out."""

    def require_room(self) -> None:
        """Raise `Unavailable` while as many requests are open as the process may hold."""
        if self.open >= self._most:
            raise Unavailable(
                "FreeRelay has as many open requests as it may hold. Try again in a moment.",
                code="overloaded",
                retry_after_s=1.0,
            )

    def enter(self, tenant: Tenant) -> Rate | None:
        """Let a request in, which must `leave`. None where its tier has no limit on requests a minute.

        Raises `RateExceeded`, `RateLimited`.
        """
        standing = self._standing(tenant)
        most = _of(self._concurrency, tenant)
        if most is not None and standing.open >= most:
            raise RateLimited(
                f"{standing.open} requests of this tenant are open, as many as it may have. Wait for one to end, or "
                "ask the operator for more.",
                code="too_many_open_requests",
                retry_after_s=1.0,
            )
        rate = self._take(tenant, standing)
        standing.open += 1
        self.open += 1
        return rate

    def leave(self, tenant: Tenant) -> None:
        """A request that came in has ended, however."""
        self._standings[tenant.id].open -= 1
        self.open -= 1

    def count(self, tenant: Tenant) -> Rate | None:
        """Count a request that is over at once. Raises `RateExceeded`."""
        return self._take(tenant, self._standing(tenant))

    def _standing(self, tenant: Tenant) -> _Standing:
        standing = self._standings.get(tenant.id)
        if standing is None:
            if len(self._standings) >= _MOST_TENANTS:
                now = self._clock.monotonic()
                kept = {name: each for name, each in self._standings.items() if each.open or each.full_at > now}
                self._standings = kept
            standing = self._standings[tenant.id] = _Standing()
        return standing

    def _take(self, tenant: Tenant, standing: _Standing) -> Rate | None:
        rpm = _of(self._rpm, tenant)
        if rpm is None:
            return None
        now, interval = self._clock.monotonic(), _MINUTE_S / rpm
        used_s = max(0.0, standing.full_at - now)
        wait_s = used_s + interval - _MINUTE_S
        if wait_s > 1e-9:  # what sums of intervals may be off
            whose = "this tenant" if tenant.email.lower() in self._rpm else f"tier {tenant.tier}"
            raise RateExceeded(
                f"Limit of {whose}: {rpm} requests a minute. Try again in {wait_s:.1f} s, or ask the operator for "
                "more.",
                retry_after_s=wait_s,
                rate=Rate(rpm, 0, used_s),
            )
        standing.full_at = now + used_s + interval
        return Rate(rpm, int((_MINUTE_S - used_s - interval) / interval + 1e-6), used_s + interval)


def read_limits(text: str, variable: str) -> Mapping[str, int]:
    """Limits by tier from "free=60,gold=6000", or from one number for all; a tier that is not named has none.

    Tenants may be named beside the tiers, by their address. Raises `ConfigurationError` naming `variable`.
    """
    limits: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        named, equals, number = part.rpartition("=")
        names = (named.strip().lower(),) if equals else TIERS
        known = all(name in TIERS or _ADDRESS.fullmatch(name) for name in names)
        if not known or not number.strip().isdecimal() or int(number) < 1:
            raise ConfigurationError(
                f"{variable}: {part!r} is no limit. Give a whole number of at least 1 for all tiers, or one for each "
                f"tier: {','.join(f'{name}=60' for name in TIERS)}. A tenant of its own limit is named by its address: "
                "ann@example.com=60.",
                param=variable,
            )
        limits |= dict.fromkeys(names, int(number))
    return limits


_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


def _of(limits: Mapping[str, int], tenant: Tenant) -> int | None:
    """The tenant's limit, else its tier's."""
    own = limits.get(tenant.email.lower())
    return limits.get(tenant.tier) if own is None else own


class FailedKeys:
    """Keys that were refused, by the address that sent them: who has guessed often must wait before guessing again."""

    def __init__(self, most: int, window_s: float = _MINUTE_S) -> None:
        """An address may fail `most` times in `window_s`."""
        self._most = most
        self._window_s = window_s
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()  # when the window began, failures since

    def wait_s(self, address: str, now: float) -> float:
        """Seconds that this address must wait; 0 where it need not."""
        began, failed = self._counts.get(_network(address), (0.0, 0))
        return max(0.0, began + self._window_s - now) if failed >= self._most else 0.0

    def note(self, address: str, now: float) -> None:
        """Count a failure."""
        network = _network(address)
        began, failed = self._counts.pop(network, (now, 0))
        if now - began >= self._window_s:
            began, failed = now, 0
        self._counts[network] = (began, failed + 1)
        if len(self._counts) > _MOST_ADDRESSES:
            self._counts.popitem(last=False)


@lru_cache(maxsize=4096)  # every request asks, and an IPv6 address takes 13 us to work out
def _network(address: str) -> str:
    """Whom an address stands for: an IPv6 client has at least the 2^64 addresses of a /64."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
