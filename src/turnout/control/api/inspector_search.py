"""From a question to the records of one direction that answer it, as far as their reader may know (C4)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from turnout.control.api.inspector_query import PII, EitherQuery, Question, question
from turnout.control.api.masking import Hidden, hidden_of, masked_event
from turnout.control.api.operation import AnyCall
from turnout.control.api.problems import ApiError, Fault, Place
from turnout.control.inspector import incoming, outgoing
from turnout.control.inspector.counts import Count, Fields
from turnout.control.inspector.incoming import Event, Incoming
from turnout.control.inspector.outgoing import Outgoing
from turnout.control.inspector.search import Check
from turnout.control.inspector.segment import Row, Span
from turnout.control.inspector.store import Counted, Found, Series

LOOKED_AT, COUNTED = 20_000, 10_000
"""So many records are looked at for a page of them, and for a count that depends on what is in them: 100 ms each."""
_ONLY_ATTEMPTS = ("destination", "http_status", "attempt", "replay")


class Record(Protocol):
    """What the records of both directions have."""

    @property
    def seq(self) -> int: ...

    @property
    def site(self) -> str: ...


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Records(Generic[R]):
    """The records of one direction, and one reader's question about them."""

    series: Series
    asked: Question
    decode: Callable[[bytes], R]
    fields: Callable[[R], Fields]
    check: Check[R]

    def search(
        self, limit: int, span: Span | None = None, *, oldest_first: bool = False, examined: int = LOOKED_AT
    ) -> Found[R]:
        """Up to `limit` that are sought; of another span than asked for, if one is given."""
        match = self.asked.sought.match()
        within = span or self.asked.span
        return self.series.search(match, within, self._read, limit, oldest_first=oldest_first, examined=examined)

    def counted(self, width_ms: int) -> Counted:
        """How many are sought, by kind and in buckets of a width.

        All of them, if their kind tells; if it takes a look into them, as far as the newest `COUNTED` go.
        """
        if (wanted := self.asked.sought.of_kind()) is not None:
            return self.series.counted(self.asked.span, width_ms, wanted)

        def read(row: Row) -> Count | None:
            record = self._read(row)
            return None if record is None else Count(self.fields(record), row.at_ms // width_ms * width_ms, 1)

        found = self.series.search(self.asked.sought.match(), self.asked.span, read, COUNTED, examined=COUNTED)
        last = self.series.get(found.resume) if found.resume is not None else None
        return Counted(found.items, last.at_ms if last is not None else None)

    def _read(self, row: Row) -> R | None:
        record = self.decode(row.document)
        return record if self.check(record) else None


def either(call: AnyCall, query: EitherQuery) -> Question:
    """What is asked of one direction. Raises `ApiError` 400 for filters that this one does not have, or 403."""
    if query.direction == "incoming":
        faults = [
            Fault("INVALID_PARAMETER", f"filter[{name}] is for direction=outgoing", Place(parameter=f"filter[{name}]"))
            for name in _ONLY_ATTEMPTS
            if getattr(query, name)
        ]
        if faults:
            raise ApiError(400, faults)
    return question(call, query)


def incoming_records(call: AnyCall, asked: Question, view: str = "normalized") -> Records[Incoming]:
    """What came in. `view` is the document that conditions and words are about."""
    hidden = _hidden(call)

    def document(one: Incoming) -> object:
        if view == "raw":
            return one.came_as
        # The shape of what was refused is not known, so any of it may be personal.
        return _searchable(one.event, hidden) if hidden is None or one.status != "rejected" else None

    check = Check(asked.sought, incoming.FIELDS, lambda one: one.event, document)
    return Records(call.world.inspector.incoming, asked, incoming.decode, incoming.fields_of, check)


def outgoing_records(call: AnyCall, asked: Question, view: str = "normalized") -> Records[Outgoing]:
    """What went out."""
    hidden = _hidden(call)

    def document(one: Outgoing) -> object:
        return one.sent if view == "sent" else _searchable(one.event, hidden)

    check = Check(asked.sought, outgoing.FIELDS, lambda one: one.event, document)
    return Records(call.world.inspector.outgoing, asked, outgoing.decode, outgoing.fields_of, check)


def _hidden(call: AnyCall) -> Hidden | None:
    return None if PII in call.token.scopes else hidden_of(call.world.snapshot(), call.site)


def _searchable(event: Event | None, hidden: Hidden | None) -> Event | None:
    """What of an event a search may look into: of what is masked, nothing can be guessed."""
    return event if hidden is None or event is None else masked_event(event, hidden)
