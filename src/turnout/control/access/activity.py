"""The record of every change and of every look at personal data: rows are added, never changed.

Bounded by time alone. A bound on their number would let whoever floods it cover their traces.
"""

from collections.abc import Mapping

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select

from turnout.control.access.database import Database
from turnout.control.access.tables import activity
from turnout.control.access.token import ALL_SITES

KEPT_MS = 400 * 86_400_000
_CLEANED_EVERY_MS = 3_600_000


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Who (`token` id, "" on the command line) did what (`action`) to whom (`subject`), when, from where.

    `properties` never holds secrets or personal data. A `site` of "*" concerns all of them.
    """

    seq: int = 0
    at_ms: int
    site: str
    token: str = ""
    origin: str = "api"
    address: str = ""
    feature: str
    action: str
    subject: str = ""
    properties: Mapping[str, object] = {}


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """Conditions that all must hold; None: any. Times in ms, `until_ms` not included."""

    feature: str | None = None
    action: str | None = None
    subject: str | None = None
    token: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class Activity:
    """Every call raises `ControlUnavailableError` when the store can't be used."""

    def __init__(self, database: Database, kept_ms: int = KEPT_MS) -> None:
        self._database, self._kept_ms = database, kept_ms
        self._clean_at_ms = 0

    def add(self, entry: Entry) -> None:
        """Record, durably: call it before the deed, so that nothing is done that could not be recorded."""
        with self._database.connection() as connection:
            write(connection, entry)
            if entry.at_ms >= self._clean_at_ms:
                self._clean_at_ms = entry.at_ms + _CLEANED_EVERY_MS
                connection.execute(delete(activity).where(activity.c.at_ms < entry.at_ms - self._kept_ms))

    def page(
        self, site: str, sought: Sought, size: int, *, after: int | None = None, before: int | None = None
    ) -> list[Entry]:
        """Up to `size` entries of a site, newest first: those just after (older than) a `seq`, or just before."""
        conditions: list[ColumnElement[bool]] = [activity.c.site.in_((site, ALL_SITES))]
        if sought.feature is not None:
            conditions.append(activity.c.feature == sought.feature)
        if sought.action is not None:
            conditions.append(activity.c.action == sought.action)
        if sought.subject is not None:
            conditions.append(activity.c.subject == sought.subject)
        if sought.token is not None:
            conditions.append(activity.c.token == sought.token)
        if sought.since_ms is not None:
            conditions.append(activity.c.at_ms >= sought.since_ms)
        if sought.until_ms is not None:
            conditions.append(activity.c.at_ms < sought.until_ms)
        if after is not None:
            conditions.append(activity.c.seq < after)
        if before is not None:
            conditions.append(activity.c.seq > before)
        order = activity.c.seq if before is not None else activity.c.seq.desc()
        with self._database.connection() as connection:
            rows = connection.execute(select(activity).where(*conditions).order_by(order).limit(size)).all()
        entries = [_entry(row) for row in rows]
        return entries[::-1] if before is not None else entries


def write(connection: Connection, entry: Entry) -> None:
    """Record in a transaction, together with the deed."""
    fields = msgspec.structs.asdict(entry)
    row = {name: value for name, value in fields.items() if name not in ("seq", "properties")}
    written = msgspec.json.encode(entry.properties).decode()
    connection.execute(insert(activity).values({**row, "properties": written}))


def _entry(row: Row[tuple[object, ...]]) -> Entry:
    return Entry(**{**row._asdict(), "properties": msgspec.json.decode(row.properties)})
