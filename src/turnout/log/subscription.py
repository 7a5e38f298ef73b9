"""The read end of one stream: finds the segment that holds a position, reads on from file to file, past damage.

What must stay true:
* The folder is listed before a segment is read. Whatever a full segment still got is therefore seen before the next.
* Of a segment only what lies below the next one's first offset counts.
* What can't be read costs as little as possible: a batch, some pages of a file, or the file; never the stream.
"""

import time
from bisect import bisect_right
from pathlib import Path
from typing import Protocol

from turnout.log.interface import Batch
from turnout.log.segment import DamagedError, Segment, segment_bases, segment_path

_POLL_S = 0.002


class _Keeper(Protocol):
    """What a subscription needs of its log."""

    def commit(self, stream: str, group: str, offset: int) -> None: ...

    def end(self, stream: str) -> int: ...

    def set_aside(self, path: Path, why: str) -> None: ...

    def report_damage(self, why: str) -> None: ...


class SqliteSubscription:
    """See `interface.Subscription`."""

    def __init__(self, log: _Keeper, folder: Path, stream: str, group: str | None, start: int) -> None:
        self._log, self._folder, self._stream, self._group = log, folder, stream, group
        self._position = start
        self._segment: Segment | None = None
        self._base = -1
        self._bases: list[int] = []
        self._listed_ns = -1
        self._snapped = False

    def fetch(self, max_records: int, wait_s: float = 0.0) -> list[Batch]:
        deadline = time.monotonic() + wait_s
        while True:
            if batches := self._read(max_records):
                return batches
            if time.monotonic() >= deadline:
                return []
            time.sleep(_POLL_S)

    def commit(self, offset: int) -> None:
        assert self._group is not None, "a visitor has no cursor to commit"
        self._log.commit(self._stream, self._group, offset)

    def lag(self) -> int:
        return max(0, self._log.end(self._stream) - self._position)

    def end(self) -> int:
        """The offset after the last record that can be seen."""
        while True:
            bases = self._list()
            if not bases:
                return 0
            try:
                self._open(bases[-1])
                assert self._segment is not None
                last = self._segment.last()
            except FileNotFoundError:
                continue
            except DamagedError:
                return bases[-1]
            return max(last[0] if last else 0, bases[-1])

    def close(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None
            self._base = -1

    def _read(self, max_records: int) -> list[Batch]:
        found: list[Batch] = []
        while True:
            bases = self._list()
            if not bases:
                return found
            index = max(0, bisect_right(bases, self._position) - 1)
            self._position = max(self._position, bases[0])
            stop = bases[index + 1] if index + 1 < len(bases) else None
            try:
                self._open(bases[index])
            except FileNotFoundError:
                self._listed_ns = -1
                continue
            except DamagedError as error:
                if stop is None:
                    self._log.report_damage(str(error))
                    return found
                self._log.set_aside(segment_path(self._folder, bases[index]), str(error))
                self._listed_ns = -1
                continue
            try:
                self._read_segment(found, max_records, stop)
            except DamagedError as error:
                if found or not self._skip_damage(stop, error):
                    return found
                continue
            if found or stop is None:
                return found
            self._position = max(self._position, stop)

    def _skip_damage(self, stop: int | None, error: DamagedError) -> bool:
        """Go on behind a part that can't be read; False where nothing follows it yet."""
        assert self._segment is not None
        self._snapped = True
        readable = self._segment.next_readable(self._position)
        following = [offset for offset in (readable, stop) if offset is not None]
        until = f"offset {min(following)}" if following else "its end"
        self._log.report_damage(f"{error}: nothing can be read from offset {self._position} to {until}")
        if following:
            self._position = min(following)
        return bool(following)

    def _read_segment(self, found: list[Batch], max_records: int, stop: int | None) -> None:
        assert self._segment is not None
        if not self._snapped:
            held = self._segment.holding(self._position)
            self._position = self._position if held is None else held
            self._snapped = True
        for batch in self._segment.read(self._position, stop, max_records):
            if isinstance(batch, int):
                self._log.report_damage(f"{self._segment.path}: the batch at offset {batch} fails its check")
                self._position = batch + 1
                continue
            found.append(batch)
            self._position = batch.next

    def _list(self) -> list[int]:
        """Segment bases, listed again only when the folder has changed."""
        changed = self._folder.stat().st_mtime_ns
        if changed != self._listed_ns:
            self._bases = segment_bases(self._folder)
            # A folder changed this instant may change again within the clock's grain: list it again then.
            self._listed_ns = changed if time.time_ns() - changed > 50_000_000 else -1
        return self._bases

    def _open(self, base: int) -> None:
        if self._base == base and self._segment is not None:
            return
        self.close()
        self._segment = Segment(segment_path(self._folder, base))
        self._base = base
