"""Dry mode: requests are made and shown, but never sent (`destinations.md` §3)."""

from collections.abc import Sequence

from msgspec import structs

from turnout.destinations.interface import Destination, Event, Translator, exchange_of
from turnout.model.clock import Clock
from turnout.model.outcome import DELIVERED, Result


class DryDestination:
    """Over HTTP: its results carry the requests. No answer is made up for the translator to learn from."""

    def __init__(self, translator: Translator, clock: Clock) -> None:
        self.batch_size, self.concurrency = translator.batch_size, translator.concurrency
        self._translator, self._clock = translator, clock

    async def send(self, events: Sequence[Event]) -> Sequence[Result]:
        """Only translate."""
        request = self._translator.request(events, self._clock())
        if isinstance(request, Result):
            return [request] * len(events)
        return [structs.replace(DELIVERED, exchange=exchange_of(request))] * len(events)

    async def close(self) -> None:
        """Nothing is open."""


class UnsentDestination:
    """Of any other kind: there is nothing to show, and the destination is never asked."""

    def __init__(self, inner: Destination) -> None:
        self.batch_size, self.concurrency = inner.batch_size, inner.concurrency
        self._inner = inner

    async def send(self, events: Sequence[Event]) -> Sequence[Result]:
        """Nothing."""
        return [DELIVERED] * len(events)

    async def close(self) -> None:
        """Close the destination itself."""
        await self._inner.close()
