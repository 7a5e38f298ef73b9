"""The figures of delivery and collection over time, exact and complete (`config-api.md` C5, Definitions).

Counted by minute for two days, then by hour for a month, then by day (`roll_up`). A question may be about any span;
what is only known by longer buckets is given with theirs. A bucket belongs to a period if it begins in it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from turnout.model.outcome import Code
from turnout.receipts.store import PORTION, Store
from turnout.receipts.tally import DAY, HOUR, MINUTE, SPANS

KEPT_MS = {MINUTE: 2 * DAY, HOUR: 31 * DAY, DAY: 400 * DAY}
"""How long figures are kept by buckets of each length."""
_COLUMNS = {"delivered": "destination, {}, source, name, code, reason", "collected": "source, {}, name, status, reason"}
_OWNER = {"delivered": "destination", "collected": "source"}


class Delivered(NamedTuple):
    """So many events received in this bucket have this code at a destination (its number in the receipts) now.

    `reason` is that of rejections and errors, else "": the code says it. A name may be `tally.OTHER`.
    """

    bucket_ms: int
    destination: int
    source: str
    name: str
    code: Code
    reason: str
    n: int


class Collected(NamedTuple):
    """So many events came in from a source ("site/name", "site/" if unknown) and got this verdict.

    `reason` is the first of their reasons. A name may be `tally.OTHER`.
    """

    bucket_ms: int
    source: str
    name: str
    status: str
    reason: str
    n: int


def delivered(
    store: Store, since_ms: int, until_ms: int, bucket_ms: int, destinations: Iterable[int]
) -> list[Delivered]:
    """Outcomes of events received in `[since_ms, until_ms)` at these destinations, in buckets of `bucket_ms`.

    Ascending by bucket. `NOT_OFFERED` is not among the codes. Raises `sqlite3.Error`.
    """
    found: Counter[tuple[int, int, str, str, int, str]] = Counter()
    sql = (
        "SELECT bucket/:of*:of, destination, source, name, code, reason, sum(n) FROM delivered WHERE span=:span"
        " AND destination=:destination AND bucket>=:since AND bucket<:until AND n>0 GROUP BY 1, 3, 4, 5, 6"
    )
    for destination in destinations:
        for values in _parts(since_ms, until_ms, bucket_ms):
            for *key, n in store.db.execute(sql, {**values, "destination": destination}):
                found[tuple(key)] += n
    return sorted(
        Delivered(bucket, destination, source, name, Code(code), reason, n)
        for (bucket, destination, source, name, code, reason), n in found.items()
    )


def collected(store: Store, since_ms: int, until_ms: int, bucket_ms: int, site: str) -> list[Collected]:
    """Events received in `[since_ms, until_ms)` for a site, in buckets of `bucket_ms`, ascending.

    Those of unknown sources are under "site/". Events derived here did not come in. Raises `sqlite3.Error`.
    """
    found: Counter[tuple[int, str, str, str, str]] = Counter()
    sql = (
        "SELECT bucket/:of*:of, source, name, status, reason, sum(n) FROM collected WHERE span=:span"
        " AND source=:source AND bucket>=:since AND bucket<:until GROUP BY 1, 3, 4, 5"
    )
    for source in sorted({source for span in SPANS for source in _sources(store, span, f"{site}/", f"{site}0")}):
        for values in _parts(since_ms, until_ms, bucket_ms):
            for *key, n in store.db.execute(sql, {**values, "source": source}):
                found[tuple(key)] += n
    return sorted(Collected(*key, n) for key, n in found.items())


def last_collected_ms(store: Store, site: str) -> dict[str, int]:
    """When each source of a site, by reference, sent its last event: the beginning of that minute, ms.

    After two days of silence that of the hour, after a month that of the day. Raises `sqlite3.Error`.
    """
    last: dict[str, int] = {}
    sql = "SELECT max(bucket) FROM collected WHERE span=? AND source=?"
    for span in SPANS:
        for source in _sources(store, span, f"{site}/", f"{site}0"):
            last[source] = max(last.get(source, 0), store.db.execute(sql, (span, source)).fetchone()[0])
    return last


def by_code(store: Store, destination: int) -> Counter[int]:
    """How many events have each code, whenever they came: what the counters say too."""
    found: Counter[int] = Counter()
    sql = (
        "SELECT code, n FROM uncounted WHERE destination=:of UNION ALL"
        f" SELECT code, sum(n) FROM delivered WHERE span IN {SPANS} AND destination=:of GROUP BY code"
    )
    for code, n in store.db.execute(sql, {"of": destination}):
        found[code] += n
    return found


def roll_up(store: Store, now_ms: int) -> bool:
    """Put old figures into longer buckets, and forget the oldest. Does a portion; whether there is more to do.

    Raises what `Store` raises.
    """
    more = False
    with store.transaction():
        for span, longer in ((MINUTE, HOUR), (HOUR, DAY), (DAY, None)):
            # Whole buckets at a time, so that none is known twice as long as it takes.
            before = (now_ms - KEPT_MS[span]) // (longer or span) * (longer or span)
            for one in store.registered():
                more |= _roll(store, "delivered", one.id, span, longer, before)
            for source in list(_sources(store, span)):
                more |= _roll(store, "collected", source, span, longer, before)
    return more


def _roll(store: Store, table: str, owner: object, span: int, longer: int | None, before: int) -> bool:
    columns = _COLUMNS[table].format("bucket")
    sql = f"SELECT {columns}, n FROM {table} WHERE span=? AND {_OWNER[table]}=? AND bucket<? ORDER BY bucket LIMIT ?"
    rows = store.db.execute(sql, (span, owner, before, PORTION)).fetchall()
    if rows and longer is not None:
        places = ",".join("?" * (len(rows[0]) + 1))
        store.db.executemany(
            f"INSERT INTO {table} VALUES ({places}) ON CONFLICT DO UPDATE SET n=n+excluded.n",
            [(longer, row[0], row[1] - row[1] % longer, *row[2:]) for row in rows if row[-1]],
        )
    elif table == "delivered":
        forgotten: Counter[int] = Counter()
        for row in rows:
            forgotten[row[4]] += row[-1]
        for code, n in forgotten.items():
            store.count(int(rows[0][0]), {code: n}, "uncounted")
    where = " AND ".join(f"{column}=?" for column in columns.split(", "))
    store.db.executemany(f"DELETE FROM {table} WHERE span=? AND {where}", [(span, *row[:-1]) for row in rows])
    return len(rows) == PORTION


def _parts(since_ms: int, until_ms: int, bucket_ms: int) -> Iterator[dict[str, int]]:
    for span in SPANS:
        yield {"of": max(bucket_ms, span), "span": span, "since": since_ms, "until": until_ms}


def _sources(store: Store, span: int, first: str = "", end: str = "\U0010ffff") -> Iterator[str]:
    """The sources with figures, one look-up each."""
    sql = "SELECT source FROM collected WHERE span=? AND source{}? AND source<? ORDER BY source LIMIT 1"
    row = store.db.execute(sql.format(">="), (span, first, end)).fetchone()
    while row is not None:
        yield row[0]
        row = store.db.execute(sql.format(">"), (span, row[0], end)).fetchone()
