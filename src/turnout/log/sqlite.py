"""The log on SQLite: one folder per stream, one file per segment, one writer, any number of readers.

See `interface.py` for what it promises, `segment.py` for the files, `writer.py` for the write end,
`subscription.py` for the read end, `replacing.py` for what is to be forgotten.
"""

import contextlib
import itertools
import shutil
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from turnout.log import replacing
from turnout.log.interface import Commit
from turnout.log.replacing import ask_for_rotation
from turnout.log.segment import DamagedError, Segment, make_folder, remove, rename, segment_bases, segment_path
from turnout.log.subscription import SqliteSubscription
from turnout.log.writer import StreamWriter, stream_cursors
from turnout.model.clock import now_ms
from turnout.model.errors import LogUnavailableError

_CURSORS = "CREATE TABLE IF NOT EXISTS cursors (stream TEXT, grp TEXT, next INTEGER, PRIMARY KEY (stream, grp))"


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
        self._cursors_path = folder / "cursors.db"
        self._groups = {stream: tuple(names) for stream, names in groups.items()}
        self._segment_bytes, self._keep_ms = segment_bytes, keep_ms
        self._budget, self._reserve = budget_bytes, reserve_bytes
        self._mutex = threading.RLock()
        self._upkeep = threading.Lock()
        self._writers: dict[str, StreamWriter] = {}
        self._visitors: dict[str, SqliteSubscription] = {}
        self._last_ms: dict[Path, int] = {}
        """When full segments got their last batch, so that retention opens each only once."""
        self._damage: list[str] = []
        self._cursor_db: sqlite3.Connection | None = None
        for stream in groups:
            make_folder(folder / stream)
        for path in sorted(folder.rglob("*.damaged.db")):
            self._damage.append(f"{path}: set aside earlier; delete it when it is of no more use")

    def append(self, stream: str, records: Sequence[bytes], commit: Commit | None = None) -> int:
        writer = self._writers.get(stream)
        return (writer or self._open_writer(stream)).append(records, commit)

    def subscribe(self, stream: str, group: str | None, start: int | None = None) -> SqliteSubscription:
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
        commits = [commit for name in self._groups for commit in stream_cursors(self._folder / name)]
        commits += self._own_cursors()
        mine = (commit.offset for commit in commits if (commit.stream, commit.group) == (stream, group))
        return max(mine, default=0)

    def replace(self, stream: str, records: Mapping[int, bytes]) -> int:
        folder = self._folder / stream

        def rotate() -> None:
            if stream not in self._writers:
                ask_for_rotation(folder)
            else:
                with self._upkeep:
                    self._writers[stream].rotate()

        return replacing.replace(folder, records, rotate)

    def maintain(self, now_ms: int) -> None:
        with self._upkeep:
            for stream, writer in list(self._writers.items()):
                try:
                    self._retain(stream, now_ms)
                    reason = self._no_room(stream)
                    writer.maintain(room=reason is None)
                except (OSError, sqlite3.Error, LogUnavailableError) as error:
                    reason = f"{self._folder / stream}: {error}; collection resumes by itself when this is gone"
                writer.refuse(reason)

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
            try:
                self._cursors().execute("INSERT OR REPLACE INTO cursors VALUES (?,?,?)", (stream, group, offset))
            except sqlite3.Error as error:
                raise LogUnavailableError(f"{self._cursors_path}: {error}") from error

    def set_aside(self, path: Path, why: str) -> None:
        """Quarantine a segment under a name that says so; the stream goes on without it."""
        with self._mutex:
            aside = path.with_name(path.stem + ".damaged.db")
            # Another process may have found it at the same time.
            with contextlib.suppress(FileNotFoundError):
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
                        report=self.report_damage,
                        passed=lambda: self._passed(stream),
                    )
                except (OSError, sqlite3.Error) as error:
                    raise LogUnavailableError(f"{self._folder / stream}: {error}") from error
                self._writers[stream].refuse(self._no_room(stream))
            return self._writers[stream]

    def _passed(self, stream: str) -> int:
        """How far the furthest group has read."""
        return max((self.cursor(stream, group) for group in self._groups[stream]), default=0)

    def _own_cursors(self) -> list[Commit]:
        """The cursors that moved by themselves. A broken file of them is set aside: readers start further back."""
        with self._mutex:
            try:
                return [Commit(*row) for row in self._cursors().execute("SELECT stream, grp, next FROM cursors")]
            except sqlite3.OperationalError as error:
                raise LogUnavailableError(f"{self._cursors_path}: {error}") from error
            except sqlite3.DatabaseError as error:
                if self._cursor_db is not None:
                    self._cursor_db.close()
                    self._cursor_db = None
                self.set_aside(self._cursors_path, f"{self._cursors_path}: {error}")
                return []

    def _cursors(self) -> sqlite3.Connection:
        if self._cursor_db is None:
            db = sqlite3.connect(self._cursors_path, isolation_level=None, check_same_thread=False, timeout=5)
            try:
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=NORMAL")
                db.execute(_CURSORS)
            except sqlite3.Error:
                db.close()
                raise
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
            try:
                if path not in self._last_ms:
                    with Segment(path) as segment:
                        last = segment.last()
                    self._last_ms[path] = last[1] if last else 0
            except DamagedError as error:
                self.set_aside(path, str(error))
                continue
            if size <= self._budget and self._last_ms[path] >= now_ms - self._keep_ms:
                return
            size -= path.stat().st_size
            del self._last_ms[path]
            remove(path)

    def _no_room(self, stream: str) -> str | None:
        folder = self._folder / stream
        several = len(segment_bases(folder)) > 1
        if several and (size := self.size(stream)) > self._budget + 2 * self._segment_bytes:
            return (
                f"{folder} holds {size} bytes that are not yet read, over its budget of {self._budget}: "
                "find out what keeps its readers (`turnout status`), or raise the budget"
            )
        if (free := shutil.disk_usage(folder).free) < self._reserve:
            return f"only {free} bytes are free on the disk of {folder}, {self._reserve} are kept in reserve"
        return None
