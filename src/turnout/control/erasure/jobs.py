"""Erasures to be done and done, in `control.db`: whom they are about is forgotten when they are done."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from sqlalchemy import ColumnElement, Row, insert, select, update

from turnout.control.access import ids
from turnout.control.access.database import Database
from turnout.control.access.tables import erasures
from turnout.model.person import Person

State = Literal["queued", "running", "completed"]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased where, and what can't be. Counts only: nothing of the person.

    `erased`: events by place. `delivered`: events that destinations (by reference) have got before. `files`: those of
    them that write files. `unreadable`: files that were set aside as damaged; nobody knows what is in them.
    """

    erased: dict[str, int] = {}
    delivered: dict[str, int] = {}
    files: list[str] = []
    unreadable: int = 0


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """One job. `person` is None once all is erased; with `dry_run` it only counts. `trouble` is what it waits for."""

    id: str
    site: str
    state: State
    dry_run: bool
    person: Person | None
    created_ms: int
    finished_ms: int | None
    receipt: Receipt | None
    trouble: str


class Erasures:
    """Every call raises `ControlUnavailableError` when the store can't be used, and is durable on return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, site: str, person: Person, dry_run: bool, now_ms: int) -> Erasure:
        """Note down that this is to be done."""
        values = {
            "id": ids.fresh("ers_", now_ms),
            "site": site,
            "state": "queued",
            "dry_run": dry_run,
            "person": _encoded(person),
            "created_ms": now_ms,
            "receipt": "",
            "trouble": "",
        }
        with self._database.connection() as connection:
            connection.execute(insert(erasures).values(values))
        found = self.find(site, str(values["id"]))
        assert found is not None
        return found

    def find(self, site: str, erasure_id: str) -> Erasure | None:
        """One of a site."""
        return next(iter(self._select(erasures.c.site == site, erasures.c.id == erasure_id)), None)

    def of_site(self, site: str) -> list[Erasure]:
        """All of a site, the newest first."""
        return self._select(erasures.c.site == site)[::-1]

    def open(self) -> list[Erasure]:
        """Those that are not done, the oldest first."""
        return self._select(erasures.c.state != "completed")

    def begun(self, erasure_id: str, person: Person, receipt: Receipt) -> None:
        """This is what there is, and who: not to be found out any more when it is half done."""
        self._update(erasure_id, state="running", person=_encoded(person), receipt=_encoded(receipt), trouble="")

    def hindered(self, erasure_id: str, trouble: str) -> None:
        """Say what it waits for."""
        self._update(erasure_id, state="running", trouble=trouble)

    def done(self, erasure_id: str, receipt: Receipt, now_ms: int) -> None:
        """It is done. Whom it was about is forgotten before anybody is told so."""
        self._update(erasure_id, state="running", receipt=_encoded(receipt), trouble="", person="")
        self._database.purge()
        self._update(erasure_id, state="completed", finished_ms=now_ms)

    def _update(self, erasure_id: str, **values: object) -> None:
        with self._database.connection() as connection:
            connection.execute(update(erasures).where(erasures.c.id == erasure_id).values(values))

    def _select(self, *conditions: ColumnElement[bool]) -> list[Erasure]:
        with self._database.connection() as connection:
            rows: Sequence[Row[tuple[object, ...]]] = connection.execute(
                select(erasures).where(*conditions).order_by(erasures.c.created_ms, erasures.c.id)
            ).all()
        return [_erasure(row) for row in rows]


def _encoded(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()


def _erasure(row: Row[tuple[object, ...]]) -> Erasure:
    person = msgspec.json.decode(row.person, type=Person) if row.person else None
    receipt = msgspec.json.decode(row.receipt, type=Receipt) if row.receipt else None
    return Erasure(**{**row._asdict(), "person": person, "receipt": receipt})
