"""Recognises, at C speed, the events that need nothing: complete, in version 2 form, all in its place.

Most events of a well-made client are such. For them the types below are all that `admit.py` would find out one
property at a time, and the record is the event as it came. Whatever does not fit is not wrong, only not usual.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.collect.convert import Event
from turnout.collect.limits import EARLIEST_MS, LATEST_MS, NAME_CHARACTERS

_Absent = UnsetType
_MS_DIGITS = 13


class _Device(msgspec.Struct, gc=False):
    ip: str | None = None
    user_agent: object = None


class _Context(msgspec.Struct, gc=False):
    event_id: Annotated[str, Meta(min_length=1)]
    event_timestamp: str | Annotated[int, Meta(ge=EARLIEST_MS, lt=LATEST_MS)]
    device: _Device | _Absent = UNSET
    eventId: _Absent = UNSET
    created: _Absent = UNSET
    dataquality: _Absent = UNSET
    warnings: _Absent = UNSET
    enrichment: _Absent = UNSET


class _User(msgspec.Struct, gc=False):
    consent_categories: list[str | int]
    consistent_anonymous_id: str | None = None


class Usual(msgspec.Struct, gc=False):
    """What is known of a usual event. Its `user` may still hold hashes, its device an address, to be looked at."""

    event_name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS)]
    context: _Context
    user: _User
    properties: _Absent = UNSET
    event_id: _Absent = UNSET
    event_timestamp: _Absent = UNSET
    test_code: str | None = None


def recognise(event: Event, latest_ms: int) -> Usual | None:
    """The event's usual properties, or None if anything in it may need conversion, filling or a warning.

    `latest_ms` is the last time of an event that is not in the future.
    """
    try:
        usual = msgspec.convert(event, Usual)
    except msgspec.ValidationError:
        return None
    time = usual.context.event_timestamp
    if isinstance(time, str):
        if len(time) != _MS_DIGITS or not time.isdigit() or not time.isascii() or time[0] == "0":
            return None
        time = int(time)
    if time > latest_ms or usual.event_name.isspace():
        return None
    return usual
