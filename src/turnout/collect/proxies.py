"""Who really asked: the client's address, the host it asked for and its scheme (`collect.md` §3, §7). Pure.

What must stay true: nothing that a header says is believed unless the connection comes from a trusted proxy, and then
only what trusted proxies wrote: the chain is walked from the right, and the first address that is not a trusted
proxy's is the client. What is further left the client may have made up.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from turnout.model.event import Location

_ADDRESS_CHARACTERS = 64
_HOST_BYTES = 300
_PLACE_CHARACTERS = 64
_PORT = re.compile(r":(?:\d{1,5}|_[A-Za-z0-9._-]{1,32})")
_HOST = re.compile(r"([a-z0-9_-][a-z0-9._-]{0,252}?)\.?(?::\d{0,5})?")
_PAIR = re.compile(
    r"""[ \t]*+
    (?:(?P<name>[!\#$%&'*+.^_`|~0-9A-Za-z-]++) = (?P<value>"(?:[^"\\]|\\.)*+"|[^",;\s]*+) [ \t]*+)?+
    (?P<end>[,;]|\Z)""",
    re.VERBOSE,
)
"""One pair of a `Forwarded` header with its separator. Possessive throughout: it never goes back."""


class Client(NamedTuple):
    """Who asked for what."""

    address: str
    """In its usual spelling; "" when a trusted proxy says that it does not know it."""
    host: str
    """In lower case, without port; "" when there is none that could be a host's name."""
    secure: bool
    """Whether the client's own connection was encrypted."""


class TrustedProxies:
    """The addresses whose headers are believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Addresses and networks such as `10.0.0.0/8`; raises `ValueError` for any other text."""
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in networks)
        self._known = lru_cache(4096)(self._find)

    def __contains__(self, address: str) -> bool:
        """Whether this is a trusted proxy's address, in the spelling of `address_of`."""
        return bool(self._networks) and self._known(address)

    def _find(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def client(peer: str, headers: Mapping[str, bytes], trusted: TrustedProxies, *, secure: bool = False) -> Client:
    """Who asked, from the connection's address and the request's headers. Never raises.

    `headers` are named in lower case with underscores (`x_forwarded_for`); the values of a repeated one are joined
    with commas. `secure`: what the client's connection is taken for when no proxy tells. `Forwarded` counts only
    without `X-Forwarded-For`: a proxy that writes one of the two may let the other through as the client sent it,
    and nearly all write that one.
    """
    address = address_of(peer)
    host = host_of(headers.get("host", b""))
    if address not in trusted:
        return Client(address, host, secure)
    elements: list[dict[str, str]] = []
    if (addresses := headers.get("x_forwarded_for")) is not None:
        chain = _listed(addresses)
    else:
        elements = _forwarded(headers.get("forwarded", b""))
        chain = [element.get("for", "") for element in elements]
    address, depth = _walk(address, chain, trusted)
    element = elements[-depth] if elements else {}
    host = (
        host_of(_at(headers.get("x_forwarded_host", b""), depth).encode())
        or host_of(element.get("host", "").encode())
        or host
    )
    scheme = _at(headers.get("x_forwarded_proto", b""), depth) or element.get("proto", "")
    return Client(address, host, scheme.lower() in ("https", "wss") if scheme else secure)


def address_of(text: str) -> str:
    """An address in its usual spelling, without brackets, port and zone; "" if it is none. Never raises.

    An IPv4 address that is written as an IPv6 one becomes IPv4.
    """
    return _address(text) if len(text) <= _ADDRESS_CHARACTERS else ""


def host_of(value: bytes) -> str:
    """The name in a `Host` header, in lower case, without port and final dot; "" if it can't be one."""
    return _host(value) if len(value) <= _HOST_BYTES else ""


def location_of(headers: Mapping[str, bytes]) -> Location | None:
    """Where a trusted proxy says that the client is; None if it does not. For headers as in `client`."""
    country, region, both = (
        "".join(filter(str.isprintable, headers.get(name, b"").decode("utf-8", "replace").strip()))[:_PLACE_CHARACTERS]
        for name in ("x_forwarded_country", "x_forwarded_region", "x_forwarded_countryregion")
    )
    return Location(country, region, both) if country or region or both else None


@lru_cache(1024)
def _host(value: bytes) -> str:
    match = _HOST.fullmatch(value.decode("latin-1").strip().lower())
    return match[1] if match else ""


@lru_cache(8192)
def _address(text: str) -> str:
    text = text.strip().strip('"')
    port = ""
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or ":" not in text:
            return ""
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        port = f":{port}"
    if port and not _PORT.fullmatch(port):
        return ""
    if ":" in text:
        text = text.partition("%")[0]
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return ""
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _walk(peer: str, chain: list[str], trusted: TrustedProxies) -> tuple[str, int]:
    """The client's address, and where in the chain it is, counted from the right from 1."""
    address = peer
    for depth, text in enumerate(reversed(chain), 1):
        address = address_of(text)
        # What can't be read (`unknown`, `_hidden`, garbage) is not trusted either, so it ends the walk.
        if address not in trusted:
            return address, depth
    return address, max(len(chain), 1)


def _listed(header: bytes) -> list[str]:
    return [text for part in header.decode("latin-1").split(",") if (text := part.strip())]


def _at(header: bytes, depth: int) -> str:
    """What the proxy at this depth wrote, where each adds to the list; the first where they don't."""
    values = _listed(header)
    return values[-min(depth, len(values))] if values else ""


def _forwarded(header: bytes) -> list[dict[str, str]]:
    """The elements of a `Forwarded` header (RFC 7239), names in lower case.

    If any of it can't be read, one element that says nothing: an unclosed quote may have swallowed what a proxy wrote.
    """
    text = header.decode("latin-1")
    elements: list[dict[str, str]] = [{}]
    position = 0
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None:
            return [{}]
        if match["name"]:
            elements[-1][match["name"].lower()] = _token(match["value"])
        if match["end"] == ",":
            elements.append({})
        position = match.end()
    return [element for element in elements if element]


def _token(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
