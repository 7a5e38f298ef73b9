"""Where an event id is in the stream `processed`, for every event kept, at eight bytes each.

Per batch the 64-bit hashes of its ids are stored as they come. In the background, about 100,000 at a time are
merged into a run: one sorted array of numbers whose high 40 bits are the hash's and whose low 24 are the record's
offset within the run. A look-up is a bisect per run. Equal hashes only cost a second look: the record itself decides.
"""

import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b

from turnout.receipts.store import Store

MERGE_RECORDS = 100_000
_LOW = (1 << 24) - 1


def digest(event_id: str) -> bytes:
    """The eight bytes that stand for an id."""
    return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()


class Index:
    """Writes and reads the index in the receipts' file. Its cursor is the end of its last row."""

    def __init__(self, store: Store) -> None:
        self._db = store.db

    def cursor(self) -> int:
        """The offset up to which every record is indexed."""
        ids: int | None = self._db.execute("SELECT max(next) FROM ids").fetchone()[0]
        runs: int | None = self._db.execute("SELECT max(next) FROM runs").fetchone()[0]
        return max(ids or 0, runs or 0)

    def add(self, batches: Iterable[tuple[int, list[str]]]) -> None:
        """Index batches (base, ids of its records), in order."""
        rows = [(base, base + len(ids), b"".join(map(digest, ids))) for base, ids in batches]
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO ids VALUES (?,?,?)", rows)

    def merge(self, now_ms: int) -> bool:
        """Merge the oldest rows into a run if there are enough; whether it did. Takes about 0.1 s."""
        rows: list[tuple[int, int, bytes]] = []
        count = 0
        for base, following, hashes in self._db.execute("SELECT base, next, hashes FROM ids ORDER BY base"):
            if rows and following - rows[0][0] > _LOW:
                break
            rows.append((base, following, hashes))
            count += len(hashes) // 8
            if count >= MERGE_RECORDS:
                break
        else:
            return False
        first, last = rows[0][0], rows[-1][0]
        values = [
            int.from_bytes(hashes[i : i + 8], "big") & ~_LOW | (base - first + i // 8)
            for base, _, hashes in rows
            for i in range(0, len(hashes), 8)
        ]
        entries = array("Q", sorted(values)).tobytes()
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT INTO runs VALUES (?,?,?,?)", (first, rows[-1][1], now_ms, entries))
            self._db.execute("DELETE FROM ids WHERE base<=?", (last,))
        return True


def find(db: sqlite3.Connection, event_id: str) -> list[int]:
    """Offsets of records that may carry this id, ascending; the caller compares the ids themselves."""
    sought = digest(event_id)
    found = []
    for base, hashes in db.execute("SELECT base, hashes FROM ids"):
        at = hashes.find(sought)
        while at >= 0:
            if at % 8 == 0:
                found.append(base + at // 8)
            at = hashes.find(sought, at + 1)
    high = int.from_bytes(sought, "big") & ~_LOW
    for first, blob in db.execute("SELECT first, entries FROM runs"):
        entries = memoryview(blob).cast("Q")
        at = bisect_left(entries, high)
        while at < len(entries) and entries[at] & ~_LOW == high:
            found.append(first + (entries[at] & _LOW))
            at += 1
    return sorted(found)
