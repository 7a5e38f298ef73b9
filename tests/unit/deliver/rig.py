"""A destination that does as it is told, and one runner around it: memory log, real receipts, a clock in the hand."""

import asyncio
import copy
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import structs

from turnout.deliver.guard import Guard
from turnout.deliver.reader import Reader
from turnout.deliver.runner import Runner
from turnout.destinations.dry import UnsentDestination
from turnout.destinations.interface import Event
from turnout.log.memory import MemoryLog
from turnout.model.config import Delivery, Destination
from turnout.model.event import ACCEPTED, PROCESSED, Processed, encode
from turnout.model.outcome import DELIVERED, Result
from turnout.model.sampling import Sampler
from turnout.receipts.audit import DestinationAudit, audit
from turnout.receipts.store import Store
from turnout.receipts.trace import Fate, trace

DOWN = Result("retry", "connection_failed")
Answer = Callable[[Event], Result]


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.ms = 1_764_000_000_000

    def __call__(self) -> int:
        return self.ms


class FakeDestination:
    """Answers each event by `answer`, and remembers what it was sent."""

    def __init__(self, answer: Answer = lambda _: DELIVERED, batch_size: int = 1, concurrency: int = 4) -> None:
        self.answer = answer
        self.batch_size, self.concurrency = batch_size, concurrency
        self.sends: list[list[str]] = []
        self.delivered: list[str] = []
        self.gate: Callable[[], Awaitable[object]] | None = None
        """Awaited before each answer."""

    async def send(self, events: Sequence[Event]) -> Sequence[Result]:
        self.sends.append([event.event_id for event in events])
        if self.gate is not None:
            await self.gate()
        results = [self.answer(event) for event in events]
        self.delivered += [
            event.event_id for event, one in zip(events, results, strict=True) if one.kind == "delivered"
        ]
        return results

    async def close(self) -> None:
        """Nothing is open."""


class Rig:
    """One runner and everything around it."""

    def __init__(
        self,
        folder: Path,
        destination: FakeDestination | None = None,
        delivery: Delivery | None = None,
    ) -> None:
        self.clock = Clock()
        self.log = MemoryLog({ACCEPTED: ["process"], PROCESSED: ["deliver"]}, clock=self.clock)
        self.store = Store(folder / "state.db")
        self.destination = destination or FakeDestination()
        self.settings = Destination(
            site="29",
            name="orders",
            type="fake",
            sources=frozenset(("29/shop",)),
            settings=None,
            delivery=delivery or Delivery(),
        )
        self.id, _ = self.store.destination(self.settings.ref, 0)

    def again(self, **changes: object) -> "Rig":
        """The same log and receipts with other settings, and a destination in good health."""
        other = copy.copy(self)
        other.destination = FakeDestination()
        other.settings = structs.replace(self.settings, **changes)
        return other

    def add(self, *ids: str, user_key: str | None = None) -> None:
        """Append one batch to `processed`; the user of "a7" is "a"."""
        records = [
            Processed(one, "29/shop", "purchase", "valid", self.clock(), 0, b"{}", one[0] if user_key is None else "")
            for one in ids
        ]
        self.log.append(PROCESSED, [encode(record) for record in records])

    def put(self, events: Mapping[str, bytes], name: str = "purchase") -> None:
        """Append one batch to `processed`: payloads by event id; the user is the first letter of the id."""
        records = [
            Processed(one, "29/shop", name, "valid", self.clock(), 0, payload, one[0])
            for one, payload in events.items()
        ]
        self.log.append(PROCESSED, [encode(record) for record in records])

    def fate(self, event_id: str) -> Fate:
        """What a trace says of an event at the destination."""
        (found,) = trace(self.log, self.store, event_id)
        return next(fate for fate in found.destinations if fate.destination == self.settings.ref)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Runner]:
        """A runner at work; stopped at the end, and then the sums must close."""
        guard = Guard(self.settings.ref, self.settings.requirement, self.clock)
        # As the registry opens it.
        destination = UnsentDestination(self.destination) if self.settings.dry_mode else self.destination
        runner = Runner(self.settings, destination, guard, Reader(self.log), self.store, self.clock, Sampler())
        task = asyncio.create_task(runner.run())
        try:
            yield runner
        finally:
            runner.stop()
            await asyncio.wait_for(task, 60)
            await self.destination.close()
            report = audit(self.log, self.store)
            assert report.closes, report

    def report(self) -> DestinationAudit:
        """What the audit says of the destination."""
        return next(one for one in audit(self.log, self.store).destinations if one.destination == self.settings.ref)

    def outcomes(self) -> dict[str, int]:
        """How many events have each outcome."""
        return self.report().outcomes

    def passed(self) -> bool:
        """Whether the stream has been read to its end."""
        return self.report().lag == 0

    async def settled(self, passing_ms: int = 0) -> None:
        """Wait until every event has its final outcome, while so much time passes between two looks."""

        def done() -> bool:
            self.clock.ms += passing_ms
            return self.passed() and not self.store.pending(self.id)

        await eventually(done, "everything to be settled")


async def eventually(condition: Callable[[], object], what: str) -> None:
    """Let others work until `condition` holds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the condition may be anything
            await asyncio.sleep(0.002)
    assert condition(), what


def set_full(db: sqlite3.Connection, full: bool) -> None:
    """Let SQLite find no room, as on a full disk."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count={pages if full else 1 << 30}")
