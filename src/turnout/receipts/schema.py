"""The tables of `state.db`, and opening it.

Strategy. As a destination's cursor passes a batch, one row with one byte per event (`model.outcome.Code`) is
written to `outcomes`. An event to be tried again is `PENDING` there and has a row in `ledger`; settling it changes
the byte. Rows older than the replay window are summed up in `expired` and removed.

What must stay true:
* Figures that are shown twice a second are in `counters`, never counted from rows: a destination that refuses
  everything has millions of dead letters.
* What decided about an event's content (a `Requirement`) is kept with the outcome: `requirements` says what has been
  in force from which offset on, `stopped` what was for an event that was decided again later.
* A ledger row without `due_ms` waits behind an earlier event of the same user (`ordered`); the first one of each
  user always has one. So what is due is a look-up, however many wait.
"""

import sqlite3
from pathlib import Path

from turnout.model.errors import ReceiptsUnavailableError

FORMAT = 1
ATTEMPTS, DEAD = -1, -2
"""Counters beside those of the codes: attempts made, dead letters kept."""

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
_ADDED = """
CREATE TABLE IF NOT EXISTS requirements (destination INTEGER, since INTEGER, requirement BLOB,
    PRIMARY KEY (destination, since)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stopped (destination INTEGER, offset INTEGER, requirement BLOB, at_ms INTEGER,
    PRIMARY KEY (destination, offset)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stopped_age ON stopped (destination, at_ms)
"""
"""Came within format 1: an earlier release leaves them alone."""
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
    if db.execute("SELECT 1 FROM sqlite_master WHERE name='stopped_age'").fetchone() is None:
        with db:
            db.execute("BEGIN IMMEDIATE")
            for statement in _ADDED.split(";"):
                db.execute(statement)
