"""Replays and their items in `control.db`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
from sqlalchemy import Row, delete, func, insert, select, update

from turnout.control.access import ids
from turnout.control.access.database import Database
from turnout.control.access.tables import replay_items, replays

State = Literal["running", "paused", "completed", "cancelled"]
KEPT_MS = 31 * 86_400_000
QUEUED, PENDING = "queued", "pending"
OPEN: tuple[State, ...] = ("running", "paused")


class Item(NamedTuple):
    """One event at one destination (its number in the receipts), as it had died at `died_ms`.

    `status`: `queued` until it is moved, `pending` while it is tried; then what became of it.
    """

    destination: int
    offset: int
    event_id: str
    died_ms: int
    status: str = QUEUED


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What a selection came to. `expired` ones have no payload any more."""

    matched: int
    replayable: int
    expired: int
    skipped_delivered: int


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """One job. `progress` counts its items by status."""

    id: str
    site: str
    destinations: tuple[str, ...]
    state: State
    rate_per_second: int
    counts: Counts
    progress: Mapping[str, int]
    created_ms: int
    finished_ms: int | None
    trouble: str


class Replays:
    """Every call raises `ControlUnavailableError` when the store can't be used, and is durable on return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, site: str, destinations: Sequence[str], rate: int, counts: Counts, items: Sequence[Item], now_ms: int
    ) -> Replay | str:
        """A new replay; or the id of one that is open for one of these destinations: then there is no other."""
        replay = ids.fresh("rpl_", now_ms)
        with self._database.connection() as connection:
            old = select(replays.c.id).where(replays.c.finished_ms < now_ms - KEPT_MS)
            connection.execute(delete(replay_items).where(replay_items.c.replay.in_(old)))
            connection.execute(delete(replays).where(replays.c.finished_ms < now_ms - KEPT_MS))
            for row in connection.execute(select(replays).where(replays.c.state.in_(OPEN))):
                if set(row.destinations.split()) & set(destinations):
                    return str(row.id)
            values = {
                "id": replay,
                "site": site,
                "destinations": " ".join(destinations),
                "state": "running",
                "rate_per_second": rate,
                "created_ms": now_ms,
                "trouble": "",
                **msgspec.structs.asdict(counts),
            }
            connection.execute(insert(replays).values(values))
            if items:
                rows = [{"replay": replay, **item._asdict()} for item in items]
                connection.execute(insert(replay_items), rows)
        found = self.find(site, replay)
        assert found is not None
        return found

    def find(self, site: str, replay: str) -> Replay | None:
        """One of a site."""
        return next((one for one in self.of_site(site) if one.id == replay), None)

    def of_site(self, site: str) -> list[Replay]:
        """All of a site that are kept, the newest first."""
        with self._database.connection() as connection:
            sql = (
                select(replays).where(replays.c.site == site).order_by(replays.c.created_ms.desc(), replays.c.id.desc())
            )
            rows = connection.execute(sql).all()
        return [self._replay(row) for row in rows]

    def unfinished(self) -> list[Replay]:
        """Those of which something is queued or pending."""
        with self._database.connection() as connection:
            sql = select(replays).where(replays.c.finished_ms.is_(None)).order_by(replays.c.created_ms, replays.c.id)
            rows = connection.execute(sql).all()
        return [self._replay(row) for row in rows]

    def change(self, replay: str, **values: object) -> None:
        """Change `state`, `rate_per_second`, `finished_ms` or `trouble`."""
        with self._database.connection() as connection:
            connection.execute(update(replays).where(replays.c.id == replay).values(values))

    def cancel(self, replay: str) -> None:
        """Move no more of it. What is under way goes on."""
        with self._database.connection() as connection:
            connection.execute(update(replays).where(replays.c.id == replay).values(state="cancelled"))
            waiting = (replay_items.c.replay == replay) & (replay_items.c.status == QUEUED)
            connection.execute(update(replay_items).where(waiting).values(status="cancelled"))

    def items(self, replay: str, statuses: Iterable[str], limit: int, after: int = 0) -> list[Item]:
        """Up to `limit` items in these states (any if there are none), those that died first."""
        wanted = tuple(statuses)
        sql = select(replay_items).where(replay_items.c.replay == replay)
        if wanted:
            sql = sql.where(replay_items.c.status.in_(wanted))
        sql = sql.order_by(replay_items.c.died_ms, replay_items.c.destination, replay_items.c.offset)
        with self._database.connection() as connection:
            rows = connection.execute(sql.limit(limit).offset(after)).all()
        return [Item(row.destination, row.offset, row.event_id, row.died_ms, row.status) for row in rows]

    def became(self, replay: str, items: Iterable[Item]) -> None:
        """Write down the status that these items have."""
        with self._database.connection() as connection:
            for one in items:
                key = (
                    (replay_items.c.replay == replay)
                    & (replay_items.c.destination == one.destination)
                    & (replay_items.c.offset == one.offset)
                )
                connection.execute(update(replay_items).where(key).values(status=one.status))

    def _replay(self, row: Row[tuple[object, ...]]) -> Replay:
        sql = select(replay_items.c.status, func.count()).where(replay_items.c.replay == row.id)
        with self._database.connection() as connection:
            progress: Counter[str] = Counter(
                dict(connection.execute(sql.group_by(replay_items.c.status)).tuples().all())
            )
        counts = {name: getattr(row, name) for name in Counts.__struct_fields__}
        kept = {name: value for name, value in row._asdict().items() if name not in counts}
        return Replay(
            **{**kept, "destinations": tuple(row.destinations.split())}, counts=Counts(**counts), progress=progress
        )
