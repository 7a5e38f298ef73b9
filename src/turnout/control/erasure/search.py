"""Which events of the log are a person's. Reads beside everybody else and changes nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

import msgspec

from turnout.log.interface import Log
from turnout.model.errors import TurnoutError
from turnout.model.event import (
    ACCEPTED,
    PROCESSED,
    Received,
    decode_processed,
    decode_received,
    encode,
    erased_processed,
    erased_received,
    is_erased,
)
from turnout.model.person import Person, named

_FETCH_RECORDS = 1000


class InterruptedSearchError(TurnoutError):
    """The search was ended before its end: the server stops."""


class Findings(msgspec.Struct):
    """What a search came to: what is to be in the place of each record (by offset), and how many are not that yet.

    Records that were erased before are among them: whoever is killed in the middle goes on with them.
    """

    records: dict[int, bytes] = {}
    new: list[int] = []


class Search:
    """For one person of a site. `stopped` is asked now and then whether to raise `InterruptedSearchError`.

    Everything raises `LogUnavailableError`.
    """

    def __init__(self, log: Log, site: str, person: Person, stopped: Callable[[], bool]) -> None:
        self._log, self._site, self._stopped = log, site, stopped
        self._aim(person)

    def _aim(self, person: Person) -> None:
        self.person = person
        self._suspect, self._matches, self._mentions = person.suspect(), person.matcher(), person.mentioned()

    def follow_visitors(self) -> None:
        """Mean the anonymous ids, too, that occur together with the person's user ids or addresses."""
        if not self.person.user_ids and not self.person.emails:
            return
        visitors = set(self.person.visitors)
        for _, data in self._records(ACCEPTED):
            if self._suspect(data) and self._is_ours((record := decode_received(data)).source):
                event = _decoded(record.payload)
                if event is not None and self._matches(event):
                    visitors |= named(event).visitors
        found = tuple(sorted(visitors.difference(self.person.anonymous_ids)))
        self._aim(msgspec.structs.replace(self.person, visitors=found))

    def received(self) -> Findings:
        """The person's records of the stream `accepted`."""
        found = Findings()
        for offset, data in self._records(ACCEPTED):
            if _ERASED in data and is_erased(record := decode_received(data)):
                found.records[offset] = data
            elif (
                self._suspect(data) and self._is_ours((record := decode_received(data)).source) and self._holds(record)
            ):
                found.records[offset] = encode(erased_received(record))
                found.new.append(offset)
        return found

    def processed(self, received: Mapping[int, bytes]) -> Findings:
        """The person's records of the stream `processed`: also all that were made of these `received` ones.

        Rules may have made something else of an id before the event was processed to its end.
        """
        found = Findings()
        for offset, data in self._records(PROCESSED):
            record = decode_processed(data)
            if is_erased(record):
                found.records[offset] = data
            elif record.offset in received or (self._is_ours(record.source) and self.owns(record.payload)):
                found.records[offset] = encode(erased_processed(record))
                found.new.append(offset)
        return found

    def owns(self, payload: bytes) -> bool:
        """Whether an event, as it is sent, is the person's."""
        if not self._suspect(payload):
            return False
        event = _decoded(payload)
        return event is not None and self._matches(event)

    def tells(self, content: bytes) -> bool:
        """Whether some bytes are an event of the person, have one among others, or mention the person otherwise."""
        if not self._suspect(content):
            return False
        try:
            found = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._mentions(content.decode("utf-8", "replace"))
        events = found if isinstance(found, list) else [found]
        return any(isinstance(one, dict) and self._matches(one) for one in events)

    def _holds(self, record: Received) -> bool:
        return any(map(self.tells, filter(None, (record.payload, record.raw))))

    def _is_ours(self, source: str) -> bool:
        """Whether a record is of this site, or of nobody knows which: then it went nowhere, and nobody misses it."""
        return source.partition("/")[0] in (self._site, "")

    def _records(self, stream: str) -> Iterator[tuple[int, bytes]]:
        """Every record that is there now, with its offset."""
        end = self._log.end(stream)
        with closing(self._log.subscribe(stream, None, 0)) as visitor:
            while batches := visitor.fetch(_FETCH_RECORDS):
                if self._stopped():
                    raise InterruptedSearchError("interrupted; it goes on at the next start")
                for batch in batches:
                    yield from enumerate(batch.records, batch.base)
                if batches[-1].next >= end:
                    return


_ERASED = b"\xa6erased"
"""How the reason of an erased record begins, as msgpack."""


def _decoded(content: bytes) -> Mapping[str, object] | None:
    try:
        event = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return event if isinstance(event, dict) else None
