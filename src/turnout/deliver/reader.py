"""Decoded batches of `processed`, shared by destinations that are close together."""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from functools import cached_property

import msgspec

from turnout.log.interface import Batch, Log, Subscription
from turnout.model.event import PROCESSED, Processed, decode_processed
from turnout.receipts.tally import Kind, kinds_of

_KEPT_BYTES = 8 << 20
"""Of records that stay decoded: what destinations that are close together need, whatever the size of batches."""
_ROOM_BYTES = 8 << 20
"""Of payloads whose events are kept; as objects they take about eight times as much memory."""


class _Room:
    """What is left of so many bytes."""

    def __init__(self, left: int) -> None:
        self.left = left


class DecodedBatch:
    """A batch of `processed` as records. Nobody changes them, nor their events."""

    def __init__(self, base: int, appended_ms: int, records: list[Processed], room: _Room) -> None:
        self.base, self.appended_ms, self.records, self._room = base, appended_ms, records, room
        self._events: dict[int, Mapping[str, object] | None] = {}
        self._taken = 0

    @cached_property
    def kinds(self) -> list[Kind]:
        """What each event is counted by."""
        return kinds_of(self.records)

    @cached_property
    def sums(self) -> Counter[Kind]:
        """How many events are of each kind."""
        return Counter(self.kinds)

    @property
    def next(self) -> int:
        return self.base + len(self.records)

    def event(self, position: int) -> Mapping[str, object] | None:
        """The content of one event, decoded for the first destination that asks; None if it can't be read."""
        if position in self._events:
            return self._events[position]
        payload = self.records[position].payload
        event = decode_event(payload)
        if len(payload) <= self._room.left:
            self._room.left -= len(payload)
            self._taken += len(payload)
            self._events[position] = event
        return event

    def part(self, low: int, high: int) -> "DecodedBatch":
        """The events from one position up to another as a batch of their own, which keeps no decoded events."""
        return DecodedBatch(self.base + low, self.appended_ms, self.records[low:high], _Room(0))

    def forget(self) -> None:
        """Keep no events any more."""
        self._room.left += self._taken
        self._taken = 0
        self._events = {}


def decode_event(payload: bytes) -> Mapping[str, object] | None:
    """The event that a payload holds; None if it holds none."""
    try:
        event = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


class Reader:
    """Decodes each batch once for all destinations that read it at about the same time."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._decoded: OrderedDict[int, tuple[DecodedBatch, int]] = OrderedDict()
        """By their first offset: batches and their size in bytes, the oldest first."""
        self._bytes = 0
        self._room = _Room(_ROOM_BYTES)

    def subscribe(self, start: int) -> Subscription:
        """A reader's own position."""
        return self._log.subscribe(PROCESSED, None, start)

    def end(self) -> int:
        """The end of the stream."""
        return self._log.end(PROCESSED)

    def decode(self, batch: Batch) -> DecodedBatch:
        """The batch as events, from the cache if it was decoded recently."""
        found = self._decoded.get(batch.base)
        if found is not None:
            return found[0]
        records = [decode_processed(record) for record in batch.records]
        decoded = DecodedBatch(batch.base, batch.appended_ms, records, self._room)
        size = sum(map(len, batch.records))
        self._decoded[batch.base] = decoded, size
        self._bytes += size
        while self._bytes > _KEPT_BYTES and len(self._decoded) > 1:
            _, (oldest, freed) = self._decoded.popitem(last=False)
            self._bytes -= freed
            oldest.forget()
        return decoded
