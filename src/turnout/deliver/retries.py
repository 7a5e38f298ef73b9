"""Further attempts of one destination: takes what is due from the retry ledger, and probes while the breaker is open.

A probe tests the partner, not the event: when it fails, it does not bring the event nearer to being given up.

What must stay true: an event that was routed under another requirement than the present one, and every replay, is
decided again before it is sent. Others keep the decision they got, though a filter may depend on the time.
"""

import asyncio
from collections.abc import Sequence

from turnout.deliver.outlet import Outlet
from turnout.model.outcome import Code
from turnout.model.requirement import Requirement
from turnout.receipts.records import LedgerEntry, Settlement

_IDLE_S = 0.25


class Retries:
    """See the module."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    async def run(self) -> None:
        """Try again what is due until it is time to stop."""
        while not self._outlet.stopping.is_set():
            if not await self._turn():
                await self._outlet.sleep(_IDLE_S)

    async def _turn(self) -> bool:
        """Whether there was something to do."""
        outlet = self._outlet
        size = outlet.destination.batch_size
        now_ms = outlet.clock()
        if outlet.settings.status != "active":
            return False
        if outlet.breaker.closed:
            entries = outlet.store.due(outlet.id, now_ms, size * outlet.destination.concurrency)
            chunks = [entries[i : i + size] for i in range(0, len(entries), size)]
            await asyncio.gather(*(self._attempt(chunk, probe=False) for chunk in chunks))
            return bool(entries)
        if not outlet.breaker.probe(now_ms):
            return False
        await self._probe()
        return True

    async def _probe(self) -> None:
        """Send the event that is due first, if there is one; those that are not to be sent go out of its way."""
        outlet = self._outlet
        while entries := outlet.store.next_due(outlet.id):
            if await self._attempt(entries, probe=True) or outlet.stopping.is_set():
                return
            await asyncio.sleep(0)
        outlet.answered()

    async def _attempt(self, chunk: Sequence[LedgerEntry], probe: bool) -> bool:
        """Whether the partner was asked anything."""
        outlet = self._outlet
        settlements: list[Settlement] = []
        shown: list[bytes] = []
        sending: list[LedgerEntry] = []
        asked = False
        for entry in chunk:
            if (code := outlet.stops(entry)) is not None:
                settlements.append(self._untried(entry, code, outlet.guard.requirement))
                shown += outlet.samples.untried(code, entry.offset, entry, outlet.clock())
            elif outlet.settings.dry_mode:
                settlements.append(self._untried(entry, Code.DRY_RUN))
                shown += await outlet.rehearse([(entry.offset, entry)])
            else:
                sending.append(entry)
        if sending:
            await outlet.in_turn(len(sending))
        if sending and not outlet.stopping.is_set():
            tried = await outlet.send(sending)
            outlet.judge(tried.results)
            asked = any(result.asked for result in tried.results)
            now_ms = outlet.clock()
            made = 0 if probe and not outlet.breaker.closed else 1
            for entry, result in zip(sending, tried.results, strict=True):
                settlement = outlet.settlement(entry, result, entry.attempts + (made if result.asked else 0), now_ms)
                settlements.append(settlement)
                shown += outlet.samples.settled(settlement, entry, tried, result)
        await outlet.keep(lambda: outlet.store.settle(outlet.id, settlements, shown))
        if outlet.ordered:
            outlet.waiting -= {
                entry.user_key
                for entry in chunk
                if entry.user_key in outlet.waiting and not outlet.store.waits(outlet.id, entry.user_key)
            }
        return asked

    def _untried(self, entry: LedgerEntry, code: Code, requirement: Requirement | None = None) -> Settlement:
        now_ms = self._outlet.clock()
        return Settlement(entry=entry, attempts=entry.attempts, at_ms=now_ms, code=code, requirement=requirement)
