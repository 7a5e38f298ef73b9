"""Erasing events from the receipts: retry ledger and dead letters. Their outcomes stay, so the sums close as before.

Strategy. Which events are erased is kept as offsets in the table `erased`, until every destination has passed them and
the replay window is over. It is written in the transaction that erases what there is, and asked in the transaction of
every step that would add something, so what an attempt under way brings afterwards is not kept either. It holds nothing
of a person: not even a hash.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from turnout.model.attempt import Attempt, decode_attempt
from turnout.model.outcome import Code
from turnout.receipts import dead
from turnout.receipts.records import LedgerEntry, Settlement, Step

if TYPE_CHECKING:
    from turnout.receipts.store import Store

PORTION = 500
_DELIVERED = (Code.DELIVERED, Code.DELIVERED_AFTER_RETRY)
_AMONG = "offset IN (SELECT value FROM json_each(?))"


class Buried(NamedTuple):
    """How many entries of the ledger and how many dead letters."""

    ledger: int = 0
    dead: int = 0


def bury(store: Store, offsets: Sequence[int], now_ms: int) -> Buried:
    """Erase the events at these offsets of `processed` (`PORTION` at most), at every destination.

    What waits for an attempt ends as cancelled. One transaction; raises what `Store` raises.
    """
    with store.transaction():
        store.db.executemany("INSERT OR IGNORE INTO erased VALUES (?)", [(offset,) for offset in offsets])
        found = [bury_at(store, one.id, offsets, now_ms) for one in store.registered()]
    return Buried(*map(sum, zip(*found, strict=True))) if found else Buried()


def bury_at(store: Store, destination: int, offsets: Collection[int], now_ms: int) -> Buried:
    """The same at one destination, as part of a transaction."""
    among = json.dumps(list(offsets))
    entries = store.entries(f"AND {_AMONG}", destination, among)
    store.settle_within(destination, [cancelled(entry, now_ms) for entry in entries])
    return Buried(len(entries), dead.remove(store, destination, _AMONG, among))


def cancelled(entry: LedgerEntry, now_ms: int) -> Settlement:
    """The settlement of an event that is not to be tried again, and of which nothing is kept."""
    return Settlement(entry=entry, attempts=entry.attempts, at_ms=now_ms, code=Code.CANCELLED)


def erased_between(db: sqlite3.Connection, low: int, high: int) -> frozenset[int]:
    """Which offsets from `low` up to `high` are erased. Raises sqlite3.Error."""
    return frozenset(
        offset for (offset,) in db.execute("SELECT offset FROM erased WHERE offset>=? AND offset<?", (low, high))
    )


def any_erased(db: sqlite3.Connection, offsets: Collection[int]) -> bool:
    """Whether one of these events is erased. Raises sqlite3.Error."""
    sql = f"SELECT 1 FROM erased WHERE {_AMONG} LIMIT 1"
    return db.execute(sql, (json.dumps(list(offsets)),)).fetchone() is not None


def blanked(step: Step, gone: frozenset[int]) -> Step:
    """The step without the content of these events: not even for a moment is it written down.

    No attempt of it is shown: in one request there may be several events.
    """
    return structs.replace(
        step,
        ledger=[
            structs.replace(one, payload=b"", user_key="", detail="") if one.offset in gone else one
            for one in step.ledger
        ],
        dead=[
            structs.replace(one, payload=b"", user_key="", detail="") if one.offset in gone else one
            for one in step.dead
        ],
        shown=[],
    )


def forget_attempts(store: Store, wanted: Callable[[Attempt], bool]) -> int:
    """Remove attempts from the queue of those that are to be shown; gives how many. Raises what `Store` raises."""
    found, after = 0, 0
    while rows := store.db.execute(
        "SELECT seq, body FROM attempts WHERE seq>? ORDER BY seq LIMIT ?", (after, PORTION)
    ).fetchall():
        after = rows[-1][0]
        gone = [(seq,) for seq, body in rows if wanted(decode_attempt(body))]
        with store.transaction():
            found += store.db.executemany("DELETE FROM attempts WHERE seq=?", gone).rowcount if gone else 0
    return found


def find(store: Store, destinations: Sequence[int], wanted: Callable[[bytes], bool]) -> Iterator[int]:
    """Offsets of entries and dead letters of these destinations whose payload is wanted; reads a portion at a time."""
    for table in ("ledger", "dead"):
        for destination in destinations:
            after = -1
            while True:
                rows = store.db.execute(
                    f"SELECT offset, payload FROM {table} WHERE destination=? AND offset>? ORDER BY offset LIMIT ?",
                    (destination, after, PORTION),
                ).fetchall()
                yield from (offset for offset, payload in rows if wanted(payload))
                if len(rows) < PORTION:
                    break
                after = rows[-1][0]


def held(store: Store, offsets: Collection[int]) -> Buried:
    """How many entries of the ledger and dead letters there are of these events."""
    among = json.dumps(list(offsets))
    counts = [
        store.db.execute(f"SELECT count(*) FROM {table} WHERE {_AMONG}", (among,)).fetchone()[0]
        for table in ("ledger", "dead")
    ]
    return Buried(*counts)


def delivered(store: Store, destination: int, offsets: Sequence[int]) -> int:
    """How many of the events at these offsets (ascending) a destination has got, as far as it is known."""
    if not offsets:
        return 0
    rows = store.db.execute(
        "SELECT base, codes FROM outcomes WHERE destination=? AND base<=? ORDER BY base", (destination, offsets[-1])
    )
    found = 0
    for base, codes in rows:
        here = offsets[bisect_left(offsets, base) : bisect_left(offsets, base + len(codes))]
        found += sum(codes[offset - base] in _DELIVERED for offset in here)
    return found


def forget(store: Store) -> None:
    """Forget erased offsets that all have passed and of which nothing is kept any more; part of a transaction."""
    store.db.execute("DELETE FROM erased WHERE offset<(SELECT min(since) FROM destinations WHERE NOT removed)")
