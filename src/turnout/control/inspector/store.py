"""Records over time: a series of files of one direction, the newest of which is written.

A file is full after so many records or bytes, or a part of the retention; retention and the byte budget remove whole
files, the oldest first. What can't be read is set aside, and its time in the log is read again.

What must stay true: a file is durable before the next one is begun, because the next one's position counts from then
on. Numbers (`seq`) only grow, so that a cursor is a number.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import structlog

from turnout.control.inspector import segment
from turnout.control.inspector.counts import Count, Fields
from turnout.control.inspector.segment import Entry, OlderFormatError, Row, Segment, Span

RECORDS_PER_FILE = 50_000
_FILES = 24
"""About so many files hold a retention, or a budget."""
_EXAMINED = 20_000
"""So many records are looked at for one answer, about 100 ms; then it says where to go on."""

_COUNTS = 100_000
"""So many counts are read for one answer, about 50 ms: only an unbounded lot of names comes to that."""

T = TypeVar("T")
log = structlog.get_logger("inspector")


class Found(NamedTuple, Generic[T]):
    """What a search gave. `resume`: the record up to which it looked, if there is more to look at."""

    items: list[T]
    resume: int | None


class Counted(NamedTuple):
    """What was counted. `since_ms`: where a count that would have taken too long ended, newest first; else None."""

    counts: list[Count]
    since_ms: int | None

    @property
    def total(self) -> int:
        """How many records that is."""
        return sum(one.n for one in self.counts)


class Series:
    """The records of one direction. Safe in threads."""

    def __init__(
        self, folder: Path, direction: str, terms: Callable[[bytes], str], *, keep_ms: int, budget_bytes: int
    ) -> None:
        """`terms` gives the words of the index for a document. Opening touches nothing."""
        self.folder, self.direction = folder, direction
        self.keep_ms = keep_ms
        self._terms = terms
        self._most_bytes = max(1 << 20, budget_bytes // _FILES)
        self._writing = threading.Lock()
        self._current: Segment | None = None
        self._count = 0

    # written by one

    def position(self) -> int | None:
        """How far the log was read; None at the very beginning. Raises sqlite3.Error, OSError."""
        with self._writing:
            return self._open().position()

    def append(self, entries: Sequence[Entry], position: int, left_out: Mapping[tuple[str, int], int]) -> None:
        """Add records, newest last, with the position in the log behind them: all or nothing.

        Raises sqlite3.Error, OSError.
        """
        with self._writing:
            current = self._open()
            if self._count and self._is_full(current, entries):
                current = self._roll(current)
            current.append(entries, position, left_out)
            self._count += len(entries)

    def clear(self) -> None:
        """Begin anew, without any record."""
        with self._writing:
            self._close()
            for path in self.files():
                segment.remove(path)

    def close(self) -> None:
        """Give back what is open. It opens again when used."""
        with self._writing:
            self._close()

    # read by anybody

    def search(
        self,
        match: str,
        span: Span,
        read: Callable[[Row], T | None],
        limit: int,
        *,
        oldest_first: bool = False,
        examined: int = _EXAMINED,
    ) -> Found[T]:
        """Up to `limit` records which the index knows under `match` and `read` makes something of; newest first.

        Looks at `examined` records at most.
        """
        items: list[T] = []
        looked, last = 0, -1
        for row in self._rows(match, span, oldest_first):
            if looked == examined:
                return Found(items, last)
            looked, last = looked + 1, row.seq
            if (item := read(row)) is not None:
                items.append(item)
                if len(items) == limit:
                    return Found(items, last)
        return Found(items, None)

    def counted(self, span: Span, width_ms: int, wanted: Callable[[Fields], bool], most: int = _COUNTS) -> Counted:
        """How many records of a span of time there are, by kind and in buckets of `width_ms`; see `Segment.counted`.

        No record is read for it. Raises sqlite3.Error.
        """
        found: list[Count] = []
        for path in reversed(self.files()):
            with self._reading(path) as one:
                times = one.times() if one is not None else None
                if one is None or times is None or times[0] >= span.until_ms or times[1] < span.since_ms:
                    continue
                if len(found) > most:
                    return Counted(found, times[1] + 1)
                found += one.counted(span, width_ms, wanted)
        return Counted(found, None)

    def get(self, seq: int) -> Row | None:
        """One record."""
        for path in reversed(self.files()):
            if _first(path) <= seq:
                with self._reading(path) as one:
                    return one.get(seq) if one is not None else None
        return None

    def newest(self) -> int:
        """The number of the newest record, -1 if there is none."""
        for path in reversed(self.files()):
            with self._reading(path) as one:
                if one is not None and (seq := one.last()) is not None:
                    return seq
        return -1

    def left_out(self, site: str, since_ms: int, until_ms: int) -> int:
        """How many records of a site were not kept in a span of time."""
        total = 0
        for path in self.files():
            with self._reading(path) as one:
                total += one.left_out(site, since_ms, until_ms) if one is not None else 0
        return total

    def size(self) -> int:
        """Bytes on disk."""
        return sum(map(_size, self.files()))

    def files(self) -> list[Path]:
        """The files, oldest first."""
        return sorted(self.folder.glob(f"{self.direction}-*.db"))

    # removed

    def erase(self, wanted: Callable[[bytes], bool], match: str = "") -> int:
        """Remove records for good, also from the index; gives how many. Raises sqlite3.Error."""
        gone = 0
        for path in self.files():
            with contextlib.suppress(FileNotFoundError), Segment(path) as one:
                gone += one.erase(match, wanted, self._terms)
        return gone

    def expire(self, now_ms: int) -> None:
        """Remove files whose records are all older than the retention."""
        for path in self.files():
            with self._reading(path) as one:
                times = one.times() if one is not None else None
            if times is None:
                continue
            if times[1] >= now_ms - self.keep_ms:
                return
            self._remove(path)

    def remove_oldest(self) -> None:
        """Remove the oldest file, which must not be the only one."""
        oldest, _, *_ = self.files()
        segment.remove(oldest)

    def _remove(self, path: Path) -> None:
        with self._writing:
            if path == self.files()[-1]:
                self._roll(self._open())
            segment.remove(path)

    def _rows(self, match: str, span: Span, oldest_first: bool) -> Iterator[Row]:
        files = self.files()
        ends = [*map(_first, files[1:]), None]
        parts = list(zip(files, ends, strict=True))
        for path, end in parts if oldest_first else reversed(parts):
            if _first(path) >= span.below or (end is not None and end <= span.above + 1):
                continue
            with self._reading(path) as one:
                if one is not None:
                    yield from one.find(match, span, oldest_first=oldest_first)

    @contextlib.contextmanager
    def _reading(self, path: Path) -> Iterator[Segment | None]:
        """A file to read; None if it was removed meanwhile."""
        try:
            one = Segment(path)
        except sqlite3.OperationalError:
            if path.exists():
                raise
            yield None
            return
        with one:
            yield one

    def _open(self) -> Segment:
        if self._current is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self.folder.glob(f"{self.direction}-*.new*"):
                left.unlink()
            self._remove_older()
            files = self.files()
            if not files:
                segment.create(self._path(0), None)
            try:
                self._current = Segment((files or [self._path(0)])[-1])
                self._count = self._current.count()
            except sqlite3.OperationalError:
                self._close()
                raise
            except sqlite3.DatabaseError as error:
                self._close()
                _set_aside(files[-1], error)
                return self._open()
        return self._current

    def _remove_older(self) -> None:
        """What an older release wrote is made anew: events from the log, which keeps them as long."""
        for path in self.files():
            try:
                Segment(path).close()
            except OlderFormatError as error:
                log.warning("file of records removed: what is in the log is recorded again", reason=str(error))
                segment.remove(path)
            except sqlite3.Error:
                continue

    def _is_full(self, current: Segment, entries: Sequence[Entry]) -> bool:
        if self._count >= RECORDS_PER_FILE or _size(current.path) >= self._most_bytes:
            return True
        times = current.times()
        return bool(entries and times and entries[-1].at_ms - times[0] > self.keep_ms // _FILES)

    def _roll(self, current: Segment) -> Segment:
        position = current.position()
        assert position is not None, "an empty file is not full"
        current.seal()
        path = self._path(position)
        if path != current.path:
            segment.create(path, position)
            self._close()
        return self._open()

    def _path(self, first: int) -> Path:
        return self.folder / f"{self.direction}-{first:016d}.db"

    def _close(self) -> None:
        if self._current is not None:
            self._current.close()
            self._current = None


def within_budget(series: Sequence[Series], most_bytes: int) -> None:
    """Remove the oldest files of the largest series until all take so much together. Raises OSError."""
    while sum(one.size() for one in series) > most_bytes:
        several = [one for one in series if len(one.files()) > 1]
        if not several:
            return
        largest = max(several, key=Series.size)
        largest.remove_oldest()
        log.info("file of records removed to stay within the budget", direction=largest.direction, budget=most_bytes)


def _first(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _size(path: Path) -> int:
    total = 0
    for suffix in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            total += path.with_name(path.name + suffix).stat().st_size
    return total


def _set_aside(path: Path, error: Exception) -> None:
    aside = path.with_name(path.name + ".damaged")
    log.error("file of records damaged", file=str(path), error=str(error), set_aside_as=str(aside))
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
