"""From the arguments of `track` to the bytes of one event, and from events to a request body (`collect.md` §4–§6, §10).

The server answers 200 to an event that it refuses, and judges nesting over the whole body: so whatever could
spoil its neighbours in a batch is refused here.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from enum import Enum
from uuid import UUID

EVENT_BYTES = 32_768
BATCH_BYTES = 512_000
NESTING = 30
"""The protocol's 32 levels, less the two of the batch around the event."""
NAME_CHARACTERS = 256
GZIP_BYTES = 2_048
"""Bodies from this size on are compressed: below, the gain is less than a packet."""

_OPEN, _BETWEEN, _CLOSE = b'{"batch":[', b",", b"]}"
FRAME_BYTES = len(_OPEN) + len(_CLOSE)
_MS_FROM, _MS_TO = 10**11, 10**14


class UnsendableError(Exception):
    """This event can't be sent; `reason` is a key of `dropped`, the text says why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def encode(
    event_name: str,
    properties: Mapping[str, object] | None = None,
    user: Mapping[str, object] | None = None,
    context: Mapping[str, object] | None = None,
    event_id: str | None = None,
    timestamp_ms: int | None = None,
    *,
    fresh_id: str,
    now_ms: int,
) -> tuple[str, bytes]:
    """The id and the JSON (UTF-8, one line) of one event.

    `properties` are the root of the event; the other arguments win over keys of the same name in it. Id and
    timestamp are the arguments, else those in the context, else `fresh_id` and `now_ms`.
    Raises `UnsendableError` for what the protocol does not take, and whatever the values' own methods raise.
    """
    if not isinstance(event_name, str) or not event_name.strip() or len(event_name) > NAME_CHARACTERS:
        raise UnsendableError("invalid", f"event_name is a text of 1 to {NAME_CHARACTERS} characters")
    if timestamp_ms is not None and (type(timestamp_ms) is not int or not _MS_FROM <= timestamp_ms < _MS_TO):
        raise UnsendableError("invalid", "timestamp_ms is an integer, Unix time in milliseconds")
    event = {**_mapping("properties", properties), "event_name": event_name}
    if user is not None:
        event["user"] = _mapping("user", user)
    inner = _mapping("context", event.get("context") if context is None else context)
    identity = str(_first(event_id, inner.get("event_id"), fresh_id))
    moment = _first(timestamp_ms, inner.get("event_timestamp"), now_ms)
    event["context"] = {**inner, "event_id": identity, "event_timestamp": moment}
    return identity, _encoded(event)


def body(events: Sequence[bytes]) -> bytes:
    """The body of `POST /events/batch`."""
    return _OPEN + _BETWEEN.join(events) + _CLOSE


def compressed(data: bytes) -> bytes | None:
    """The body gzipped, or None where that does not pay."""
    return gzip.compress(data, 1, mtime=0) if len(data) >= GZIP_BYTES else None


def fits(lengths: Sequence[int], events: int) -> int:
    """How many of the first events, of these lengths in bytes, make one batch: at least one, at most `events`."""
    size = FRAME_BYTES - len(_BETWEEN)
    for index, length in enumerate(lengths[:events]):
        size += length + len(_BETWEEN)
        if size > BATCH_BYTES:
            return max(1, index)
    return min(len(lengths), events)


def _mapping(name: str, value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UnsendableError("invalid", f"{name} is a mapping, not {type(value).__name__}")
    return dict(value)


def _first(*values: object) -> object:
    return next(value for value in values if value is not None)


def _encoded(event: dict[str, object]) -> bytes:
    try:
        text = _json(event)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsendableError("invalid", str(error)) from error
    if text.count("{") + text.count("[") > NESTING and _depth(json.loads(text)) > NESTING:
        raise UnsendableError("invalid", f"more than {NESTING} levels of nesting")
    data = _utf8(text)
    if len(data) > EVENT_BYTES:
        raise UnsendableError("too_large", f"{len(data)} bytes are more than the {EVENT_BYTES} an event may have")
    return data


def _plain(value: object) -> object:
    """The JSON form of what applications usually hold."""
    match value:
        case date() | time():
            return value.isoformat()
        case Decimal():
            whole = value.is_finite() and value == value.to_integral_value()
            return int(value) if whole else float(value)
        case UUID():
            return str(value)
        case Enum():
            return value.value
        case Mapping():
            return dict(value)
        case set() | frozenset():
            return list(value)
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")


_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Lone surrogates (undecodable file names, cut emoji): pairs are joined, the rest becomes U+FFFD.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _depth(value: object) -> int:
    """Levels of nesting; an object or array is one level."""
    depth, level = 0, [value]
    while containers := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        level = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
    return depth
