"""One segment of a stream: a SQLite file that holds consecutive batches.

Strategy. A stream is a row of files, each named after the offset of its first record. Appends go to the
newest; when it is full, the next one takes over, so retention and quarantine remove whole files and never
touch the one being written. Each file is created with its write-ahead log already filled with zeros: a commit
then overwrites blocks the file system has placed before, which makes it twice as fast as growing the file
(measured in `docs/decisions/0002-log-on-sqlite-segments.md`).

What must stay true:
* A row whose base is not below the next segment's base does not count (a commit whose fsync failed).
* `crc` covers the body, because SQLite does not check the content of its pages.
* `user_version` is the file format. A reader refuses newer ones and opens all older ones.
"""

import os
import re
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec

from turnout.log.interface import Batch, Commit
from turnout.model.errors import LogUnavailableError, NewerFormatError

FORMAT = 1
APPLICATION_ID = 0x54524E54
PAGE = 8192
SCHEMA = """
CREATE TABLE batches (base INTEGER PRIMARY KEY, appended_ms INTEGER NOT NULL, count INTEGER NOT NULL,
                      crc INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE cursors (stream TEXT NOT NULL, grp TEXT NOT NULL, next INTEGER NOT NULL,
                      PRIMARY KEY (stream, grp)) WITHOUT ROWID;
"""
HIGHEST = 1 << 62
"""No offset gets there; what is named after a higher one is not ours."""
_NAME = re.compile(r"(\d{20})\.db")
_ZEROS = bytes(1 << 20)
_WIDEST_GAP = 1 << 40
_SIDE_FILES = ("-wal", "-shm", "-journal")
encode_body = msgspec.msgpack.Encoder().encode
decode_body = msgspec.msgpack.Decoder(list[bytes]).decode
_EMPTY = encode_body([])
_EMPTY_CRC = zlib.crc32(_EMPTY)


class DamagedError(Exception):
    """This segment can't be read any further."""


def segment_path(folder: Path, base: int) -> Path:
    """Where the segment that begins at offset `base` lives."""
    return folder / f"{base:020d}.db"


def segment_bases(folder: Path) -> list[int]:
    """The first offsets of all segments in a stream's folder, oldest first."""
    with os.scandir(folder) as entries:
        bases = [int(match[1]) for entry in entries if (match := _NAME.fullmatch(entry.name))]
    return sorted(base for base in bases if base < HIGHEST)


def wal_path(path: Path) -> Path:
    """The write-ahead log that belongs to a SQLite file."""
    return path.with_name(path.name + "-wal")


def sync_folder(folder: Path) -> None:
    """Make creations, renames and removals in this folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents where they are missing; durable on return."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def create(path: Path, wal_bytes: int) -> None:
    """Create an empty segment file with `wal_bytes` of preallocated write-ahead log, durable on return."""
    remove(path)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size={PAGE}")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={FORMAT}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(SCHEMA)
    finally:
        connection.close()
    fd = os.open(wal_path(path), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    try:
        for start in range(0, wal_bytes, len(_ZEROS)):
            os.write(fd, _ZEROS[: wal_bytes - start])
        os.fsync(fd)
    finally:
        os.close(fd)


def rename(old: Path, new: Path) -> None:
    """Rename a segment with its write-ahead log. Nobody may have it open for writing."""
    if wal_path(old).exists():
        wal_path(old).rename(wal_path(new))
    old.with_name(old.name + "-shm").unlink(missing_ok=True)
    old.rename(new)
    sync_folder(new.parent)


def remove(path: Path) -> None:
    """Delete a segment and its side files. The file goes first: without it, the others mean nothing."""
    for suffix in ("", *_SIDE_FILES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def remove_orphans(folder: Path) -> None:
    """Delete side files whose segment is gone: what a crash left of a removal or a renaming."""
    for path in folder.iterdir():
        for suffix in _SIDE_FILES:
            if path.name.endswith(".db" + suffix) and not path.with_name(path.name.removesuffix(suffix)).exists():
                path.unlink(missing_ok=True)


class Segment:
    """An open segment file. A reader opens it with `write=False`; only one process opens it for writing."""

    def __init__(self, path: Path, *, write: bool = False) -> None:
        """Raises `DamagedError` if this is no readable segment, FileNotFoundError if there is none,
        `LogUnavailableError` if it can't be opened now, `NewerFormatError` if a newer release wrote it.
        """
        self.path = path
        # Readers need write access too: they share SQLite's -shm file. `query_only` keeps them honest.
        uri = f"file:{quote(str(path))}?mode=rw"
        try:
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5)
        except sqlite3.OperationalError as error:
            if not path.exists():
                raise FileNotFoundError(path) from error
            raise LogUnavailableError(f"{path}: {error}") from error
        try:
            self._query("PRAGMA synchronous=FULL")
            self._query("PRAGMA wal_autocheckpoint=0")
            if not write:
                self._query("PRAGMA query_only=1")
            self._check_format()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> "Segment":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_format(self) -> None:
        row = self._query("PRAGMA user_version")
        version = row[0] if row else 0
        if version == 0:
            raise DamagedError(f"{self.path}: not a segment of a log")
        if version > FORMAT:
            raise NewerFormatError(
                f"{self.path} was written by a newer release (file format {version}, this one reads up to "
                f"{FORMAT}): start that release, or give this one another data directory"
            )
        self._query("SELECT base FROM batches LIMIT 1")

    def append(self, base: int, now_ms: int, body: bytes, count: int, commits: list[Commit]) -> None:
        """One durable transaction: a batch (if `count`), and cursors. If it raises sqlite3.Error, neither."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            if count:
                row = (base, now_ms, count, zlib.crc32(body), body)
                db.execute("INSERT INTO batches VALUES (?,?,?,?,?)", row)
            for commit in commits:
                db.execute("INSERT OR REPLACE INTO cursors VALUES (?,?,?)", commit)
            db.execute("COMMIT")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def read(self, start: int, stop: int | None, max_records: int) -> Iterator[Batch | int]:
        """Batches with `start <= base < stop`, until `max_records` are reached.

        A batch whose body fails its check is given as its base alone. Raises `DamagedError` where the
        file itself can't be read; `next_readable` tells where it goes on.
        """
        seen = 0
        sql = "SELECT base, appended_ms, crc, body FROM batches WHERE base >= ? AND base < ? ORDER BY base"
        try:
            rows = self._db.execute(sql, (start, stop if stop is not None else HIGHEST))
            for base, appended_ms, crc, body in rows:
                if zlib.crc32(body) != crc:
                    yield int(base)
                    continue
                batch = Batch(base, appended_ms, decode_body(body))
                yield batch
                seen += len(batch.records)
                if seen >= max_records:
                    rows.close()
                    return
        except sqlite3.OperationalError as error:
            raise LogUnavailableError(f"{self.path}: {error}") from error
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            raise DamagedError(f"{self.path}: {error}") from error

    def replace(self, records: Mapping[int, bytes], stop: int) -> int:
        """Put other records in the place of those at these offsets; batches from `stop` on lose theirs.

        The rows of the latter stay: that they are there tells that the commit they came with does not count. Batches
        that can't be read stay as they are. One durable transaction; gives how many records are another now. Only
        `checkpoint("TRUNCATE")` removes what was there from the write-ahead log. Raises sqlite3.Error.
        """
        db = self._db
        db.execute("PRAGMA secure_delete=ON")
        changed = 0
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute("UPDATE batches SET crc=?, body=? WHERE base>=? AND body<>?", (_EMPTY_CRC, _EMPTY, stop, _EMPTY))
            for base in sorted({held for offset in records if (held := self.holding(offset)) is not None}):
                crc, body = db.execute("SELECT crc, body FROM batches WHERE base=?", (base,)).fetchone()
                if zlib.crc32(body) != crc:
                    continue
                before = decode_body(body)
                after = [records.get(offset, old) for offset, old in enumerate(before, base)]
                if found := sum(new != old for new, old in zip(after, before, strict=True)):
                    changed += found
                    body = encode_body(after)
                    db.execute("UPDATE batches SET crc=?, body=? WHERE base=?", (zlib.crc32(body), body, base))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return changed

    def holding(self, offset: int) -> int | None:
        """The base of the batch that holds `offset`, if it is in this segment."""
        sql = "SELECT base FROM batches WHERE base <= ? AND base + count > ? ORDER BY base DESC LIMIT 1"
        row = self._query(sql, offset, offset)
        return row[0] if row else None

    def next_readable(self, start: int) -> int | None:
        """The smallest offset after `start` from which there is a batch to read; None if there is none.

        For a file with a broken page: a look-up below that page fails, one beyond it does not.
        """
        broken, step = start, 1
        while not self._readable(broken + step):
            broken += step
            step *= 2
            if step > _WIDEST_GAP:
                return None
        readable = broken + step
        while readable - broken > 1:
            middle = (broken + readable) // 2
            broken, readable = (broken, middle) if self._readable(middle) else (middle, readable)
        return readable

    def last(self) -> tuple[int, int] | None:
        """The offset after the last record, and when that batch was appended (ms); None if empty."""
        row = self._query("SELECT base + count, appended_ms FROM batches ORDER BY base DESC LIMIT 1")
        return (row[0], row[1]) if row else None

    def data_bytes(self) -> int:
        """Bytes of all bodies, about."""
        row = self._query("SELECT coalesce(sum(length(body)), 0) FROM batches")
        return row[0] if row else 0

    def cursors(self) -> list[Commit]:
        """Every group's cursor as of this segment's last append."""
        try:
            return [Commit(*row) for row in self._db.execute("SELECT stream, grp, next FROM cursors")]
        except sqlite3.DatabaseError as error:
            raise DamagedError(f"{self.path}: {error}") from error

    def checkpoint(self, mode: str = "PASSIVE") -> bool:
        """Move the write-ahead log into the file; False if a reader was in the way (try again later)."""
        (busy, _, _) = self._db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return not busy

    def close(self) -> None:
        self._db.close()

    def _readable(self, start: int) -> bool:
        try:
            return any(True for _ in self.read(start, None, 1))
        except DamagedError:
            return False

    def _query(self, sql: str, *values: int) -> tuple[int, ...] | None:
        try:
            row: tuple[int, ...] | None = self._db.execute(sql, values).fetchone()
        except sqlite3.OperationalError as error:
            raise LogUnavailableError(f"{self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise DamagedError(f"{self.path}: {error}") from error
        return row
