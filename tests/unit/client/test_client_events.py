"""What becomes of the arguments of `track`, and which of them can't be sent: `collect.md` §4–§6, §10."""

import gzip
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from uuid import UUID

import pytest

from turnout.client.events import BATCH_BYTES, EVENT_BYTES, UnsendableError, body, compressed, encode, fits

FRESH, NOW = "fresh-id", 1_795_493_700_123
FILLED = {"event_id": FRESH, "event_timestamp": NOW}


class Colour(Enum):
    RED = "red"


def encoded(*arguments: object, **named: object) -> tuple[str, dict[str, object]]:
    identity, data = encode(*arguments, **named, fresh_id=FRESH, now_ms=NOW)  # type: ignore[arg-type]
    assert b"\n" not in data
    value: dict[str, object] = json.loads(data.decode())
    return identity, value


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


SHAPES: list[tuple[dict[str, object], dict[str, object]]] = [
    ({}, {"context": FILLED}),
    ({"properties": {"a": 1}}, {"a": 1, "context": FILLED}),
    ({"properties": {"event_name": "other"}}, {"context": FILLED}),
    ({"user": {"id": "7"}}, {"user": {"id": "7"}, "context": FILLED}),
    ({"properties": {"user": {"id": "7"}}}, {"user": {"id": "7"}, "context": FILLED}),
    ({"properties": {"user": {"id": "7"}}, "user": {"id": "8"}}, {"user": {"id": "8"}, "context": FILLED}),
    ({"context": {"page": {"url": "u"}}}, {"context": {"page": {"url": "u"}, **FILLED}}),
    ({"properties": {"context": {"x": 1}}}, {"context": {"x": 1, **FILLED}}),
    ({"context": {"event_id": 5, "event_timestamp": "1795493700000"}},
     {"context": {"event_id": "5", "event_timestamp": "1795493700000"}}),
    ({"context": {"event_id": None, "event_timestamp": None}}, {"context": FILLED}),
    ({"event_id": "mine", "timestamp_ms": 1_700_000_000_000, "context": {"event_id": "other"}},
     {"context": {"event_id": "mine", "event_timestamp": 1_700_000_000_000}}),
    ({"properties": MappingProxyType({"m": MappingProxyType({"n": (1, 2)})})}, {"m": {"n": [1, 2]}, "context": FILLED}),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "expected"), SHAPES)
def test_arguments_become_an_event(arguments: dict[str, object], expected: dict[str, object]) -> None:
    identity, event = encoded("purchase", **arguments)
    assert event == {"event_name": "purchase", **expected}
    assert isinstance(expected["context"], dict)
    assert identity == expected["context"]["event_id"]


VALUES: list[tuple[object, object]] = [
    (datetime(2026, 11, 24, 4, 15, tzinfo=UTC), "2026-11-24T04:15:00+00:00"),
    (date(2026, 11, 24), "2026-11-24"),
    (Decimal("49.90"), 49.9),
    (Decimal("49.00"), 49),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Colour.RED, "red"),
    ({1}, [1]),
    ({1: "a", None: "b"}, {"1": "a", "null": "b"}),
    ("é 🙂 \u2028 \n", "é 🙂 \u2028 \n"),
    ("\ud83d\ude42", "🙂"),
    ("cut \ud83d", "cut \ufffd"),
    (10**300, 10**300),
    (nested(28), nested(28)),
]


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_values_that_applications_hold(value: object, expected: object) -> None:
    assert encoded("e", {"v": value})[1]["v"] == expected


LOOP: dict[str, object] = {}
LOOP["self"] = LOOP
TOO_LARGE = EVENT_BYTES - len(encode("e", {"v": ""}, fresh_id=FRESH, now_ms=NOW)[1]) + 1

UNSENDABLE: list[tuple[str, object, dict[str, object]]] = [
    ("invalid", "", {}),
    ("invalid", "  ", {}),
    ("invalid", "x" * 257, {}),
    ("invalid", None, {}),
    ("invalid", 7, {}),
    ("invalid", "e", {"properties": [1]}),
    ("invalid", "e", {"properties": "text"}),
    ("invalid", "e", {"user": "42"}),
    ("invalid", "e", {"context": 1}),
    ("invalid", "e", {"properties": {"context": 1}}),
    ("invalid", "e", {"timestamp_ms": 1_700_000_000}),
    ("invalid", "e", {"timestamp_ms": 1_700_000_000_000_000}),
    ("invalid", "e", {"timestamp_ms": 1_700_000_000_000.0}),
    ("invalid", "e", {"timestamp_ms": True}),
    ("invalid", "e", {"properties": {"v": float("nan")}}),
    ("invalid", "e", {"properties": {"v": Decimal("Infinity")}}),
    ("invalid", "e", {"properties": {"v": b"bytes"}}),
    ("invalid", "e", {"properties": {"v": object()}}),
    ("invalid", "e", {"properties": {(1, 2): "v"}}),
    ("invalid", "e", {"properties": LOOP}),
    ("invalid", "e", {"properties": {"v": nested(30)}}),
    ("invalid", "e", {"properties": {"v": nested(100_000)}}),
    ("too_large", "e", {"properties": {"v": "x" * TOO_LARGE}}),
    ("too_large", "e", {"properties": {"v": "é" * (TOO_LARGE // 2 + 1)}}),
]


@pytest.mark.parametrize(("reason", "name", "arguments"), UNSENDABLE)
def test_what_cannot_be_sent_is_refused_with_its_reason(
    reason: str, name: str, arguments: dict[str, Mapping[str, object]]
) -> None:
    with pytest.raises(UnsendableError) as caught:
        encode(name, **arguments, fresh_id=FRESH, now_ms=NOW)  # type: ignore[arg-type]
    assert caught.value.reason == reason


def test_an_event_may_be_exactly_as_large_and_as_deep_as_the_protocol_allows() -> None:
    assert len(encode("e", {"v": "x" * (TOO_LARGE - 1)}, fresh_id=FRESH, now_ms=NOW)[1]) == EVENT_BYTES
    assert encoded("e", {"v": nested(29)})[1]["v"] == nested(29)


@pytest.mark.parametrize(
    ("lengths", "events", "expected"),
    [
        ([], 500, 0),
        ([10], 500, 1),
        ([10] * 7, 5, 5),
        ([BATCH_BYTES], 500, 1),
        ([BATCH_BYTES - 12], 500, 1),
        ([(BATCH_BYTES - 13) // 2] * 2, 500, 2),
        ([(BATCH_BYTES - 13) // 2 + 1] * 2, 500, 1),
        ([EVENT_BYTES] * 100, 500, 15),
    ],
)
def test_a_batch_stays_within_the_limits(lengths: list[int], events: int, expected: int) -> None:
    count = fits(lengths, events)
    assert count == expected
    if count > 1:
        assert len(body([b"x" * length for length in lengths[:count]])) <= BATCH_BYTES


def test_a_body_is_a_batch_and_is_compressed_when_that_pays() -> None:
    small, large = body([b'{"a":1}', b'{"b":2}']), body([b'{"a":1}'] * 1000)
    assert json.loads(small) == {"batch": [{"a": 1}, {"b": 2}]}
    assert compressed(small) is None
    assert gzip.decompress(compressed(large) or b"") == large
