"""The PROXY protocol's header: complete, not yet complete, or an error, and never anything else."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.collect.proxy_protocol import VERSION_2_BYTES, ProxyHeader, ProxyProtocolError, parse

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
TCP4 = b"PROXY TCP4 198.51.100.7 203.0.113.1 56324 443\r\n"
V4 = ipaddress.ip_address("198.51.100.7").packed + ipaddress.ip_address("203.0.113.1").packed + b"\xdc\x04\x01\xbb"
V6 = ipaddress.ip_address("2001:db8::7").packed + ipaddress.ip_address("2001:db8::1").packed + b"\xdc\x04\x01\xbb"


def version_2(command: int, family: int, rest: bytes, length: int | None = None) -> bytes:
    size = len(rest) if length is None else length
    return SIGNATURE + bytes((command, family)) + size.to_bytes(2, "big") + rest


COMPLETE = [
    (TCP4, "198.51.100.7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 0 65535\r\n", "2001:db8::7"),
    (b"PROXY TCP6 ::ffff:198.51.100.7 ::ffff:203.0.113.1 1 2\r\n", "198.51.100.7"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN ffff:f:f:f:f:f:f:f whatever stands here\r\n", ""),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", ""),
    (version_2(0x21, 0x11, V4), "198.51.100.7"),
    (version_2(0x21, 0x12, V4), "198.51.100.7"),
    (version_2(0x21, 0x21, V6), "2001:db8::7"),
    (version_2(0x21, 0x11, V4 + b"\x03\x00\x04abcd" * 20), "198.51.100.7"),
    (version_2(0x20, 0x11, V4), ""),
    (version_2(0x20, 0x00, b""), ""),
    (version_2(0x21, 0x00, b""), ""),
    (version_2(0x21, 0x31, b"/" * 216), ""),
    (version_2(0x21, 0x11, V4 + bytes(VERSION_2_BYTES - 16 - len(V4))), "198.51.100.7"),
]


@pytest.mark.parametrize(("data", "address"), COMPLETE, ids=lambda value: repr(value)[:40])
def test_header_is_taken_however_it_arrives(data: bytes, address: str) -> None:
    assert all(parse(data[:cut]) is None for cut in range(len(data)))
    assert parse(data) == ProxyHeader(address, len(data))
    assert parse(data + b"GET / HTTP/1.1\r\n") == ProxyHeader(address, len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"PROXYTCP4",
        b"proxy TCP4 ",
        b"PROXY  TCP4 198.51.100.7 203.0.113.1 1 2\r\n",
        b"PROXY \r\n",
        b"PROXY TCP5 198.51.100.7 203.0.113.1 1 2\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 1\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 1 2 3\r\n",
        b"PROXY TCP4 2001:db8::7 203.0.113.1 1 2\r\n",
        b"PROXY TCP4 198.51.100.7 2001:db8::7 1 2\r\n",
        b"PROXY TCP6 198.51.100.7 203.0.113.1 1 2\r\n",
        b"PROXY TCP4 198.51.100.300 203.0.113.1 1 2\r\n",
        b"PROXY TCP4 198.51.100.7 x 1 2\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 65536 2\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 1 -2\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 01 2\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 1 \xb2\r\n",
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
        b"PROXY UNKNOWN " + b"x" * 200,
        b"\r\n\r\nX",
        SIGNATURE[:-1] + b"X",
        version_2(0x11, 0x11, V4),
        version_2(0x22, 0x11, V4),
        version_2(0x21, 0x11, V4[:-1]),
        version_2(0x21, 0x21, V6[:-1]),
        version_2(0x21, 0x11, b"", VERSION_2_BYTES - 15),
        version_2(0x21, 0x11, b"", 65535),
    ],
    ids=lambda data: repr(data)[:50],
)
def test_anything_else_is_an_error(data: bytes) -> None:
    with pytest.raises(ProxyProtocolError):
        parse(data)


PIECES = [b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"1.2.3.4 ", b"::1 ", b"80", b" ", b"\r\n", SIGNATURE, b"\x21\x11",
          b"\x20\x00", b"\x00\x0c", V4, b"\xff"]  # fmt: skip


@given(st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(PIECES), max_size=10).map(b"".join)))
def test_no_bytes_raise_anything_else_or_are_waited_for_for_ever(data: bytes) -> None:
    try:
        header = parse(data)
    except ProxyProtocolError:
        return
    assert header is None or 0 < header.size <= len(data)
    if header is None:
        assert len(data) < VERSION_2_BYTES
