"""Keeps one destination open and running, as it is configured; opens it again when it fails."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from turnout.breaker import State
from turnout.deliver.guard import Guard
from turnout.deliver.reader import Reader
from turnout.deliver.runner import Runner
from turnout.destinations.interface import Destination
from turnout.model import config
from turnout.model.clock import Clock
from turnout.model.sampling import Sampler
from turnout.receipts.store import Store

_REOPEN_S = 5.0

log = structlog.get_logger("deliver")


class Keeper:
    """See the module. For other settings there is another keeper, after this one has ended."""

    def __init__(
        self,
        settings: config.Destination,
        open_destination: Callable[[config.Destination], Destination],
        reader: Reader,
        store: Store,
        clock: Clock,
        sampler: Sampler,
    ) -> None:
        self.settings = settings
        self._sampler = sampler
        self._open, self._reader, self._store, self._clock = open_destination, reader, store, clock
        self._runner: Runner | None = None
        self._guard: Guard | None = None
        self._failure = ""
        self._stop = asyncio.Event()

    @property
    def breaker(self) -> State:
        return self._runner.breaker if self._runner else "closed"

    @property
    def trouble(self) -> str:
        """Why events don't arrive at the moment; empty when they do."""
        found = self._runner.trouble if self._runner else self._failure
        return found or (self._guard.trouble if self._guard else "")

    @property
    def filter_failures(self) -> int:
        """Events that were stopped because the filter could not be evaluated, with these settings."""
        return self._guard.failures if self._guard else 0

    def wake(self) -> None:
        if self._runner is not None:
            self._runner.wake()

    def stop(self) -> None:
        """Let `run` return as soon as the attempts under way are recorded."""
        self._stop.set()
        if self._runner is not None:
            self._runner.stop()

    async def run(self) -> None:
        """Deliver until `stop`."""
        while not self._stop.is_set():
            try:
                await self._run_once()
            except Exception as error:
                log.exception("destination stopped, starting it again", destination=self.settings.ref)
                self._failure = str(error) or repr(error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _REOPEN_S)

    async def _run_once(self) -> None:
        if self._guard is None:
            self._guard = Guard(self.settings.ref, self.settings.requirement, self._clock, self.settings.zone)
        destination = self._open(self.settings)
        try:
            self._runner = Runner(
                self.settings, destination, self._guard, self._reader, self._store, self._clock, self._sampler
            )
            await self._runner.run()
        finally:
            self._runner = None
            await destination.close()
