"""Keeps one runner per destination of the configuration, the id index, and the log's idea of what is done."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from turnout.deliver.reader import Reader
from turnout.deliver.runner import Runner
from turnout.destinations.interface import Destination
from turnout.log.interface import Log
from turnout.model import config
from turnout.model.clock import Clock
from turnout.model.event import PROCESSED
from turnout.model.facts import DestinationFacts
from turnout.model.outcome import OUTCOME_OF, Code
from turnout.receipts.index import Index
from turnout.receipts.store import ATTEMPTS, Store

GROUP = "deliver"
_REOPEN_S = 5.0
_DRAIN_S = 15.0

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
    ) -> None:
        """`open_destination` may raise; the destination is then in trouble, visibly, and opened again later."""
        self._log, self._store, self._open, self._clock, self._keep_ms = stream, store, open_destination, clock, keep_ms
        self._reader = Reader(stream)
        self._index = Index(store)
        self._wanted: dict[str, config.Destination] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._runners: dict[str, Runner] = {}
        self._troubles: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()

    def apply(self, snapshot: config.Snapshot) -> None:
        """Follow a new configuration. A destination that is new gets events processed from now on."""
        self._wanted = dict(snapshot.destinations)
        for ref in self._wanted:
            self._store.destination(ref, self._reader.end())
        self._changed.set()

    def wake(self) -> None:
        """There are new batches in `processed`."""
        for runner in self._runners.values():
            runner.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop`; then let every destination finish what is in hand."""
        index = asyncio.create_task(self._index_loop())
        care = asyncio.create_task(self._care_loop())
        try:
            while not stop.is_set():
                self._changed.clear()
                await self._reconcile()
                waits = [asyncio.create_task(stop.wait()), asyncio.create_task(self._changed.wait())]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
        finally:
            self._stop.set()
            for runner in self._runners.values():
                runner.stop()
            if self._tasks:
                _, late = await asyncio.wait(self._tasks.values(), timeout=_DRAIN_S)
                for task in late:
                    task.cancel()
                await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await asyncio.gather(index, care)
            self._commit()

    def facts(self) -> dict[str, DestinationFacts]:
        """Every destination's figures, by reference."""
        end = self._reader.end()
        facts = {}
        for ref, (number, cursor) in self._store.destinations().items():
            counts = self._store.counts(number)
            runner = self._runners.get(ref)
            outcomes: dict[str, int] = {}
            for code, n in counts.items():
                if code not in (ATTEMPTS, Code.NOT_OFFERED):
                    outcomes[OUTCOME_OF[Code(code)]] = outcomes.get(OUTCOME_OF[Code(code)], 0) + n
            ledger = self._store.ledger_size(number)
            facts[ref] = DestinationFacts(
                lag=max(0, end - cursor),
                breaker=runner.breaker.state if runner else "closed",
                ledger=ledger,
                dead_letters=self._store.dead_count(number),
                drift=abs(counts[Code.PENDING] - ledger),
                attempts=counts[ATTEMPTS],
                outcomes=outcomes,
                trouble=self._troubles.get(ref) or (runner.trouble if runner else ""),
            )
        return facts

    async def _reconcile(self) -> None:
        """Stop what is gone or changed, start what is wanted."""
        for ref, runner in list(self._runners.items()):
            if self._wanted.get(ref) != runner.settings:
                runner.stop()
                await asyncio.gather(self._tasks[ref], return_exceptions=True)
        for ref in self._store.destinations():
            if ref not in self._wanted and ref not in self._tasks:
                self._store.drop(ref, self._clock())
        for ref in self._wanted:
            if ref not in self._tasks:
                task = self._tasks[ref] = asyncio.create_task(self._keep(ref))
                task.add_done_callback(lambda _, ref=ref: self._ended(ref))  # type: ignore[misc] # a default argument

    def _ended(self, ref: str) -> None:
        self._tasks.pop(ref, None)
        self._changed.set()

    async def _keep(self, ref: str) -> None:
        """Run one destination as it is configured now; after a failure again, a little later."""
        settings = self._wanted[ref]
        while not self._stop.is_set() and self._wanted.get(ref) == settings:
            try:
                runner = Runner(settings, self._open(settings), self._reader, self._store, self._clock)
                self._runners[ref] = runner
                self._troubles.pop(ref, None)
                await runner.run()
            except Exception as error:
                log.exception("destination stopped, starting it again", destination=ref)
                self._troubles[ref] = repr(error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _REOPEN_S)
            finally:
                self._runners.pop(ref, None)

    async def _index_loop(self) -> None:
        """Index event ids as batches come. A reader like the others, so it stands in nobody's way."""
        subscription = self._reader.subscribe(self._index.cursor())
        try:
            while True:
                batches = subscription.fetch(2_000)
                if batches:
                    decoded = [self._reader.decode(batch) for batch in batches]
                    self._index.add((batch.base, [record.event_id for record in batch.records]) for batch in decoded)
                    await asyncio.sleep(0)
                elif self._stop.is_set():
                    return
                else:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), 0.1)
        finally:
            subscription.close()

    async def _care_loop(self) -> None:
        """Once a second: tell the log what is done, merge the index, forget what is old."""
        while not self._stop.is_set():
            self._commit()
            self._index.merge(self._clock())
            self._store.retain(self._clock() - self._keep_ms)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1.0)

    def _commit(self) -> None:
        cursors = [cursor for _, cursor in self._store.destinations().values()]
        done = min([self._index.cursor(), *cursors])
        group = self._log.subscribe(PROCESSED, GROUP, done)
        group.commit(done)
        group.close()
