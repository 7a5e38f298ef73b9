"""Keeps one runner per destination of the configuration, the id index, and the log's idea of what is done.

What must stay true: the log may remove what this stage's group has passed, and the receipts may lose their last
moments in a power cut. So the group's cursor only follows what a checkpoint has made durable (`_commit`).
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial

import structlog

from turnout.deliver.keeper import Keeper
from turnout.deliver.parting import part
from turnout.deliver.reader import Reader
from turnout.deliver.samples import TESTS_PER_MINUTE
from turnout.destinations.interface import Destination
from turnout.log.interface import Log
from turnout.model import config
from turnout.model.clock import Clock
from turnout.model.errors import ReceiptsUnavailableError, TurnoutError
from turnout.model.event import PROCESSED
from turnout.model.facts import DestinationFacts
from turnout.model.outcome import Code, by_outcome, by_reason
from turnout.model.sampling import Sampler
from turnout.receipts import dead
from turnout.receipts.figures import roll_up
from turnout.receipts.index import Index, merged
from turnout.receipts.parting import depart, remember
from turnout.receipts.records import Registered
from turnout.receipts.retention import retain
from turnout.receipts.store import Store
from turnout.receipts.tally import Kind

GROUP = "deliver"
_DRAIN_S = 15.0
_CARE_S = 1.0
_INDEX_RECORDS = 2_000
_INDEX_S = 0.1

log = structlog.get_logger("deliver")


class Deliverer:
    """See the module. `apply` a snapshot before `run`, and whenever it changes."""

    def __init__(
        self,
        stream: Log,
        store: Store,
        open_destination: Callable[[config.Destination], Destination],
        clock: Clock,
        keep_ms: int,
        dead_bytes: int = 4 << 30,
    ) -> None:
        """Dead letters are kept for `keep_ms`, as long as all take `dead_bytes` at most.

        `open_destination` may raise; the destination is then in trouble, visibly, and opened again later.

        Raises `ReceiptsUnavailableError` if the receipts are not of this log.
        """
        self._log, self._store, self._open, self._clock, self._keep_ms = stream, store, open_destination, clock, keep_ms
        self._dead_bytes = dead_bytes
        # Whoever wrote here may have been killed in the middle of an fsync: make what we now see durable.
        store.checkpoint()
        self._reader = Reader(stream)
        self._index = Index(store)
        self._sampler = Sampler(TESTS_PER_MINUTE)
        self._wanted: dict[str, config.Destination] = {}
        self._starts: dict[str, int] = {}
        """Where new destinations begin, until the receipts know."""
        self._remembered: dict[str, config.Destination] = {}
        """What the receipts have of destinations."""
        self._keepers: dict[str, Keeper] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._committed = -1
        self._lost = 0
        self._hindrances: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._begin = self._first_start()

    def apply(self, snapshot: config.Snapshot) -> None:
        """Follow a new configuration. A destination that is new gets events processed from now on."""
        self._wanted = dict(snapshot.destinations)
        self._sampler.configure(snapshot.sampling)
        begin = self._reader.end() if self._begin is None else self._begin
        self._begin = None
        self._starts = {ref: self._starts.get(ref, begin) for ref in self._wanted}
        self._enter()
        self._changed.set()

    def wake(self) -> None:
        """There are new batches in `processed`."""
        for keeper in self._keepers.values():
            keeper.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop`; then let every destination finish what is in hand."""
        background = [asyncio.create_task(self._index_loop()), asyncio.create_task(self._care_loop())]
        try:
            while not stop.is_set():
                self._changed.clear()
                await self._with_care("destinations", self._reconcile())
                waits = [asyncio.create_task(stop.wait()), asyncio.create_task(self._changed.wait())]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=_CARE_S)
                for wait in waits:
                    wait.cancel()
        finally:
            self._stop.set()
            for keeper in self._keepers.values():
                keeper.stop()
            tasks = list(self._tasks.values())
            if tasks:
                _, late = await asyncio.wait(tasks, timeout=_DRAIN_S)
                for task in late:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*background)
            await self._with_care("cursor", self._commit())

    def facts(self) -> dict[str, DestinationFacts]:
        """Every destination's figures, by reference."""
        try:
            end = self._reader.end()
            known = self._store.destinations()
            return {ref: self._facts(ref, number, max(0, end - cursor)) for ref, (number, cursor) in known.items()}
        except ReceiptsUnavailableError as error:
            return {ref: DestinationFacts(trouble=str(error)) for ref in self._wanted}

    def attempts_lost(self) -> int:
        """Attempts that nobody read in time; what was known last while the receipts can't be read."""
        with contextlib.suppress(ReceiptsUnavailableError):
            self._lost = self._store.attempts_lost()
        return self._lost

    def _facts(self, ref: str, number: int, lag: int) -> DestinationFacts:
        figures = self._store.figures(number)
        ledger = self._store.ledger_size(number)
        room = dead.room(self._store, number)
        keeper = self._keepers.get(ref)
        return DestinationFacts(
            lag=lag,
            breaker=keeper.breaker if keeper else "closed",
            ledger=ledger,
            dead_letters=figures.dead,
            dead_letter_bytes=room.bytes,
            dead_letters_forgotten=room.forgotten,
            drift=abs(figures.codes.get(Code.PENDING, 0) - ledger),
            attempts=figures.attempts,
            outcomes=by_outcome(figures.codes),
            filtered=by_reason(figures.codes),
            filter_failures=keeper.filter_failures if keeper else 0,
            trouble=keeper.trouble if keeper else "",
        )

    # destinations that come and go

    def _first_start(self) -> int | None:
        """Where destinations begin that are configured at the first start: where this group stands, if receipts
        are new, so that events still wait for them when an earlier file was lost. Later ones begin at the end.
        """
        end = self._log.end(PROCESSED)
        registered = self._store.registered()
        if beyond := [one for one in registered if one.cursor > end]:
            raise ReceiptsUnavailableError(
                f"{self._store.path} knows of events up to offset {beyond[0].cursor}, but the log ends at {end}: the "
                "log was removed or replaced. Put it back, or move this file away to go on with what the log has now"
            )
        if registered:
            return None
        group = self._log.subscribe(PROCESSED, GROUP)
        try:
            return end - group.lag()
        finally:
            group.close()

    def _enter(self) -> None:
        """Write into the receipts where destinations begin and end, and what they get. `_reconcile` tries again.

        One that is about to be removed begins again when it is.
        """
        try:
            registered = [one for one in self._store.registered() if not one.removed]
            parting = {one.ref for one in registered if one.until is not None}
            for one in registered:
                if one.ref not in self._wanted and one.ref not in parting:
                    self._remembered.pop(one.ref, None)
                    depart(self._store, one.ref, self._reader.end())
            for ref, start in list(self._starts.items()):
                if ref not in parting:
                    self._store.destination(ref, start)
                    del self._starts[ref]
            for ref, settings in self._wanted.items():
                if ref not in self._starts and self._remembered.get(ref) != settings:
                    remember(self._store, settings)
                    self._remembered[ref] = settings
        except ReceiptsUnavailableError as error:
            self._hindered("destinations", error)

    async def _reconcile(self) -> None:
        """Stop what is gone or changed, start what is wanted. Nobody waits here for a slow destination to end."""
        self._enter()
        for ref, keeper in self._keepers.items():
            if self._wanted.get(ref) != keeper.settings:
                keeper.stop()
        for one in self._store.registered():
            if one.until is not None and one.ref not in self._tasks:
                self._start(one.ref, self._part(one))
        for ref, settings in self._wanted.items():
            if ref not in self._tasks and ref not in self._starts:
                keeper = self._keepers[ref] = Keeper(
                    settings, self._open, self._reader, self._store, self._clock, self._sampler
                )
                self._start(ref, keeper.run())

    async def _part(self, one: Registered) -> None:
        """End what a destination that is gone was still owed."""
        try:
            await part(one, self._reader, self._store, self._clock, self._stop)
        except TurnoutError as error:
            self._hindered(one.ref, error)
            await self._sleep(_CARE_S)

    def _start(self, ref: str, work: Coroutine[object, object, None]) -> None:
        task = self._tasks[ref] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._ended(ref))

    def _ended(self, ref: str) -> None:
        self._tasks.pop(ref, None)
        self._keepers.pop(ref, None)
        self._changed.set()

    # what goes on beside the destinations

    async def _index_loop(self) -> None:
        """Index event ids as batches come. A reader like the others, so it stands in nobody's way."""
        while not self._stop.is_set():
            await self._with_care("index", self._index_on())
            await self._sleep(_CARE_S)

    async def _index_on(self) -> None:
        subscription = self._reader.subscribe(self._index.cursor())
        try:
            while True:
                batches = subscription.fetch(_INDEX_RECORDS)
                if batches:
                    decoded = [self._reader.decode(batch) for batch in batches]
                    ids = [(batch.base, [record.event_id for record in batch.records]) for batch in decoded]
                    kinds: Counter[Kind] = Counter()
                    for batch in decoded:
                        kinds.update(batch.sums)
                    self._index.add(ids, kinds.items())
                elif self._stop.is_set():
                    return
                # Few rows with many hashes are cheaper than many with few, so batches are left to gather.
                full = sum(len(batch.records) for batch in batches) >= _INDEX_RECORDS
                await self._sleep(0 if full else _INDEX_S)
        finally:
            subscription.close()

    async def _care_loop(self) -> None:
        """Once a second: tell the log what is done, merge the index, forget what is old."""
        while not self._stop.is_set():
            await self._with_care("cursor", self._commit())
            await self._with_care("merge", self._merge())
            await self._with_care("retention", self._retain())
            await self._sleep(_CARE_S)

    async def _commit(self) -> None:
        cursors = [cursor for _, cursor in self._store.destinations().values()]
        done = min([self._index.cursor(), *cursors, *self._starts.values()])
        if done <= self._committed or not await asyncio.to_thread(self._store.checkpoint):
            return
        group = self._log.subscribe(PROCESSED, GROUP, done)
        try:
            group.commit(done)
        finally:
            group.close()
        self._committed = done

    async def _merge(self) -> None:
        while stretches := self._index.mergeable():
            run = await asyncio.to_thread(merged, stretches)
            self._index.replace(stretches, run, self._clock())

    async def _retain(self) -> None:
        await _in_portions(partial(retain, self._store, self._clock() - self._keep_ms))
        await _in_portions(partial(dead.trim, self._store, self._dead_bytes))
        await _in_portions(partial(roll_up, self._store, self._clock()))

    async def _with_care(self, what: str, work: Coroutine[object, object, None]) -> None:
        """Work that is tried again later, whatever hinders it now; said once."""
        try:
            await work
        except TurnoutError as error:
            self._hindered(what, error)
        else:
            self._hindrances.pop(what, None)

    def _hindered(self, what: str, error: TurnoutError) -> None:
        if str(error) != self._hindrances.get(what):
            self._hindrances[what] = str(error)
            log.warning("bookkeeping waits", what=what, error=str(error))

    async def _sleep(self, seconds: float) -> None:
        """So long, or until it is time to stop."""
        if seconds == 0 or self._stop.is_set():
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


async def _in_portions(portion: Callable[[], bool]) -> None:
    """Call until it says that there is no more to do; others work in between."""
    more = True
    while more:
        more = portion()
        await asyncio.sleep(0)
