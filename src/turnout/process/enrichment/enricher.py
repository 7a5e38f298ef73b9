"""Stores, answers and who fetches them, as one part for the worker."""

from pathlib import Path

import aiohttp

from turnout.log.interface import Batch
from turnout.model.clock import Clock
from turnout.model.config import Snapshot
from turnout.process.build import chain_for
from turnout.process.chain import Chain, Tally
from turnout.process.enrichment.asking import Answers
from turnout.process.enrichment.fetch import Fetcher
from turnout.process.enrichment.geo import Geo
from turnout.process.enrichment.shelf import Shelf
from turnout.process.steps.enrich import Knowledge


class Enricher:
    """Makes chains that enrich. `prepare` and `keep` are for the process stage."""

    def __init__(self, shelf: Shelf, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._shelf, self._clock = shelf, clock
        self._known = Knowledge(shelf, Answers(clock), self._geo)
        self._databases: dict[str, Geo] = {}
        self._fetcher = Fetcher(session, self._known.answers, clock)
        self._rehearsal: Chain = ()

    def chain(self, snapshot: Snapshot, tally: Tally) -> Chain:
        """The chain of a configuration, which is in use from now on."""
        asks = any(rule.api is not None and rule.status == "active" for rule in snapshot.enrichments)
        rehearsing = self._known._replace(rehearsal=True)
        self._rehearsal = chain_for(snapshot, Tally(), rehearsing) if asks else ()
        return chain_for(snapshot, tally, self._known)

    async def prepare(self, part: Batch) -> None:
        """Ask APIs for what this part of a batch will need."""
        if self._rehearsal:
            await self._fetcher.prepare(part, self._rehearsal)

    def keep(self) -> None:
        """Make durable what was put into stores. Raises `StoreUnavailableError`."""
        self._shelf.flush(self._clock())

    def _geo(self, file: str) -> Geo:
        return self._databases.setdefault(file, Geo(Path(file), self._clock))
