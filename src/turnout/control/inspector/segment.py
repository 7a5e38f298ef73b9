"""One file of records: a SQLite database with the records, an index of their terms, and how far the log was read.

What must stay true: records, terms, counts, position and the count of what was left out change in one transaction.
Terms are found again from the record (`terms`): so it can be taken out of the index. What is erased is overwritten.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from turnout.control.inspector import counts
from turnout.control.inspector.counts import Count, Fields

FORMAT = 2
_SCHEMA = """
PRAGMA page_size=8192;
PRAGMA journal_mode=WAL;
BEGIN;
CREATE TABLE records (seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind INTEGER NOT NULL, document BLOB NOT NULL);
CREATE INDEX records_at ON records (at_ms, kind);
%s
CREATE VIRTUAL TABLE terms USING fts5(words, content='', detail=none, columnsize=0, tokenize='ascii');
CREATE TABLE position (one INTEGER PRIMARY KEY CHECK (one = 1), next INTEGER NOT NULL);
CREATE TABLE left_out (owner TEXT, minute INTEGER, n INTEGER NOT NULL, PRIMARY KEY (owner, minute)) WITHOUT ROWID;
PRAGMA user_version=%d;
COMMIT;
"""
_HIGHEST = 1 << 62
_BUSY_S = 10.0


class OlderFormatError(sqlite3.DatabaseError):
    """A file of an older release."""


class Entry(NamedTuple):
    """A record as it is kept. `kind` is what it is counted as (`counts.kind_of`), `terms` text with spaces between."""

    seq: int
    at_ms: int
    kind: bytes
    terms: str
    document: bytes


class Row(NamedTuple):
    """A record as it is found."""

    seq: int
    at_ms: int
    document: bytes


class Span(NamedTuple):
    """Which records: `since_ms <= at_ms < until_ms`, and `above < seq < below`."""

    since_ms: int = 0
    until_ms: int = _HIGHEST
    above: int = -1
    below: int = _HIGHEST


def create(path: Path, position: int | None) -> None:
    """Make an empty file, whole under its name or not there at all. Raises sqlite3.Error, OSError."""
    made = path.with_suffix(".new")
    remove(made)
    with contextlib.closing(sqlite3.connect(made, isolation_level=None)) as db:
        db.executescript(_SCHEMA % (counts.SCHEMA, FORMAT))
        if position is not None:
            db.execute("INSERT INTO position VALUES (1, ?)", (position,))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    made.rename(path)


def remove(path: Path) -> None:
    """Delete a file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class Segment:
    """An open file. Not for use by several threads at a time."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error if it is no file of records, or of another release (`OlderFormatError`)."""
        self.path = path
        uri = f"file:{quote(str(path))}?mode=rw"
        self._db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
        try:
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA secure_delete=ON")
            self._check_format()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> "Segment":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def _check_format(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if 0 < version < FORMAT:
            raise OlderFormatError(f"{self.path} has the format {version}, this release reads {FORMAT}")
        if version != FORMAT:
            raise sqlite3.DatabaseError(f"{self.path} has the format {version}, this release reads {FORMAT}")

    def position(self) -> int | None:
        """How far the log was read when this was written last; None if it never was."""
        row = self._db.execute("SELECT next FROM position").fetchone()
        return int(row[0]) if row is not None else None

    def times(self) -> tuple[int, int] | None:
        """When the oldest and the newest record are from (ms); None without records."""
        row = self._db.execute(
            "SELECT (SELECT at_ms FROM records ORDER BY at_ms LIMIT 1),"
            " (SELECT at_ms FROM records ORDER BY at_ms DESC LIMIT 1)"
        ).fetchone()
        return (int(row[0]), int(row[1])) if row[0] is not None else None

    def last(self) -> int | None:
        """The number of the newest record; None without records."""
        (seq,) = self._db.execute("SELECT max(seq) FROM records").fetchone()
        return seq if seq is None else int(seq)

    def count(self) -> int:
        """How many records there are."""
        (count,) = self._db.execute("SELECT count(*) FROM records").fetchone()
        return int(count)

    def append(self, entries: Sequence[Entry], position: int, left_out: Mapping[tuple[str, int], int]) -> None:
        """Add records, remember how far the log was read, and how many were left out by (owner, minute): or nothing."""
        with self._transaction():
            numbers = {kind: counts.number_of(self._db, kind) for kind in {entry.kind for entry in entries}}
            added = []
            # Twice is not possible while the position is right; if it ever were not, once is what counts.
            for entry in entries:
                row = (entry.seq, entry.at_ms, numbers[entry.kind], entry.document)
                if self._db.execute("INSERT OR IGNORE INTO records VALUES (?,?,?,?)", row).rowcount:
                    self._db.execute("INSERT INTO terms (rowid, words) VALUES (?,?)", (entry.seq, entry.terms))
                    added.append((numbers[entry.kind], entry.at_ms))
            counts.add(self._db, added)
            self._db.execute("INSERT OR REPLACE INTO position VALUES (1, ?)", (position,))
            self._db.executemany(
                "INSERT INTO left_out VALUES (?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
                [(owner, minute, n) for (owner, minute), n in left_out.items()],
            )

    def find(self, match: str, span: Span, *, oldest_first: bool = False) -> Iterator[Row]:
        """The records of a span which the index knows under `match` (FTS5's writing, never empty)."""
        span = self._narrowed(span)
        order = "" if oldest_first else " DESC"
        sql = (
            "SELECT r.seq, r.at_ms, r.document FROM terms CROSS JOIN records r ON r.seq = terms.rowid"
            f" WHERE terms MATCH ? AND terms.rowid > ? AND terms.rowid < ? ORDER BY terms.rowid{order}"
        )
        for row in self._db.execute(sql, (match, span.above, span.below)):
            if span.since_ms <= row[1] < span.until_ms:
                yield Row(*row)

    def counted(self, span: Span, width_ms: int, wanted: Callable[[Fields], bool]) -> Iterator[Count]:
        """How many records of a span of time there are of each kind that is wanted, in buckets of `width_ms`.

        Buckets begin at multiples of the width; those at the ends hold what is within the span. A bucket may come in
        parts.
        """
        times = self.times()
        fields = {number: found for number, found in counts.kinds(self._db) if wanted(found)}
        if times is None or not fields:
            return
        since_ms, until_ms = max(span.since_ms, times[0]), min(span.until_ms, times[1] + 1)
        for kind, bucket, n in counts.read(self._db, since_ms, until_ms, width_ms):
            if kind in fields:
                yield Count(fields[kind], bucket, n)

    def get(self, seq: int) -> Row | None:
        """One record."""
        row = self._db.execute("SELECT seq, at_ms, document FROM records WHERE seq = ?", (seq,)).fetchone()
        return Row(*row) if row is not None else None

    def left_out(self, site: str, since_ms: int, until_ms: int) -> int:
        """How many records of a site were not kept in a span of time, and of those whose site is not known."""
        (found,) = self._db.execute(
            "SELECT coalesce(sum(n), 0) FROM left_out WHERE (owner = '' OR owner LIKE ? ESCAPE '\\')"
            " AND minute >= ? AND minute <= ?",
            (site.replace("_", "\\_") + "/%", since_ms // 60_000, until_ms // 60_000),
        ).fetchone()
        return int(found)

    def erase(self, match: str, wanted: Callable[[bytes], bool], terms: Callable[[bytes], str]) -> int:
        """Remove for good what `match` (all if empty) finds and `wanted` agrees to; gives how many.

        Nothing of them is left in the file or its index: pages are overwritten, the index is merged anew.
        """
        with self._transaction():
            rows = (
                self._db.execute("SELECT seq, kind, at_ms, document FROM records")
                if not match
                else self._db.execute(
                    "SELECT r.seq, r.kind, r.at_ms, r.document FROM terms CROSS JOIN records r ON r.seq = terms.rowid"
                    " WHERE terms MATCH ?",
                    (match,),
                )
            )
            gone = [(seq, kind, at_ms, terms(document)) for seq, kind, at_ms, document in rows if wanted(document)]
            for seq, _, _, words in gone:
                self._db.execute("INSERT INTO terms (terms, rowid, words) VALUES ('delete', ?, ?)", (seq, words))
                self._db.execute("DELETE FROM records WHERE seq = ?", (seq,))
            if gone:
                counts.add(self._db, [(kind, at_ms) for _, kind, at_ms, _ in gone], sign=-1)
                counts.forget_unused(self._db)
                self._db.execute("INSERT INTO terms (terms) VALUES ('optimize')")
        # Also if nothing was found: whoever did this before may have been killed here.
        if self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise sqlite3.OperationalError("the write-ahead log is in use; what was erased is still in it")
        return len(gone)

    def seal(self) -> None:
        """Nothing more will be added: make it durable, because what comes in later files must not outlive it.

        It is quicker to open afterwards; if somebody reads it just now, it stays as it was.
        """
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with contextlib.suppress(sqlite3.OperationalError):
            self._db.execute("PRAGMA busy_timeout=0")
            self._db.execute("PRAGMA journal_mode=DELETE")

    def _narrowed(self, span: Span) -> Span:
        """A span of time as one of numbers, which the index is quick with; records are in order but for moments."""
        times = self.times()
        if times is None or (span.since_ms <= times[0] and times[1] < span.until_ms):
            return span
        first, last = self._db.execute(
            "SELECT min(seq), max(seq) FROM records WHERE at_ms >= ? AND at_ms < ?", (span.since_ms, span.until_ms)
        ).fetchone()
        if first is None:
            return span._replace(below=span.above)
        return span._replace(above=max(span.above, first - 1), below=min(span.below, last + 1))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
