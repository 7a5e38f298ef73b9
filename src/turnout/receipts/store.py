"""The receipts' file, `state.db`: cursors, outcomes, counters, retry ledger, dead letters.

Strategy. As a destination's cursor passes a batch, one row with one byte per event (`model.outcome.Code`) is
written. An event to be tried again is `PENDING` there and has a ledger row; settling it changes the byte. Everything
that belongs together happens in one transaction. Counters change only by increments, so that the CLI may
replay dead letters while the worker runs.

`synchronous=NORMAL`: a power cut may take back the last transactions, whole and in order. Then their events are
delivered again; the sums still close.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from turnout.model.errors import LogUnavailableError
from turnout.model.outcome import Code

FORMAT = 1
_SCHEMA = """
CREATE TABLE destinations (id INTEGER PRIMARY KEY, ref TEXT NOT NULL UNIQUE, cursor INTEGER NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE outcomes (destination INTEGER, base INTEGER, appended_ms INTEGER, codes BLOB,
    PRIMARY KEY (destination, base)) WITHOUT ROWID;
CREATE TABLE counters (destination INTEGER, code INTEGER, n INTEGER, PRIMARY KEY (destination, code)) WITHOUT ROWID;
CREATE TABLE expired (destination INTEGER, code INTEGER, n INTEGER, PRIMARY KEY (destination, code)) WITHOUT ROWID;
CREATE TABLE ledger (seq INTEGER PRIMARY KEY AUTOINCREMENT, destination INTEGER, offset INTEGER, event_id TEXT,
    name TEXT, payload BLOB, user_key TEXT, received_ms INTEGER, attempts INTEGER, first_ms INTEGER, due_ms INTEGER,
    reason TEXT, detail TEXT, UNIQUE (destination, offset));
CREATE INDEX ledger_due ON ledger (destination, due_ms);
CREATE INDEX ledger_key ON ledger (destination, user_key, seq);
CREATE TABLE dead (destination INTEGER, offset INTEGER, event_id TEXT, name TEXT, payload BLOB, user_key TEXT,
    received_ms INTEGER, code INTEGER, reason TEXT, detail TEXT, attempts INTEGER, died_ms INTEGER,
    PRIMARY KEY (destination, offset)) WITHOUT ROWID;
CREATE INDEX dead_age ON dead (died_ms);
CREATE TABLE retried (destination INTEGER, offset INTEGER, attempts INTEGER, at_ms INTEGER,
    PRIMARY KEY (destination, offset)) WITHOUT ROWID;
CREATE TABLE ids (base INTEGER PRIMARY KEY, next INTEGER NOT NULL, hashes BLOB NOT NULL);
CREATE TABLE runs (first INTEGER PRIMARY KEY, next INTEGER NOT NULL, made_ms INTEGER NOT NULL, entries BLOB NOT NULL);
"""
ATTEMPTS = -1
"""The counter of attempts, beside those of the codes."""


class LedgerEntry(msgspec.Struct, frozen=True):
    """One event waiting for its next attempt. `attempts` have been made; `first_ms` is 0 before the first."""

    offset: int
    event_id: str
    name: str
    payload: bytes
    user_key: str
    received_ms: int
    attempts: int
    first_ms: int
    due_ms: int
    reason: str = ""
    detail: str = ""
    seq: int = 0


class DeadLetter(msgspec.Struct, frozen=True):
    """One event given up or refused, with why; `code` is `REJECTED` or `ERROR`."""

    offset: int
    event_id: str
    name: str
    payload: bytes
    user_key: str
    received_ms: int
    code: int
    reason: str
    detail: str
    attempts: int
    died_ms: int


class Step(msgspec.Struct):
    """What a destination did with the batches before `cursor`: outcome rows (base, appended_ms, codes) and the rest."""

    cursor: int
    outcomes: list[tuple[int, int, bytes]] = []
    ledger: list[LedgerEntry] = []
    dead: list[DeadLetter] = []
    attempts: int = 0


class Settlement(msgspec.Struct, frozen=True):
    """What another attempt gave for a ledger entry: a final code (with a dead letter), or when to try again."""

    entry: LedgerEntry
    code: Code | None = None
    dead: DeadLetter | None = None
    attempts: int = 0
    due_ms: int = 0
    first_ms: int = 0
    reason: str = ""
    detail: str = ""


class Store:
    """See the module. One connection; calls are short and may be made in the event loop."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises `LogUnavailableError` if the file is of a newer release or can't be read."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        try:
            self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            self.db.execute("PRAGMA wal_autocheckpoint=4000")
            (version,) = self.db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self.db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={FORMAT};COMMIT")
        except sqlite3.DatabaseError as error:
            raise LogUnavailableError(f"{path}: {error}") from error
        if version > FORMAT:
            raise LogUnavailableError(f"{path} was written by a newer release (format {version})")

    def close(self) -> None:
        self.db.close()

    # destinations

    def destination(self, ref: str, start: int) -> tuple[int, int]:
        """Id and cursor of a destination. A new one, or one that was removed before, begins at `start`."""
        row = self.db.execute("SELECT id, cursor, removed FROM destinations WHERE ref=?", (ref,)).fetchone()
        if row is None:
            made = self.db.execute("INSERT INTO destinations (ref, cursor) VALUES (?,?)", (ref, start))
            assert made.lastrowid is not None
            return made.lastrowid, start
        if row[2]:
            self.db.execute("UPDATE destinations SET removed=0, cursor=? WHERE id=?", (start, row[0]))
            return row[0], start
        return row[0], row[1]

    def destinations(self) -> dict[str, tuple[int, int]]:
        """Id and cursor of every present destination, by reference."""
        rows = self.db.execute("SELECT ref, id, cursor FROM destinations WHERE NOT removed")
        return {ref: (number, cursor) for ref, number, cursor in rows}

    def drop(self, ref: str, now_ms: int) -> None:
        """A destination is gone from the configuration: what it still owed ends as error, replayable."""
        row = self.db.execute("SELECT id FROM destinations WHERE ref=? AND NOT removed", (ref,)).fetchone()
        if row is None:
            return
        while entries := self.due(row[0], 1 << 62, 1000):
            self.settle(row[0], [_given_up(entry, "destination_deleted", now_ms) for entry in entries])
        self.db.execute("UPDATE destinations SET removed=1 WHERE id=?", (row[0],))

    # steps

    def record(self, destination: int, step: Step) -> None:
        """Everything one step did, in one transaction. Raises sqlite3.Error; then nothing of it is kept."""
        with self.db:
            self.db.execute("BEGIN IMMEDIATE")
            self.db.execute("UPDATE destinations SET cursor=? WHERE id=?", (step.cursor, destination))
            rows = [(destination, *row) for row in step.outcomes]
            self.db.executemany("INSERT INTO outcomes VALUES (?,?,?,?)", rows)
            self._insert_ledger(destination, step.ledger)
            self._insert_dead(destination, step.dead)
            counts = Counter(b"".join(codes for _, _, codes in step.outcomes))
            self._count(destination, {**counts, ATTEMPTS: step.attempts})

    def settle(self, destination: int, settlements: Sequence[Settlement]) -> None:
        """Results of further attempts, in one transaction."""
        with self.db:
            self.db.execute("BEGIN IMMEDIATE")
            for one in settlements:
                entry = one.entry
                if one.code is None:
                    self.db.execute(
                        "UPDATE ledger SET attempts=?, due_ms=?, first_ms=?, reason=?, detail=? WHERE seq=?",
                        (one.attempts, one.due_ms, one.first_ms, one.reason, one.detail, entry.seq),
                    )
                else:
                    self.db.execute("DELETE FROM ledger WHERE seq=?", (entry.seq,))
                    self._change(destination, entry.offset, Code.PENDING, one.code)
                    if one.dead is not None:
                        self._insert_dead(destination, [one.dead])
                    else:
                        values = (destination, entry.offset, one.attempts, one.due_ms)
                        self.db.execute("INSERT OR REPLACE INTO retried VALUES (?,?,?,?)", values)
            made = sum(max(0, one.attempts - one.entry.attempts) for one in settlements)
            self._count(destination, {ATTEMPTS: made})

    # the ledger

    def due(self, destination: int, now_ms: int, limit: int, ordered: bool = False) -> list[LedgerEntry]:
        """Entries whose time has come; with `ordered` only the first of each user."""
        head = (
            "AND (user_key='' OR NOT EXISTS (SELECT 1 FROM ledger AS other WHERE other.destination=ledger.destination"
            " AND other.user_key=ledger.user_key AND other.seq<ledger.seq))"
            if ordered
            else ""
        )
        rows = self.db.execute(
            "SELECT offset, event_id, name, payload, user_key, received_ms, attempts, first_ms, due_ms, reason,"
            f" detail, seq FROM ledger WHERE destination=? AND due_ms<=? {head} ORDER BY due_ms, seq LIMIT ?",
            (destination, now_ms, limit),
        )
        return [LedgerEntry(*row) for row in rows]

    def next_due_ms(self, destination: int) -> int | None:
        """When the next ledger entry is due."""
        due: int | None = self.db.execute(
            "SELECT min(due_ms) FROM ledger WHERE destination=?", (destination,)
        ).fetchone()[0]
        return due

    def expedite(self, destination: int, reason: str, now_ms: int) -> None:
        """Make entries that wait for this reason due now."""
        values = (now_ms, destination, reason)
        self.db.execute("UPDATE ledger SET due_ms=? WHERE destination=? AND reason=?", values)

    def ledger_size(self, destination: int) -> int:
        size: int = self.db.execute("SELECT count(*) FROM ledger WHERE destination=?", (destination,)).fetchone()[0]
        return size

    def waiting_keys(self, destination: int) -> set[str]:
        """Users with an event in the ledger."""
        rows = self.db.execute("SELECT DISTINCT user_key FROM ledger WHERE destination=?", (destination,))
        return {key for (key,) in rows if key}

    # figures

    def counts(self, destination: int) -> Counter[int]:
        """How many events have each code, since the destination exists; `ATTEMPTS` beside them."""
        rows = self.db.execute("SELECT code, n FROM counters WHERE destination=?", (destination,))
        return Counter(dict(rows))

    def dead_count(self, destination: int) -> int:
        count: int = self.db.execute("SELECT count(*) FROM dead WHERE destination=?", (destination,)).fetchone()[0]
        return count

    def retain(self, older_than_ms: int) -> None:
        """Forget outcomes, dead letters and index runs from before this time; what is pending stays."""
        with self.db:
            self.db.execute("BEGIN IMMEDIATE")
            for (destination,) in self.db.execute("SELECT id FROM destinations").fetchall():
                self._expire(destination, older_than_ms)
            self.db.execute("DELETE FROM dead WHERE died_ms<?", (older_than_ms,))
            self.db.execute("DELETE FROM retried WHERE at_ms<?", (older_than_ms,))
            self.db.execute("DELETE FROM runs WHERE made_ms<?", (older_than_ms,))

    # dead letters

    def dead_letters(
        self, destination: int, since_ms: int = 0, reason: str | None = None, limit: int = 1000
    ) -> list[DeadLetter]:
        """The oldest dead letters of a destination that died since then, for this reason."""
        rows = self.db.execute(
            "SELECT offset, event_id, name, payload, user_key, received_ms, code, reason, detail, attempts, died_ms"
            " FROM dead WHERE destination=? AND died_ms>=? AND (? IS NULL OR reason=?) ORDER BY died_ms LIMIT ?",
            (destination, since_ms, reason, reason, limit),
        )
        return [DeadLetter(*row) for row in rows]

    def replay(self, destination: int, letters: Iterable[DeadLetter], now_ms: int) -> int:
        """Put dead letters back into the ledger, due now; gives how many. Safe while the worker runs."""
        moved = 0
        with self.db:
            self.db.execute("BEGIN IMMEDIATE")
            for letter in letters:
                values = (destination, letter.offset)
                if not self.db.execute("DELETE FROM dead WHERE destination=? AND offset=?", values).rowcount:
                    continue
                moved += 1
                self._change(destination, letter.offset, letter.code, Code.PENDING)
                entry = LedgerEntry(
                    letter.offset,
                    letter.event_id,
                    letter.name,
                    letter.payload,
                    letter.user_key,
                    letter.received_ms,
                    0,
                    0,
                    now_ms,
                    "replay",
                )
                self._insert_ledger(destination, [entry])
        return moved

    # parts of a transaction

    def _expire(self, destination: int, older_than_ms: int) -> None:
        """Some of the oldest outcome rows; what they counted stays in `expired`."""
        rows = self.db.execute(
            "SELECT base, appended_ms, codes FROM outcomes WHERE destination=? ORDER BY base LIMIT 500", (destination,)
        ).fetchall()
        for base, appended_ms, codes in rows:
            if appended_ms >= older_than_ms:
                return
            if Code.PENDING not in codes:
                self._count(destination, Counter(codes), "expired")
                self.db.execute("DELETE FROM outcomes WHERE destination=? AND base=?", (destination, base))

    def _change(self, destination: int, offset: int, old: int, code: Code) -> None:
        row = self.db.execute(
            "SELECT base, codes FROM outcomes WHERE destination=? AND base<=? ORDER BY base DESC LIMIT 1",
            (destination, offset),
        ).fetchone()
        change = {old: -1, int(code): 1} if old != code else {}
        if row is None or offset - row[0] >= len(row[1]):
            # The row is older than the replay window and is counted there already.
            self._count(destination, change, "expired")
        else:
            base, codes = row[0], bytearray(row[1])
            codes[offset - base] = code
            values = (bytes(codes), destination, base)
            self.db.execute("UPDATE outcomes SET codes=? WHERE destination=? AND base=?", values)
        self._count(destination, change)

    def _count(self, destination: int, counts: dict[int, int], table: str = "counters") -> None:
        self.db.executemany(
            f"INSERT INTO {table} VALUES (?,?,?) ON CONFLICT DO UPDATE SET n=n+excluded.n",
            [(destination, code, n) for code, n in counts.items() if n],
        )

    def _insert_ledger(self, destination: int, entries: Iterable[LedgerEntry]) -> None:
        rows = [(destination, *msgspec.structs.astuple(entry)[:-1]) for entry in entries]
        self.db.executemany(
            "INSERT INTO ledger (destination, offset, event_id, name, payload, user_key, received_ms, attempts,"
            " first_ms, due_ms, reason, detail) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            rows,
        )

    def _insert_dead(self, destination: int, letters: Iterable[DeadLetter]) -> None:
        rows = [(destination, *msgspec.structs.astuple(letter)) for letter in letters]
        self.db.executemany("INSERT OR REPLACE INTO dead VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows)


def _given_up(entry: LedgerEntry, reason: str, now_ms: int) -> Settlement:
    letter = dead_letter(entry, Code.ERROR, reason, entry.detail, entry.attempts, now_ms)
    return Settlement(entry, Code.ERROR, letter, entry.attempts)


def dead_letter(entry: LedgerEntry, code: Code, reason: str, detail: str, attempts: int, now_ms: int) -> DeadLetter:
    """The dead letter of an event that is given up or refused now."""
    return DeadLetter(
        entry.offset,
        entry.event_id,
        entry.name,
        entry.payload,
        entry.user_key,
        entry.received_ms,
        int(code),
        reason,
        detail,
        attempts,
        now_ms,
    )
