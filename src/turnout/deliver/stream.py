"""Passes of one destination over the stream: routing decides, events are sent, one step records it all.

What must stay true: a batch is passed in one step, after all its attempts have ended, with an outcome for every
event. What may succeed later, or was not tried because of what came before, goes into the retry ledger as part of
that step. With `ordered`, no event of a user is sent while an earlier one of that user is in the ledger or under way.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from turnout.deliver.outlet import BREAKER_OPEN, Outlet
from turnout.deliver.pace import portions
from turnout.deliver.reader import DecodedBatch, Reader
from turnout.log.interface import Subscription
from turnout.model.event import Processed
from turnout.model.outcome import Code, Result
from turnout.receipts import tally
from turnout.receipts.records import LedgerEntry, Settlement, Step
from turnout.route.plan import offered

LEDGER_BOUND = 10_000
FETCH_RECORDS = 1_000
_IDLE_S = 0.25
_BEHIND = "behind_earlier_event"
_STOPPED = "stopped"


class _Item(NamedTuple):
    """An event to send, and where its outcome belongs."""

    offset: int
    record: Processed
    codes: bytearray
    position: int
    batch: DecodedBatch


class _Pass:
    """What one pass over some batches has come to so far."""

    def __init__(self, batches: Sequence[DecodedBatch]) -> None:
        self.batches = batches
        self.codes = [bytearray(len(batch.records)) for batch in batches]
        self.step = Step(batches[-1].next)
        self.held: set[str] = set()

    def counted(self) -> Counter[tally.Counted]:
        """The outcomes of all events, counted."""
        found: Counter[tally.Counted] = Counter()
        for batch, codes in zip(self.batches, self.codes, strict=True):
            found.update(tally.outcomes(batch.kinds, batch.sums, codes))
        return found


class Stream:
    """See the module."""

    def __init__(self, outlet: Outlet, reader: Reader) -> None:
        self._outlet, self._reader = outlet, reader
        self._cursor = 0
        """Where it begins: within a batch, if what came before was passed at a rate."""

    async def run(self, cursor: int) -> None:
        """Pass batch after batch from `cursor` on until it is time to stop. Raises what the log raises."""
        self._cursor = cursor
        subscription = self._reader.subscribe(cursor)
        try:
            while not self._outlet.stopping.is_set():
                await self._turn(subscription)
        finally:
            subscription.close()

    async def _turn(self, subscription: Subscription) -> None:
        outlet = self._outlet
        outlet.news.clear()
        outlet.ledger_full = outlet.store.pending(outlet.id) >= LEDGER_BOUND
        if outlet.state != "closed":
            await outlet.sleep(_IDLE_S)
            return
        batches = subscription.fetch(FETCH_RECORDS)
        if not batches:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(outlet.news.wait(), _IDLE_S)
            return
        for portion in self._portions([self._reader.decode(batch) for batch in batches]):
            await self._pass(portion)
            # Lets others work when a backlog keeps this one from ever waiting.
            await asyncio.sleep(0)
            if outlet.stopping.is_set():
                return

    def _portions(self, batches: list[DecodedBatch]) -> Iterable[list[DecodedBatch]]:
        """What is to be passed in one step each: everything, or about a second's worth."""
        if batches[0].base < self._cursor:
            batches[0] = batches[0].part(self._cursor - batches[0].base, len(batches[0].records))
        settings = self._outlet.settings
        rate = settings.delivery.rate_per_second
        return [batches] if rate is None else portions(settings, batches, rate)

    async def _pass(self, batches: Sequence[DecodedBatch]) -> None:
        outlet = self._outlet
        current = _Pass(batches)
        # These batches may have been read before an event was erased.
        gone = outlet.store.erased(batches[0].base, batches[-1].next)
        sending: list[_Item] = []
        rehearsing: list[_Item] = []
        now_ms = outlet.clock()
        for batch, codes in zip(batches, current.codes, strict=True):
            for position, record in enumerate(batch.records):
                code = offered(outlet.settings, record)
                if gone and code is None and batch.base + position in gone:
                    code = Code.CANCELLED
                if code is None and not outlet.guard.open:
                    code = outlet.guard.stops(batch.event(position))
                if code is not None:
                    codes[position] = code
                    if code != Code.NOT_OFFERED:
                        current.step.shown += outlet.samples.untried(code, batch.base + position, record, now_ms)
                elif outlet.settings.dry_mode:
                    codes[position] = Code.DRY_RUN
                    rehearsing.append(_Item(batch.base + position, record, codes, position, batch))
                else:
                    sending.append(_Item(batch.base + position, record, codes, position, batch))
        step = current.step
        step.shown += await outlet.rehearse([(item.offset, item.record) for item in rehearsing])
        if sending:
            await self._in_parallel(self._lanes(sending), current)
        step.outcomes = [
            (batch.base, batch.appended_ms, bytes(codes)) for batch, codes in zip(batches, current.codes, strict=True)
        ]
        step.counted = current.counted()
        await outlet.keep(lambda: outlet.store.record(outlet.id, step))
        outlet.waiting |= current.held

    def _lanes(self, sending: list[_Item]) -> list[list[list[_Item]]]:
        """Chunks of events, one per attempt, in lanes: within one, each waits for the chunk before it."""
        size = self._outlet.destination.batch_size
        chunks = [sending[i : i + size] for i in range(0, len(sending), size)]
        if not self._outlet.ordered:
            return [[chunk] for chunk in chunks]
        if size > 1:
            return [chunks]
        lanes: dict[str, list[list[_Item]]] = {}
        for number, item in enumerate(sending):
            lanes.setdefault(item.record.user_key or f"\0{number}", []).append([item])
        return list(lanes.values())

    async def _in_parallel(self, lanes: list[list[list[_Item]]], current: _Pass) -> None:
        """Work through lanes, each in order, as many at once as the destination takes."""
        todo = iter(lanes)

        async def work() -> None:
            for lane in todo:
                for chunk in lane:
                    await self._attempt(current, chunk)

        await asyncio.gather(*(work() for _ in range(min(self._outlet.destination.concurrency, len(lanes)))))

    async def _attempt(self, current: _Pass, chunk: list[_Item]) -> None:
        outlet = self._outlet
        if outlet.ordered:
            held = outlet.waiting | current.held
            self._put_off(current, [item for item in chunk if item.record.user_key in held], _BEHIND)
            chunk = [item for item in chunk if item.record.user_key not in held]
        if not chunk:
            return
        await outlet.in_turn(len(chunk))
        if outlet.stopping.is_set():
            self._put_off(current, chunk, _STOPPED)
            return
        if not outlet.breaker.closed:
            self._put_off(current, chunk, BREAKER_OPEN)
            return
        contents = [item.batch.event(item.position) for item in chunk] if outlet.settings.mapping is not None else ()
        tried = await outlet.send([item.record for item in chunk], contents)
        outlet.judge(tried.results)
        now_ms = outlet.clock()
        current.step.attempts += sum(result.asked for result in tried.results)
        samples, shown = outlet.samples, current.step.shown
        for item, result in zip(chunk, tried.results, strict=True):
            if result.kind != "delivered":
                shown += samples.settled(self._not_delivered(current, item, result, now_ms), item.record, tried, result)
                continue
            item.codes[item.position] = Code.DELIVERED
            if (kept := samples.keep(item.record, False, now_ms)) is not None:
                shown.append(samples.delivered(kept, item.offset, item.record, tried, result))

    def _not_delivered(self, current: _Pass, item: _Item, result: Result, now_ms: int) -> Settlement:
        """Into the ledger, into the dead letters, or filtered."""
        entry = _entry(item, 1, now_ms, now_ms, result.reason, result.detail)
        settled = self._outlet.settlement(entry, result, int(result.asked), now_ms)
        if settled.code is None:
            item.codes[item.position] = Code.PENDING
            current.step.ledger.append(_entry(item, 1, now_ms, settled.due_ms, result.reason, result.detail))
            self._hold(current, item.record)
            return settled
        item.codes[item.position] = settled.code
        if settled.dead is not None:
            current.step.dead.append(settled.dead)
        return settled

    def _put_off(self, current: _Pass, items: Sequence[_Item], reason: str) -> None:
        """Into the ledger without an attempt."""
        due_ms = self._outlet.breaker.probe_ms if reason == BREAKER_OPEN else self._outlet.clock()
        for item in items:
            item.codes[item.position] = Code.PENDING
            current.step.ledger.append(_entry(item, 0, 0, due_ms, reason, ""))
            self._hold(current, item.record)

    def _hold(self, current: _Pass, record: Processed) -> None:
        if self._outlet.ordered and record.user_key:
            current.held.add(record.user_key)


def _entry(item: _Item, attempts: int, first_ms: int, due_ms: int, reason: str, detail: str) -> LedgerEntry:
    record = item.record
    return LedgerEntry(
        item.offset,
        record.event_id,
        record.name,
        record.payload,
        record.user_key,
        record.received_ms,
        attempts,
        first_ms,
        due_ms,
        reason,
        detail,
        source=record.source,
    )
