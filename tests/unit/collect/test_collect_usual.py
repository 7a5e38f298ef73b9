"""Recognising the usual event changes nothing but the time it takes."""

import json
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.collect import admit
from turnout.collect.admit import Admission, Arrival
from turnout.collect.body import Parsed, parse, parse_batch, split
from turnout.collect.convert import Event
from turnout.collect.identity import Visit, Visitor
from turnout.collect.usual import recognise
from turnout.model.event import Received

NOW_MS = 1_700_000_000_000
HASH = "0" * 32
USUAL = {
    "event_name": "search",
    "user": {"id": "1", "consistent_anonymous_id": "a", "consent_categories": ["1", 3], "email_md5x": "x"},
    "context": {
        "event_id": "e-1",
        "event_timestamp": "1639044446636",
        "device": {"ip": "192.0.2.1", "user_agent": "UA"},
        "page": {"location": "https://shop.example"},
    },
    "custom": {"properties": 1},
}
PATHS: list[tuple[str, ...]] = [
    ("event_name",),
    ("properties",),
    ("event_id",),
    ("event_timestamp",),
    ("eventId",),
    ("page",),
    ("event",),
    ("batch",),
    ("test_code",),
    ("user",),
    ("user", "consent_categories"),
    ("user", "consistent_anonymous_id"),
    ("user", "email_md5"),
    ("user", "_sha256"),
    ("user", ""),
    ("context",),
    ("context", "event_id"),
    ("context", "event_timestamp"),
    ("context", "eventId"),
    ("context", "created"),
    ("context", "dataquality"),
    ("context", "warnings"),
    ("context", "enrichment"),
    ("context", "page"),
    ("context", "device"),
    ("context", "device", "ip"),
    ("context", "device", "user_agent"),
]
VALUES: list[object] = [
    *(None, True, 0, 1, -1, 1.5, "", " ", "x", "x" * 256, "x" * 257, [], ["1"], [1, "2"], [True], [[]], {}),
    *({"a": 1}, {"ip": "x"}, {"location": "u"}, "192.0.2.1", "999.1.1.1", "::1", HASH, HASH.upper()),
    *(
        "1639044446636",
        " 1639044446636",
        "0639044446636",
        "16390444466３6",
        "99999999999",
        "1639044446",
        1639044446636,
    ),
    *(
        10**11,
        10**14,
        10**11 - 1,
        1639044446636.7,
        NOW_MS + 86_400_000,
        NOW_MS + 86_400_001,
        str(NOW_MS + 86_400_001),
    ),
]
Changes = st.lists(st.tuples(st.sampled_from(PATHS), st.just("drop") | st.tuples(st.sampled_from(VALUES))), max_size=3)


def changed(changes: list[tuple[tuple[str, ...], str | tuple[object]]]) -> Event:
    """The usual event with some properties dropped or set."""
    event: Event = json.loads(json.dumps(USUAL))
    for path, change in changes:
        here = event
        for name in path[:-1]:
            below = here.get(name)
            if not isinstance(below, dict):
                below = here[name] = {}
            here = below
        if isinstance(change, str):
            here.pop(path[-1], None)
        else:
            here[path[-1]] = change[0]
    return event


KNOWN, NEW = Visit("77", "shop.example", True), Visit("", "shop.example", True)
KINDS: dict[str, tuple[dict[str, object], Visit | None]] = {
    "server": ({"client_side": False}, None),
    "client": ({}, None),
    "client that is not trusted with its address": ({"trust_client_ip": False}, None),
    "client whose address is cut": ({"ip": "truncate"}, None),
    "server whose clients' addresses are dropped": ({"client_side": False, "ip": "drop"}, None),
    "visitor": ({}, KNOWN),
    "new visitor": ({}, NEW),
    "visitor who must consent": ({}, NEW._replace(requires_consent=True)),
}


def admitted(event: Event, kind: str, recognising: bool) -> tuple[list[Received | None], str]:
    """The records of the event sent twice, and the cookie for the visitor."""
    admission = Admission(lambda: "made", lambda _arrival, _reason: True)
    more, visit = KINDS[kind]
    visitor = None if visit is None else Visitor(visit, lambda: "1" * 24)
    arrival = msgspec.structs.replace(
        Arrival("29/shop", "events", NOW_MS, True, "198.51.100.7", "Agent", ("w",), visitor=visitor), **more
    )
    text = msgspec.json.encode(event)
    found = []
    for _ in range(2):
        fresh: Event = msgspec.json.decode(text)
        if recognising:
            found.append(admission.admit(fresh, text, arrival))
        else:
            with patch.object(admit, "recognise", lambda *_: None):
                found.append(admission.admit(fresh, text, arrival))
    return found, "" if visitor is None else visitor.cookie


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_any_single_change_gets_the_record_it_would_get_anyway(path: tuple[str, ...], kind: str) -> None:
    changes: list[str | tuple[object]] = ["drop", *((value,) for value in VALUES)]
    for change in changes:
        event = changed([(path, change)])
        assert admitted(event, kind, recognising=True) == admitted(event, kind, recognising=False), event


@given(Changes, st.sampled_from(list(KINDS)))
def test_a_recognised_event_gets_the_record_it_would_get_anyway(
    changes: list[tuple[tuple[str, ...], str | tuple[object]]], kind: str
) -> None:
    event = changed(changes)
    assert admitted(event, kind, recognising=True) == admitted(event, kind, recognising=False)


def test_the_usual_event_is_recognised() -> None:
    assert recognise(dict(USUAL), NOW_MS) is not None


def test_a_usual_batch_keeps_each_text_as_it_came() -> None:
    found = parse_batch(b'{"batch": [{"a": 1}, 2]}')
    assert found.elements == [Parsed({"a": 1}, b'{"a": 1}'), Parsed(2, b"2")]


def test_any_other_batch_is_left_to_parse() -> None:
    for body in (
        b'{"batch": [{"a": 1}], "x": 1}',
        b'{"batch": 1}',
        b"[]",
        b'{"batch": ["\\u0041"]}',
        b"\xef\xbb\xbf{}",
    ):
        assert parse_batch(body) == parse(body)


def test_elements_of_other_batches_get_a_text_unless_they_cannot_be_written() -> None:
    deep: object = None
    for _ in range(100_000):
        deep = [deep]
    assert [element.text for element in split([{"a": 1}, deep], infinite=False)] == [b'{"a":1}', b""]
