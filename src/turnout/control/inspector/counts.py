"""How many records a file has, by kind and time: what a histogram or facets of a million records are read from.

A record's kind is what we say of it but for what is different with each (`KINDLESS`). Counts are kept for buckets of
each of `SPANS`; a stretch of time is read from the longest that fit into it, and at its ends from the records.

What must stay true: counts change in the transaction that adds or removes records, so they are exact at any moment.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

_SECOND_MS, _MINUTE_MS, _HOUR_MS, _DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
SPANS = (_HOUR_MS, 5 * _MINUTE_MS, 10 * _SECOND_MS)
"""Longest first; each is a multiple of the next."""
ALWAYS = SPANS[0] << 32
"""As a width: one bucket that holds every time."""
WIDTHS = (
    *(n * _SECOND_MS for n in (10, 20, 30)),
    *(n * _MINUTE_MS for n in (1, 2, 5, 10, 15, 20, 30)),
    *(n * _HOUR_MS for n in (1, 2, 3, 4, 6, 8, 12)),
)
"""How long the buckets of a histogram may be, beside whole days. Each divides a day: they begin where a clock does."""
KINDLESS = frozenset(("event_id", "test_code"))
"""Fields that are no part of a kind: there may be as many values as records."""
SCHEMA = """
CREATE TABLE kinds (id INTEGER PRIMARY KEY, fields BLOB NOT NULL UNIQUE);
CREATE TABLE counts (span INTEGER, bucket INTEGER, kind INTEGER, n INTEGER NOT NULL,
    PRIMARY KEY (span, bucket, kind)) WITHOUT ROWID;
"""

Fields = Mapping[str, tuple[str, ...]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, tuple[str, ...]]).decode


class Count(NamedTuple):
    """So many records of a kind in the bucket that begins there (ms)."""

    fields: Fields
    bucket: int
    n: int


class Piece(NamedTuple):
    """A part of a stretch of time: whole buckets of `span`, or with 0 less than the shortest."""

    span: int
    since_ms: int
    until_ms: int


def kind_of(fields: Fields) -> bytes:
    """The kind of a record with these fields, as it is kept; the same for the same values."""
    return _encode({name: values for name, values in fields.items() if name not in KINDLESS})


def width_for(since_ms: int, until_ms: int, buckets: int) -> int:
    """The shortest width (ms) with which so many buckets hold all from `since_ms` up to `until_ms`."""
    for width in WIDTHS:
        if _needed(since_ms, until_ms, width) <= buckets:
            return width
    days = 1
    while _needed(since_ms, until_ms, days * _DAY_MS) > buckets:
        days += 1
    return days * _DAY_MS


def _needed(since_ms: int, until_ms: int, width: int) -> int:
    return -(-until_ms // width) - since_ms // width


def pieces(since_ms: int, until_ms: int, width_ms: int, spans: Sequence[int] = SPANS) -> Iterator[Piece]:
    """A stretch of time in as few pieces as the spans allow that fit into buckets of `width_ms`, in order. Pure."""
    if since_ms >= until_ms:
        return
    if not spans:
        yield Piece(0, since_ms, until_ms)
        return
    span, *shorter = spans
    first, last = -(-since_ms // span) * span, until_ms // span * span
    if width_ms % span or first >= last:
        yield from pieces(since_ms, until_ms, width_ms, shorter)
        return
    yield from pieces(since_ms, first, width_ms, shorter)
    yield Piece(span, first, last)
    yield from pieces(last, until_ms, width_ms, shorter)


def number_of(db: sqlite3.Connection, kind: bytes) -> int:
    """The number of a kind within its file, given to it now if it has none. Raises sqlite3.Error."""
    db.execute("INSERT OR IGNORE INTO kinds (fields) VALUES (?)", (kind,))
    row = db.execute("SELECT id FROM kinds WHERE fields=?", (kind,)).fetchone()
    return int(row[0])


def add(db: sqlite3.Connection, records: Iterable[tuple[int, int]], sign: int = 1) -> None:
    """Count records (number of the kind, time in ms), or with -1 count them no more. Raises sqlite3.Error."""
    found = Counter((span, at_ms // span * span, kind) for kind, at_ms in records for span in SPANS)
    db.executemany(
        "INSERT INTO counts VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
        [(*key, sign * n) for key, n in found.items()],
    )


def forget_unused(db: sqlite3.Connection) -> None:
    """Remove what counts nothing any more: a name may tell of a person. Raises sqlite3.Error."""
    db.execute("DELETE FROM counts WHERE n = 0")
    db.execute("DELETE FROM kinds WHERE id NOT IN (SELECT kind FROM counts)")


def kinds(db: sqlite3.Connection) -> Iterator[tuple[int, Fields]]:
    """Every kind that has records, by its number. Raises sqlite3.Error."""
    for number, fields in db.execute("SELECT id, fields FROM kinds"):
        yield number, _decode(fields)


def read(db: sqlite3.Connection, since_ms: int, until_ms: int, width_ms: int) -> Iterator[tuple[int, int, int]]:
    """Kind, beginning of the bucket (a multiple of `width_ms`), and how many records; a pair may come more than once.

    Raises sqlite3.Error.
    """
    for span, first, last in pieces(since_ms, until_ms, width_ms):
        source, column, where = ("counts", "bucket", "span = :span AND") if span else ("records", "at_ms", "")
        yield from db.execute(
            f"SELECT kind, {column} / :width * :width AS begins, {'sum(n)' if span else 'count(*)'} FROM {source}"
            f" WHERE {where} {column} >= :first AND {column} < :last GROUP BY kind, begins",
            {"span": span, "width": width_ms, "first": first, "last": last},
        )
