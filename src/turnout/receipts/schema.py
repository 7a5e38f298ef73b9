"""The tables of `state.db`, and opening it.

Strategy. As a destination's cursor passes a batch, one row with one byte per event (`model.outcome.Code`) is
written to `outcomes`. An event to be tried again is `PENDING` there and has a row in `ledger`; settling it changes
the byte. Rows older than the replay window are summed up in `expired` and removed.

What must stay true:
* Figures that are shown twice a second are in `counters`, never counted from rows: a destination that refuses
  everything has millions of dead letters.
* `dead_room` has what dead letters take, in bytes: see `dead.py`.
* `attempts` is a queue, `total` the bytes of all up to a row: see `queue.py`.
* `delivered` and `collected` are the figures over time, `uncounted` what they don't have: see `tally.py`.
* What decided about an event's content (a `Requirement`) is kept with the outcome: `requirements` says what has been
  in force from which offset on, `stopped` what was for an event that was decided again later.
* `owed` has how each destination was configured last, as far as that decides what it is offered, and once it is gone
  from the configuration, up to which offset it was: see `parting.py`.
* A ledger row without `due_ms` waits behind an earlier event of the same user (`ordered`); the first one of each
  user always has one. So what is due is a look-up, however many wait.
"""

import sqlite3
from pathlib import Path

from turnout.model.errors import ReceiptsUnavailableError

FORMAT = 1
ATTEMPTS, DEAD, LOST = -1, -2, -3
"""Counters beside those of the codes: attempts made, dead letters kept; of no destination, attempts nobody read."""

_TABLES = """
CREATE TABLE destinations (id INTEGER PRIMARY KEY, ref TEXT NOT NULL UNIQUE, cursor INTEGER NOT NULL,
    since INTEGER NOT NULL, ordered INTEGER NOT NULL DEFAULT 0, removed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE outcomes (destination INTEGER, base INTEGER, appended_ms INTEGER, codes BLOB,
    PRIMARY KEY (destination, base)) WITHOUT ROWID;
CREATE TABLE counters (destination INTEGER, code INTEGER, n INTEGER, PRIMARY KEY (destination, code)) WITHOUT ROWID;
CREATE TABLE expired (destination INTEGER, code INTEGER, n INTEGER, PRIMARY KEY (destination, code)) WITHOUT ROWID;
CREATE TABLE ledger (seq INTEGER PRIMARY KEY AUTOINCREMENT, destination INTEGER, offset INTEGER, event_id TEXT,
    name TEXT, payload BLOB, user_key TEXT, received_ms INTEGER, attempts INTEGER, first_ms INTEGER, due_ms INTEGER,
    reason TEXT, detail TEXT, UNIQUE (destination, offset));
CREATE INDEX ledger_due ON ledger (destination, due_ms);
CREATE INDEX ledger_user ON ledger (destination, user_key, seq);
CREATE TABLE dead (destination INTEGER, offset INTEGER, event_id TEXT, name TEXT, payload BLOB, user_key TEXT,
    received_ms INTEGER, code INTEGER, reason TEXT, detail TEXT, attempts INTEGER, died_ms INTEGER,
    UNIQUE (destination, offset));
CREATE INDEX dead_age ON dead (destination, died_ms, offset);
CREATE TABLE retried (destination INTEGER, offset INTEGER, attempts INTEGER, at_ms INTEGER,
    PRIMARY KEY (destination, offset)) WITHOUT ROWID;
CREATE INDEX retried_age ON retried (destination, at_ms);
CREATE TABLE ids (base INTEGER PRIMARY KEY, next INTEGER NOT NULL, hashes BLOB NOT NULL);
CREATE TABLE runs (first INTEGER PRIMARY KEY, next INTEGER NOT NULL, records INTEGER NOT NULL,
    made_ms INTEGER NOT NULL);
CREATE TABLE run_parts (prefix INTEGER, first INTEGER, entries BLOB NOT NULL,
    PRIMARY KEY (prefix, first)) WITHOUT ROWID
"""
_ADDED = {
    "stopped": """
CREATE TABLE requirements (destination INTEGER, since INTEGER, requirement BLOB,
    PRIMARY KEY (destination, since)) WITHOUT ROWID;
CREATE TABLE stopped (destination INTEGER, offset INTEGER, requirement BLOB, at_ms INTEGER,
    PRIMARY KEY (destination, offset)) WITHOUT ROWID;
CREATE INDEX stopped_age ON stopped (destination, at_ms)
""",
    "delivered": """
ALTER TABLE ledger ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE dead ADD COLUMN source TEXT NOT NULL DEFAULT '';
CREATE TABLE delivered (span INTEGER, destination INTEGER, bucket INTEGER, source TEXT, name TEXT, code INTEGER,
    reason TEXT, n INTEGER, PRIMARY KEY (span, destination, bucket, source, name, code, reason)) WITHOUT ROWID;
CREATE TABLE uncounted (destination INTEGER, code INTEGER, n INTEGER, PRIMARY KEY (destination, code)) WITHOUT ROWID;
CREATE TABLE collected (span INTEGER, source TEXT, bucket INTEGER, name TEXT, status TEXT, reason TEXT, n INTEGER,
    PRIMARY KEY (span, source, bucket, name, status, reason)) WITHOUT ROWID;
CREATE TABLE indexed (next INTEGER NOT NULL);
INSERT INTO delivered SELECT 60000, destination, received_ms/60000*60000, '', '(other)', 1, '', count(*)
    FROM ledger GROUP BY 2, 3;
INSERT INTO delivered SELECT 60000, destination, received_ms/60000*60000, '', '(other)', code, reason, count(*)
    FROM dead GROUP BY 2, 3, 6, 7;
INSERT INTO uncounted SELECT destination, code, n FROM counters WHERE code>0;
INSERT INTO uncounted SELECT destination, code, -sum(n) FROM delivered WHERE true GROUP BY 1, 2
    ON CONFLICT DO UPDATE SET n=n+excluded.n;
INSERT INTO indexed SELECT coalesce(max(next), 0)
    FROM (SELECT max(next) AS next FROM ids UNION ALL SELECT max(next) FROM runs)
""",
    "attempts": """
CREATE TABLE attempts (seq INTEGER PRIMARY KEY AUTOINCREMENT, total INTEGER NOT NULL, body BLOB NOT NULL)
""",
    "dead_reason": "CREATE INDEX dead_reason ON dead (destination, code, reason, died_ms, offset)",
    "dead_room": """
CREATE TABLE dead_room (destination INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, forgotten INTEGER NOT NULL);
INSERT INTO dead_room SELECT destination, sum(length(payload)+300), 0 FROM dead GROUP BY 1
""",
    "ledger_replay": """
ALTER TABLE ledger ADD COLUMN replay_id TEXT NOT NULL DEFAULT '';
CREATE INDEX ledger_replay ON ledger (replay_id) WHERE replay_id<>''
""",
    "owed": "CREATE TABLE owed (destination INTEGER PRIMARY KEY, routing BLOB NOT NULL, until INTEGER)",
    "erased": "CREATE TABLE erased (offset INTEGER PRIMARY KEY)",
}
"""Came within format 1, each behind the name of a table or index that tells whether it is there.

What an old file has in its ledger and among its dead letters is counted from then on; what has ended before is not.
"""
_CHECKPOINT_PAGES = 4000
_BUSY_S = 2.0
"""How long to wait for another process's transaction; the worker's event loop stands still meanwhile."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the receipts, created if they are not there.

    Raises `ReceiptsUnavailableError`, with the file and what to do, if it can't be read or is of a newer release.
    """
    db: sqlite3.Connection | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        # What is deleted is gone from the file, whoever deletes it: an erased person may be in a free page otherwise.
        db.execute("PRAGMA secure_delete=ON")
        db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        version = _version(db) or _create(db)
        if version <= FORMAT:
            _complete(db)
        db.execute("SELECT count(*) FROM destinations").fetchone()
    except (sqlite3.Error, OSError) as error:
        if db is not None:
            db.close()
        raise ReceiptsUnavailableError(
            f"{path}: {error}. Events are still collected and wait. If the file is damaged, move it away and start "
            "again: what no destination has passed is delivered, what waited for a retry is lost with the file"
        ) from error
    if version > FORMAT:
        db.close()
        raise ReceiptsUnavailableError(
            f"{path} was written by a newer release (format {version}, this one reads up to {FORMAT}): "
            "start that release, or give this one another data directory"
        )
    return db


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _create(db: sqlite3.Connection) -> int:
    with db:
        db.execute("BEGIN IMMEDIATE")
        # Another process may have been faster.
        if not _version(db):
            for statement in _TABLES.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={FORMAT}")
    return FORMAT


def _complete(db: sqlite3.Connection) -> None:
    for table, statements in _ADDED.items():
        if not _has(db, table):
            with db:
                db.execute("BEGIN IMMEDIATE")
                # Another process may have been faster.
                for statement in statements.split(";") if not _has(db, table) else ():
                    db.execute(statement)


def _has(db: sqlite3.Connection, table: str) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name=?", (table,)).fetchone() is not None
