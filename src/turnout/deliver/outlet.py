"""A destination as its two loops share it: attempts, the breaker over them, and what their results mean.

What must stay true: what was sent is recorded before anything else is done with it. While the receipts can't be
written (the disk is full), the result is kept in hand and written later, so that no event is sent twice for want of
space.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Callable, Mapping, Sequence

import structlog
from msgspec import structs

from turnout.breaker import Breaker, State
from turnout.deliver.guard import Guard
from turnout.deliver.pace import Pace
from turnout.deliver.reader import decode_event
from turnout.deliver.retry import next_attempt_ms
from turnout.deliver.samples import Samples, Tried
from turnout.destinations.interface import Destination, Event
from turnout.model import config
from turnout.model.clock import Clock
from turnout.model.errors import ReceiptsUnavailableError
from turnout.model.event import Processed
from turnout.model.outcome import Code, Result
from turnout.receipts.records import REPLAY, LedgerEntry, Settlement, dead_letter
from turnout.receipts.store import Store

BREAKER_OPEN = "breaker_open"
"""Why an event is in the ledger that the breaker kept from its first attempt."""
_PERSIST_S = 0.5

log = structlog.get_logger("deliver")


class Outlet:
    """See the module. `id` is the destination's number in the receipts.

    Events before `guarded_from` may have been routed when the guard's requirement was not in force yet.
    """

    def __init__(
        self,
        settings: config.Destination,
        destination: Destination,
        store: Store,
        number: int,
        clock: Clock,
        guard: Guard,
        guarded_from: int,
        samples: Samples,
    ) -> None:
        self.samples = samples
        self.settings, self.destination, self.store, self.id, self.clock = settings, destination, store, number, clock
        self.guard, self._guarded_from = guard, guarded_from
        self.ordered = settings.delivery.ordered
        self.breaker = Breaker()
        self.ledger_full = False
        self.trouble = ""
        """Why events don't arrive at the moment; empty when they do."""
        self.waiting: set[str] = store.waiting_users(number) if self.ordered else set()
        """With `ordered`: users with an event in the ledger."""
        self.stopping = asyncio.Event()
        self.news = asyncio.Event()
        self._slots = asyncio.Semaphore(destination.concurrency)
        rate = settings.delivery.rate_per_second
        self._pace = Pace(rate) if rate is not None else None

    @property
    def state(self) -> State:
        """The breaker's state; a full ledger keeps it open as well."""
        return "open" if self.ledger_full else self.breaker.state

    async def send(
        self, records: Sequence[Processed | LedgerEntry], contents: Sequence[Mapping[str, object] | None] = ()
    ) -> Tried:
        """One attempt. A destination that raises or miscounts has a bug: its events are tried again.

        `contents` are the events decoded, if that has been done.
        """
        events = [
            Event(one.event_id, one.name, one.payload, one.received_ms, content)
            for one, content in itertools.zip_longest(records, contents)
        ]
        async with self._slots:
            began_ms = self.clock()
            try:
                results = await self.destination.send(events)
            except Exception as error:
                log.exception("destination raised", destination=self.settings.ref)
                results = [Result("retry", "internal_error", repr(error)[:300])] * len(events)
        if len(results) != len(events):
            detail = f"{len(results)} results for {len(events)} events"
            results = [Result("retry", "internal_error", detail)] * len(events)
        return Tried(results, began_ms, max(0, self.clock() - began_ms))

    async def in_turn(self, events: int) -> None:
        """Wait until so many events may be sent, or until it is time to stop."""
        if self._pace is not None and (wait_s := self._pace.wait_s(events, asyncio.get_running_loop().time())):
            await self.sleep(wait_s)

    async def rehearse(self, events: Sequence[tuple[int, Processed | LedgerEntry]]) -> list[bytes]:
        """In dry mode: what would have been sent of these (offset, event), encoded, as far as it is kept."""
        shown = []
        for offset, record in events:
            if (kept := self.samples.keep(record, False, self.clock())) is not None:
                shown.append(self.samples.rehearsed(kept, offset, record, await self.send([record])))
        return shown

    def judge(self, results: Sequence[Result]) -> None:
        """Tell the breaker of one attempt's results. It failed if none of its events got an answer that counts.

        Events that were not sent say nothing about the partner.
        """
        results = [result for result in results if result.asked]
        if not results:
            return
        failures = [result for result in results if result.kind == "retry"]
        if len(failures) < len(results):
            self.trouble = next((_words(result) for result in results if result.kind == "error"), "")
            self.answered()
            return
        worst = max(failures, key=lambda result: result.retry_after_s or 0.0)
        self.trouble = _words(worst)
        if self.breaker.failed(self.clock(), worst.retry_after_s):
            log.warning("breaker opened", destination=self.settings.ref, reason=worst.reason)

    def answered(self) -> None:
        """The partner is there, or there is nothing to find out about it."""
        if self.breaker.succeeded():
            log.warning("breaker closed", destination=self.settings.ref)
            with contextlib.suppress(ReceiptsUnavailableError):
                # Otherwise they are due a little later by themselves.
                self.store.expedite(self.id, BREAKER_OPEN, self.clock())
            self.news.set()

    def settlement(self, entry: LedgerEntry, result: Result, attempts: int, now_ms: int) -> Settlement:
        """What a result means for an event that has now had `attempts`."""
        done = Settlement(entry=entry, attempts=attempts, at_ms=now_ms)
        if result.kind == "delivered":
            first = attempts == 1 and not entry.first_ms
            return structs.replace(done, code=Code.DELIVERED if first else Code.DELIVERED_AFTER_RETRY)
        if result.kind == "filtered":
            return structs.replace(done, code=Code.FILTERED_UNSUPPORTED)
        if result.kind == "retry":
            first_ms = entry.first_ms or now_ms
            due_ms = next_attempt_ms(
                self.settings.delivery, max(attempts, 1), first_ms, now_ms, result.retry_after_s, random.random()
            )
            if due_ms is not None:
                return structs.replace(
                    done, due_ms=due_ms, first_ms=first_ms, reason=result.reason, detail=result.detail
                )
        code = Code.REJECTED if result.kind == "rejected" else Code.ERROR
        letter = dead_letter(entry, code, result.reason, result.detail, attempts, now_ms)
        return structs.replace(done, code=code, dead=letter)

    def stops(self, entry: LedgerEntry) -> Code | None:
        """Why an event must not be tried again, if the requirement is newer than its routing or it is a replay."""
        if self.guard.open or (entry.offset >= self._guarded_from and entry.reason != REPLAY):
            return None
        return self.guard.stops(decode_event(entry.payload))

    async def keep(self, change: Callable[[], None]) -> None:
        """Make a change to the receipts, sooner or later. Raises what hinders it only when it is time to stop."""
        waited = False
        while True:
            try:
                change()
            except ReceiptsUnavailableError as error:
                if self.stopping.is_set():
                    raise
                if not waited:
                    log.warning("receipts can't be written", destination=self.settings.ref, error=str(error))
                waited, self.trouble = True, str(error)
                await self.sleep(_PERSIST_S)
            else:
                if waited:
                    self.trouble = ""
                return

    async def sleep(self, seconds: float) -> None:
        """So long, or until it is time to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)


def _words(result: Result) -> str:
    return f"{result.reason} {result.detail}".strip()
