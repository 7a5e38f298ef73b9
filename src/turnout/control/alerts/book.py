"""Where states and messages of alerts are kept: two tables of `control.db`. Writes are durable on return.

What must stay true: states, changes and messages of one round of checks are kept together or not at all; a message
stays due until somebody says how it went.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Row, Table, delete, func, insert, select, update

from turnout.control.access.database import Database
from turnout.control.access.tables import alert_history, alert_states
from turnout.control.alerts.state import State
from turnout.control.alerts.words import Notice

KEPT_MS = 400 * 86_400_000
_CLEANED_EVERY_MS = 3_600_000


class Kept(NamedTuple):
    """What is known of a rule; the snooze is set by hand."""

    state: State
    snoozed_until_ms: int


FRESH = Kept(State(), 0)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the history: a change of state (`notification` ""), or a message and how it went."""

    seq: int = 0
    site: str
    alert: str
    at_ms: int
    kind: str
    notification: str = ""
    notice: Notice | None = None
    attempts: int = 0
    due_ms: int | None = None
    sent_ms: int | None = None
    error: str = ""


class Outcome(NamedTuple):
    """How an attempt to send went: `sent_ms`, or `error` and when to try again (None: not any more)."""

    sent_ms: int | None = None
    error: str = ""
    due_ms: int | None = None


class LastMessage(NamedTuple):
    """When a notification last got a message through, and how its newest one stands."""

    last_sent_ms: int | None
    error: str
    due_ms: int | None


class Book:
    """Safe in threads. Every call raises `ControlUnavailableError` when the store can't be used."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._clean_at_ms = 0

    def kept(self) -> dict[str, Kept]:
        """What is known of every rule, by reference."""
        with self._database.connection() as connection:
            rows = connection.execute(select(alert_states)).all()
        return {
            f"{row.site}/{row.alert}": Kept(
                msgspec.json.decode(row.written, type=State) if row.written else State(), row.snoozed_until_ms
            )
            for row in rows
        }

    def record(self, states: Mapping[str, State], entries: Iterable[Entry], now_ms: int) -> None:
        """Keep what a round of checks gave. Rules that are not among `states` are forgotten."""
        with self._database.connection() as connection:
            known = {(row.site, row.alert) for row in connection.execute(select(alert_states)).all()}
            for ref, state in states.items():
                site, _, alert = ref.partition("/")
                row = {"written": msgspec.json.encode(state).decode()}
                if (site, alert) in known:
                    connection.execute(update(alert_states).where(*_is(alert_states, site, alert)).values(row))
                else:
                    whole = {**row, "site": site, "alert": alert, "snoozed_until_ms": 0}
                    connection.execute(insert(alert_states).values(whole))
            for site, alert in known:
                if f"{site}/{alert}" not in states:
                    connection.execute(delete(alert_states).where(*_is(alert_states, site, alert)))
            for entry in entries:
                connection.execute(insert(alert_history).values(_row(entry)))
            if now_ms >= self._clean_at_ms:
                self._clean_at_ms = now_ms + _CLEANED_EVERY_MS
                old = alert_history.c.at_ms < now_ms - KEPT_MS
                connection.execute(delete(alert_history).where(old, alert_history.c.due_ms.is_(None)))

    def snooze(self, site: str, alert: str, until_ms: int) -> None:
        """Say nothing of a rule until then."""
        with self._database.connection() as connection:
            change = update(alert_states).where(*_is(alert_states, site, alert)).values(snoozed_until_ms=until_ms)
            if not connection.execute(change).rowcount:
                row = {"site": site, "alert": alert, "written": "", "snoozed_until_ms": until_ms}
                connection.execute(insert(alert_states).values(row))

    def add(self, entry: Entry) -> None:
        """One more line of the history."""
        with self._database.connection() as connection:
            connection.execute(insert(alert_history).values(_row(entry)))

    def due(self, now_ms: int, most: int) -> list[Entry]:
        """Messages to send now, the oldest first: of each notification only the first, so that they stay in order."""
        c = alert_history.c
        with self._database.connection() as connection:
            firsts = select(func.min(c.seq)).where(c.due_ms.is_not(None)).group_by(c.site, c.alert, c.notification)
            wanted = select(alert_history).where(c.seq.in_(firsts), c.due_ms <= now_ms).order_by(c.seq).limit(most)
            return [_entry(row) for row in connection.execute(wanted)]

    def next_due_ms(self) -> int | None:
        """When the next message has to be sent."""
        with self._database.connection() as connection:
            found: int | None = connection.scalar(select(func.min(alert_history.c.due_ms)))
        return found

    def settle(self, entry: Entry, outcome: Outcome) -> None:
        """Say how an attempt went."""
        values = {**outcome._asdict(), "attempts": entry.attempts + 1}
        with self._database.connection() as connection:
            connection.execute(update(alert_history).where(alert_history.c.seq == entry.seq).values(values))

    def history(
        self, site: str, alert: str, size: int, *, after: int | None = None, before: int | None = None
    ) -> list[Entry]:
        """Up to `size` lines, newest first: those just after (older than) a `seq`, or just before."""
        c = alert_history.c
        conditions = _is(alert_history, site, alert)
        if after is not None:
            conditions.append(c.seq < after)
        if before is not None:
            conditions.append(c.seq > before)
        order = c.seq if before is not None else c.seq.desc()
        with self._database.connection() as connection:
            rows = connection.execute(select(alert_history).where(*conditions).order_by(order).limit(size)).all()
        entries = [_entry(row) for row in rows]
        return entries[::-1] if before is not None else entries

    def last_messages(self, site: str) -> dict[tuple[str, str], LastMessage]:
        """How the newest message of each notification of a site went, by (alert, notification)."""
        c = alert_history.c
        newest = select(func.max(c.seq)).where(c.site == site, c.notification != "").group_by(c.alert, c.notification)
        sent = (
            select(c.alert, c.notification, func.max(c.sent_ms)).where(c.site == site).group_by(c.alert, c.notification)
        )
        with self._database.connection() as connection:
            last_sent = {(alert, name): sent_ms for alert, name, sent_ms in connection.execute(sent)}
            rows = connection.execute(select(alert_history).where(c.seq.in_(newest))).all()
        return {
            (row.alert, row.notification): LastMessage(last_sent[row.alert, row.notification], row.error, row.due_ms)
            for row in rows
        }


def _is(table: Table, site: str, alert: str) -> list[ColumnElement[bool]]:
    return [table.c.site == site, table.c.alert == alert]


def _row(entry: Entry) -> dict[str, object]:
    fields = msgspec.structs.asdict(entry)
    row = {name: value for name, value in fields.items() if name not in ("seq", "notice")}
    return {**row, "content": msgspec.json.encode(entry.notice).decode() if entry.notice is not None else ""}


def _entry(row: Row[tuple[object, ...]]) -> Entry:
    fields = row._asdict()
    content = fields.pop("content")
    return Entry(**fields, notice=msgspec.json.decode(content, type=Notice) if content else None)
