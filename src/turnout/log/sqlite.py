"""The log on SQLite: one folder per stream, one file per segment, one writer, any number of readers.

See `interface.py` for what it promises, `segment.py` for the files, `writer.py` for the write end.
"""

import itertools
import shutil
import sqlite3
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from turnout.log.interface import Batch, Commit
from turnout.log.segment import DamagedError, Segment, remove, rename, segment_bases, segment_path
from turnout.log.writer import StreamWriter, stream_cursors
from turnout.model.clock import now_ms
from turnout.model.errors import LogUnavailableError

_POLL_S = 0.002


class SqliteLog:
    """See `interface.Log`. `groups` names, per stream, the groups that retention waits for.

    Opening reads nothing and locks nothing; a stream's write end is taken at its first `append`.
    """

    def __init__(
        self,
        folder: Path,
        groups: Mapping[str, Sequence[str]],
        *,
        segment_bytes: int = 64 << 20,
        keep_ms: int = 7 * 86_400_000,
        budget_bytes: int = 20 << 30,
        reserve_bytes: int = 256 << 20,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """`budget_bytes` is per stream; below `reserve_bytes` of free disk nothing more is accepted."""
        self._folder, self._clock = folder, clock
        self._groups = {stream: tuple(names) for stream, names in groups.items()}
        self._segment_bytes, self._keep_ms = segment_bytes, keep_ms
        self._budget, self._reserve = budget_bytes, reserve_bytes
        self._mutex = threading.RLock()
        self._writers: dict[str, StreamWriter] = {}
        self._visitors: dict[str, SqliteSubscription] = {}
        self._last_ms: dict[Path, int] = {}
        """When full segments got their last batch, so that retention opens each only once."""
        self._damage: list[str] = []
        self._cursor_db: sqlite3.Connection | None = None
        for stream in groups:
            (folder / stream).mkdir(parents=True, exist_ok=True)
            for path in sorted((folder / stream).glob("*.damaged.db")):
                self._damage.append(f"{path}: set aside earlier; delete it when it is of no more use")

    def append(self, stream: str, records: Sequence[bytes], commit: Commit | None = None) -> int:
        writer = self._writers.get(stream)
        return (writer or self._open_writer(stream)).append(records, commit)

    def subscribe(self, stream: str, group: str | None, start: int | None = None) -> "SqliteSubscription":
        if start is None:
            start = self.cursor(stream, group) if group else 0
        return SqliteSubscription(self, self._folder / stream, stream, group, start)

    def end(self, stream: str) -> int:
        if writer := self._writers.get(stream):
            return writer.next
        with self._mutex:
            visitor = self._visitors.get(stream)
            if visitor is None:
                visitor = self._visitors[stream] = self.subscribe(stream, None, 1 << 62)
            return visitor.end()

    def cursor(self, stream: str, group: str) -> int:
        """Where this group stands: the furthest cursor committed anywhere, 0 if it never did."""
        commits = [commit for name in self._groups for commit in self._stream_cursors(name)]
        with self._mutex:
            commits += [Commit(*row) for row in self._cursors().execute("SELECT stream, grp, next FROM cursors")]
        mine = (commit.offset for commit in commits if (commit.stream, commit.group) == (stream, group))
        return max(mine, default=0)

    def maintain(self, now_ms: int) -> None:
        for stream, writer in list(self._writers.items()):
            try:
                writer.maintain()
            except (OSError, sqlite3.Error) as error:
                writer.refuse(f"{self._folder / stream}: {error}; collection resumes by itself when this is gone")
                continue
            self._retain(stream, now_ms)
            writer.refuse(self._no_room(stream))

    def damage(self) -> list[str]:
        return list(self._damage)

    def size(self, stream: str) -> int:
        total = 0
        for path in (self._folder / stream).iterdir():
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue
        return total

    def close(self) -> None:
        with self._mutex:
            for writer in self._writers.values():
                writer.close()
            for visitor in self._visitors.values():
                visitor.close()
            if self._cursor_db is not None:
                self._cursor_db.close()
            self._writers, self._visitors, self._cursor_db = {}, {}, None

    def commit(self, stream: str, group: str, offset: int) -> None:
        """Move a cursor by itself (`Subscription.commit`)."""
        with self._mutex:
            self._cursors().execute("INSERT OR REPLACE INTO cursors VALUES (?,?,?)", (stream, group, offset))

    def set_aside(self, path: Path, why: str) -> None:
        """Quarantine a segment under a name that says so; the stream goes on without it."""
        with self._mutex:
            aside = path.with_name(path.stem + ".damaged.db")
            if path.exists():
                rename(path, aside)
                self._damage.append(f"{why}; set aside as {aside}")

    def report_damage(self, why: str) -> None:
        """Remember something unreadable that could be skipped."""
        with self._mutex:
            if why not in self._damage:
                self._damage.append(why)

    def _open_writer(self, stream: str) -> StreamWriter:
        with self._mutex:
            if stream not in self._writers:
                try:
                    self._writers[stream] = StreamWriter(
                        self._folder / stream,
                        segment_bytes=self._segment_bytes,
                        clock=self._clock,
                        set_aside=self.set_aside,
                    )
                except (OSError, sqlite3.Error) as error:
                    raise LogUnavailableError(f"{self._folder / stream}: {error}") from error
                self._writers[stream].refuse(self._no_room(stream))
            return self._writers[stream]

    def _stream_cursors(self, stream: str) -> list[Commit]:
        try:
            return stream_cursors(self._folder / stream)
        except DamagedError as error:
            self.report_damage(str(error))
            return []

    def _cursors(self) -> sqlite3.Connection:
        if self._cursor_db is None:
            db = sqlite3.connect(self._folder / "cursors.db", isolation_level=None, check_same_thread=False, timeout=5)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(
                "CREATE TABLE IF NOT EXISTS cursors (stream TEXT, grp TEXT, next INTEGER, PRIMARY KEY (stream, grp))"
            )
            self._cursor_db = db
        return self._cursor_db

    def _retain(self, stream: str, now_ms: int) -> None:
        """Remove the oldest segments that everyone has passed, if old or over the budget."""
        folder = self._folder / stream
        bases = segment_bases(folder)
        if len(bases) < 2:
            return
        passed = min((self.cursor(stream, group) for group in self._groups[stream]), default=0)
        size = self.size(stream)
        for base, following in itertools.pairwise(bases):
            if following > passed:
                return
            path = segment_path(folder, base)
            if path not in self._last_ms:
                self._last_ms[path] = self._last_append(path)
            if size <= self._budget and self._last_ms[path] >= now_ms - self._keep_ms:
                return
            size -= path.stat().st_size
            del self._last_ms[path]
            remove(path)

    def _last_append(self, path: Path) -> int:
        try:
            segment = Segment(path)
        except DamagedError as error:
            self.set_aside(path, str(error))
            return 0
        try:
            last = segment.last()
        finally:
            segment.close()
        return last[1] if last else 0

    def _no_room(self, stream: str) -> str | None:
        folder = self._folder / stream
        if (size := self.size(stream)) > self._budget + 2 * self._segment_bytes:
            return (
                f"{folder} holds {size} bytes that are not yet read, over its budget of {self._budget}: "
                "find out what keeps its readers (`turnout status`), or raise the budget"
            )
        if (free := shutil.disk_usage(folder).free) < self._reserve:
            return f"only {free} bytes are free on the disk of {folder}, {self._reserve} are kept in reserve"
        return None


class SqliteSubscription:
    """See `interface.Subscription`."""

    def __init__(self, log: SqliteLog, folder: Path, stream: str, group: str | None, start: int) -> None:
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
            # Listed before the segment is read: whatever a full segment still got is seen below.
            stop = bases[index + 1] if index + 1 < len(bases) else None
            try:
                self._open(bases[index])
                self._read_segment(found, max_records, stop)
            except FileNotFoundError:
                self._listed_ns = -1
                continue
            except DamagedError as error:
                self.close()
                if stop is None and not found:
                    self._log.report_damage(str(error))
                    return found
                self._log.set_aside(segment_path(self._folder, bases[index]), str(error))
                self._listed_ns = -1
            if found or stop is None:
                return found
            self._position = max(self._position, stop)

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
        path = segment_path(self._folder, base)
        if not path.exists():
            raise FileNotFoundError(path)
        self._segment = Segment(path)
        self._base = base
