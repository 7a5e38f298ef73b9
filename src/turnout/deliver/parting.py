"""Ends what a destination that is gone from the configuration was still owed (`config-api.md` C2).

What must stay true: every event that was processed while the destination was configured gets an outcome, also if it was
never read for it; one that was never to be sent gets the outcome it would have had. Nothing is sent.
"""

import asyncio
from collections import Counter
from collections.abc import Collection

from turnout.deliver.guard import Guard
from turnout.deliver.reader import DecodedBatch, Reader
from turnout.model.clock import Clock
from turnout.model.config import Destination
from turnout.model.event import Processed
from turnout.model.outcome import Code
from turnout.receipts import parting, tally
from turnout.receipts.records import DeadLetter, Registered, Step
from turnout.receipts.store import Store
from turnout.route.plan import offered

_RECORDS = 1_000


async def part(one: Registered, reader: Reader, store: Store, clock: Clock, stop: asyncio.Event) -> None:
    """Work until it is removed from the receipts; after a `stop`, another call goes on. Raises what `Store` raises."""
    settings = parting.routing(store, one.id)
    if settings is not None and one.until is not None and one.cursor < one.until:
        guard = Guard(one.ref, settings.requirement, clock, settings.zone)
        store.enforce(one.id, one.cursor, guard.requirement)
        subscription = reader.subscribe(one.cursor)
        try:
            while not stop.is_set() and (batches := subscription.fetch(_RECORDS)):
                decoded = [reader.decode(batch) for batch in batches]
                owed = [cut for batch in decoded if (cut := _within(batch, one.cursor, one.until)).records]
                if owed:
                    store.record(one.id, _step(owed, settings, guard, store, clock()))
                if batches[-1].next >= one.until:
                    break
                await asyncio.sleep(0)
        finally:
            subscription.close()
    more = True
    while more and not stop.is_set():
        more = parting.drop(store, one.ref, clock())
        await asyncio.sleep(0)


def _within(batch: DecodedBatch, low: int, high: int) -> DecodedBatch:
    if low <= batch.base and batch.next <= high:
        return batch
    return batch.part(max(0, low - batch.base), max(0, high - batch.base))


def _step(batches: list[DecodedBatch], settings: Destination, guard: Guard, store: Store, now_ms: int) -> Step:
    """The outcomes of some batches, nothing sent."""
    gone = store.erased(batches[0].base, batches[-1].next)
    step = Step(batches[-1].next)
    counted: Counter[tally.Counted] = Counter()
    for batch in batches:
        codes = bytearray(len(batch.records))
        for position, record in enumerate(batch.records):
            code = codes[position] = _code(batch, position, settings, guard, gone)
            if code == Code.ERROR:
                step.dead.append(_letter(batch.base + position, record, now_ms))
        step.outcomes.append((batch.base, batch.appended_ms, bytes(codes)))
        counted.update(tally.outcomes(batch.kinds, batch.sums, codes))
    step.counted = counted
    return step


def _code(batch: DecodedBatch, position: int, settings: Destination, guard: Guard, gone: Collection[int]) -> Code:
    """What it is without an attempt: in dry mode the same as with one."""
    code = offered(settings, batch.records[position])
    if code is None and batch.base + position in gone:
        code = Code.CANCELLED
    if code is None and not guard.open:
        code = guard.stops(batch.event(position))
    return code if code is not None else Code.DRY_RUN if settings.dry_mode else Code.ERROR


def _letter(offset: int, record: Processed, now_ms: int) -> DeadLetter:
    return DeadLetter(
        offset,
        record.event_id,
        record.name,
        record.payload,
        record.user_key,
        record.received_ms,
        int(Code.ERROR),
        parting.DELETED,
        "",
        0,
        now_ms,
        record.source,
    )
