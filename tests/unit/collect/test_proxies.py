"""Whom to believe about the client: trusted proxies and nobody else (`collect.md` §3, §7)."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.collect.proxies import Client, TrustedProxies, address_of, client, host_of

TRUSTED = TrustedProxies(["10.0.0.0/8", "127.0.0.1", "2001:db8:ffff::/48"])
PEER = "10.0.0.1"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.43", "192.0.2.43"),
        (" 192.0.2.43 ", "192.0.2.43"),
        ("192.0.2.43:4711", "192.0.2.43"),
        ('"192.0.2.43:4711"', "192.0.2.43"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]:_port", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.43", "192.0.2.43"),
        ("[::ffff:c000:22b]:80", "192.0.2.43"),
        ("", ""),
        ("unknown", ""),
        ("_hidden", ""),
        ("[192.0.2.43]", ""),
        ("[2001:db8::1", ""),
        ("[2001:db8::1]x", ""),
        ("192.0.2.43:", ""),
        ("192.0.2.43:x", ""),
        ("192.0.2.43:999999", ""),
        ("192.0.2.043", ""),
        ("192.0.2", ""),
        ("1", ""),
        ("localhost", ""),
        ("192.0.2.43\x00", ""),
        ("1" * 10_000, ""),
        ("١٩٢.0.2.43", ""),
    ],
)
def test_address_in_its_usual_spelling(text: str, address: str) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize(
    ("value", "host"),
    [
        (b"Shop.Example", "shop.example"),
        (b"shop.example:8443", "shop.example"),
        (b"shop.example.", "shop.example"),
        (b"shop.example.:80", "shop.example"),
        (b"192.0.2.1:80", "192.0.2.1"),
        (b"my_host-1", "my_host-1"),
        (b"", ""),
        (b".shop.example", ""),
        (b"shop.example/x", ""),
        (b"a b", ""),
        (b"[::1]:80", ""),
        (b"\xe9.example", ""),
        (b"x" * 400, ""),
    ],
)
def test_host(value: bytes, host: str) -> None:
    assert host_of(value) == host


@pytest.mark.parametrize(
    ("forwarded_for", "address"),
    [
        (b"198.51.100.7", "198.51.100.7"),
        (b"6.6.6.6, 198.51.100.7", "198.51.100.7"),
        (b"6.6.6.6,198.51.100.7:4711, 10.2.3.4,127.0.0.1", "198.51.100.7"),
        (b"6.6.6.6, [2001:db8::7]:1, 2001:db8:ffff::1", "2001:db8::7"),
        (b"6.6.6.6, ::ffff:198.51.100.7, ::ffff:10.0.0.2", "198.51.100.7"),
        (b"10.0.0.9, 10.0.0.2", "10.0.0.9"),
        (b"198.51.100.7, , ,", "198.51.100.7"),
        (b", ,", PEER),
        (b"", PEER),
        (b"6.6.6.6, unknown, 10.0.0.2", ""),
        (b"6.6.6.6, _hidden", ""),
        (b"6.6.6.6, \xff\xfe", ""),
        (b"6.6.6.6 198.51.100.7", ""),
    ],
)
def test_first_untrusted_address_from_the_right(forwarded_for: bytes, address: str) -> None:
    assert client(PEER, {"x_forwarded_for": forwarded_for}, TRUSTED).address == address


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (b"for=198.51.100.7", "198.51.100.7"),
        (b'For="[2001:db8::1]:4711"', "2001:db8::1"),
        (b'for="198.51.100.7:80";proto=https;by=203.0.113.43', "198.51.100.7"),
        (b"by=_x;FOR=198.51.100.7 , for=10.1.1.1", "198.51.100.7"),
        (b'for=6.6.6.6, for=198.51.100.7;x="a,b;for=6.6.6.6\\"", for=127.0.0.1', "198.51.100.7"),
        (b'for="198.51\\.100.7"', "198.51.100.7"),
        (b"for=198.51.100.7;, ;,", "198.51.100.7"),
        (b"for=6.6.6.6, for=_hidden, for=10.1.1.1", ""),
        (b"for=6.6.6.6, for=unknown", ""),
        (b"for=6.6.6.6, proto=https", ""),
        (b'for=6.6.6.6;x=", for=198.51.100.7', ""),
        (b'for=6.6.6.6;x=", for="[2001:db8::1]"', ""),
        (b"for=2001:db8::1", "2001:db8::1"),
        (b"for 198.51.100.7", ""),
        (b"for=a b", ""),
        (b"for=\xff", ""),
        (b"", PEER),
    ],
)
def test_forwarded_says_the_same_as_rfc_7239(forwarded: bytes, address: str) -> None:
    assert client(PEER, {"forwarded": forwarded}, TRUSTED).address == address


def test_x_forwarded_for_wins_over_forwarded() -> None:
    headers = {"x_forwarded_for": b"198.51.100.7", "forwarded": b"for=6.6.6.6;host=evil.example;proto=https"}
    assert client(PEER, headers, TRUSTED) == Client("198.51.100.7", "", False)


HEADERS = {
    "host": b"inner:8080",
    "x_forwarded_for": b"6.6.6.6",
    "x_forwarded_host": b"evil.example",
    "x_forwarded_proto": b"https",
    "forwarded": b"for=6.6.6.6;host=evil.example;proto=https",
}


@pytest.mark.parametrize("peer", ["198.51.100.1", "::ffff:198.51.100.1", "2001:db8::1%eth0", "", "x", "11.0.0.1"])
def test_nothing_is_believed_of_anyone_else(peer: str) -> None:
    assert client(peer, HEADERS, TRUSTED) == Client(address_of(peer), "inner", False)
    assert client(PEER, HEADERS, TrustedProxies([])) == Client(PEER, "inner", False)


@pytest.mark.parametrize("peer", [PEER, "::ffff:10.0.0.1", "127.0.0.1", "2001:db8:ffff::5"])
def test_a_trusted_proxy_is_believed(peer: str) -> None:
    assert client(peer, HEADERS, TRUSTED) == Client("6.6.6.6", "evil.example", True)


@pytest.mark.parametrize(
    ("headers", "host", "secure"),
    [
        ({}, "", True),
        ({"host": b"A.example:1"}, "a.example", True),
        ({"x_forwarded_host": b"B.example:443", "x_forwarded_proto": b"HTTPS"}, "b.example", True),
        ({"host": b"a.example", "x_forwarded_host": b"<b>"}, "a.example", True),
        ({"x_forwarded_proto": b"http"}, "", False),
        # Each proxy adds to the lists: what counts is what the outermost trusted one wrote.
        ({"x_forwarded_for": b"6.6.6.6, 198.51.100.7, 10.0.0.2", "x_forwarded_proto": b"https, http, https",
          "x_forwarded_host": b"evil.example, shop.example, inner"}, "shop.example", False),
        # Only one of them writes the others.
        ({"x_forwarded_for": b"198.51.100.7, 10.0.0.2", "x_forwarded_proto": b"http"}, "", False),
        ({"forwarded": b"for=6.6.6.6;host=evil.example, for=198.51.100.7;host=\"shop.example:443\";proto=https,"
                       b"for=10.0.0.3;proto=http"}, "shop.example", True),
        ({"host": b"a.example", "forwarded": b"for=198.51.100.7;proto=http"}, "a.example", False),
    ],
)  # fmt: skip
def test_host_and_scheme_are_those_the_client_used(headers: dict[str, bytes], host: str, secure: bool) -> None:
    found = client(PEER, headers, TRUSTED, secure=True)
    assert (found.host, found.secure) == (host, secure)


def test_an_unreadable_network_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        TrustedProxies(["10.0.0.0/8", "nonsense"])


PIECES = [
    b"for=",
    b'"',
    b"\\",
    b",",
    b";",
    b"=",
    b"[",
    b"]",
    b":",
    b"6.6.6.6",
    b"10.0.0.2",
    b"::1",
    b" ",
    b"_x",
    b"\xff",
]
HEADER = st.one_of(st.binary(max_size=80), st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))


@given(HEADER, HEADER, HEADER, HEADER)
def test_garbage_never_raises(first: bytes, second: bytes, third: bytes, fourth: bytes) -> None:
    client(PEER, {"forwarded": first, "x_forwarded_host": second, "x_forwarded_proto": third, "host": fourth}, TRUSTED)
    client(PEER, {"x_forwarded_for": first}, TRUSTED)


@given(HEADER, st.ip_addresses(v=4).filter(lambda ip: str(ip) not in TRUSTED))
def test_what_stands_further_left_never_decides(left: bytes, real: object) -> None:
    headers = {"x_forwarded_for": left + f", {real}, 10.0.0.2".encode()}
    assert client(PEER, headers, TRUSTED).address == str(real)


@given(HEADER, st.integers(0, 2**64 - 1))
def test_what_stands_further_left_in_forwarded_can_hide_the_client_but_not_forge_it(left: bytes, number: int) -> None:
    real = IPv6Address((0x2001_0DB8 << 96) + number)
    headers = {"forwarded": left + f', for="[{real}]:80", for=10.0.0.2'.encode()}
    assert client(PEER, headers, TRUSTED).address in (str(real), "")
