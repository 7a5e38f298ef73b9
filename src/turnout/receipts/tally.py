"""Counting, in the transactions in which things happen: outcomes by destination, collected events by source.

What must stay true:
* Every (event, destination) pair with an outcome other than `NOT_OFFERED` is counted once: in `delivered`, in the
  bucket of the time at which the event was received, or in `uncounted` once its bucket is forgotten. So the sums of
  both are the counters, always.
* A pair whose outcome changes moves within its bucket, however wide that has become.
* Event names, and some reasons, are chosen by strangers: the first so many of a destination (or source) and hour are
  counted as they are, others as `OTHER`. Sums stay exact.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from turnout.model.event import Processed
from turnout.model.outcome import Code
from turnout.receipts.records import DeadLetter, Settlement

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SPANS = (MINUTE, HOUR, DAY)
"""How long a bucket is, ms."""
OTHER = "(other)"
BOUNDS = {"name": 200, "reason": 50}
"""How many different ones are counted as they are, per destination (or source) and hour."""
_HOURS_IN_MIND = 500

Kind = tuple[int, str, str, str, str]
"""What events are counted by: the minute in which they were received (ms), source, name, status, first reason.

The status of an event that was derived here is "derived".
"""
Counted = tuple[int, str, str, int, str]
"""Minute, source, name, code, reason; of rejections and errors only, what their dead letter says."""
Moved = tuple[int, str, str, int, str, int, str]
"""Minute, source, name; code and reason before; code and reason after."""


def kinds_of(records: Iterable[Processed]) -> list[Kind]:
    """By what each event is counted."""
    return [
        (
            record.received_ms // MINUTE * MINUTE,
            record.source,
            record.name,
            "derived" if record.derived_from else record.status,
            record.reasons[0].code if record.reasons else "",
        )
        for record in records
    ]


def outcomes(kinds: Sequence[Kind], sums: Mapping[Kind, int], codes: bytes | bytearray) -> Counter[Counted]:
    """How many events of a batch got which code. `sums` are those of `kinds`, which most batches don't need."""
    found: Counter[Counted] = Counter()
    if codes.count(codes[:1]) == len(codes):
        pairs: Iterable[tuple[tuple[Kind, int], int]] = [((kind, codes[0]), n) for kind, n in sums.items()]
    else:
        pairs = Counter(zip(kinds, codes, strict=True)).items()
    for ((minute, source, name, _, _), code), n in pairs:
        if code != Code.NOT_OFFERED:
            found[minute, source, name, code, ""] += n
    return found


class Tally:
    """Writes figures into the receipts' file, as parts of transactions."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._words: dict[tuple[str, object, int, str], set[str]] = {}

    def count(self, destination: int, counted: Mapping[Counted, int], dead: Iterable[DeadLetter]) -> None:
        """Outcomes of events that had none. `counted` knows no reasons yet; those of `dead` are added here."""
        found = Counter(counted)
        for letter in dead:
            minute = letter.received_ms // MINUTE * MINUTE
            found[minute, letter.source, letter.name, letter.code, ""] -= 1
            found[minute, letter.source, letter.name, letter.code, letter.reason] += 1
        rows = []
        for (minute, source, name, code, reason), n in found.items():
            if n:
                words = self._admitted("delivered", destination, minute, name, reason)
                rows.append((MINUTE, destination, minute, source, words[0], code, words[1], n))
        self._db.executemany(_ADD_DELIVERED, rows)

    def move(self, destination: int, moved: Mapping[Moved, int]) -> None:
        """Outcomes that have changed. Any process may do it."""
        for (minute, source, name, old, old_reason, code, reason), n in moved.items():
            left = n
            for span, bucket, counted_as, taken in self._taken(destination, minute, source, name, old, old_reason, n):
                _, word = self._admitted("delivered", destination, minute, counted_as, reason)
                row = (span, destination, bucket, source, counted_as, code, word, taken)
                self._db.execute(_ADD_DELIVERED, row)
                left -= taken
            self._db.executemany(_ADD_UNCOUNTED, [(destination, old, -left), (destination, code, left)] if left else [])

    def collect(self, kinds: Iterable[tuple[Kind, int]]) -> None:
        """Events that came in, whatever became of them; derived ones did not."""
        rows = []
        for (minute, source, name, status, reason), n in kinds:
            if status != "derived":
                words = self._admitted("collected", source, minute, name, reason)
                rows.append((MINUTE, source, minute, words[0], status, words[1], n))
        self._db.executemany(_ADD_COLLECTED, rows)

    def _taken(
        self, destination: int, minute: int, source: str, name: str, code: int, reason: str, n: int
    ) -> Iterator[tuple[int, int, str, int]]:
        """Take so many pairs from where they are counted: span, bucket and name of it, and how many were there.

        What is counted by its own words comes first, wherever that is: others need what is counted as `OTHER`. Should
        that not be enough, because words were admitted at one time and not at another, any pair of this outcome will do
        that was received then: sums matter more than words.
        """
        for key in self._places(destination, minute, source, name, code, reason):
            row = self._db.execute(f"SELECT n FROM delivered WHERE {_KEY}", key).fetchone()
            taken = min(n, row[0]) if row else 0
            if taken:
                self._db.execute(f"UPDATE delivered SET n=n-? WHERE {_KEY}", (taken, *key))
                yield key[0], key[2], key[4], taken
                n -= taken
            if not n:
                return

    def _places(
        self, destination: int, minute: int, source: str, name: str, code: int, reason: str
    ) -> Iterator[tuple[int, int, int, str, str, int, str]]:
        buckets = [(span, minute - minute % span) for span in SPANS]
        for counted_as in dict.fromkeys((name, OTHER)):
            for word in dict.fromkeys((reason, OTHER)):
                for span, bucket in buckets:
                    yield span, destination, bucket, source, counted_as, code, word
        sql = (
            "SELECT name, reason FROM delivered WHERE span=? AND destination=? AND bucket=? AND source=? AND code=?"
            " AND n>0"
        )
        for span, bucket in buckets:
            for counted_as, word in self._db.execute(sql, (span, destination, bucket, source, code)).fetchall():
                yield span, destination, bucket, source, counted_as, code, word

    def _admitted(self, table: str, owner: object, minute: int, name: str, reason: str) -> tuple[str, str]:
        """These words, or `OTHER` for those that come after too many others."""
        hour = minute - minute % HOUR
        return self._word(table, owner, hour, "name", name), self._word(table, owner, hour, "reason", reason)

    def _word(self, table: str, owner: object, hour: int, column: str, word: str) -> str:
        known = self._words.get((table, owner, hour, column))
        if known is None:
            if len(self._words) >= _HOURS_IN_MIND:
                self._words.clear()
            known = self._words[table, owner, hour, column] = self._found(table, owner, hour, column)
        if word not in known:
            if len(known) >= BOUNDS[column]:
                return OTHER
            known.add(word)
        return word

    def _found(self, table: str, owner: object, hour: int, column: str) -> set[str]:
        where = "destination" if table == "delivered" else "source"
        sql = f"SELECT DISTINCT {column} FROM {table} WHERE span IN (?,?) AND {where}=? AND bucket>=? AND bucket<?"
        return {word for (word,) in self._db.execute(sql, (MINUTE, HOUR, owner, hour, hour + HOUR))}


def settled(settlements: Iterable[Settlement]) -> Counter[Moved]:
    """What settlements move: from pending to what they end as."""
    found: Counter[Moved] = Counter()
    for one in settlements:
        if one.code is not None and one.code != Code.PENDING:
            minute = one.entry.received_ms // MINUTE * MINUTE
            reason = one.dead.reason if one.dead is not None else ""
            found[minute, one.entry.source, one.entry.name, Code.PENDING, "", one.code, reason] += 1
    return found


def replayed(letters: Iterable[DeadLetter]) -> Counter[Moved]:
    """What a replay moves: from what dead letters ended as to pending."""
    return Counter(
        (one.received_ms // MINUTE * MINUTE, one.source, one.name, one.code, one.reason, int(Code.PENDING), "")
        for one in letters
    )


_ADD_DELIVERED = "INSERT INTO delivered VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET n=n+excluded.n"
_ADD_COLLECTED = "INSERT INTO collected VALUES (?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET n=n+excluded.n"
_ADD_UNCOUNTED = "INSERT INTO uncounted VALUES (?,?,?) ON CONFLICT DO UPDATE SET n=n+excluded.n"
_KEY = "span=? AND destination=? AND bucket=? AND source=? AND name=? AND code=? AND reason=?"
