"""The GA4 bridge: hits of the Google tag as events (`collect.md` §11)."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.collect.convert import Event
from turnout.collect.ga4 import HITS, Bridged, Split, bridge, split

KEYS = "tc_s=29&token=K"
CREDENTIALS = (("tc_s", "29"), ("token", "K"))
HIT = "/g/collect?v=2&tid=G-1&cid=1.2&dl=https%3A%2F%2Fs.example%2F%3Fa%3Db%26en%3Dno&en=page_view&ep.en=no"
SHARED = "/g/collect?v=2&tid=G-1&cid=1.2"


def bridged(query: str, body: bytes = b"") -> Bridged:
    parts = split(query)
    assert parts is not None
    return bridge(parts, body)


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        (f"{KEYS}&ga_url_param={HIT}", Split(KEYS, HIT)),
        (f"{KEYS}&&ga_url_param={HIT}", Split(f"{KEYS}&", HIT)),
        (f"ga_url_param={HIT}", Split("", HIT)),
        (f"{KEYS}&ga_url_param=", Split(KEYS, "")),
        (f"{KEYS}&ga_url_param", Split(KEYS, "")),
        (f"{KEYS}&ga_url_param&v=2", Split(KEYS, "v=2")),
        (f"{KEYS}&ga_url_param=/a?x=1&ga_url_param=2", Split(KEYS, "/a?x=1&ga_url_param=2")),
        (f"{KEYS}&x_ga_url_param=1", None),
        (f"{KEYS}&ga_url_params=1", None),
        (f"{KEYS}&a=ga_url_param=1", None),
        (KEYS, None),
        ("", None),
    ],
)
def test_everything_after_the_parameter_is_the_hit(query: str, parts: Split | None) -> None:
    assert split(query) == parts


@pytest.mark.parametrize(
    ("query", "event"),
    [
        (f"{KEYS}&&ga_url_param={HIT}", {"event_name": "page_view", "ga_url_param": HIT}),
        (
            f"{KEYS}&event_name=ga_session_start&ga_url_param={HIT}",
            {"event_name": "ga_session_start", "ga_url_param": HIT},
        ),
        (f"{KEYS}&event_name=&ga_url_param={HIT}", {"event_name": "page_view", "ga_url_param": HIT}),
        (
            f"{KEYS}&user[id]=7&ga_url_param=/g/collect?en=add+to%20cart",
            {"user": {"id": "7"}, "event_name": "add to cart", "ga_url_param": "/g/collect?en=add+to%20cart"},
        ),
        (f"{KEYS}&ga_url_param=/g?en=a&dl=/x?y", {"event_name": "a", "ga_url_param": "/g?en=a&dl=/x?y"}),
        (f"{KEYS}&ga_url_param=?en=a", {"event_name": "a", "ga_url_param": "?en=a"}),
        (f"{KEYS}&ga_url_param=v=2&en=a&dl=/x?y", {"event_name": "a", "ga_url_param": "v=2&en=a&dl=/x?y"}),
        (f"{KEYS}&ga_url_param=", {"ga_url_param": ""}),
        (f"{KEYS}&ga_url_param={SHARED}", {"ga_url_param": SHARED}),
        (f"{KEYS}&ga_url_param=/g?en=%zz\0", {"event_name": "%zz\ufffd", "ga_url_param": "/g?en=%zz\ufffd"}),
    ],
)
def test_one_hit_is_one_event(query: str, event: Event) -> None:
    assert bridged(query) == ([event], CREDENTIALS, ())


@pytest.mark.parametrize(
    ("query", "body", "names", "hits"),
    [
        (f"&ga_url_param={HIT}", b"\r\n\n", ["page_view"], [HIT]),
        (f"&ga_url_param={SHARED}", b"en=a&_et=1\r\nen=b", ["a", "b"], [f"{SHARED}&en=a&_et=1", f"{SHARED}&en=b"]),
        (f"&ga_url_param={SHARED}&en=u", b"en=a\n", ["u", "a"], [f"{SHARED}&en=u", f"{SHARED}&en=u&en=a"]),
        (f"&event_name=x&ga_url_param={SHARED}", b"en=a\nen=b", ["x", "x"], [f"{SHARED}&en=a", f"{SHARED}&en=b"]),
        (f"&ga_url_param={SHARED}", b"{]\xff", [None], [f"{SHARED}&{{]\ufffd"]),
    ],
)
def test_each_line_of_a_body_is_a_further_hit(
    query: str, body: bytes, names: list[str | None], hits: list[str]
) -> None:
    found = bridged(KEYS + query, body)
    assert [event.get("event_name") for event in found.events] == names
    assert [event["ga_url_param"] for event in found.events] == hits
    assert found.credentials == CREDENTIALS


def test_events_share_nothing_that_a_later_step_could_change() -> None:
    first, second = bridged(f"{KEYS}&user[id]=7&ga_url_param={SHARED}", b"en=a\nen=b").events
    user = first["user"]
    assert isinstance(user, dict)
    user["id"] = "changed"
    assert second["user"] == {"id": "7"}


@pytest.mark.parametrize(("lines", "shared", "count", "warned"), [
    (HITS, SHARED, HITS, False),
    (HITS + 1, SHARED, HITS, True),
    (HITS, HIT, HITS, True),
    (16_000, SHARED, HITS, True),
])  # fmt: skip
def test_hits_beyond_the_bound_are_dropped_and_said_to_be(lines: int, shared: str, count: int, warned: bool) -> None:
    found = bridged(f"{KEYS}&ga_url_param={shared}", b"x\n" * lines)
    assert len(found.events) == count
    assert found.warnings == (("too_many_ga4_hits",) if warned else ())


def test_a_long_hit_with_many_lines_takes_little_memory() -> None:
    parts = Split(KEYS, SHARED + "x" * 16_000)
    tracemalloc.start()
    try:
        bridge(parts, b"x\n" * 16_000)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_our_part_keeps_its_warnings() -> None:
    assert bridged(f"{KEYS}&a=1&a=2&ga_url_param={HIT}").warnings == ("duplicate_query_key",)


@given(st.text(max_size=100), st.text(max_size=100), st.binary(max_size=200))
def test_no_bytes_are_an_error(ours: str, hit: str, body: bytes) -> None:
    assert bridge(Split(ours, hit), body).events
