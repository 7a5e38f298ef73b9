"""Adding to the queue of attempts that are kept to be shown (`attempts.py`), within bounds: the oldest go first."""

import sqlite3
from collections.abc import Sequence

MOST_ROWS, MOST_BYTES = 20_000, 32 << 20
_GAP = 10
"""When there are too many, a tenth of them goes at once."""


def add(db: sqlite3.Connection, bodies: Sequence[bytes]) -> int:
    """Append attempts, as part of a transaction; gives how many old ones had to go for them."""
    if not bodies:
        return 0
    first, last = (_end(db, order) for order in ("ASC", "DESC"))
    total = last[1]
    rows = []
    for body in bodies:
        total += len(body)
        rows.append((total, body))
    db.executemany("INSERT INTO attempts (total, body) VALUES (?,?)", rows)
    held = last[0] - first[0] + 1 if last[0] else 0
    if held + len(rows) <= MOST_ROWS and total - first[1] <= MOST_BYTES:
        return 0
    newest: int = db.execute("SELECT max(seq) FROM attempts").fetchone()[0]
    least = total - MOST_BYTES + MOST_BYTES // _GAP
    keep_from = newest - MOST_ROWS + MOST_ROWS // _GAP
    return db.execute("DELETE FROM attempts WHERE seq<? OR total<?", (keep_from, least)).rowcount


def _end(db: sqlite3.Connection, order: str) -> tuple[int, int]:
    """The number of the first or last attempt, and of how many bytes all up to it are; (0, 0) if there is none."""
    row = db.execute(f"SELECT seq, total FROM attempts ORDER BY seq {order} LIMIT 1").fetchone()
    return (row[0], row[1]) if row is not None else (0, 0)
