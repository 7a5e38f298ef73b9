"""Where outgoing connections may go (`design.md`, Security).

Settings and redirects name hosts, and names can be made to point anywhere: at the cloud's metadata service,
at a database on loopback. So the rule is applied to the address itself, at the last moment, when the
socket is made: literal addresses, every answer of DNS and every redirect pass here, and a name that
changes its address between look-up and connection gains nothing.
"""

import ipaddress
import socket
from collections.abc import Callable

from aiohttp.connector import AddrInfoType

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*texts: str) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


_NEVER = _networks(
    "0.0.0.0/8",
    "169.254.0.0/16",  # link-local, and the metadata service of nearly every cloud
    "192.0.0.0/24",  # protocol assignments; metadata at Oracle
    "100.100.100.200/32",  # metadata at Alibaba
    "168.63.129.16/32",  # platform services at Azure
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "fe80::/10",
    "fd00:ec2::/32",  # metadata and instance services at Amazon
    "fd20:ce::/32",  # metadata at Google
    "2001::/32",  # Teredo: an IPv4 address in disguise
    "ff00::/8",
)
_PRIVATE = _networks(
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "192.0.2.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "::1/128",
    "fc00::/7",
    "fec0::/10",
    "64:ff9b:1::/48",
    "100::/64",
    "2001:db8::/32",
)
_CARRIES_IPV4 = _networks("::ffff:0:0/96", "64:ff9b::/96", "::/96")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")


class EgressDeniedError(OSError):
    """The egress policy refuses every address of the host."""

    def __init__(self) -> None:
        # One text for all addresses: the connector only keeps the type when all refusals read the same.
        super().__init__(
            "the egress policy refuses the address: metadata, link-local, multicast and reserved ranges"
            " always, private and loopback ones when TURNOUT_EGRESS_PRIVATE is deny"
        )


def is_allowed(address: str, allow_private: bool) -> bool:
    """Whether a connection to this numeric address may be made; loopback counts as private.

    IPv6 addresses that carry an IPv4 address (mapped, NAT64, 6to4) are judged by what they carry.
    Raises ValueError when `address` is not a numeric address.
    """
    reached = _reached(ipaddress.ip_address(address))
    if _within(reached, _NEVER):
        return False
    return allow_private or not _within(reached, _PRIVATE)


def socket_factory(allow_private: bool) -> Callable[[AddrInfoType], socket.socket]:
    """Makes the sockets of an aiohttp connector; the one for a refused address is an `EgressDeniedError`."""

    def make(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _name, target = info
        if not is_allowed(str(target[0]), allow_private):
            raise EgressDeniedError
        return socket.socket(family, kind, protocol)

    return make


def _reached(address: _Address) -> _Address:
    if not isinstance(address, ipaddress.IPv6Address) or int(address) <= 1:
        return address
    if address in _SIX_TO_FOUR:
        return ipaddress.IPv4Address(int(address) >> 80 & 0xFFFF_FFFF)
    if _within(address, _CARRIES_IPV4):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _within(address: _Address, networks: tuple[_Network, ...]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
