"""One destination at work: reads, sends, records; and tries again what is due.

Strategy. Two loops share the destination. The stream loop passes batch after batch: routing decides, events are sent,
one step records an outcome for every event of the batch together with the cursor. What may succeed later
goes into the retry ledger as part of that step. The retry loop takes due entries from the ledger.

What must stay true: a batch is passed in one step, after all its attempts have ended; with `ordered`, no event of
a user is sent while an earlier one of that user is in the ledger or under way.
"""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import structlog

from turnout.deliver.breaker import Breaker
from turnout.deliver.reader import DecodedBatch, Reader
from turnout.deliver.retry import next_attempt_ms
from turnout.destinations.interface import Destination, Event
from turnout.model import config
from turnout.model.clock import Clock
from turnout.model.event import Processed
from turnout.model.outcome import Code, Result
from turnout.receipts.store import LedgerEntry, Settlement, Step, Store, dead_letter
from turnout.route.plan import offered

LEDGER_BOUND = 10_000
FETCH_RECORDS = 1_000
_IDLE_S = 0.25
_WAITING = "breaker_open"
_HELD = "behind_earlier_event"

log = structlog.get_logger("deliver")


class _Item(NamedTuple):
    """An event to send, and where its outcome belongs."""

    offset: int
    record: Processed
    codes: bytearray
    position: int


class _Pass:
    """What one pass over some batches has come to so far."""

    def __init__(self, batches: Sequence[DecodedBatch]) -> None:
        self.batches = batches
        self.codes = [bytearray(len(batch.records)) for batch in batches]
        self.step = Step(batches[-1].next)
        self.held: set[str] = set()


class Runner:
    """See the module. `run` until `stop`; `wake` says that there may be something new."""

    def __init__(
        self, settings: config.Destination, destination: Destination, reader: Reader, store: Store, clock: Clock
    ) -> None:
        self.settings = settings
        self.destination = destination
        self.breaker = Breaker()
        self.trouble = ""
        self._reader, self._store, self._clock = reader, store, clock
        self.id, self.cursor = store.destination(settings.ref, reader.end())
        self._waiting = store.waiting_keys(self.id) if settings.delivery.ordered else set()
        self._slots = asyncio.Semaphore(destination.concurrency)
        self._stop = asyncio.Event()
        self._news = asyncio.Event()

    def wake(self) -> None:
        self._news.set()

    def stop(self) -> None:
        """Finish what is in hand, then `run` returns."""
        self._stop.set()
        self._news.set()

    async def run(self) -> None:
        """Deliver until `stop`. Raises what the store or log raise; nothing is recorded half."""
        retries = asyncio.create_task(self._retry_loop())
        stream = asyncio.create_task(self._stream_loop())
        try:
            await asyncio.gather(retries, stream)
        finally:
            for task in (retries, stream):
                task.cancel()
            await asyncio.gather(retries, stream, return_exceptions=True)
            await self.destination.close()

    # the stream

    async def _stream_loop(self) -> None:
        subscription = self._reader.subscribe(self.cursor)
        try:
            while not self._stop.is_set():
                self._news.clear()
                if not self.breaker.closed:
                    await self._sleep(_IDLE_S)
                    continue
                if self._store.ledger_size(self.id) >= LEDGER_BOUND:
                    self.breaker.trip(self._clock())
                    continue
                batches = subscription.fetch(FETCH_RECORDS)
                if not batches:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), _IDLE_S)
                    continue
                await self._pass([self._reader.decode(batch) for batch in batches])
                # Lets others work when a backlog keeps this one from ever waiting.
                await asyncio.sleep(0)
        finally:
            subscription.close()

    async def _pass(self, batches: Sequence[DecodedBatch]) -> None:
        current = _Pass(batches)
        sending: list[_Item] = []
        for batch, codes in zip(batches, current.codes, strict=True):
            for position, record in enumerate(batch.records):
                code = offered(self.settings, record)
                if code is not None:
                    codes[position] = code
                elif self.settings.dry_mode:
                    codes[position] = Code.DRY_RUN
                else:
                    sending.append(_Item(batch.base + position, record, codes, position))
        if sending:
            await self._send_all(current, sending)
        step = current.step
        step.outcomes = [
            (batch.base, batch.appended_ms, bytes(codes)) for batch, codes in zip(batches, current.codes, strict=True)
        ]
        self._store.record(self.id, step)
        self.cursor = step.cursor
        self._waiting |= current.held

    async def _send_all(self, current: _Pass, sending: list[_Item]) -> None:
        size = self.destination.batch_size
        if not self.settings.delivery.ordered:
            chunks = [sending[i : i + size] for i in range(0, len(sending), size)]
            await self._in_parallel([[chunk] for chunk in chunks], current)
        elif size == 1:
            lanes: dict[str, list[list[_Item]]] = {}
            for number, item in enumerate(sending):
                lanes.setdefault(item.record.user_key or f"\0{number}", []).append([item])
            await self._in_parallel(list(lanes.values()), current)
        else:
            await self._in_parallel([[sending[i : i + size] for i in range(0, len(sending), size)]], current)

    async def _in_parallel(self, lanes: list[list[list[_Item]]], current: _Pass) -> None:
        """Work through lanes, each in order, as many at once as the destination takes."""
        todo = iter(lanes)

        async def work() -> None:
            for lane in todo:
                for chunk in lane:
                    await self._first_attempt(current, chunk)

        await asyncio.gather(*(work() for _ in range(min(self.destination.concurrency, len(lanes)))))

    async def _first_attempt(self, current: _Pass, chunk: list[_Item]) -> None:
        if self.settings.delivery.ordered:
            held = self._waiting | current.held
            behind = [item for item in chunk if item.record.user_key in held]
            chunk = [item for item in chunk if item.record.user_key not in held]
            self._put_off(current, behind, _HELD)
        if not chunk:
            return
        if not self.breaker.closed:
            self._put_off(current, chunk, _WAITING)
            return
        events = [Event(record.event_id, record.name, record.payload, record.received_ms) for _, record, _, _ in chunk]
        results = await self._send(events)
        now_ms = self._clock()
        current.step.attempts += len(chunk)
        for item, result in zip(chunk, results, strict=True):
            self._note(result, now_ms)
            if result.kind == "delivered":
                item.codes[item.position] = Code.DELIVERED
            else:
                self._not_delivered(current, item, result, now_ms)

    def _not_delivered(self, current: _Pass, item: _Item, result: Result, now_ms: int) -> None:
        """Into the ledger, into the dead letters, or filtered."""
        record = item.record
        entry = _entry(item.offset, record, 1, now_ms, now_ms, result.reason, result.detail)
        settled = self._settle(entry, result, 1, now_ms)
        if settled.code is None:
            current.step.ledger.append(msgspec.structs.replace(entry, due_ms=settled.due_ms))
            item.codes[item.position] = Code.PENDING
            self._hold(current, record)
            return
        item.codes[item.position] = settled.code
        if settled.dead is not None:
            current.step.dead.append(settled.dead)

    def _put_off(self, current: _Pass, items: Sequence[_Item], reason: str) -> None:
        """Into the ledger without an attempt."""
        due_ms = self.breaker.probe_ms if reason == _WAITING else self._clock()
        for item in items:
            item.codes[item.position] = Code.PENDING
            current.step.ledger.append(_entry(item.offset, item.record, 0, 0, due_ms, reason, ""))
            self._hold(current, item.record)

    def _hold(self, current: _Pass, record: Processed) -> None:
        if self.settings.delivery.ordered and record.user_key:
            current.held.add(record.user_key)

    # the ledger

    async def _retry_loop(self) -> None:
        ordered = self.settings.delivery.ordered
        while not self._stop.is_set():
            now_ms = self._clock()
            if self.settings.status != "active" or not (probing := self._may_try(now_ms)):
                await self._sleep(_IDLE_S)
                continue
            if probing == "probe":
                entries = self._store.due(self.id, 1 << 62, 1, ordered)
                if not entries:
                    self.breaker.succeeded()
                    continue
            else:
                size = self.destination.batch_size
                entries = self._store.due(self.id, now_ms, size * self.destination.concurrency, ordered)
            if not entries:
                await self._sleep(_IDLE_S)
                continue
            await self._try_again(entries, probe=probing == "probe")

    def _may_try(self, now_ms: int) -> str:
        if self.breaker.closed:
            return "all"
        return "probe" if self.breaker.probe(now_ms) else ""

    async def _try_again(self, entries: list[LedgerEntry], probe: bool) -> None:
        size = self.destination.batch_size
        chunks = [entries[i : i + size] for i in range(0, len(entries), size)]
        await asyncio.gather(*(self._another_attempt(chunk, probe) for chunk in chunks))
        if self.settings.delivery.ordered:
            self._waiting = self._store.waiting_keys(self.id)

    async def _another_attempt(self, chunk: list[LedgerEntry], probe: bool) -> None:
        if self.settings.dry_mode:
            results: Sequence[Result] = []
            settlements = [Settlement(entry, Code.DRY_RUN, None, entry.attempts) for entry in chunk]
        else:
            events = [Event(entry.event_id, entry.name, entry.payload, entry.received_ms) for entry in chunk]
            results = await self._send(events)
            now_ms = self._clock()
            # A probe tests the partner, not the event: it does not bring the event nearer to being given up.
            made = 0 if probe and results[0].kind == "retry" else 1
            settlements = [
                self._settle(entry, result, entry.attempts + made, now_ms)
                for entry, result in zip(chunk, results, strict=True)
            ]
        self._store.settle(self.id, settlements)
        for result in results:
            self._note(result, self._clock())

    def _settle(self, entry: LedgerEntry, result: Result, attempts: int, now_ms: int) -> Settlement:
        """What a result means for an event that has now had `attempts`."""
        if result.kind == "delivered":
            return Settlement(entry, Code.DELIVERED_AFTER_RETRY, None, attempts, now_ms)
        if result.kind == "filtered":
            return Settlement(entry, Code.FILTERED_UNSUPPORTED, None, attempts, now_ms)
        if result.kind == "retry":
            first_ms = entry.first_ms or now_ms
            due_ms = next_attempt_ms(
                self.settings.delivery, max(attempts, 1), first_ms, now_ms, result.retry_after_s, random.random()
            )
            if due_ms is not None:
                return Settlement(entry, None, None, attempts, due_ms, first_ms, result.reason, result.detail)
        code = Code.REJECTED if result.kind == "rejected" else Code.ERROR
        letter = dead_letter(entry, code, result.reason, result.detail, attempts, now_ms)
        return Settlement(entry, code, letter, attempts)

    # both

    async def _send(self, events: Sequence[Event]) -> Sequence[Result]:
        """One attempt. A destination that raises or miscounts has a bug: its events are tried again."""
        async with self._slots:
            try:
                results = await self.destination.send(events)
            except Exception as error:
                log.exception("destination raised", destination=self.settings.ref)
                results = [Result("retry", "internal_error", repr(error)[:300])] * len(events)
        if len(results) != len(events):
            detail = f"{len(results)} results for {len(events)} events"
            results = [Result("retry", "internal_error", detail)] * len(events)
        return results

    def _note(self, result: Result, now_ms: int) -> None:
        if result.kind == "retry":
            self.trouble = f"{result.reason} {result.detail}".strip()
            was = self.breaker.state
            self.breaker.failed(now_ms)
            if was == "closed" and not self.breaker.closed:
                log.warning("breaker opened", destination=self.settings.ref, reason=result.reason)
        else:
            self.trouble = "" if result.kind == "delivered" else self.trouble
            if self.breaker.succeeded():
                log.warning("breaker closed", destination=self.settings.ref)
                self._store.expedite(self.id, _WAITING, now_ms)
                self.wake()

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


def _entry(
    offset: int, record: Processed, attempts: int, first_ms: int, due_ms: int, reason: str, detail: str
) -> LedgerEntry:
    return LedgerEntry(
        offset,
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
    )
