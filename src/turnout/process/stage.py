"""The shell around the chain: reads `accepted`, processes, appends to `processed`, again and again.

What must stay true:

* A batch of `accepted` and the cursor behind it reach the log in one transaction, so after any crash every
  `Received` has exactly one `Processed`, and so has every event derived from it, behind that. That is why
  batches are never split between two appends.
* While the log takes nothing, the same records are offered again until it does; nothing is skipped.
* The chain is asked for after the records are there. An event accepted after a change of the configuration
  is therefore never processed with what was before.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence

import structlog

from turnout.log.interface import Batch, Commit, Log
from turnout.model.errors import LogUnavailableError
from turnout.model.event import ACCEPTED, PROCESSED, Status
from turnout.process.chain import Chain, process_batch
from turnout.process.enrichment.shelf import StoreUnavailableError

GROUP = "process"

_MOST_RECORDS = 1000
_MOST_BYTES = 8 << 20
_SLICE = 200
"""Records between two turns of the event loop, about 3 ms: deliveries share the loop."""
_BUSY_PAUSE_S, _IDLE_PAUSE_S, _IDLE_AFTER = 0.005, 0.02, 200
_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 2.0

_logger = structlog.get_logger(__name__)


class ProcessStage:
    """Turns `accepted` into `processed`. One per log; `run` it once.

    `refresh` gives the chain to use now and is called about 50 to 200 times a second when idle, so it must
    be cheap. `wake` is called after each append, to say that there is something to deliver. `keep` is called before
    each, in the same thread: it makes durable what the steps have put aside.
    """

    def __init__(
        self,
        log: Log,
        refresh: Callable[[], Chain],
        wake: Callable[[], None],
        keep: Callable[[], None] = lambda: None,
        prepare: Callable[[Batch], Awaitable[None]] | None = None,
    ) -> None:
        self._log, self._refresh, self._wake, self._keep, self._prepare = log, refresh, wake, keep, prepare
        self._subscription = log.subscribe(ACCEPTED, GROUP)
        self._lag = 0
        self.events: Counter[tuple[str, Status]] = Counter()
        """Processed events by (source, status), since the start of this process."""
        self.batches = 0
        """Batches appended, since the start of this process."""
        self._unkept = ""
        """Why data stores are not written at the moment: said once."""
        self.trouble = ""
        """Why nothing is processed at the moment; empty when all is well."""

    def lag(self) -> int:
        """How many records of `accepted` have not been read yet; what was known last while the log can't be read."""
        with contextlib.suppress(LogUnavailableError):
            self._lag = self._subscription.lag()
        return self._lag

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. What was read but not stored by then comes again after a restart.

        Raises `LeaseLostError` when another process has taken over the stream.
        """
        idle = 0
        try:
            while not stop.is_set():
                batches = self._fetch()
                chain = self._refresh()
                for group in _groups(batches):
                    records, counts = await self._processed(group, chain)
                    if not await self._append(records, group[-1].next, stop):
                        return
                    self.events.update(counts)
                    self._wake()
                idle = 0 if batches else idle + 1
                if idle:
                    await _pause(stop, _BUSY_PAUSE_S if idle < _IDLE_AFTER else _IDLE_PAUSE_S)
        finally:
            self._subscription.close()

    async def _processed(self, group: Sequence[Batch], chain: Chain) -> tuple[list[bytes], Counter[tuple[str, Status]]]:
        """All records of the group, processed; other work gets its turn in between."""
        records: list[bytes] = []
        counts: Counter[tuple[str, Status]] = Counter()
        for batch in group:
            for part in _slices(batch):
                if self._prepare is not None:
                    await self._prepare(part)
                done, found = process_batch(part, chain)
                records += done
                counts.update(found)
                await asyncio.sleep(0)
        return records, counts

    def _fetch(self) -> list[Batch]:
        try:
            batches = self._subscription.fetch(_MOST_RECORDS)
        except LogUnavailableError as error:
            self._stalls(f"cannot read {ACCEPTED}: {error}")
            return []
        self._goes_on()
        return batches

    async def _append(self, records: list[bytes], done: int, stop: asyncio.Event) -> bool:
        """Whether the log took the records, sooner or later; false when `stop` came first."""
        wait = _FIRST_RETRY_S
        while True:
            try:
                await asyncio.to_thread(self._store, records, done)
            except LogUnavailableError as error:
                self._stalls(f"cannot write {PROCESSED}: {error}")
            else:
                self._goes_on()
                self.batches += 1
                return True
            await _pause(stop, wait)
            if stop.is_set():
                return False
            wait = min(2 * wait, _LAST_RETRY_S)

    def _store(self, records: list[bytes], done: int) -> None:
        try:
            self._keep()
        except StoreUnavailableError as error:
            # Events go on without: nobody waits for a store.
            if not self._unkept:
                _logger.warning("data stores not written", reason=str(error))
            self._unkept = str(error)
        else:
            self._unkept = ""
        self._log.append(PROCESSED, records, Commit(ACCEPTED, GROUP, done))

    def _stalls(self, trouble: str) -> None:
        if not self.trouble:
            _logger.warning("processing waits", reason=trouble)
        self.trouble = trouble

    def _goes_on(self) -> None:
        if self.trouble:
            _logger.info("processing goes on")
        self.trouble = ""


def _slices(batch: Batch) -> Iterator[Batch]:
    for start in range(0, len(batch.records), _SLICE):
        yield Batch(batch.base + start, batch.appended_ms, batch.records[start : start + _SLICE])


def _groups(batches: Sequence[Batch]) -> Iterator[list[Batch]]:
    """Whole batches that go into one append: at most 8 MB together, unless a single one has more."""
    group: list[Batch] = []
    size = 0
    for batch in batches:
        added = sum(map(len, batch.records))
        if group and size + added > _MOST_BYTES:
            yield group
            group, size = [], 0
        group.append(batch)
        size += added
    if group:
        yield group


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until `stop` is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
