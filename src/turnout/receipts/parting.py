"""Destinations that are gone from the configuration: what they were still owed ends as error, replayable.

That is what waits in the ledger, and what was processed before they went and they had not come to. So that it can be
told, whatever crashed meanwhile, what each destination is offered is kept while it is configured (`remember`), and the
end of the stream when it is first missed (`depart`).
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from turnout.model.config import Delivery, Destination
from turnout.receipts.records import given_up

if TYPE_CHECKING:
    from turnout.receipts.store import Store

DELETED = "destination_deleted"
"""Why it ends."""
PORTION = 500
_decode = msgspec.json.Decoder(Destination).decode


def remember(store: Store, settings: Destination) -> None:
    """Keep what a destination that is registered is offered. Raises what `Store` raises."""
    routing = msgspec.json.encode(
        structs.replace(settings, settings=None, mapping=None, delivery=Delivery(), label="", description="")
    )
    with store.transaction():
        store.db.execute(
            "INSERT INTO owed SELECT id, ?, NULL FROM destinations WHERE ref=? ON CONFLICT DO UPDATE"
            " SET routing=excluded.routing",
            (routing, settings.ref),
        )


def depart(store: Store, ref: str, end: int) -> None:
    """A destination is gone from the configuration: nothing from `end` on is for it, unless that is known already."""
    with store.transaction():
        store.db.execute(
            "INSERT INTO owed SELECT id, '', ? FROM destinations WHERE ref=? AND NOT removed ON CONFLICT DO UPDATE"
            " SET until=coalesce(until, excluded.until)",
            (end, ref),
        )


def routing(store: Store, destination: int) -> Destination | None:
    """What a destination was offered; None if that was never kept (it went with an earlier release)."""
    row = next(store.rows("SELECT routing FROM owed WHERE destination=?", destination), None)
    return _decode(row[0]) if row is not None and row[0] else None


def drop(store: Store, ref: str, now_ms: int) -> bool:
    """End what waits in the ledger of a destination that is gone, a portion at a time; whether there is more.

    With the last portion it is removed. Its dead letters can be replayed when the destination is there again.
    """
    row = next(store.rows("SELECT id FROM destinations WHERE ref=? AND NOT removed", ref), None)
    if row is None:
        return False
    if entries := store.entries("ORDER BY seq LIMIT ?", row[0], PORTION):
        store.settle(row[0], [given_up(entry, DELETED, now_ms) for entry in entries])
        return True
    with store.transaction():
        # Somebody may have replayed dead letters in the meantime.
        removed = store.db.execute(
            "UPDATE destinations SET removed=1"
            " WHERE id=:id AND NOT EXISTS (SELECT 1 FROM ledger WHERE destination=:id)",
            {"id": row[0]},
        ).rowcount
        store.db.execute("DELETE FROM owed WHERE destination=? AND ?", (row[0], removed))
    return not removed


def is_there(db: sqlite3.Connection, destination: int) -> bool:
    """Whether a destination is not removed, nor about to be. Raises sqlite3.Error."""
    sql = "SELECT 1 FROM destinations LEFT JOIN owed ON destination=id WHERE id=? AND NOT removed AND until IS NULL"
    return db.execute(sql, (destination,)).fetchone() is not None
