"""How much room dead letters take, and which go when that is too much.

What must stay true: whatever puts a dead letter into its table or takes one out tells it here, in the same transaction.
An event whose dead letter goes for want of room keeps its outcome; it can't be replayed any more, and is counted.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from turnout.receipts.schema import DEAD

if TYPE_CHECKING:
    from turnout.receipts.store import Store

PORTION = 500
ROW_BYTES = 300
"""What one takes beside its payload, indexes included; about."""
_SIZE = f"length(payload)+{ROW_BYTES}"


class Room(NamedTuple):
    """What the dead letters of a destination take, and how many had to go for want of room, ever."""

    bytes: int = 0
    forgotten: int = 0


def added(store: Store, destination: int, payloads: Collection[bytes]) -> None:
    """Count dead letters with these payloads; part of a transaction."""
    _count(store, destination, len(payloads), sum(map(len, payloads)) + len(payloads) * ROW_BYTES)


def taken(store: Store, destination: int, payloads: Collection[bytes]) -> None:
    """Count that dead letters with these payloads are there no longer; part of a transaction."""
    _count(store, destination, -len(payloads), -sum(map(len, payloads)) - len(payloads) * ROW_BYTES)


def remove(store: Store, destination: int, where: str, *values: object) -> int:
    """Delete the dead letters of a destination that meet a condition in SQL; part of a transaction. How many they were.

    Raises `sqlite3.Error`.
    """
    condition = f"destination=? AND {where}"
    given = (destination, *values)
    found, size = store.db.execute(f"SELECT count(*), sum({_SIZE}) FROM dead WHERE {condition}", given).fetchone()
    if found:
        store.db.execute(f"DELETE FROM dead WHERE {condition}", given)
        _count(store, destination, -found, -size)
    return int(found)


def room(store: Store, destination: int) -> Room:
    """Raises `ReceiptsUnavailableError`."""
    row = next(store.rows("SELECT bytes, forgotten FROM dead_room WHERE destination=?", destination), None)
    return Room(*row) if row is not None else Room()


def recounted(store: Store, destination: int) -> int:
    """What they take, counted from the rows. Raises `sqlite3.Error`."""
    sql = f"SELECT coalesce(sum({_SIZE}), 0) FROM dead WHERE destination=?"
    size: int = store.db.execute(sql, (destination,)).fetchone()[0]
    return size


def trim(store: Store, budget: int) -> bool:
    """Forget the oldest dead letters, of who has the most of them, until all together take `budget` bytes at most.

    Does a portion; whether there is more to forget. Raises what `Store` raises.
    """
    with store.transaction():
        (total,) = store.db.execute("SELECT coalesce(sum(bytes), 0) FROM dead_room").fetchone()
        if total <= budget:
            return False
        sql = "SELECT destination FROM dead_room ORDER BY bytes DESC LIMIT 1"
        (destination,) = store.db.execute(sql).fetchone()
        sql = f"SELECT died_ms, offset, {_SIZE} FROM dead WHERE destination=? ORDER BY died_ms, offset LIMIT ?"
        over, last = total - budget, None
        for died_ms, offset, size in store.db.execute(sql, (destination, PORTION)):
            last, over = (died_ms, offset), over - size
            if over <= 0:
                break
        if last is None:
            return False
        gone = remove(store, destination, "(died_ms, offset)<=(?,?)", *last)
        store.db.execute("UPDATE dead_room SET forgotten=forgotten+? WHERE destination=?", (gone, destination))
    return bool(over > 0)


def _count(store: Store, destination: int, letters: int, size: int) -> None:
    if letters:
        store.count(destination, {DEAD: letters})
        store.db.execute(
            "INSERT INTO dead_room VALUES (?,?,0) ON CONFLICT DO UPDATE SET bytes=bytes+excluded.bytes",
            (destination, size),
        )
