"""Which addresses we may call when somebody else named the URL: the public internet, and nothing behind it.

A name is resolved once, every address it has is judged, and the connection goes to one of those very
addresses. Whoever answers the next question about the name differently (DNS rebinding) is not asked again.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_PORTS = {"http": 80, "https": 443}


class OutboundRefused(Exception):
    """This URL may not be called; the sentence says why, for whoever configured it."""


@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """What may be called. `allow_private` is for a firm whose own systems receive, and for tests."""

    allow_private: bool = False
    allow_http: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart and judged, with what a request line and a TLS handshake need."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """For the Host header: the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def read_url(url: str, policy: OutboundPolicy) -> Target:
    """Judge the URL itself, without asking any name server. Raises `OutboundRefused`."""
    if not url.isascii() or any(c <= " " or c == "\x7f" or c == "\\" for c in url):
        raise OutboundRefused("The URL holds characters that must be encoded.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise OutboundRefused("The URL cannot be read.") from error
    if parts.scheme not in _PORTS or (parts.scheme == "http" and not policy.allow_http):
        raise OutboundRefused("The URL must begin with https://.")
    if parts.username is not None or parts.password is not None:
        raise OutboundRefused("The URL must not hold a user name or password.")
    host = (parts.hostname or "").rstrip(".")
    if not host:
        raise OutboundRefused("The URL names no host.")
    target = Target(parts.scheme, host, port or _PORTS[parts.scheme], _path(parts))
    if (literal := _literal(host)) is not None:
        judge(literal, policy)
    elif not policy.allow_private and (host == "localhost" or host.endswith(".localhost")):
        raise OutboundRefused("The URL points into a private network.")
    return target


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def judge(address: Address, policy: OutboundPolicy) -> None:
    """Raises `OutboundRefused` for an address that is not on the public internet, however it is wrapped."""
    if not policy.allow_private and not is_public(address):
        raise OutboundRefused("The URL points into a private network.")


def is_public(address: Address) -> bool:
    """Whether the IANA registries call it globally reachable; of an IPv4 address in an IPv6 one, that one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.sixtofour is not None:
            return is_public(address.sixtofour)
        if address.teredo is not None:
            return False  # a tunnel through somebody's server: no public service stands there
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.scope_id is not None:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def system_resolve(host: str, port: int) -> list[str]:
    """Every address that the system knows for a name; also for its odd spellings, such as 0x7f.1."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def resolve_public(target: Target, policy: OutboundPolicy, resolve: Resolve) -> list[str]:
    """The addresses to connect to. One private address among them refuses them all: the name is a trap.

    Raises `OutboundRefused`, and the `OSError` of a name that is not found, which may be found tomorrow.
    """
    found = list(dict.fromkeys(resolve(target.host, target.port)))
    for text in found:
        judge(ipaddress.ip_address(text), policy)
    return found
