"""What is kept of one event that came in. Pure."""

from collections.abc import Callable, Mapping

import msgspec

from turnout.control.inspector import terms
from turnout.control.inspector.counts import Fields, kind_of
from turnout.control.inspector.segment import Entry
from turnout.control.inspector.values import text_of
from turnout.model.event import Location, Processed, Reason, Received, Status
from turnout.model.sampling import Kept

_DEEPEST = 64
_CODE_CHARACTERS = 256
FAILING: frozenset[Status] = frozenset(("rejected", "invalid_rejected", "failed"))
"""These have a quota of their own."""

Event = dict[str, object]
_decode_event = msgspec.json.Decoder(Event).decode


class Incoming(msgspec.Struct, array_like=True, frozen=True, kw_only=True, gc=False):
    """One record. `seq` is the offset of its `Processed`, so it is the same whoever writes it, and never given twice.

    `normalized` is the event as destinations get it, or as far as it came; `received` as the collector took it, where
    that is different, and `raw` as it came, where that is different again. All are JSON, except that of what is no
    JSON there is an excerpt. Fields are only ever added at the end, with a default.
    """

    seq: int
    at_ms: int
    source: str
    event_id: str
    name: str
    status: Status
    environment: str
    sampling: Kept
    endpoint: str
    batch_index: int
    reasons: tuple[Reason, ...]
    warnings: tuple[str, ...]
    derived_from: str
    test_code: str
    normalized: bytes
    received: bytes
    raw: bytes
    location: Location | None = None

    @property
    def site(self) -> str:
        return self.source.partition("/")[0]

    @property
    def event(self) -> Event | None:
        """The normalized event; None where it is no JSON object."""
        return self._decoded(self.normalized)

    @property
    def came_as(self) -> Event | None:
        """The event as it came; None where it is no JSON object."""
        return self._decoded(self.raw or self.received or self.normalized)

    @property
    def forms(self) -> list[Event]:
        """The event in each of its forms that is a JSON object."""
        found = (self._decoded(text) for text in (self.normalized, self.received, self.raw) if text)
        return [event for event in found if event is not None]

    def _decoded(self, text: bytes) -> Event | None:
        if self.status == "rejected" and text.count(b"{") + text.count(b"[") > _DEEPEST:
            return None
        try:
            return _decode_event(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Incoming).decode


def incoming(seq: int, processed: Processed, received: Received | None, environment: str, sampling: Kept) -> Incoming:
    """The record of an event. `received` is None where the stream `accepted` has lost it."""
    derived = bool(processed.derived_from)
    taken = received.payload if received is not None and not derived else b""
    normalized = processed.payload or taken
    return Incoming(
        seq=seq,
        at_ms=processed.received_ms,
        source=processed.source,
        event_id=processed.event_id,
        name=processed.name,
        status=processed.status,
        environment=environment,
        sampling=sampling,
        endpoint=received.endpoint if received is not None else "",
        batch_index=received.batch_index if received is not None else -1,
        reasons=processed.reasons,
        warnings=processed.warnings,
        derived_from=processed.derived_from,
        test_code=test_code_of(taken, normalized),
        normalized=normalized,
        received=taken if taken != normalized else b"",
        raw=received.raw if received is not None and not derived else b"",
        location=received.location if received is not None else None,
    )


FIELDS: Mapping[str, Callable[[Incoming], tuple[str, ...]]] = {
    "site": lambda one: (one.site,),
    "source": lambda one: (one.source,),
    "event_name": lambda one: (one.name,),
    "event_id": lambda one: (one.event_id,),
    "status": lambda one: (one.status,),
    "reason": lambda one: tuple(reason.code for reason in one.reasons),
    "environment": lambda one: (one.environment,),
    "sampling": lambda one: (one.sampling,),
    "test_code": lambda one: (one.test_code, "*") if one.test_code else (),
}
"""What we say of a record, and it can be searched for. `*` is any test code."""


def fields_of(record: Incoming) -> Fields:
    """All of that."""
    return {name: read(record) for name, read in FIELDS.items()}


def terms_of(record: Incoming) -> str:
    """What the index gets of a record."""
    return terms.record_terms(fields_of(record), record.event)


def entry(record: Incoming) -> Entry:
    """A record as it is kept."""
    fields = fields_of(record)
    words = terms.record_terms(fields, record.event)
    return Entry(record.seq, record.at_ms, kind_of(fields), words, encode(record))


def test_code_of(*texts: bytes) -> str:
    """The `test_code` at the root of an event as text, "" if none of its forms has one."""
    for text in texts:
        if b'"test_code"' in text:
            try:
                value = _decode_event(text).get("test_code")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if isinstance(value, str | int | float) and value != "":
                return text_of(value)[:_CODE_CHARACTERS]
    return ""
