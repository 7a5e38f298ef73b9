"""The header that a load balancer puts before a connection: PROXY protocol, versions 1 and 2. Pure.

Only for connections from a trusted proxy that is configured to send it: there it must come first, and a connection
that starts otherwise is an error, since anybody could start with one.
"""

import ipaddress
from typing import NamedTuple

from turnout.collect.proxies import address_of

VERSION_1_BYTES = 107
VERSION_2_BYTES = 4_096
"""The most that a header may take; those of version 2 may carry more about the connection, which we skip."""

_SIGNATURE_1 = b"PROXY "
_SIGNATURE_2 = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = len(_SIGNATURE_2) + 4
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESS_BYTES = {0x11: 4, 0x12: 4, 0x21: 16, 0x22: 16}
"""By family and transport; every other (unspecified, Unix sockets) has no address that we could use."""


class ProxyProtocolError(Exception):
    """The connection does not start with a PROXY protocol header; the text says what is wrong with it."""


class ProxyHeader(NamedTuple):
    """A complete header."""

    address: str
    """The client's; "" when the header does not tell: then the connection speaks for itself."""
    size: int
    """How many bytes it took; what follows is the client's."""


def parse(data: bytes) -> ProxyHeader | None:
    """The header that a connection's first bytes hold; None while more are needed.

    Never wants more than `VERSION_2_BYTES`. Raises `ProxyProtocolError`, and nothing else, as soon as the bytes can't
    become a header any more.
    """
    if data[:1] == _SIGNATURE_2[:1]:
        return _version_2(data)
    return _version_1(data)


def _version_1(data: bytes) -> ProxyHeader | None:
    if data[: len(_SIGNATURE_1)] != _SIGNATURE_1[: len(data)]:
        raise ProxyProtocolError("it starts with neither signature")
    line, end, _ = data[:VERSION_1_BYTES].partition(b"\r\n")
    if not end:
        if len(data) >= VERSION_1_BYTES:
            raise ProxyProtocolError(f"no end of line within {VERSION_1_BYTES} bytes")
        return None
    size = len(line) + 2
    _, family, *rest = line.decode("latin-1").split(" ")
    if family == "UNKNOWN":
        return ProxyHeader("", size)
    version = {"TCP4": 4, "TCP6": 6}.get(family)
    if version is None or len(rest) != 4:
        raise ProxyProtocolError("the line is not PROXY TCP4|TCP6 <source> <destination> <port> <port>")
    for port in rest[2:]:
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and str(int(port)) == port and int(port) < 65536):
            raise ProxyProtocolError("a port is not a number from 0 to 65535")
    for text in rest[:2]:
        try:
            parsed = ipaddress.ip_address(text)
        except ValueError as error:
            raise ProxyProtocolError("an address can't be read") from error
        if parsed.version != version:
            raise ProxyProtocolError(f"an address is not of family {family}")
    return ProxyHeader(address_of(rest[0]), size)


def _version_2(data: bytes) -> ProxyHeader | None:
    signature = data[: len(_SIGNATURE_2)]
    if signature != _SIGNATURE_2[: len(signature)]:
        raise ProxyProtocolError("it starts with neither signature")
    if len(data) < _FIXED:
        return None
    command, family = data[len(_SIGNATURE_2)], data[len(_SIGNATURE_2) + 1]
    if command not in (_LOCAL, _PROXY):
        raise ProxyProtocolError("the version is not 2, or the command neither LOCAL nor PROXY")
    length = int.from_bytes(data[_FIXED - 2 : _FIXED], "big")
    size = _FIXED + length
    if size > VERSION_2_BYTES:
        raise ProxyProtocolError(f"{size} bytes are more than the {VERSION_2_BYTES} a header may have")
    width = _ADDRESS_BYTES.get(family, 0)
    if command == _PROXY and length < (2 * width + 4 if width else 0):
        raise ProxyProtocolError("too short for the addresses it announces")
    if len(data) < size:
        return None
    if command == _LOCAL or not width:
        return ProxyHeader("", size)
    return ProxyHeader(address_of(str(ipaddress.ip_address(data[_FIXED : _FIXED + width]))), size)
