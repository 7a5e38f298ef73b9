"""Where an event id is in the stream `processed`, for every event kept, at eight bytes each.

The 64-bit hashes of the ids are stored as they come, a row for each stretch of offsets. In the background, about
100,000 at a time are merged into a run: an array of numbers in ascending order whose high 40 bits are the hash's and
whose low 24 are the record's offset within the run. Runs are stored in 256 parts, by the first byte of the hash, so
that a look-up reads a few kilobytes of each. Equal hashes only cost a second look: the record itself decides.
"""

import sqlite3
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from turnout.receipts.store import Store
from turnout.receipts.tally import Kind

MERGE_RECORDS = 100_000
_LOW = (1 << 24) - 1
_HIGH = ((1 << 64) - 1) ^ _LOW


class Stretch(NamedTuple):
    """Hashes of the records from offset `base` up to `next`, eight bytes each."""

    base: int
    next: int
    hashes: bytes


class Run(NamedTuple):
    """What stretches are merged into: parts by the first byte of the hash."""

    first: int
    next: int
    parts: list[tuple[int, bytes]]


def digest(event_id: str) -> bytes:
    """The eight bytes that stand for an id."""
    return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()


class Index:
    """Writes the index into the receipts' file; raises what `Store` raises."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Kept in mind so that asking whether a merge is due costs nothing.
        found = store.db.execute("SELECT min(base), max(next), sum(length(hashes)) FROM ids").fetchone()
        self._first: int | None = found[0]
        self._next, self._records = found[1] or 0, (found[2] or 0) // 8
        self._cursor: int = store.db.execute("SELECT next FROM indexed").fetchone()[0]

    def cursor(self) -> int:
        """The offset up to which every record has been indexed."""
        return self._cursor

    def add(self, batches: Iterable[tuple[int, list[str]]], kinds: Iterable[tuple[Kind, int]] = ()) -> None:
        """Index batches (base, ids of its records), in order, and count them: how many are of each kind.

        Batches without a gap between share a row.
        """
        rows: list[tuple[int, int, list[str]]] = []
        for base, ids in batches:
            if rows and rows[-1][1] == base:
                first, _, before = rows[-1]
                rows[-1] = (first, base + len(ids), before + ids)
            else:
                rows.append((base, base + len(ids), ids))
        stretches = [Stretch(base, following, b"".join(map(digest, ids))) for base, following, ids in rows]
        with self._store.transaction():
            self._store.db.executemany("INSERT INTO ids VALUES (?,?,?)", stretches)
            self._store.db.executemany("UPDATE indexed SET next=?", [(one.next,) for one in stretches[-1:]])
            self._store.tally.collect(kinds)
        if stretches:
            self._cursor = stretches[-1].next
            self._first = stretches[0].base if self._first is None else self._first
            self._next = stretches[-1].next
            self._records += sum(len(one.hashes) for one in stretches) // 8

    def mergeable(self) -> list[Stretch]:
        """The oldest stretches, if there are enough of them for a run; otherwise none."""
        if self._first is None or (self._records < MERGE_RECORDS and self._next - self._first <= _LOW):
            return []
        found: list[Stretch] = []
        records = 0
        for row in self._store.db.execute("SELECT base, next, hashes FROM ids ORDER BY base"):
            stretch = Stretch(*row)
            if found and (records >= MERGE_RECORDS or stretch.next - found[0].base > _LOW):
                break
            found.append(stretch)
            records += len(stretch.hashes) // 8
        return found

    def replace(self, stretches: Sequence[Stretch], run: Run, now_ms: int) -> None:
        """Put a run in the place of the stretches it was made of."""
        db = self._store.db
        with self._store.transaction():
            records = sum(len(one.hashes) for one in stretches) // 8
            db.execute("INSERT INTO runs VALUES (?,?,?,?)", (run.first, run.next, records, now_ms))
            db.executemany("INSERT INTO run_parts VALUES (?,?,?)", [(one[0], run.first, one[1]) for one in run.parts])
            db.execute("DELETE FROM ids WHERE base<=?", (stretches[-1].base,))
        self._records -= records
        self._first = db.execute("SELECT min(base) FROM ids").fetchone()[0]


def merged(stretches: Sequence[Stretch]) -> Run:
    """One run of ascending stretches. Pure; 100,000 records take about 50 ms."""
    first = stretches[0].base
    hashes = array("Q", b"".join([one.hashes for one in stretches]))
    if sys.byteorder == "little":
        hashes.byteswap()
    offsets = [offset - first for one in stretches for offset in range(one.base, one.next)]
    entries = sorted([value & _HIGH | offset for value, offset in zip(hashes, offsets, strict=True)])
    bounds = [bisect_left(entries, prefix << 56) for prefix in range(256)] + [len(entries)]
    parts = [
        (prefix, array("Q", entries[bounds[prefix] : bounds[prefix + 1]]).tobytes())
        for prefix in range(256)
        if bounds[prefix] < bounds[prefix + 1]
    ]
    return Run(first, stretches[-1].next, parts)


def extent(db: sqlite3.Connection) -> tuple[int, int]:
    """The offsets from which and up to which records are indexed."""
    low, high = db.execute(
        "SELECT min(low), max(high) FROM (SELECT min(base) AS low, max(next) AS high FROM ids"
        " UNION ALL SELECT min(first), max(next) FROM runs)"
    ).fetchone()
    return low or 0, high or 0


def count(db: sqlite3.Connection, low: int, high: int) -> int:
    """How many records with `low <= offset < high` are indexed."""
    found = 0
    for base, following in db.execute("SELECT base, next FROM ids WHERE next>? AND base<?", (low, high)):
        found += min(following, high) - max(base, low)
    sql = "SELECT first, next, records FROM runs WHERE next>? AND first<?"
    for first, following, records in db.execute(sql, (low, high)).fetchall():
        if low <= first and following <= high:
            found += records
            continue
        # In order of the parts' key, a run's parts lie far apart: ask for them one by one.
        for prefix in range(256):
            for (blob,) in db.execute("SELECT entries FROM run_parts WHERE prefix=? AND first=?", (prefix, first)):
                found += sum(low <= first + (entry & _LOW) < high for entry in memoryview(blob).cast("Q"))
    return found


def find(db: sqlite3.Connection, event_id: str) -> list[int]:
    """Offsets of records that may carry this id, ascending; the caller compares the ids themselves."""
    sought = digest(event_id)
    found = set()
    # Stretches before runs: what is merged in between is then seen twice, not missed.
    for base, hashes in db.execute("SELECT base, hashes FROM ids"):
        at = hashes.find(sought)
        while at >= 0:
            if at % 8 == 0:
                found.add(base + at // 8)
            at = hashes.find(sought, at + 1)
    high = int.from_bytes(sought, "big") & _HIGH
    for first, blob in db.execute("SELECT first, entries FROM run_parts WHERE prefix=?", (sought[0],)):
        entries = memoryview(blob).cast("Q")
        at = bisect_left(entries, high)
        while at < len(entries) and entries[at] & _HIGH == high:
            found.add(first + (entries[at] & _LOW))
            at += 1
    return sorted(found)
