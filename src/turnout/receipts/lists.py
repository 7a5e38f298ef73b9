"""Dead letters and waiting events as lists for people: newest first, a page at a time.

All raise `sqlite3.Error` when the receipts can't be read."""

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from turnout.receipts.records import DeadLetter
from turnout.receipts.store import Store

_LAST = 1 << 62


class Place(NamedTuple):
    """Where a dead letter is in the list of all, the oldest the least."""

    died_ms: int
    destination: int
    offset: int


class Span(NamedTuple):
    """Which dead letters are meant: both ends included, ms; `reason` None is any."""

    since_ms: int = 0
    until_ms: int = _LAST
    reason: str | None = None


def dead_page(
    store: Store,
    destinations: Iterable[int],
    span: Span,
    size: int,
    *,
    after: Place | None = None,
    before: Place | None = None,
) -> list[tuple[Place, DeadLetter]]:
    """Up to `size` dead letters of these destinations, newest first: those just after (older than) a place, or
    just before it."""
    newest_first = before is None
    pages = [_page(store, one, span, size, after or before, newest_first) for one in destinations]
    found = list(heapq.merge(*pages, key=lambda pair: pair[0], reverse=newest_first))[:size]
    return found if newest_first else found[::-1]


def _page(
    store: Store, destination: int, span: Span, size: int, place: Place | None, newest_first: bool
) -> Sequence[tuple[Place, DeadLetter]]:
    at_ms, edge = _LAST, _LAST
    if place is not None:
        # Of equal times, those of lower destinations count as older.
        lower, same = destination < place.destination, destination == place.destination
        at_ms, edge = place.died_ms, place.offset if same else _LAST if lower else -1
    compared, order = ("<", "DESC") if newest_first else (">", "ASC")
    rows = store.db.execute(
        "SELECT offset, event_id, name, x'', user_key, received_ms, code, reason, detail, attempts, died_ms,"
        " source FROM dead"
        f" WHERE destination=? AND (died_ms, offset){compared}(?,?) AND died_ms BETWEEN ? AND ?"
        f" AND (? IS NULL OR reason=?) ORDER BY died_ms {order}, offset {order} LIMIT ?",
        (destination, at_ms, edge, span.since_ms, span.until_ms, span.reason, span.reason, size),
    )
    letters = [DeadLetter(*row) for row in rows]
    return [(Place(letter.died_ms, destination, letter.offset), letter) for letter in letters]


def dead_count(store: Store, destination: int, span: Span) -> int:
    """How many dead letters of a destination are meant, counted from the rows."""
    rows = store.db.execute(
        "SELECT count(*) FROM dead WHERE destination=? AND died_ms BETWEEN ? AND ? AND (? IS NULL OR reason=?)",
        (destination, span.since_ms, span.until_ms, span.reason, span.reason),
    )
    count: int = rows.fetchone()[0]
    return count


def dead_of_reason(
    store: Store, destination: int, code: int, reason: str, until_ms: int, size: int
) -> list[DeadLetter]:
    """The newest dead letters with this code and reason that died before a time (ms), whole, the newest first."""
    rows = store.db.execute(
        "SELECT offset, event_id, name, payload, user_key, received_ms, code, reason, detail, attempts, died_ms, source"
        " FROM dead WHERE destination=? AND code=? AND reason=? AND died_ms<?"
        " ORDER BY died_ms DESC, offset DESC LIMIT ?",
        (destination, code, reason, until_ms, size),
    )
    return [DeadLetter(*row) for row in rows]


def dead_count_of_reason(store: Store, destination: int, code: int, reason: str) -> int:
    """How many dead letters have this code and reason."""
    sql = "SELECT count(*) FROM dead WHERE destination=? AND code=? AND reason=?"
    count: int = store.db.execute(sql, (destination, code, reason)).fetchone()[0]
    return count


def last_death_ms(store: Store, destination: int, code: int, reason: str, until_ms: int) -> int | None:
    """When the last event with this code and reason died before a time (ms)."""
    sql = "SELECT max(died_ms) FROM dead WHERE destination=? AND code=? AND reason=? AND died_ms<?"
    last: int | None = store.db.execute(sql, (destination, code, reason, until_ms)).fetchone()[0]
    return last


def oldest_pending_ms(store: Store, destination: int) -> int | None:
    """When the event that came first of those in the ledger was received."""
    sql = "SELECT received_ms FROM ledger WHERE destination=? ORDER BY offset LIMIT 1"
    row = store.db.execute(sql, (destination,)).fetchone()
    return row[0] if row is not None else None
