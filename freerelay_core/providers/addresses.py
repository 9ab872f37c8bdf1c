"""Which addresses a connection to a provider may go to, checked on the address itself, after the name was resolved.

A name that resolves to a machine of ours (or is made to, between two look-ups) must not turn the router into a way into
the operator's network. Only providers whose server the operator's own file names may be there.
"""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, TypeAlias

__all__ = ["AddressInfo", "is_public", "public_socket"]

AddressInfo: TypeAlias = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]
"""An address as `socket.getaddrinfo` has it."""

_NAT64 = IPv6Network("64:ff9b::/96")
"""An IPv4 address stands in the last 32 bits (RFC 6052)."""


def is_public(address: str) -> bool:
    """Whether the address is one of the Internet: not private, loopback, link-local (metadata services), multicast."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        ip = _embedded(ip) or ip
    return ip.is_global and not ip.is_multicast


def public_socket(info: AddressInfo) -> socket.socket:
    """A socket for a public address. Raises `OSError` for any other, before anything is sent."""
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise OSError(errno.EACCES, "the provider's name leads to an address that is not public")
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour
