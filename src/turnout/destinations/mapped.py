"""A destination behind its mapping: its own copy of each event, changed as it is configured (`processing.md` §8).

A destination without a mapping is opened as it is, and its events are the bytes that were processed.
"""

import asyncio
from collections.abc import Sequence

import structlog

from turnout.destinations import registry
from turnout.destinations.interface import Context, Destination, Event
from turnout.formula.run import Run
from turnout.mapping.partner import Mapper
from turnout.model import config
from turnout.model.outcome import Result

_SLICE = 200
"""Events between two turns of the event loop."""

log = structlog.get_logger("deliver")


def open_destination(destination: config.Destination, context: Context) -> Destination:
    """The destination of this configuration. Raises what its type raises, `FormulaError` for its mapping."""
    inner = registry.open_destination(destination.type, destination.settings, context)
    return inner if destination.mapping is None else MappedDestination(inner, Mapper(destination.mapping), context)


class MappedDestination:
    """See the module."""

    def __init__(self, inner: Destination, mapper: Mapper, context: Context) -> None:
        self.batch_size, self.concurrency = inner.batch_size, inner.concurrency
        self._inner, self._mapper, self._context = inner, mapper, context

    async def send(self, events: Sequence[Event]) -> Sequence[Result]:
        """Send what is left of these events, if any are."""
        results: list[Result | None] = []
        sending: list[Event] = []
        for number, event in enumerate(events, 1):
            made = mapped(self._mapper, event, self._context)
            if isinstance(made, Event):
                sending.append(made)
                results.append(None)
            else:
                results.append(made)
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        answers = iter(await self._inner.send(sending) if sending else ())
        return [next(answers) if result is None else result for result in results]

    async def close(self) -> None:
        """Close the destination itself."""
        await self._inner.close()


def mapped(mapper: Mapper, event: Event, context: Context) -> Event | Result:
    """The event as the destination gets it, or why it does not. Never raises."""
    try:
        data = event.data() if event.source is None else mapper.copy(event.source)
        run = Run(data, event.received_ms, context.zone)
        made = mapper.map(data, run)
    except Exception as error:
        log.exception("mapping raised", destination=context.ref)
        return Result("rejected", "mapping_error", f"{type(error).__name__}: {error}"[:300], asked=False)
    if run.warnings:
        context.warned(run.warnings)
    if isinstance(made, Result):
        return made
    return Event(event.event_id, made.name, made.payload, event.received_ms, made.event)
