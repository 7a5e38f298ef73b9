"""Decoded batches of `processed`, shared by destinations that are close together."""

from collections import OrderedDict

import msgspec

from turnout.log.interface import Batch, Log, Subscription
from turnout.model.event import PROCESSED, Processed, decode_processed

_KEPT = 16


class DecodedBatch(msgspec.Struct, frozen=True):
    """A batch of `processed` as events. Nobody changes them."""

    base: int
    appended_ms: int
    records: list[Processed]

    @property
    def next(self) -> int:
        return self.base + len(self.records)


class Reader:
    """Decodes each batch once for all destinations that read it at about the same time."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._decoded: OrderedDict[int, DecodedBatch] = OrderedDict()

    def subscribe(self, start: int) -> Subscription:
        """A reader's own position."""
        return self._log.subscribe(PROCESSED, None, start)

    def end(self) -> int:
        """The end of the stream."""
        return self._log.end(PROCESSED)

    def decode(self, batch: Batch) -> DecodedBatch:
        """The batch as events, from the cache if it was decoded recently."""
        found = self._decoded.get(batch.base)
        if found is None:
            records = [decode_processed(record) for record in batch.records]
            found = self._decoded[batch.base] = DecodedBatch(batch.base, batch.appended_ms, records)
            if len(self._decoded) > _KEPT:
                self._decoded.popitem(last=False)
        return found
