"""The whole numbers by which the API knows sources, destinations, alerts and notifications (decision 6).

The configuration knows them by name. A name gets its number when it is first seen, and keeps it for good, also
while it is not in the configuration; no number is ever given twice.
"""

import threading
from typing import Literal, NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from turnout.control.access.database import Database
from turnout.control.access.tables import integrations
from turnout.model.config import Snapshot

Kind = Literal["source", "destination", "alert", "notification"]


class Integration(NamedTuple):
    """A numbered source or destination; `created_ms` is when it was first seen."""

    id: int
    created_ms: int


class Integrations:
    """Safe in threads. Raises `ControlUnavailableError` when the store can't be used."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._known: dict[tuple[Kind, str], Integration] = {}

    def of(self, snapshot: Snapshot, now_ms: int) -> "dict[tuple[Kind, str], Integration]":
        """The numbers of everything in a configuration, and of what once was, by kind and reference."""
        wanted: list[tuple[Kind, str]] = [("source", ref) for ref in snapshot.sources]
        wanted += [("destination", ref) for ref in snapshot.destinations]
        wanted += [("alert", ref) for ref in snapshot.alerts]
        for alert in snapshot.alerts.values():
            wanted += [("notification", f"{alert.ref}/{one.name}") for one in alert.notify]
        with self._lock:
            if not all(one in self._known for one in wanted):
                self._known = self._read()
                for kind, ref in wanted:
                    if (kind, ref) not in self._known:
                        self._add(kind, ref, now_ms)
                self._known = self._read()
            return self._known

    def _read(self) -> dict[tuple[Kind, str], Integration]:
        with self._database.connection() as connection:
            rows = connection.execute(select(integrations)).all()
        return {(row.kind, f"{row.site}/{row.name}"): Integration(row.id, row.created_ms) for row in rows}

    def _add(self, kind: Kind, ref: str, now_ms: int) -> None:
        site, _, name = ref.partition("/")
        row = {"site": site, "kind": kind, "name": name, "created_ms": now_ms}
        try:
            with self._database.connection() as connection:
                connection.execute(insert(integrations).values(row))
        except IntegrityError:
            # Another process saw it first.
            return
