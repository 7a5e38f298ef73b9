"""Further attempts of one destination: takes what is due from the retry ledger, and probes while the breaker is open.

A probe tests the partner, not the event: when it fails, it does not bring the event nearer to being given up.
"""

import asyncio
from collections.abc import Sequence

from turnout.deliver.outlet import Outlet
from turnout.destinations.interface import Event
from turnout.model.outcome import Code
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
        if entries := outlet.store.next_due(outlet.id):
            await self._attempt(entries, probe=True)
        else:
            outlet.answered()
        return True

    async def _attempt(self, chunk: Sequence[LedgerEntry], probe: bool) -> None:
        outlet = self._outlet
        if outlet.settings.dry_mode:
            now_ms = outlet.clock()
            settlements = [
                Settlement(entry=entry, attempts=entry.attempts, at_ms=now_ms, code=Code.DRY_RUN) for entry in chunk
            ]
        else:
            events = [Event(entry.event_id, entry.name, entry.payload, entry.received_ms) for entry in chunk]
            results = await outlet.send(events)
            outlet.judge(results)
            now_ms = outlet.clock()
            made = 0 if probe and not outlet.breaker.closed else 1
            settlements = [
                outlet.settlement(entry, result, entry.attempts + made, now_ms)
                for entry, result in zip(chunk, results, strict=True)
            ]
        await outlet.keep(lambda: outlet.store.settle(outlet.id, settlements))
        if outlet.ordered:
            outlet.waiting -= {
                entry.user_key
                for entry in chunk
                if entry.user_key in outlet.waiting and not outlet.store.waits(outlet.id, entry.user_key)
            }
