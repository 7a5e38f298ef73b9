"""What is kept of IP addresses (`collect.md` §13)."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.collect.anonymise import anonymise, anonymise_event, anonymise_text, excerpt
from turnout.collect.convert import Event
from turnout.model.config import IpMode


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("192.0.2.143", "192.0.2.0"),
        ("255.255.255.255", "255.255.255.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("2001:DB8:1::", "2001:db8:1::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("::ffff:192.0.2.143", "192.0.2.0"),
        ("192.0.2.143:80", "192.0.2.0"),
        ("", ""),
        ("unknown", ""),
    ],
)
def test_truncated(address: str, kept: str) -> None:
    assert anonymise(address, "truncate") == kept
    assert anonymise(address, "drop") == ""
    assert anonymise(address, "keep") == address


@given(st.ip_addresses())
def test_a_network_is_left_of_every_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    kept = ipaddress.ip_address(anonymise(str(address), "truncate"))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    original = mapped or address
    assert kept.version == original.version
    bits = 8 if kept.version == 4 else 80
    assert int(kept) == int(original) >> bits << bits


@pytest.mark.parametrize(
    ("event", "truncated", "dropped"),
    [
        ({"a": 1}, {"a": 1}, {"a": 1}),
        ({"context": {"device": {"ip": "192.0.2.1", "lang": "fr"}, "x": 1}},
         {"context": {"device": {"ip": "192.0.2.0", "lang": "fr"}, "x": 1}},
         {"context": {"device": {"lang": "fr"}, "x": 1}}),
        ({"device": {"ip": "2001:db8:1:2::1"}, "context": {"device": {"ip": "192.0.2.1"}}},
         {"device": {"ip": "2001:db8:1::"}, "context": {"device": {"ip": "192.0.2.0"}}},
         {"device": {}, "context": {"device": {}}}),
        ({"context": {"device": {"ip": "no address"}}}, {"context": {"device": {}}}, {"context": {"device": {}}}),
        ({"context": {"device": {"ip": ["192.0.2.1"]}}}, {"context": {"device": {}}}, {"context": {"device": {}}}),
        ({"context": {"device": "kiosk"}, "device": 1}, {"context": {"device": "kiosk"}, "device": 1},
         {"context": {"device": "kiosk"}, "device": 1}),
        ({"context": None, "ip": "1.1.1.1"}, {"context": None, "ip": "1.1.1.1"}, {"context": None, "ip": "1.1.1.1"}),
    ],
)  # fmt: skip
def test_event_keeps_everything_but_the_address(event: Event, truncated: Event, dropped: Event) -> None:
    before = repr(event)
    assert anonymise_event(event, "truncate") == truncated
    assert anonymise_event(event, "drop") == dropped
    assert anonymise_event(event, "keep") is event
    assert repr(event) == before


@pytest.mark.parametrize(
    ("text", "mode", "kept"),
    [
        (b'{"ip":"192.0.2.143", ', "truncate", b'{"ip":"192.0.2.0", '),
        (b'{"ip":"192.0.2.143", ', "drop", b'{"ip":"", '),
        (b'{"ip":"192.0.2.143", ', "keep", b'{"ip":"192.0.2.143", '),
        (b"\\n192.0.2.143,198.51.100.7.", "truncate", b"\\n192.0.2.0,198.51.100.0."),
        (b"ip=2001:db8:1:2::9&", "truncate", b"ip=2001:db8:1::&"),
        (b"[2001:DB8:1:2::9]:443 ::ffff:192.0.2.143", "truncate", b"[2001:db8:1::]:443 192.0.2.0"),
        (b'12:30:45 1.2.3 999.1.1.1 std::move "a:b" ::', "truncate", b'12:30:45 1.2.3 999.1.1.1 std::move "a:b" ::'),
        (b"\xff192.0.2.143\xff", "drop", b"\xff\xff"),
    ],
)
def test_addresses_in_text(text: bytes, mode: IpMode, kept: bytes) -> None:
    assert anonymise_text(text, mode) == kept


@given(st.binary(max_size=100), st.ip_addresses(v=4), st.sampled_from(["truncate", "drop"]))
def test_no_address_is_left_in_text(around: bytes, address: ipaddress.IPv4Address, mode: IpMode) -> None:
    host = str(address).encode()
    if address.packed[3]:
        assert host not in anonymise_text(b"{" + around + b'"' + host + b'"', mode).removeprefix(b"{" + around)


@given(at=st.integers(0, 130), size=st.integers(0, 130), mode=st.sampled_from(["truncate", "drop"]))
def test_an_excerpt_holds_no_part_of_an_address_that_its_end_cuts(at: int, size: int, mode: IpMode) -> None:
    for address, whole in ((b"203.0.113.45", 12), (b"2001:db8:1111:2222:3333:4444:5555:6666", 15)):
        text = b"x" * at + b" " + address + b" " + b"y" * 130
        kept = excerpt(text, size, mode)
        assert len(kept) <= size
        assert address[: whole + 1] not in kept
        assert excerpt(text, size, "keep") == text[:size]
