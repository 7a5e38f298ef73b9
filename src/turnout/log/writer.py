"""The write end of one stream: appends, takes the next segment when one is full, applies retention.

One process writes a stream; a lock file held for its life makes sure of it. `append` and `maintain` may run
in different threads: `maintain` does what takes long (zero-filling the next segment, checkpoints, removing
files) outside the lock, so that no append ever waits for it.

What must stay true:
* After a failed fsync nobody knows what is on disk, so the segment is never written again. The next one is
  named after the offset that the failed batch would have had: whatever is left of it does not count.
* No segment's name is ever used twice, because readers keep files open.
* Cursors that came with appends are in the newest segment that has any row: its first append carries them on.
* Only this process writes to the newest segment. Whoever wants to change an older record of it (`replacing.py`) asks
  for the next segment first, by a file, so that the write-ahead log of the newest one keeps its preallocated size.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from turnout.log.interface import Commit
from turnout.log.segment import (
    DamagedError,
    Segment,
    create,
    encode_body,
    remove,
    remove_orphans,
    rename,
    segment_bases,
    segment_path,
    sync_folder,
    wal_path,
)
from turnout.model.errors import LeaseLostError, LogFullError, LogUnavailableError

DAMAGE_GAP = 1 << 32
"""How far offsets jump when the last segment can't be read, so that none is ever used twice."""
_FRAME = 8192 + 24
_SPARE = "spare.segment"
_UNPREPARED = "unprepared.segment"
_REQUEST = "rotate.request"


def rotation_request(folder: Path) -> Path:
    """The file that asks the writer of a stream for the next segment; it removes it when that is there."""
    return folder / _REQUEST


class StreamWriter:
    """See the module. Opening it takes the lease and continues after the last record."""

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int,
        clock: Callable[[], int],
        set_aside: Callable[[Path, str], None],
        report: Callable[[str], None],
        passed: Callable[[], int],
    ) -> None:
        """`passed` gives the furthest that any group has read: no offset before it is given again.

        Raises `LeaseLostError` if another process writes here, `LogUnavailableError` if it can't open.
        """
        self._folder, self._clock, self._set_aside = folder, clock, set_aside
        self._report = report
        self._segment_bytes = segment_bytes
        self._mutex = threading.Lock()
        self._cursors: dict[tuple[str, str], Commit] = {}
        self._carried = True
        self._spare, self._unprepared = folder / _SPARE, folder / _UNPREPARED
        self._spare_ready = False
        self._checkpoint_due = False
        self._full: list[Segment] = []
        """Kept open until `maintain` has emptied their write-ahead logs: the last to close would have to."""
        self._refuse: str | None = None
        self._lease = os.open(folder / "writer.lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(self._lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lease)
            raise LeaseLostError(
                f"{folder} is written by another process: stop it, or use another data directory"
            ) from error
        try:
            remove(self._spare)
            remove(self._unprepared)
            remove_orphans(folder)
            self._open_last(passed)
        except BaseException:
            os.close(self._lease)
            raise

    def append(self, records: Sequence[bytes], commit: Commit | None) -> int:
        """See `interface.Log.append`."""
        body = encode_body(records)
        with self._mutex:
            if not records and commit is None:
                return self.next
            if self._refuse is not None:
                raise LogFullError(self._refuse)
            if self._data_bytes >= self._segment_bytes:
                self._rotate()
            moved = {(commit.stream, commit.group): commit} if commit else {}
            commits = list((moved if self._carried else self._cursors | moved).values())
            base = self.next
            try:
                if self._checkpoint_due:
                    # `maintain` has moved all but the newest frames; once these follow, SQLite starts
                    # the write-ahead log over instead of growing it.
                    self._segment.checkpoint()
                    self._checkpoint_due, self._wal_bytes = False, 0
                self._segment.append(base, self._clock(), body, len(records), commits)
            except sqlite3.Error as error:
                raise self._failed(error) from error
            self._carried = True
            self._cursors |= moved
            self.next += len(records)
            self._data_bytes += len(body)
            self._wal_bytes += (len(body) // 8168 + 3) * _FRAME
            return base

    def maintain(self, *, room: bool) -> None:
        """Do what is due and slow: checkpoints of full segments and, if there is room, the next one.

        Raises `LogUnavailableError`, OSError or sqlite3.Error where it can't; then call again later.
        """
        for base in segment_bases(self._folder)[:-1]:
            path = segment_path(self._folder, base)
            wal = wal_path(path)
            if wal.exists() and wal.stat().st_size:
                self._seal(path)
        while self._full:
            self._full.pop().close()
        if room and self._data_bytes * 2 >= self._segment_bytes:
            self._prepare()
        request = rotation_request(self._folder)
        if room and request.exists():
            self.rotate()
            request.unlink(missing_ok=True)
        if self._wal_bytes > self._segment_bytes and not self._checkpoint_due:
            with Segment(self._segment.path) as segment:
                segment.checkpoint()
            with self._mutex:
                self._checkpoint_due = True

    def rotate(self) -> None:
        """Begin the next segment, unless nothing was appended to the newest one.

        Takes turns with `maintain`, and raises what that raises.
        """
        if self._segment.path == segment_path(self._folder, self.next):
            return
        self._prepare()
        with self._mutex:
            if self._segment.path != segment_path(self._folder, self.next):
                self._rotate()

    def refuse(self, reason: str | None) -> None:
        """Make every append raise `LogFullError` with this text, or accept again (None)."""
        self._refuse = reason

    def close(self) -> None:
        with self._mutex:
            for segment in (*self._full, self._segment):
                segment.close()
            os.close(self._lease)

    def _open_last(self, passed: Callable[[], int]) -> None:
        bases = segment_bases(self._folder)
        floor = 0
        while bases:
            path = segment_path(self._folder, bases[-1])
            # A clean stop has dropped the preallocated write-ahead log. It can't be put back under a file
            # that readers may have open, so a segment with content is followed by a new one.
            preallocated = wal_path(path).exists()
            try:
                self._segment = Segment(path, write=True)
                # Whoever wrote here may have been killed in the middle of an fsync: what we read is then not on
                # disk yet, and what follows from it must not be there first. A checkpoint flushes it; to open and
                # close the files ourselves would drop the locks that SQLite holds on them.
                self._segment.checkpoint()
                sync_folder(self._folder)
                last = self._segment.last()
                self._data_bytes = self._segment.data_bytes()
                cursors = stream_cursors(self._folder)
            except DamagedError as error:
                floor = bases.pop() + DAMAGE_GAP
                self._set_aside(path, str(error))
                continue
            # A reader may have seen what a power cut then took: `passed` is beyond the last record in that case.
            self.next = max(last[0] if last else bases[-1], floor, passed())
            self._cursors = {(commit.stream, commit.group): commit for commit in cursors}
            self._carried = False
            self._wal_bytes = 0
            if floor or (last and not preallocated):
                self._rotate()
            return
        self.next = max(floor, passed())
        self._start_segment(self.next)

    def _prepare(self) -> None:
        """Have the next segment ready, so that no append waits for it."""
        if not self._spare_ready:
            create(self._spare, self._segment_bytes)
            with self._mutex:
                self._spare_ready = True

    def _start_segment(self, base: int) -> None:
        path = segment_path(self._folder, base)
        # If it is there, an earlier try made it and could not open it.
        if not path.exists():
            fresh = self._spare
            if not self._spare_ready:
                # `maintain` may be at work on the spare: make another one, in time rather than preallocated.
                fresh = self._unprepared
                create(fresh, 0 if self._cursors or base else self._segment_bytes)
            try:
                rename(fresh, path)
            finally:
                # Not before: `maintain` would take it for used, and make another one in its place.
                self._spare_ready = False
        self._segment = Segment(path, write=True)
        self._data_bytes = self._wal_bytes = 0
        self._checkpoint_due = False
        self._carried = not self._cursors

    def _rotate(self) -> None:
        full = self._segment
        try:
            if full.path == segment_path(self._folder, self.next):
                # Its first append failed, so it holds nothing that counts, and its name is taken.
                full.close()
                remove(full.path)
                self.next += 1
            self._start_segment(self.next)
        except (OSError, sqlite3.Error, DamagedError, LogUnavailableError) as error:
            raise LogFullError(f"no room for the next segment in {self._folder}: {error}") from error
        self._full.append(full)

    def _failed(self, error: sqlite3.Error) -> LogUnavailableError:
        """Name the failure. After an I/O error the file is left alone: a failed fsync drops pages."""
        if _is_full(error):
            return LogFullError(f"{self._folder}: {error}; free some space, collection resumes by itself")
        path = self._segment.path
        if isinstance(error, sqlite3.OperationalError) and "disk I/O" not in str(error):
            return LogUnavailableError(f"{path}: {error}")
        self._data_bytes = self._segment_bytes
        return LogUnavailableError(f"{path}: {error}; the next attempt starts a new segment")

    def _seal(self, path: Path) -> None:
        """Move the write-ahead log of a full segment into its file and drop it."""
        try:
            with Segment(path, write=True) as segment:
                segment.checkpoint("TRUNCATE")
        except DamagedError as error:
            self._set_aside(path, str(error))
        except sqlite3.Error as error:
            if _is_full(error):
                raise
            # Readers find everything in the write-ahead log, as before; new segments are not concerned.
            self._report(f"{path}: {error}; its write-ahead log stays")


def _is_full(error: sqlite3.Error) -> bool:
    return "full" in str(error)


def stream_cursors(folder: Path) -> list[Commit]:
    """The cursors that the writer of this stream committed with its newest append.

    A segment that can't be read, or ends with a commit that failed, is passed over for the one before: a
    cursor may go back, and records repeat, but it never gets ahead.
    """
    following: int | None = None
    for base in reversed(segment_bases(folder)):
        with contextlib.suppress(DamagedError, FileNotFoundError), Segment(segment_path(folder, base)) as segment:
            last, cursors = segment.last(), segment.cursors()
            failed = last is not None and following is not None and last[0] > following
            if (cursors or last is not None) and not failed:
                return cursors
        following = base
    return []
