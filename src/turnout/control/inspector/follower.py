"""Follows the stream `processed` and keeps a record of what is to be seen. Reads the log as a visitor: nobody waits.

What must stay true: records and the position behind them are written in one transaction, so each event is looked at
once, whatever crashes. Who is too far behind leaves events out and counts them: the figures are elsewhere, and exact.
"""

from collections import Counter
from collections.abc import Callable

import msgspec
import structlog

from turnout.control.inspector import incoming
from turnout.control.inspector.incoming import FAILING, Incoming, test_code_of
from turnout.control.inspector.segment import Entry
from turnout.control.inspector.store import Series
from turnout.log.interface import Batch, Log, Subscription
from turnout.model.config import Snapshot
from turnout.model.event import ACCEPTED, PROCESSED, Processed, Received, decode_processed, decode_received, is_erased
from turnout.model.sampling import MINUTE_MS, Kept, Sampler

MOST_BEHIND = 1_000_000
"""Events that may wait; beyond, the oldest are left out."""
_AT_ONCE = 500
_READ_ON = 20_000
"""So far ahead a record of `accepted` is read up to rather than looked up."""

log = structlog.get_logger("inspector")


class Follower:
    """`step` again and again, from one thread."""

    def __init__(self, stream: Log, series: Series, snapshot: Callable[[], Snapshot]) -> None:
        self._stream, self._series, self._snapshot = stream, series, snapshot
        self._sampler = Sampler()
        self._accepted = _Lookup(stream)
        self._processed: Subscription | None = None
        self._next = 0

    def step(self) -> bool:
        """Look at the next events; whether there were any. Raises `LogUnavailableError`, sqlite3.Error, OSError."""
        try:
            return self._step(self._processed or self._begin())
        except BaseException:
            # What of this was written is not known: read it again from where the records say.
            self.close()
            raise
        finally:
            # What is erased from the log meanwhile must not be remembered, and written later.
            self._accepted.close()

    def lag(self) -> int:
        """How many events wait. Raises `LogUnavailableError`."""
        return max(0, self._stream.end(PROCESSED) - self._next)

    def close(self) -> None:
        """Give back what is open."""
        self._accepted.close()
        if self._processed is not None:
            self._processed.close()
            self._processed = None

    def _begin(self) -> Subscription:
        end = self._stream.end(PROCESSED)
        position = self._series.position()
        if position is not None and position > end:
            # Numbers would be given twice. The records are of events that no log knows any more.
            log.warning("the log has begun anew, and so do the records of events", position=position, end=end)
            self._series.clear()
            position = 0
        self._next = position or 0
        if end - self._next > MOST_BEHIND:
            self._next = self._leave_out(self._next, end - MOST_BEHIND // 2)
        self._processed = self._stream.subscribe(PROCESSED, None, self._next)
        return self._processed

    def _leave_out(self, start: int, until: int) -> int:
        log.warning("events left out of the inspector: too many wait", events=until - start)
        visitor = self._stream.subscribe(PROCESSED, None, until)
        batches = visitor.fetch(1)
        visitor.close()
        if not batches:
            return start
        minute = batches[0].appended_ms // MINUTE_MS
        self._series.append([], batches[0].base, {("", minute): batches[0].base - start})
        return batches[0].base

    def _step(self, processed: Subscription) -> bool:
        batches = processed.fetch(_AT_ONCE)
        if not batches:
            return False
        snapshot = self._snapshot()
        self._sampler.configure(snapshot.sampling)
        entries: list[Entry] = []
        left_out: Counter[tuple[str, int]] = Counter()
        for batch in batches:
            for seq, data in enumerate(batch.records, batch.base):
                if seq < self._next or (event := _visible(data)) is None:
                    continue
                if (kept := self._entry(seq, event, b"test_code" in data, snapshot)) is not None:
                    entries.append(kept)
                else:
                    left_out[event.source, event.received_ms // MINUTE_MS] += 1
        self._series.append(entries, batches[-1].next, left_out)
        self._next = batches[-1].next
        return True

    def _entry(self, seq: int, event: Processed, may_be_test: bool, snapshot: Snapshot) -> Entry | None:
        """The record of an event, if one is kept."""
        try:
            record = self._record(seq, event, may_be_test, snapshot)
            return None if record is None else incoming.entry(record)
        except Exception:
            # Whatever an event does to us, the others must be seen.
            log.exception("event left out of the inspector", event_id=event.event_id, offset=seq)
            return None

    def _record(self, seq: int, event: Processed, may_be_test: bool, snapshot: Snapshot) -> Incoming | None:
        received: Received | None = None
        sampling: Kept | None = None
        if may_be_test and not is_erased(event):
            received = self._accepted.at(event.offset)
            if test_code_of(received.payload if received is not None else b"", event.payload):
                sampling = self._sampler.keep_test(event.source, event.received_ms)
        failing = event.status in FAILING
        sampling = sampling or self._sampler.keep(event.source, event.name, failing, event.received_ms)
        if sampling is None:
            return None
        if not is_erased(event):  # what was read of it before may still be at hand
            received = received or self._accepted.at(event.offset)
        source = snapshot.sources.get(event.source)
        environment = source.environment if source is not None else ""
        return incoming.incoming(seq, event, received, environment, sampling)


def _visible(data: bytes) -> Processed | None:
    """The event in a record; None if there is no site whose users could see it, or a later release wrote it."""
    try:
        event = decode_processed(data)
    except msgspec.DecodeError:
        return None
    return event if event.source.partition("/")[0] else None


class _Lookup:
    """Records of `accepted` by offset, quick as long as the offsets grow."""

    def __init__(self, stream: Log) -> None:
        self._stream = stream
        self._subscription: Subscription | None = None
        self._batches: list[Batch] = []
        self._next = 0

    def at(self, offset: int) -> Received | None:
        """The record at an offset; None if it is not kept any more, or not readable."""
        if not self._batches or offset < self._batches[0].base or offset - self._next > _READ_ON:
            self._seek(offset)
        while offset >= self._next:
            if not self._read_on():
                return None
        for batch in reversed(self._batches):
            if batch.base <= offset:
                return _decoded(batch, offset)
        return None

    def close(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
        self._subscription, self._batches, self._next = None, [], 0

    def _seek(self, offset: int) -> None:
        self.close()
        self._subscription = self._stream.subscribe(ACCEPTED, None, offset)
        self._read_on()

    def _read_on(self) -> bool:
        assert self._subscription is not None
        batches = self._subscription.fetch(_AT_ONCE)
        if batches:
            self._batches, self._next = batches, batches[-1].next
        return bool(batches)


def _decoded(batch: Batch, offset: int) -> Received | None:
    if offset >= batch.next:
        return None
    try:
        return decode_received(batch.records[offset - batch.base])
    except msgspec.DecodeError:
        return None
