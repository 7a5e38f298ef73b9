"""What is kept of one attempt to deliver an event. Pure."""

from collections.abc import Callable, Mapping

import msgspec

from turnout.control.inspector import terms
from turnout.control.inspector.counts import Fields, kind_of
from turnout.control.inspector.incoming import Event, test_code_of
from turnout.control.inspector.segment import Entry
from turnout.model.attempt import Attempt

_decode_event = msgspec.json.Decoder(Event).decode


class Outgoing(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One record. `seq` is the attempt's number in the worker's queue. Fields are only ever added at the end."""

    seq: int
    environment: str
    test_code: str
    attempt: Attempt

    @property
    def site(self) -> str:
        return self.attempt.destination.partition("/")[0]

    @property
    def event(self) -> Event | None:
        """The event as it was processed."""
        return _event(self.attempt.payload)

    @property
    def sent(self) -> object:
        """The body of the request, if it is JSON."""
        request = self.attempt.request
        try:
            return msgspec.json.decode(request.body) if request is not None else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Outgoing).decode


def outgoing(seq: int, attempt: Attempt, environment: str) -> Outgoing:
    """The record of an attempt."""
    return Outgoing(seq=seq, environment=environment, test_code=test_code_of(attempt.payload), attempt=attempt)


FIELDS: Mapping[str, Callable[[Outgoing], tuple[str, ...]]] = {
    "site": lambda one: (one.site,),
    "destination": lambda one: (one.attempt.destination,),
    "source": lambda one: (one.attempt.source,),
    "event_name": lambda one: (one.attempt.name,),
    "event_id": lambda one: (one.attempt.event_id,),
    "status": lambda one: (one.attempt.outcome,),
    "reason": lambda one: (one.attempt.reason,) if one.attempt.reason else (),
    "environment": lambda one: (one.environment,),
    "test_code": lambda one: (one.test_code, "*") if one.test_code else (),
    "http_status": lambda one: (str(one.attempt.response.status),) if one.attempt.response is not None else (),
    "attempt": lambda one: (str(one.attempt.attempt),),
    "replay": lambda one: (one.attempt.replay_id,) if one.attempt.replay_id else (),
}
"""What we say of a record, and it can be searched for."""


def fields_of(record: Outgoing) -> Fields:
    """All of that."""
    return {name: read(record) for name, read in FIELDS.items()}


def terms_of(record: Outgoing) -> str:
    """What the index gets of a record."""
    return terms.record_terms(fields_of(record), record.event)


def entry(record: Outgoing) -> Entry:
    """A record as it is kept."""
    fields = fields_of(record)
    words = terms.record_terms(fields, record.event)
    return Entry(record.seq, record.attempt.at_ms, kind_of(fields), words, encode(record))


def _event(text: bytes) -> Event | None:
    try:
        return _decode_event(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
