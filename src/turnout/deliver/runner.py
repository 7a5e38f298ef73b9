"""One destination at work: passes over the stream (`stream.py`) and further attempts (`retries.py`), side by side."""

import asyncio

from turnout.breaker import State
from turnout.deliver.guard import Guard
from turnout.deliver.outlet import Outlet
from turnout.deliver.reader import Reader
from turnout.deliver.retries import Retries
from turnout.deliver.samples import Samples
from turnout.deliver.stream import Stream
from turnout.destinations.interface import Destination
from turnout.model import config
from turnout.model.clock import Clock
from turnout.model.sampling import Sampler
from turnout.receipts.store import Store


class Runner:
    """See the module. `run` until `stop`; `wake` says that there may be something new."""

    def __init__(
        self,
        settings: config.Destination,
        destination: Destination,
        guard: Guard,
        reader: Reader,
        store: Store,
        clock: Clock,
        sampler: Sampler,
    ) -> None:
        """Raises what `store` raises."""
        number, self._cursor = store.destination(settings.ref, reader.end())
        store.arrange(number, settings.delivery.ordered)
        guarded_from = store.enforce(number, self._cursor, guard.requirement)
        samples = Samples(settings, sampler)
        self._outlet = Outlet(settings, destination, store, number, clock, guard, guarded_from, samples)
        self._reader = reader

    @property
    def breaker(self) -> State:
        """The breaker's state; open also while the ledger is at its bound."""
        return self._outlet.state

    @property
    def trouble(self) -> str:
        """Why events don't arrive at the moment; empty when they do."""
        return self._outlet.trouble

    def wake(self) -> None:
        self._outlet.news.set()

    def stop(self) -> None:
        """Finish attempts that are under way, record them, and let `run` return."""
        self._outlet.stopping.set()
        self._outlet.news.set()

    async def run(self) -> None:
        """Deliver until `stop`. Raises what the store or log raise; nothing is recorded half."""
        loops = [
            asyncio.create_task(Retries(self._outlet).run()),
            asyncio.create_task(Stream(self._outlet, self._reader).run(self._cursor)),
        ]
        try:
            await asyncio.gather(*loops)
        finally:
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
