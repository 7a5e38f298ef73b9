"""The attempts that are kept to be shown, on their way from the worker to the inspector: a short queue.

They are written in the transactions that record what they tell of, so that they say the same after any crash. Who
reads them takes note of the last one it has stored, then lets it be forgotten. If nobody reads, the oldest go.
"""

from turnout.model.attempt import Attempt, decode_attempt
from turnout.receipts.store import PORTION, Store


def read(store: Store, limit: int) -> list[tuple[int, Attempt]]:
    """Up to `limit` attempts, the oldest first, each with its number. Raises `sqlite3.Error`."""
    rows = store.db.execute("SELECT seq, body FROM attempts ORDER BY seq LIMIT ?", (limit,))
    return [(seq, decode_attempt(body)) for seq, body in rows]


def forget(store: Store, up_to: int) -> None:
    """Remove attempts up to this number, inclusive. Safe while the worker runs. Raises what `Store` raises."""
    gone = PORTION
    while gone == PORTION:
        with store.transaction():
            sql = "DELETE FROM attempts WHERE seq IN (SELECT seq FROM attempts WHERE seq<=? ORDER BY seq LIMIT ?)"
            gone = store.db.execute(sql, (up_to, PORTION)).rowcount


def last(store: Store) -> int:
    """The number that was given last, 0 if none ever was: less than before only if the receipts began anew."""
    row = store.db.execute("SELECT seq FROM sqlite_sequence WHERE name='attempts'").fetchone()
    return row[0] if row is not None else 0
