"""The receipts' file, `state.db`: cursors, outcomes, counters, retry ledger, dead letters (`schema.py`).

Everything that belongs together happens in one transaction. Counters change only by increments, so that the CLI
may replay dead letters while the worker runs.

`synchronous=NORMAL`: a power cut may take back the last transactions, whole and in order. Then their events are
delivered again; the sums still close. So nobody may forget an event, in the log say, because of what is written
here before `checkpoint` has returned.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from turnout.model.clock import now_ms
from turnout.model.errors import ReceiptsUnavailableError
from turnout.model.outcome import Code
from turnout.model.requirement import Requirement
from turnout.receipts import dead, queue
from turnout.receipts.erasure import any_erased, blanked, bury_at, erased_between
from turnout.receipts.parting import is_there
from turnout.receipts.records import (
    DeadLetter,
    Figures,
    LedgerEntry,
    Registered,
    Settlement,
    Step,
    replayed,
)
from turnout.receipts.schema import ATTEMPTS, DEAD, LOST, connect
from turnout.receipts.tally import Tally, settled
from turnout.receipts.tally import replayed as moved_by_replay

_FOREVER_MS = 1 << 62
PORTION = 500
"""Rows that calls which may have much to do handle at a time; about 20 ms."""


class Store:
    """See the module. Calls are short and may be made in the event loop, `checkpoint` apart.

    All raise `ReceiptsUnavailableError` when the file can't be used at the moment (the disk is full, say); nothing
    of the call is kept then.
    """

    def __init__(self, path: Path) -> None:
        """Open or create. Raises `ReceiptsUnavailableError` if the file is of a newer release or can't be read."""
        self.path = path
        self.db = connect(path)
        self.tally = Tally(self.db)
        # Its own connection, because the other one is in use while this one waits for the disk.
        self._checkpointer = connect(path)

    def close(self) -> None:
        self._checkpointer.close()
        self.db.close()

    def checkpoint(self) -> bool:
        """Make what is committed by now survive a power cut; False if a reader was in the way, try again later.

        Blocks for the disk: call it in a thread, one at a time. Writers go on meanwhile.
        """
        try:
            busy, frames, moved = self._checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.DatabaseError as error:
            raise self._unavailable(error) from error
        return not busy and frames == moved

    # destinations

    def destination(self, ref: str, start: int) -> tuple[int, int]:
        """Id and cursor of a destination. A new one, or one that was removed before, begins at `start`.

        Durable on return: a power cut must not move the beginning.
        """
        row = next(self.rows("SELECT id, cursor, removed FROM destinations WHERE ref=?", ref), None)
        if row is not None and not row[2]:
            return row[0], row[1]
        self.db.execute("PRAGMA synchronous=FULL")
        try:
            with self.transaction():
                self.db.execute(
                    "INSERT INTO destinations (ref, cursor, since) VALUES (?,?,?) ON CONFLICT (ref) DO UPDATE"
                    " SET cursor=excluded.cursor, since=excluded.since, removed=0",
                    (ref, start, start),
                )
        finally:
            self.db.execute("PRAGMA synchronous=NORMAL")
        return self.destination(ref, start)

    def destinations(self) -> dict[str, tuple[int, int]]:
        """Id and cursor of every present destination, by reference."""
        rows = self.rows("SELECT ref, id, cursor FROM destinations WHERE NOT removed")
        return {ref: (number, cursor) for ref, number, cursor in rows}

    def registered(self) -> list[Registered]:
        """Every destination of which something is kept, removed ones too, by reference."""
        rows = self.rows(
            "SELECT ref, id, cursor, since, removed, until FROM destinations LEFT JOIN owed ON destination=id"
            " ORDER BY ref"
        )
        return [
            Registered(ref, number, cursor, since, bool(gone), until)
            for ref, number, cursor, since, gone, until in rows
        ]

    def arrange(self, destination: int, ordered: bool) -> None:
        """Let the ledger keep each user's events in order from now on, or no longer."""
        row = next(self.rows("SELECT ordered FROM destinations WHERE id=?", destination))
        if bool(row[0]) == ordered:
            return
        with self.transaction():
            self.db.execute("UPDATE destinations SET ordered=? WHERE id=?", (ordered, destination))
            self.db.execute(
                "UPDATE ledger SET due_ms=NULL WHERE destination=? AND user_key<>'' AND EXISTS (SELECT 1 FROM"
                " ledger AS earlier WHERE earlier.destination=ledger.destination"
                " AND earlier.user_key=ledger.user_key AND earlier.seq<ledger.seq)"
                if ordered
                else "UPDATE ledger SET due_ms=0 WHERE destination=? AND due_ms IS NULL",
                (destination,),
            )

    def enforce(self, destination: int, cursor: int, requirement: Requirement) -> int:
        """Events from `cursor` on are decided with this requirement; gives since which offset they are.

        That is earlier than `cursor` if it was in force already.
        """
        text = msgspec.json.encode(requirement)
        sql = "SELECT since, requirement FROM requirements WHERE destination=? ORDER BY since DESC LIMIT 1"
        row = next(self.rows(sql, destination), None)
        if row is not None and row[1] == text:
            return int(row[0])
        with self.transaction():
            self.db.execute("INSERT OR REPLACE INTO requirements VALUES (?,?,?)", (destination, cursor, text))
        return cursor

    # steps

    def record(self, destination: int, step: Step) -> None:
        """Everything one step did, in one transaction."""
        with self.transaction():
            gone = erased_between(self.db, step.outcomes[0][0], step.cursor) if step.outcomes else frozenset()
            step = blanked(step, gone) if gone else step
            self.db.execute("UPDATE destinations SET cursor=? WHERE id=?", (step.cursor, destination))
            rows = [(destination, *row) for row in step.outcomes]
            self.db.executemany("INSERT INTO outcomes VALUES (?,?,?,?)", rows)
            self._insert_ledger(destination, step.ledger)
            self._insert_dead(destination, step.dead)
            counts = Counter(b"".join([codes for _, _, codes in step.outcomes]))
            self.count(destination, {**counts, ATTEMPTS: step.attempts})
            self.tally.count(destination, step.counted, step.dead)
            self._show(step.shown)
            if gone:
                bury_at(self, destination, gone, now_ms())

    def settle(self, destination: int, settlements: Sequence[Settlement], shown: Sequence[bytes] = ()) -> None:
        """Results of further attempts, in one transaction. With `ordered` it may make the user's next event due.

        `shown` are encoded attempts.
        """
        with self.transaction():
            self.settle_within(destination, settlements)
            made = sum(max(0, one.attempts - one.entry.attempts) for one in settlements)
            self.count(destination, {ATTEMPTS: made})
            if shown and not any_erased(self.db, [one.entry.offset for one in settlements]):
                self._show(shown)

    def settle_within(self, destination: int, settlements: Sequence[Settlement]) -> None:
        """Settle as part of a transaction, without attempts."""
        ended = [one for one in settlements if self._settle(destination, one)]
        self.tally.move(destination, settled(ended))

    # the ledger

    def due(self, destination: int, now_ms: int, limit: int) -> list[LedgerEntry]:
        """Entries whose time has come, the longest due first; with `ordered` only the first of each user."""
        return self.entries("AND due_ms<=? ORDER BY due_ms, seq LIMIT ?", destination, now_ms, limit)

    def next_due(self, destination: int) -> list[LedgerEntry]:
        """The entry that is or will be due first, if there is one."""
        return self.due(destination, _FOREVER_MS, 1)

    def expedite(self, destination: int, reason: str, now_ms: int) -> None:
        """Make entries that wait for this reason due now."""
        with self.transaction():
            values = (now_ms, destination, reason, now_ms)
            self.db.execute("UPDATE ledger SET due_ms=? WHERE destination=? AND reason=? AND due_ms>?", values)

    def ledger_size(self, destination: int) -> int:
        """How many entries there are, counted from the rows."""
        size: int = next(self.rows("SELECT count(*) FROM ledger WHERE destination=?", destination))[0]
        return size

    def pending(self, destination: int) -> int:
        """How many entries there are, by the counter: the same figure in no time."""
        row = next(self.rows("SELECT n FROM counters WHERE destination=? AND code=?", destination, Code.PENDING), (0,))
        count: int = row[0]
        return count

    def waiting_users(self, destination: int) -> set[str]:
        """Users with an event in the ledger."""
        rows = self.rows("SELECT DISTINCT user_key FROM ledger WHERE destination=? AND user_key<>''", destination)
        return {key for (key,) in rows}

    def waits(self, destination: int, user_key: str) -> bool:
        """Whether this user has an event in the ledger."""
        sql = "SELECT 1 FROM ledger WHERE destination=? AND user_key=? LIMIT 1"
        return next(self.rows(sql, destination, user_key), None) is not None

    # what is erased

    def erased(self, low: int, high: int) -> frozenset[int]:
        """Which offsets from `low` up to `high` are erased."""
        try:
            return erased_between(self.db, low, high)
        except sqlite3.DatabaseError as error:
            raise self._unavailable(error) from error

    def purge(self) -> bool:
        """Leave nothing of what was deleted in the file or its write-ahead log; durable. False: call it again later.

        Blocks for the disk: call it in a thread.
        """
        try:
            busy, _, _ = self._checkpointer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.DatabaseError as error:
            raise self._unavailable(error) from error
        return not busy

    # figures

    def figures(self, destination: int) -> Figures:
        """All counters of a destination."""
        found = dict(self.rows("SELECT code, n FROM counters WHERE destination=?", destination))
        attempts, dead = found.pop(ATTEMPTS, 0), found.pop(DEAD, 0)
        return Figures({Code(code): n for code, n in found.items()}, attempts, dead)

    def attempts_lost(self) -> int:
        """How many attempts were to be shown, but nobody read them in time."""
        row = next(self.rows("SELECT n FROM counters WHERE destination=0 AND code=?", LOST), (0,))
        count: int = row[0]
        return count

    def dead_size(self, destination: int) -> int:
        """How many dead letters there are, counted from the rows."""
        size: int = next(self.rows("SELECT count(*) FROM dead WHERE destination=?", destination))[0]
        return size

    # dead letters

    def dead_letters(
        self, destination: int, since_ms: int = 0, until_ms: int = _FOREVER_MS, reason: str | None = None
    ) -> Iterator[DeadLetter]:
        """Dead letters that died in this span (both ends included), for this reason, the oldest first.

        Reads a portion at a time; they may be replayed or expire in between.
        """
        died_ms, offset = since_ms, -1
        while True:
            rows = list(
                self.rows(
                    "SELECT offset, event_id, name, payload, user_key, received_ms, code, reason, detail, attempts,"
                    " died_ms, source FROM dead WHERE destination=? AND (died_ms, offset)>(?,?) AND died_ms<=?"
                    " AND (? IS NULL OR reason=?) ORDER BY died_ms, offset LIMIT ?",
                    *(destination, died_ms, offset, until_ms, reason, reason, PORTION),
                )
            )
            yield from (DeadLetter(*row) for row in rows)
            if len(rows) < PORTION:
                return
            offset, died_ms = rows[-1][0], rows[-1][10]

    def replay(self, destination: int, letters: Iterable[DeadLetter], now_ms: int, replay_id: str = "") -> int:
        """Put dead letters back into the ledger, due now; gives how many. Safe while the worker runs.

        Their attempts are marked with `replay_id`. A letter that has died again since it was read is left alone. None
        is moved if the destination is removed: nobody would try them again.
        """
        moved: list[DeadLetter] = []
        with self.transaction():
            if not is_there(self.db, destination):
                return 0
            for letter in letters:
                values = (destination, letter.offset, letter.died_ms)
                if self.db.execute("DELETE FROM dead WHERE destination=? AND offset=? AND died_ms=?", values).rowcount:
                    moved.append(letter)
                    self._change(destination, letter.offset, letter.code, Code.PENDING)
                    self._insert_ledger(destination, [replayed(letter, now_ms, replay_id)])
            dead.taken(self, destination, [letter.payload for letter in moved])
            self.tally.move(destination, moved_by_replay(moved))
        return len(moved)

    # parts of a transaction

    def _settle(self, destination: int, one: Settlement) -> bool:
        """Whether the event has ended by it."""
        entry = one.entry
        if one.code is None:
            self.db.execute(
                "UPDATE ledger SET attempts=?, due_ms=?, first_ms=?, reason=?, detail=? WHERE seq=?",
                (one.attempts, one.due_ms, one.first_ms, one.reason, one.detail, entry.seq),
            )
            return False
        if not self.db.execute("DELETE FROM ledger WHERE seq=?", (entry.seq,)).rowcount:
            return False
        self._change(destination, entry.offset, Code.PENDING, one.code)
        if one.dead is not None:
            self._insert_dead(destination, [one.dead])
        elif one.code == Code.DELIVERED_AFTER_RETRY:
            values = (destination, entry.offset, one.attempts, one.at_ms)
            self.db.execute("INSERT OR REPLACE INTO retried VALUES (?,?,?,?)", values)
        elif one.requirement is not None:
            stopped = (destination, entry.offset, msgspec.json.encode(one.requirement), one.at_ms)
            self.db.execute("INSERT OR REPLACE INTO stopped VALUES (?,?,?,?)", stopped)
        if entry.user_key:
            self.db.execute(
                "UPDATE ledger SET due_ms=? WHERE due_ms IS NULL AND seq=(SELECT min(seq) FROM ledger"
                " WHERE destination=? AND user_key=?)",
                (one.at_ms, destination, entry.user_key),
            )
        return True

    def _change(self, destination: int, offset: int, old: int, code: Code) -> None:
        row = self.db.execute(
            "SELECT base, codes FROM outcomes WHERE destination=? AND base<=? ORDER BY base DESC LIMIT 1",
            (destination, offset),
        ).fetchone()
        change = {old: -1, int(code): 1} if old != code else {}
        if row is None or offset - row[0] >= len(row[1]):
            # The row is older than the replay window and is counted there already.
            self.count(destination, change, "expired")
        else:
            base, codes = row[0], bytearray(row[1])
            codes[offset - base] = code
            values = (bytes(codes), destination, base)
            self.db.execute("UPDATE outcomes SET codes=? WHERE destination=? AND base=?", values)
        self.count(destination, change)

    def count(self, destination: int, counts: Mapping[int, int], table: str = "counters") -> None:
        """Add to counters, as part of a transaction."""
        self.db.executemany(
            f"INSERT INTO {table} VALUES (?,?,?) ON CONFLICT DO UPDATE SET n=n+excluded.n",
            [(destination, code, n) for code, n in counts.items() if n],
        )

    def _insert_ledger(self, destination: int, entries: Sequence[LedgerEntry]) -> None:
        self.db.executemany(
            "INSERT INTO ledger (destination, offset, event_id, name, payload, user_key, received_ms, attempts,"
            " first_ms, due_ms, reason, detail, source, replay_id) VALUES (:destination, :offset, :event_id, :name,"
            " :payload, :user_key, :received_ms, :attempts, :first_ms, CASE WHEN :user_key<>''"
            " AND (SELECT ordered FROM destinations WHERE id=:destination)"
            " AND EXISTS (SELECT 1 FROM ledger WHERE destination=:destination AND user_key=:user_key)"
            " THEN NULL ELSE :due_ms END, :reason, :detail, :source, :replay_id)",
            [{**msgspec.structs.asdict(entry), "destination": destination} for entry in entries],
        )

    def _insert_dead(self, destination: int, letters: Sequence[DeadLetter]) -> None:
        rows = [(destination, *msgspec.structs.astuple(letter)) for letter in letters]
        self.db.executemany("INSERT INTO dead VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", rows)
        dead.added(self, destination, [letter.payload for letter in letters])

    def _show(self, attempts: Sequence[bytes]) -> None:
        if lost := queue.add(self.db, attempts):
            self.count(0, {LOST: lost})

    # access

    def entries(self, where: str, destination: int, *values: object) -> list[LedgerEntry]:
        """Entries of a destination that meet a condition in SQL."""
        rows = self.rows(
            "SELECT offset, event_id, name, payload, user_key, received_ms, attempts, first_ms, due_ms, reason,"
            f" detail, seq, source, replay_id FROM ledger WHERE destination=? {where}",
            *(destination, *values),
        )
        return [LedgerEntry(*row) for row in rows]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is done with `db` in the body happens whole or, if it raises, not at all."""
        try:
            with self.db:
                self.db.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.IntegrityError:
            raise  # a bug, not the disk
        except sqlite3.DatabaseError as error:
            raise self._unavailable(error) from error

    def rows(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """What a query finds."""
        try:
            return iter(self.db.execute(sql, values).fetchall())
        except sqlite3.DatabaseError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: sqlite3.Error) -> ReceiptsUnavailableError:
        return ReceiptsUnavailableError(f"{self.path}: {error}")
